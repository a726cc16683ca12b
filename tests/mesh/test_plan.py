"""From what a node knows to all that its host shall be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_interface, ip_network

from tests.mesh.network import Administrator, key_of, prefixes
from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.plan import LocalView, NodePlan, Routing, Tunnel, allowed_ip, plan, reachable
from wgpy.mesh.rules import GOSSIP
from wgpy.mesh.topology import Member

ENDPOINTS = [Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2), Endpoint("2001:db8::3", 3)]
TOKEN, ALICE, BOB = key_of(2), key_of(3), key_of(4)
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
