"""From what a node knows to all that its host shall be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_interface, ip_network

from tests.mesh.network import NOW, Administrator, key_of, prefixes, site
from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.plan import LocalView, NodePlan, Routing, Tunnel, allowed_ip, plan, reachable
from wgpy.mesh.rules import GOSSIP
from wgpy.mesh.topology import Member

ENDPOINTS = [Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2), Endpoint("2001:db8::3", 3)]
TOKEN, ALICE, BOB, CAROL = key_of(2), key_of(3), key_of(4), key_of(5)
NOTHING = NodePlan.empty()


def members(administrator: Administrator) -> Mapping[str, Member]:
    return {member.name: member for member in administrator.topology().members}


def network(*routes: str) -> Administrator:
    """Alice and Bob, who announces routes."""
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, routes=prefixes("0.0.0.0/0", "::/0"))
    administrator.join(ALICE, TOKEN, name="alice")
    administrator.join(BOB, TOKEN, name="bob", routes=prefixes(*routes), endpoints=(ENDPOINTS[0],))
    return administrator


def view(
    networks: Mapping[Prefix, str] | None = None, own: Sequence[str] = (), versions: Sequence[int] = (4, 6)
) -> LocalView:
    """Alice's."""
    address = IPv4Address("100.80.0.9")
    return LocalView(
        ALICE.verify_key(), address, networks or {}, frozenset(own), frozenset(versions), Routing(7, 8)
    )


HERE = view()


# -- Routes ------------------------------------------------------------------------------------------


def test_a_peer_has_its_addresses_and_its_routes() -> None:
    bob = members(network("10.42.3.0/24"))["bob"]

    (peer,) = reachable([bob], HERE)

    own = (*prefixes(f"{bob.address}/32", f"{bob.address6}/128"), *bob.routes)
    assert peer.tunnel == Tunnel(frozenset(map(allowed_ip, own)), (ENDPOINTS[0],))


def test_a_route_that_overlaps_a_network_of_this_host_is_left_out_and_said() -> None:
    bob = members(network("192.168.0.0/16", "10.42.3.0/24"))["bob"]
    here: dict[Prefix, str] = {ip_network("192.168.7.0/24"): "a network of eth0"}

    (peer,) = reachable([bob], view(here))

    assert peer.routes == prefixes("10.42.3.0/24")
    assert peer.left_out == (
        "192.168.0.0/16 is not used here: it overlaps 192.168.7.0/24, a network of eth0",
    )
    assert allowed_ip(ip_network("192.168.0.0/16")) not in peer.tunnel.allowed_ips


def test_networks_of_the_other_family_do_not_matter() -> None:
    bob = members(network("2001:db8:7::/48"))["bob"]

    (peer,) = reachable([bob], view({ip_network("192.168.7.0/24"): "a network of eth0"}))

    assert peer.routes == prefixes("2001:db8:7::/48")


# -- Endpoints ---------------------------------------------------------------------------------------


def test_what_leads_back_to_our_own_nat_is_tried_after_what_does_not() -> None:
    bob = replace(members(network())["bob"], endpoints=(Endpoint("203.0.113.9", 2), Endpoint("10.0.0.2", 1)))

    (peer,) = reachable([bob], view(own=["203.0.113.9", "10.0.0.1"]))

    assert [endpoint.address for endpoint in peer.tunnel.endpoints] == ["10.0.0.2", "203.0.113.9"]


def test_what_this_host_cannot_send_to_is_tried_last() -> None:
    bob = replace(members(network())["bob"], endpoints=(ENDPOINTS[2], ENDPOINTS[0], ENDPOINTS[1]))

    (peer,) = reachable([bob], view(versions=[4]))

    assert peer.tunnel.endpoints == (ENDPOINTS[0], ENDPOINTS[1], ENDPOINTS[2])


def test_members_that_stay_as_they_are_are_made_peers_once() -> None:
    alice, bob = members(network()).values()
    before = reachable([alice, bob], HERE)

    after = reachable([alice, replace(bob, endpoints=())], HERE, before)

    assert after[0] is before[0]
    assert after == reachable([alice, replace(bob, endpoints=())], HERE)


# -- The whole ---------------------------------------------------------------------------------------


def planned(administrator: Administrator, before: NodePlan = NOTHING, seen: LocalView = HERE) -> NodePlan:
    ledger = administrator.ledger()
    charter = ledger.charter()
    assert charter is not None
    return plan(charter, administrator.topology(), seen, before)


def test_the_interface_has_the_nodes_own_addresses_as_long_as_the_networks() -> None:
    administrator = network()
    charter = administrator.ledger().charter()
    assert charter is not None

    link = planned(administrator).link

    own6 = node_address6(charter.addresses6, ALICE.verify_key())
    assert link.mtu == charter.mtu
    assert link.addresses == (
        ip_interface(f"{HERE.address}/{charter.addresses.prefixlen}"),
        ip_interface(f"{own6}/32"),
    )


def test_the_network_itself_and_the_routes_of_peers_lead_into_the_interface() -> None:
    administrator = network("10.42.3.0/24")
    charter = administrator.ledger().charter()
    assert charter is not None

    assert planned(administrator).routes == (
        charter.addresses, charter.addresses6, ip_network("10.42.3.0/24")
    )  # fmt: skip


def test_a_node_that_is_no_member_has_its_addresses_and_no_peer() -> None:
    administrator = network("10.42.3.0/24")
    before = planned(administrator)

    administrator.remove(ALICE)

    after = planned(administrator, before)
    assert (after.link, after.tunnels, after.routes) == (before.link, {}, before.routes[:2])


def test_what_was_planned_before_changes_nothing() -> None:
    administrator = network("10.42.3.0/24")
    elsewhere = view({ip_network("10.42.0.0/16"): "a network of eth0"})
    before = planned(administrator, NOTHING, elsewhere)

    assert planned(administrator, before) == planned(administrator)


def test_without_a_rule_everybody_may_begin_and_with_one_only_whom_it_names() -> None:
    administrator = network()
    (bob,) = [peer.member.key for peer in planned(administrator).peers]
    assert planned(administrator).filter == {bob: None}

    administrator.rule("node:alice", "any")

    permits = planned(administrator).filter[bob]
    assert permits is not None
    assert [permit.rule for permit in permits] == [GOSSIP]
    administrator.rule("node:bob", "node:alice")
    permits = planned(administrator).filter[bob]
    assert permits is not None
    assert [permit.rule for permit in permits] == [GOSSIP, 2]


# -- Sites -------------------------------------------------------------------------------------------


def test_a_site_is_reached_by_its_gateway() -> None:
    administrator = network()
    administrator.announce(BOB, site("office", "192.168.1.0/24"))

    found = planned(administrator)

    (peer,) = found.peers
    assert [one.name for one in peer.sites] == ["office"]
    assert peer.routes == prefixes("192.168.1.0/24")
    assert allowed_ip(ip_network("192.168.1.0/24")) in peer.tunnel.allowed_ips
    assert found.routes[2:] == prefixes("192.168.1.0/24")
    assert found.own_sites == ()


def test_a_mapped_site_is_reached_by_its_mapped_prefix_alone_and_the_rest_of_the_pool_by_nobody() -> None:
    administrator = network()
    administrator.announce(BOB, site("office", "192.168.1.0/24", mapped=("100.96.4.0/24",)))

    found = planned(administrator)

    (peer,) = found.peers
    assert peer.routes == prefixes("100.96.4.0/24")
    assert allowed_ip(ip_network("192.168.1.0/24")) not in peer.tunnel.allowed_ips
    assert found.routes[2:] == prefixes("100.96.0.0/12", "100.96.4.0/24")


def test_a_real_site_that_overlaps_a_network_of_this_host_is_left_out_and_a_mapped_one_is_not() -> None:
    administrator = network()
    administrator.announce(
        BOB,
        site("home", "192.168.0.0/16"),
        site("lab", "10.1.0.0/16", mapped=("100.97.0.0/16",)),
    )
    networks = dict.fromkeys(prefixes("192.168.7.0/24", "10.1.0.0/16"), "a network of eth0")

    (peer,) = planned(administrator, seen=view(networks)).peers

    assert peer.routes == prefixes("100.97.0.0/16")
    assert peer.left_out == (
        "192.168.0.0/16 of home is not used here: it overlaps 192.168.7.0/24, a network of eth0",
    )


def test_a_gateway_reaches_its_own_site_itself_and_no_other_site_of_the_same_prefixes() -> None:
    administrator = network()
    administrator.announce(ALICE, site("office", "192.168.1.0/24", mapped=("100.96.4.0/24",)))
    administrator.announce(
        BOB,
        site("home", "192.168.1.0/24", since=NOW + 1),
    )

    found = planned(administrator)

    assert [one.name for one in found.own_sites] == ["office"]
    (peer,) = found.peers
    assert peer.left_out == (
        "192.168.1.0/24 of home is not used here: it overlaps 192.168.1.0/24, of office, a site of this node",
    )
    assert found.routes[2:] == prefixes("100.96.0.0/12")


def test_a_gateway_of_a_site_does_not_use_the_others() -> None:
    administrator = network()
    administrator.announce(ALICE, site("office", "192.168.1.0/24"))
    administrator.announce(BOB, site("office", "192.168.1.0/24", priority=1, since=NOW + 1))

    found = planned(administrator)

    assert [one.name for one in found.own_sites] == ["office"]
    assert found.routes[2:] == ()


def test_of_several_gateways_the_first_is_used_unless_another_is_chosen() -> None:
    administrator = network()
    administrator.join(CAROL, TOKEN, name="carol")
    administrator.announce(BOB, site("office", "192.168.1.0/24"))
    administrator.announce(CAROL, site("office", "192.168.1.0/24", priority=1, since=NOW + 1))
    charter = administrator.ledger().charter()
    assert charter is not None

    first = planned(administrator)
    other = plan(charter, administrator.topology(), HERE, first, lambda site, gateways: gateways[-1])

    assert using(first) == {"bob": [], "carol": ["office"]}
    assert using(other) == {"bob": ["office"], "carol": []}


def test_a_gateway_that_no_rule_joins_with_a_node_is_not_used() -> None:
    administrator = network()
    administrator.join(CAROL, TOKEN, name="carol")
    administrator.announce(BOB, site("office", "192.168.1.0/24"))
    administrator.announce(CAROL, site("office", "192.168.1.0/24", priority=1, since=NOW + 1))
    administrator.rule(ALICE, BOB)

    assert using(planned(administrator)) == {"bob": ["office"]}


def test_a_peer_is_made_anew_only_if_its_sites_are_others() -> None:
    administrator = network()
    administrator.announce(BOB, site("office", "192.168.1.0/24"))
    topology, charter = administrator.topology(), administrator.ledger().charter()
    assert charter is not None
    before = plan(charter, topology, HERE, NOTHING)

    same = plan(charter, topology, HERE, before)
    other = plan(charter, replace(topology, sites=()), HERE, same)

    (was,), (kept,), (made) = before.peers, same.peers, other.peers
    assert kept is was
    assert [peer.routes for peer in made] == [()]


def using(found: NodePlan) -> dict[str, list[str]]:
    """Return which sites are reached by whom."""
    return {peer.member.name: [one.name for one in peer.sites] for peer in found.peers}
