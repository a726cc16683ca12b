"""From what a node knows to all that its host shall be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_interface, ip_network

import pytest

from tests.mesh.network import EVERYTHING, NOW, Administrator, key_of, prefixes, site
from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.member import Member
from wgpy.mesh.plan import MAX_WITHDRAWN, LocalView, NodePlan, Routing, Tunnel, plan, reachable
from wgpy.mesh.rules import GOSSIP, allowed_ip
from wgpy.mesh.signing import SigningKey, VerifyKey
from wgpy.mesh.topology import derive

ENDPOINTS = [Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2), Endpoint("2001:db8::3", 3)]
TOKEN, ALICE, BOB, CAROL, ALICES = key_of(2), key_of(3), key_of(4), key_of(5), key_of(6)
NOTHING = NodePlan.empty()


def members(administrator: Administrator) -> Mapping[str, Member]:
    return {member.name: member for member in administrator.topology().members}


def network(*routes: str, alices: SigningKey = TOKEN) -> Administrator:
    """Alice and Bob, who announces routes. alices: her token, perhaps one that allows no routes."""
    administrator = Administrator()
    administrator.found()
    administrator.invite(ALICES)
    administrator.invite(TOKEN, routes=EVERYTHING)
    administrator.join(ALICE, alices, name="alice")
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


# -- Peers ------------------------------------------------------------------------------------------


def test_members_that_stay_as_they_are_are_made_peers_once() -> None:
    alice, bob = members(network()).values()
    before = reachable([alice, bob], HERE)

    after = reachable([alice, replace(bob, endpoints=())], HERE, before)

    assert after[0] is before[0]
    assert after == reachable([alice, replace(bob, endpoints=())], HERE)


# -- The whole ---------------------------------------------------------------------------------------


def planned(
    administrator: Administrator,
    before: NodePlan = NOTHING,
    seen: LocalView = HERE,
    viewer: VerifyKey | None = None,
) -> NodePlan:
    ledger = administrator.ledger()
    charter = ledger.charter()
    assert charter is not None
    return plan(charter, derive(ledger, administrator.now, viewer=viewer), seen, before)


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


# -- What leads nowhere ------------------------------------------------------------------------------

POOL = ip_network("100.96.0.0/12")
POD = ip_network("10.42.3.0/24")
ONLY_POOL, POOL_AND_POD = frozenset({POOL}), frozenset({POOL, POD})


def withdraw(administrator: Administrator) -> None:
    administrator.join(BOB, TOKEN, name="bob", sequence=2)


@pytest.mark.parametrize(
    "end",
    [
        lambda network: network.remove(BOB),
        lambda network: network.depart(BOB),
        lambda network: network.invite(TOKEN, routes=prefixes("10.0.0.0/8"), lifetime=1),
        lambda network: network.rule("node:alice", "tag:nobody"),
        lambda network: network.remove(ALICE),
    ],
    ids=["removed", "departed", "expired", "not joined by a rule", "this node removed"],
)
@pytest.mark.parametrize("viewer", [None, ALICE.verify_key()], ids=["of all", "of its own"])
def test_what_a_node_announced_that_is_no_peer_any_more_is_reserved(
    end: Callable[[Administrator], object], viewer: VerifyKey | None
) -> None:
    administrator = network(str(POD), alices=ALICES)
    assert planned(administrator, viewer=viewer).reserved == ONLY_POOL

    end(administrator)

    after = planned(administrator, viewer=viewer)
    assert (after.reserved, POD in after.routes) == (POOL_AND_POD, False)


def test_what_a_node_withdrew_is_reserved_where_it_was_used() -> None:
    administrator = network(str(POD), alices=ALICES)
    before = planned(administrator)

    withdraw(administrator)

    after = planned(administrator, before)
    assert (after.reserved, POD in after.routes) == (POOL_AND_POD, False)
    assert planned(administrator, after).reserved == POOL_AND_POD
    assert planned(administrator, NodePlan.empty(after.reserved)).reserved == POOL_AND_POD
    assert planned(administrator).reserved == ONLY_POOL


def test_what_a_node_announces_and_withdraws_again_and_again_is_not_reserved_without_limit() -> None:
    withdrawn = frozenset(prefixes(*(f"10.42.{high}.{low}/32" for high in range(8) for low in range(256))))

    after = planned(network(alices=ALICES), NodePlan.empty(withdrawn))

    assert len(after.reserved) == 1 + MAX_WITHDRAWN < len(withdrawn)
    assert after.reserved <= ONLY_POOL | withdrawn


@pytest.mark.parametrize(
    ("routes", "end"),
    [
        ((), lambda network: network.approve(BOB)),
        (prefixes("10.0.0.0/8"), lambda network: network.invite(TOKEN, routes=prefixes("10.43.0.0/16"))),
        (prefixes("10.0.0.0/8"), lambda network: network.revoke(TOKEN)),
    ],
    ids=["not approved", "not the token's", "of no token"],
)
def test_what_nobody_may_announce_any_more_is_not_reserved(
    routes: Sequence[Prefix], end: Callable[[Administrator], object]
) -> None:
    administrator = network(str(POD), alices=ALICES)
    administrator.invite(TOKEN, routes=routes)
    if not routes:
        administrator.approve(BOB, str(POD))
    before = planned(administrator)
    withdraw(administrator)
    assert planned(administrator, before).reserved == POOL_AND_POD

    end(administrator)

    assert planned(administrator, before).reserved == ONLY_POOL


def test_what_another_node_announces_or_a_part_of_it_is_not_reserved() -> None:
    administrator = network(str(POD), alices=ALICES)
    administrator.invite(ALICES, routes=prefixes("10.42.0.0/16"))
    administrator.join(CAROL, ALICES, name="carol", routes=prefixes("10.42.0.0/16"))
    administrator.remove(BOB)

    after = planned(administrator)

    assert (after.reserved, ip_network("10.42.0.0/16") in after.routes) == (ONLY_POOL, True)


def test_what_nodes_may_announce_and_do_not_is_not_reserved() -> None:
    administrator = network(alices=ALICES)
    administrator.approve(BOB, "10.42.0.0/16")

    assert planned(administrator).reserved == ONLY_POOL


def test_what_a_removed_node_asked_for_and_was_not_allowed_is_not_reserved() -> None:
    asked = (str(POD), "10.43.0.0/24", "10.44.0.0/24", "128.0.0.0/1", "100.80.7.0/24", "127.0.0.0/8")
    administrator = network(*asked, alices=ALICES)
    administrator.invite(TOKEN, routes=prefixes("10.42.0.0/16", "100.64.0.0/10", "128.0.0.0/1"))
    administrator.approve(BOB, "10.43.0.0/16", "127.0.0.0/8")

    administrator.remove(BOB)

    assert planned(administrator).reserved == {POOL, POD, ip_network("10.43.0.0/24")}


def test_what_overlaps_a_network_of_this_host_is_not_reserved() -> None:
    administrator = network(str(POD), "10.43.0.0/16", "10.44.0.0/16", alices=ALICES)
    before = planned(administrator)
    withdraw(administrator)
    here = (ip_network("100.96.7.0/24"), ip_network("10.42.0.0/15"), ip_network("10.44.1.0/24"))
    at_home = view(dict.fromkeys(here, "a network of eth0"))

    assert len(planned(administrator, before).reserved) == 4
    assert planned(administrator, before, at_home).reserved == frozenset()


# -- The whole, again --------------------------------------------------------------------------------


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
    assert [permit.rule for permit in permits] == [GOSSIP, GOSSIP]
    administrator.rule("node:bob", "node:alice")
    permits = planned(administrator).filter[bob]
    assert permits is not None
    assert [permit.rule for permit in permits] == [GOSSIP, GOSSIP, 2]


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
    assert found.routes[2:] == prefixes("100.96.4.0/24")
    assert prefixes("100.96.0.0/12")[0] in found.reserved


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
    assert found.routes[2:] == ()


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


# -- Routes of several nodes -------------------------------------------------------------------------


def with_standby() -> Administrator:
    """Bob and Carol announce the same route."""
    administrator = network("10.43.0.0/16", "10.42.1.0/24")
    administrator.join(CAROL, TOKEN, name="carol", routes=prefixes("10.43.0.0/16"))
    return administrator


def routes_by_name(found: NodePlan) -> dict[str, tuple[Prefix, ...]]:
    return {peer.member.name: peer.routes for peer in found.peers}


def test_a_route_of_several_nodes_leads_to_the_first_unless_another_is_chosen() -> None:
    administrator = with_standby()
    charter = administrator.ledger().charter()
    assert charter is not None

    first = planned(administrator)
    other = plan(charter, administrator.topology(), HERE, first, lambda site, gateways: gateways[-1])

    assert routes_by_name(first) == {"bob": prefixes("10.42.1.0/24", "10.43.0.0/16"), "carol": ()}
    assert routes_by_name(other) == {
        "bob": prefixes("10.42.1.0/24"), "carol": prefixes("10.43.0.0/16"),
    }  # fmt: skip
    (carol,) = [peer for peer in other.peers if peer.member.name == "carol"]
    assert allowed_ip(ip_network("10.43.0.0/16")) in carol.tunnel.allowed_ips
    assert first.own_sites == other.own_sites == ()


def test_a_node_that_stands_by_reaches_what_is_behind_it_itself() -> None:
    administrator = with_standby()
    administrator.join(ALICE, TOKEN, name="alice", sequence=2, routes=prefixes("10.43.0.0/16"))

    found = planned(administrator)

    assert all(ip_network("10.43.0.0/16") not in peer.routes for peer in found.peers)
    assert ip_network("10.43.0.0/16") not in found.routes
    assert found.behind == prefixes("10.43.0.0/16")
    assert found.own_sites == ()


def test_a_node_that_begins_or_ceases_to_stand_by_changes_nothing_but_the_choice() -> None:
    alone, both = network("10.43.0.0/16", "10.42.1.0/24"), with_standby()

    for first, second in ((alone, both), (both, alone)):
        assert planned(second, planned(first)).tunnels == planned(second).tunnels
