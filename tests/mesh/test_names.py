"""Whom a node tells which names of its network."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from typing import cast

import pytest

from tests.dns.zones import ask, question
from tests.mesh.network import Administrator, key_of, prefixes, site
from wgpy.address import Address, Prefix
from wgpy.contract.orders import AllowedIP
from wgpy.datapath.translation import mapped_address
from wgpy.dns.message import Query, name_of
from wgpy.dns.renaming import Renaming
from wgpy.dns.responder import respond
from wgpy.dns.zone import Zone
from wgpy.keys import PublicKey
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.records import Network, client_selector, node_selector
from wgpy.mesh.signing import SigningKey
from wgpy.mesh.topology import derive
from wgpyd.agent.known_names import KnownNames

TOKEN, ALICE, BOB, CAROL = key_of(2), key_of(3), key_of(4), key_of(5)


def network() -> Administrator:
    """Alice, Bob with pods, and Carol."""
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, routes=prefixes("10.42.0.0/16"))
    administrator.join(ALICE, TOKEN, name="alice")
    administrator.join(BOB, TOKEN, name="bob", routes=prefixes("10.42.3.0/24"))
    administrator.join(CAROL, TOKEN, name="carol")
    return administrator


def known(
    administrator: Administrator,
    viewer: SigningKey = ALICE,
    own: tuple[Prefix, ...] = (),
    return_site: str = "",
) -> KnownNames:
    """What a node knows. own: the networks of its host; return_site: that it has a return route of."""
    ledger = administrator.ledger()
    topology = derive(ledger, administrator.now, viewer=viewer.verify_key())
    local = topology.member(viewer.verify_key())
    assert local is not None
    view = LocalView(
        local.identity,
        local.address,
        dict.fromkeys(own, "lan"),
        frozenset(),
        frozenset((4, 6)),
        Routing(7, 8),
        return_site=return_site,
        return_gateways=(ip_address("192.168.1.1"),),
    )
    charter = cast(Network, ledger.charter())
    return KnownNames(charter, plan(charter, topology, view, NodePlan.empty()), topology)


def address_of(administrator: Administrator, identity: SigningKey, version: int = 4) -> Address:
    member = administrator.topology().member(identity.verify_key())
    assert member is not None
    return member.address if version == 4 else member.address6


def names(zone: Zone | None) -> set[str]:
    assert zone is not None
    return {label.decode() for label in zone.hosts}


def test_a_node_knows_the_names_of_its_peers_and_its_own() -> None:
    administrator = network()
    zone = known(administrator).zone

    assert names(zone) == {"alice", "bob", "carol"}
    assert zone.hosts[b"bob"] == (address_of(administrator, BOB), address_of(administrator, BOB, 6))
    assert (zone.domain, zone.server) == ((b"prod", b"mesh"), b"alice")
    assert [*map(str, zone.ranges)] == ["100.80.0.0/16", "fd12:3456::/32", "100.96.0.0/12"]


@pytest.mark.parametrize("version", [4, 6])
def test_without_rules_every_node_is_told_everything(version: int) -> None:
    administrator = network()

    zone = known(administrator).zone_for(address_of(administrator, BOB, version))

    assert names(zone) == {"alice", "bob", "carol"}


def test_with_rules_a_node_is_told_what_it_may_know() -> None:
    administrator = network()
    administrator.rule(BOB, ALICE)
    administrator.rule(ALICE, CAROL)
    alice = known(administrator)

    assert names(alice.zone_for(address_of(administrator, ALICE))) == {"alice", "bob", "carol"}
    assert names(alice.zone_for(address_of(administrator, BOB))) == {"alice", "bob"}
    assert names(alice.zone_for(address_of(administrator, CAROL))) == {"alice", "carol"}
    assert names(known(administrator, BOB).zone) == {"alice", "bob"}


def test_who_is_behind_a_node_is_told_what_that_is() -> None:
    administrator = network()
    administrator.rule(BOB, ALICE)
    administrator.rule(ALICE, CAROL)

    assert names(known(administrator).zone_for(ip_address("10.42.3.7"))) == {"alice", "bob"}


@pytest.mark.parametrize(
    "stranger", ["192.0.2.1", "100.80.77.77", "10.42.4.1", "127.0.0.1", "::1", "fd12:3456::1"]
)
def test_who_is_no_peer_is_told_nothing(stranger: str) -> None:
    assert known(network()).zone_for(ip_address(stranger)) is None


def test_a_name_that_two_nodes_want_is_that_of_the_first() -> None:
    administrator = network()
    administrator.join(key_of(6), TOKEN, name="bob")
    zone = known(administrator).zone

    assert zone.hosts[b"bob"][0] == address_of(administrator, BOB)
    assert zone.labels.get(cast(IPv4Address, address_of(administrator, key_of(6)))) is None


# -- Clients -----------------------------------------------------------------------------------------

PHONE = PublicKey(b"\x06" + bytes(31))
OF_PHONE = ip_address("100.80.200.6")


def test_clients_have_names() -> None:
    administrator = network()
    administrator.client(PHONE, BOB, name="phone")

    zone = known(administrator).zone

    assert names(zone) == {"alice", "bob", "carol", "phone"}
    assert zone.hosts[b"phone"][0] == OF_PHONE
    assert names(known(administrator).zone_for(OF_PHONE)) == names(zone)


def test_a_client_knows_the_names_of_what_it_may_reach_of_its_gateway_and_its_own() -> None:
    administrator = network()
    administrator.client(PHONE, BOB, name="phone", destinations=(node_selector(CAROL.verify_key()),))

    assert names(known(administrator, BOB).zone_for(OF_PHONE)) == {"bob", "carol", "phone"}


def test_whom_a_rule_joins_with_a_client_knows_its_name() -> None:
    administrator = network()
    administrator.client(PHONE, BOB, name="phone")
    administrator.rule(administrator.scope(client_selector(PHONE)), CAROL)
    bob = known(administrator, BOB)

    assert names(bob.zone_for(OF_PHONE)) == {"bob", "carol", "phone"}
    assert "phone" in names(bob.zone_for(address_of(administrator, CAROL)))


def test_others_are_asked_for_clients_that_enter_here() -> None:
    administrator = network()
    administrator.client(PHONE, BOB, name="phone")

    assert known(administrator, BOB).enters_here(OF_PHONE)
    assert not known(administrator, CAROL).enters_here(OF_PHONE)
    assert not known(administrator, BOB).enters_here(address_of(administrator, CAROL))


# -- Sites -------------------------------------------------------------------------------------------

BOBS = ("192.168.1.0/24", "fd00:42::/48", "10.42.3.0/24")  # what he may announce
OFFICE = site("office", "192.168.1.0/24", "fd00:42::/48", mapped=("100.96.4.0/24", "fd12:3456:7::/48"))


def with_office() -> Administrator:
    """Bob is the gateway of a site, which has a mapped face."""
    administrator = network()
    administrator.approve(BOB, *BOBS)
    administrator.announce(BOB, OFFICE)
    return administrator


def test_a_site_is_known_by_its_mapped_addresses_and_to_its_gateway_by_its_real_ones() -> None:
    administrator = with_office()
    alice, bob = known(administrator), known(administrator, BOB)
    from_alice = address_of(administrator, ALICE)

    assert ask("192-168-1-10.office.prod.mesh", "A", alice.zone) == ("NOERROR", ["100.96.4.10"])
    assert ask("10.4.96.100.in-addr.arpa", "PTR", alice.zone)[1] == ["192-168-1-10.office.prod.mesh."]
    own = bob.zone_for(address_of(administrator, BOB))
    assert own is not None
    assert ask("192-168-1-10.office.prod.mesh", "A", own) == ("NOERROR", ["192.168.1.10"])
    others = bob.zone_for(from_alice)
    assert others is not None
    assert ask("192-168-1-10.office.prod.mesh", "A", others) == ("NOERROR", ["100.96.4.10"])


def test_hosts_of_a_site_are_told_by_its_gateway_what_that_knows_and_reach_each_other_as_they_are() -> None:
    administrator = with_office()
    administrator.rule(ALICE, BOB)
    bob = known(administrator, BOB)

    for host in map(ip_address, ("192.168.1.20", "fd00:42::20")):
        zone = bob.zone_for(host)
        assert names(zone) == {"alice", "bob"}
        assert zone is not None
        assert ask("192-168-1-10.office.prod.mesh", "A", zone) == ("NOERROR", ["192.168.1.10"])
    assert bob.zone_for(ip_address("192.168.2.20")) is None
    assert known(administrator).zone_for(ip_address("192.168.1.20")) is None


def test_hosts_of_a_site_are_told_by_a_node_that_has_its_return_route() -> None:
    bob = with_office()
    lan = prefixes("192.168.1.0/24")
    zone = known(bob, CAROL, lan, return_site="office").zone_for(ip_address("192.168.1.20"))

    assert names(zone) == {"alice", "bob", "carol"}
    assert zone is not None
    assert ask("192-168-1-10.office.prod.mesh", "A", zone) == ("NOERROR", ["192.168.1.10"])
    assert known(bob, CAROL, lan).zone_for(ip_address("192.168.1.20")) is None


def test_nobody_is_a_host_of_an_exit() -> None:
    administrator = with_office()
    administrator.approve(BOB, *BOBS, "0.0.0.0/0")
    administrator.announce(BOB, OFFICE, site("internet", "0.0.0.0/0"), sequence=2)
    bob = known(administrator, BOB)

    assert bob.zone_for(ip_address("192.168.1.20")) is not None
    assert bob.zone_for(ip_address("203.0.113.7")) is None


def test_an_ipv6_address_of_a_site_is_mapped_as_packets_are() -> None:
    zone = known(with_office()).zone

    result, (mapped,) = ask("fd00-42--7.office.prod.mesh", "AAAA", zone)

    prefix = AllowedIP(bytes.fromhex("fd000042") + bytes(12), 48)
    there = AllowedIP(bytes.fromhex("fd1234560007") + bytes(10), 48)
    expected = mapped_address(ip_address("fd00:42::7").packed, prefix, there)
    assert (result, ip_address(mapped).packed) == ("NOERROR", expected)
    reverse = ip_address(mapped).reverse_pointer
    assert ask(reverse, "PTR", zone) == ("NOERROR", ["fd00-42--7.office.prod.mesh."])


def test_with_rules_a_site_is_told_to_whom_its_gateway_is_known() -> None:
    administrator = with_office()
    administrator.rule(ALICE, BOB)
    administrator.rule(ALICE, CAROL)
    alice = known(administrator)

    for identity, result in ((BOB, "NOERROR"), (CAROL, "NXDOMAIN")):
        zone = alice.zone_for(address_of(administrator, identity))
        assert zone is not None
        assert ask("192-168-1-10.office.prod.mesh", "A", zone)[0] == result


# -- Zones of sites ----------------------------------------------------------------------------------

WITH_ZONES = replace(OFFICE, servers=(ip_address("192.168.1.53"),), zones=("office.example", "lan"))


def with_zones() -> Administrator:
    """The site of Bob has zones of its own."""
    administrator = with_office()
    administrator.announce(BOB, WITH_ZONES, sequence=2)
    administrator.approve(BOB, *BOBS)
    administrator.approve_zones(BOB, *WITH_ZONES.zones)
    return administrator


def delegation(names: KnownNames, asker: Address, name: str) -> tuple[list[str], str] | None:
    """Return the servers that are asked, and as what their 192.168.1.10 is known."""
    found = names.delegation(asker, name_of(name))
    if found is None:
        return None
    return [*map(str, found.servers)], str(found.site.mapped(ip_address("192.168.1.10")))


@pytest.mark.parametrize("name", ["office.example", "a.b.office.example", "tv.lan"])
def test_a_sites_server_is_asked_by_its_mapped_address_about_its_zones(name: str) -> None:
    administrator = with_zones()
    alice = known(administrator)

    asked = delegation(alice, address_of(administrator, ALICE), name)

    assert asked == (["100.96.4.53"], "100.96.4.10")
    assert [*alice.site_zones] == [(b"office", b"example"), (b"lan",)]


def test_a_zone_that_nobody_approved_leads_no_name_to_a_site() -> None:
    administrator = with_zones()
    administrator.approve_zones(BOB, "lan")
    alice = known(administrator)

    assert delegation(alice, address_of(administrator, ALICE), "www.office.example") is None
    assert [*alice.site_zones] == [(b"lan",)]


@pytest.mark.parametrize("name", ["example", "myoffice.example", "office.example.org", "alice.prod.mesh"])
def test_a_sites_server_is_not_asked_about_other_names(name: str) -> None:
    administrator = with_zones()

    assert delegation(known(administrator), address_of(administrator, ALICE), name) is None


def test_a_gateway_asks_by_the_real_address_and_tells_others_the_mapped_ones() -> None:
    administrator = with_zones()
    administrator.client(PHONE, BOB, name="phone")
    bob = known(administrator, BOB)

    of_bob = delegation(bob, address_of(administrator, BOB), "tv.lan")
    of_phone = delegation(bob, OF_PHONE, "tv.lan")

    assert of_bob == (["192.168.1.53"], "192.168.1.10")
    assert of_phone == (["192.168.1.53"], "100.96.4.10")


def test_whoever_may_not_know_a_site_has_none_of_its_names() -> None:
    administrator = with_zones()
    administrator.client(PHONE, BOB, name="phone", destinations=(node_selector(CAROL.verify_key()),))

    assert delegation(known(administrator, BOB), OF_PHONE, "tv.lan") is None
    assert delegation(known(administrator, BOB), ip_address("192.0.2.1"), "tv.lan") is None


def test_a_zone_that_two_sites_have_is_that_of_the_first_and_the_longer_one_goes_first() -> None:
    administrator = with_zones()
    administrator.approve(CAROL, "10.7.0.0/16")
    administrator.approve_zones(CAROL, "lan")
    server = (ip_address("10.7.0.53"),)
    later = site("lab", "10.7.0.0/16", servers=server, zones=("lan", "lab.lan"), since=OFFICE.since + 1)
    administrator.announce(CAROL, later)
    alice, asker = known(administrator), address_of(administrator, ALICE)

    assert delegation(alice, asker, "tv.lan") == (["100.96.4.53"], "100.96.4.10")
    assert delegation(alice, asker, "tv.lab.lan") == (["10.7.0.53"], "None")


def test_a_server_is_not_asked_where_its_address_leads_to_another_network() -> None:
    administrator = with_zones()
    administrator.announce(BOB, replace(WITH_ZONES, mapped=WITH_ZONES.real, face="real"), sequence=3)
    at_home = known(administrator, own=prefixes("192.168.1.0/24"))

    assert delegation(at_home, address_of(administrator, ALICE), "tv.lan") == ([], "192.168.1.10")


# -- Names of a cluster, below its site's ------------------------------------------------------------

CLUSTER = replace(OFFICE, servers=(ip_address("192.168.1.53"),), zones=("cluster.local",))
SERVICE = "web.shop.svc.office.prod.mesh"


def with_cluster() -> Administrator:
    """The site of Bob has a zone that is asked for below its name, which needs no approval."""
    administrator = with_office()
    administrator.announce(BOB, CLUSTER, sequence=2)
    administrator.approve(BOB, *BOBS)
    return administrator


@pytest.mark.parametrize(
    "name", [SERVICE, "svc.office.prod.mesh", "_http._tcp.web.shop.svc.office.prod.mesh"]
)
def test_names_below_a_clusters_are_asked_of_its_own_server_by_its_own_domain(name: str) -> None:
    administrator = with_cluster()
    alice = known(administrator)

    found = alice.delegation(address_of(administrator, ALICE), name_of(name))

    assert found is not None
    assert found.renaming == Renaming(name_of("office.prod.mesh"), name_of("cluster.local"))
    assert [*map(str, found.servers)] == ["100.96.4.53"]
    zone = alice.zone_for(address_of(administrator, ALICE))
    assert zone is not None
    assert isinstance(respond(zone, question(name), by_tcp=False), Query)


def test_a_clusters_own_domain_leads_nobody_there_and_waits_for_no_approval() -> None:
    administrator = with_cluster()
    alice = known(administrator)

    assert delegation(alice, address_of(administrator, ALICE), "web.shop.svc.cluster.local") is None
    assert [*alice.site_zones] == []
    site = administrator.topology().site("office")
    assert site is not None
    assert (site.zones, site.waiting) == (("cluster.local",), ())


def test_addresses_below_a_cluster_and_the_cluster_itself_are_answered_as_those_of_any_site() -> None:
    administrator = with_cluster()
    alice, asker = known(administrator), address_of(administrator, ALICE)
    zone = alice.zone_for(asker)
    assert zone is not None

    assert ask("192-168-1-10.office.prod.mesh", "A", zone) == ("NOERROR", ["100.96.4.10"])
    assert ask("office.prod.mesh", "A", zone) == ("NOERROR", [])
    assert alice.delegation(asker, name_of("office.prod.mesh")) is None
    assert ask("a.b.alice.prod.mesh", "A", zone)[0] == "NXDOMAIN"


def test_a_host_of_a_site_may_ask_its_gateway_for_what_is_below_sites_and_for_nothing_else() -> None:
    bob = known(with_cluster(), BOB)
    pod = ip_address("192.168.1.10")

    assert bob.serves_hosts_of_sites(pod, name_of(SERVICE))
    assert not bob.serves_hosts_of_sites(pod, name_of("www.example"))
    assert not bob.serves_hosts_of_sites(ip_address("192.0.2.1"), name_of(SERVICE))
    found = bob.delegation(pod, name_of(SERVICE))
    assert found is not None
    assert (str(found.site.mapped(pod)), [*map(str, found.servers)]) == ("192.168.1.10", ["192.168.1.53"])


def test_another_gateway_of_a_site_asks_for_its_hosts_to_which_it_lends_its_address() -> None:
    administrator = with_cluster()
    before = known(administrator, BOB)
    administrator.announce(CAROL, CLUSTER)
    administrator.approve(CAROL, *BOBS)
    bob, carol = known(administrator, BOB), address_of(administrator, CAROL)

    found = bob.delegation(carol, name_of(SERVICE))

    assert found is not None
    pod = ip_address("192.168.1.10")
    assert found.site.mapped(pod) == pod
    assert bob.serves_hosts_of_sites(carol, name_of(SERVICE))
    assert not bob.serves_hosts_of_sites(carol, name_of("www.example"))
    assert not before.serves_hosts_of_sites(carol, name_of(SERVICE))
    assert not bob.serves_hosts_of_sites(address_of(administrator, ALICE), name_of(SERVICE))


def test_whoever_may_not_know_a_cluster_has_no_names_below_it() -> None:
    administrator = with_cluster()
    administrator.client(PHONE, BOB, name="phone", destinations=(node_selector(CAROL.verify_key()),))
    bob = known(administrator, BOB)

    assert bob.delegation(OF_PHONE, name_of(SERVICE)) is None
    zone = bob.zone_for(OF_PHONE)
    assert zone is not None
    assert ask(SERVICE, "A", zone)[0] == "NXDOMAIN"
