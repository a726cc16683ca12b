"""Of which kind the endpoints are that a peer has published."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Network

from tests.mesh.network import NOW
from tests.mesh.nodes import Network
from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.plan import LocalView, NodePlan, Peer, Routing, plan
from wgpy.mesh.relays import UsableRelay
from wgpy.mesh.topology import derive
from wgpy.paths.exchange import Candidate, PathKind
from wgpyd.agent.remote_paths import (
    candidates_of,
    has_ipv4_alone,
    is_hidden,
    is_of_other_versions,
    nearest_relays,
    registers_with,
    round_trips,
)

INSIDE, OUTSIDE = Endpoint("192.168.1.7", 51820), Endpoint("198.51.100.1", 7000)
SIX = Endpoint("2001:db8::7", 51820)


def planned(*, hidden: bool) -> tuple[NodePlan, Peer, Network]:
    network = Network.found(NOW)
    us, peer, relay = (network.join(*given) for given in ((), (INSIDE, OUTSIDE, SIX), ()))
    network.administrator.relay(relay.identity)
    if hidden:
        network.administrator.register(peer.identity, (relay.identity, 10))
    charter = network.administrator.ledger().charter()
    assert charter
    view = LocalView(
        us.identity.verify_key(), IPv4Address("100.80.0.1"), {}, frozenset(), frozenset((4, 6)), Routing(7, 8)
    )
    found = plan(charter, derive(network.administrator.ledger(), NOW), view, NodePlan.empty())
    return found, found.by_key[peer.key.public_key()], network


def test_addresses_of_a_peer_that_others_dial_need_no_opening() -> None:
    _, peer, _ = planned(hidden=False)

    assert not is_hidden(peer.member)
    assert set(candidates_of(peer)) == {
        Candidate(INSIDE, PathKind.LAN),
        Candidate(OUTSIDE, PathKind.PUBLIC),
        Candidate(SIX, PathKind.PUBLIC),
    }


def test_those_of_a_peer_that_nobody_can_dial_do() -> None:
    _, peer, _ = planned(hidden=True)

    assert is_hidden(peer.member)
    assert set(candidates_of(peer)) == {
        Candidate(INSIDE, PathKind.LAN),
        Candidate(OUTSIDE, PathKind.REFLEXIVE),
        Candidate(SIX, PathKind.IPV6),
    }


def test_a_nat64_changes_where_a_peer_is_and_not_how_it_is_reached() -> None:
    _, peer, _ = planned(hidden=True)

    assert set(candidates_of(peer, IPv6Network("64:ff9b::/96"))) == {
        Candidate(INSIDE, PathKind.LAN),
        Candidate(Endpoint("64:ff9b::c633:6401", OUTSIDE.port), PathKind.REFLEXIVE),
        Candidate(SIX, PathKind.IPV6),
    }


def test_a_round_trip_by_a_relay_is_of_both_ends() -> None:
    found, peer, network = planned(hidden=True)
    relay = network.nodes[2]

    assert registers_with(peer.member, relay.identity.verify_key())
    assert not registers_with(peer.member, network.nodes[0].identity.verify_key())
    unmeasured = 100
    assert round_trips(peer.member, found.known.relays) == {
        relay.key.public_key(): (unmeasured + 10) * MILLISECOND
    }


def test_a_peer_is_out_of_reach_by_the_versions_of_ip_that_it_does_not_have() -> None:
    _, peer, _ = planned(hidden=False)
    none, four, six, both = (
        replace(peer, tunnel=replace(peer.tunnel, endpoints=endpoints))
        for endpoints in ((), (INSIDE, OUTSIDE), (SIX,), (INSIDE, SIX))
    )

    assert [has_ipv4_alone(one) for one in (none, four, six, both)] == [False, True, False, False]
    assert [is_of_other_versions(one, {4}) for one in (none, four, six, both)] == [False, False, True, False]
    assert [is_of_other_versions(one, {6}) for one in (none, four, six, both)] == [False, True, False, False]
    assert is_of_other_versions(both, ())


def test_two_ends_that_measured_no_relay_use_the_same_one() -> None:
    """Else each would undo the other's choice, as the endpoint of both follows the last data."""
    network = Network.found(NOW)
    nodes = [network.join() for _ in range(4)]
    relays = [(node.identity.verify_key(), UsableRelay(node.key.public_key(), 100)) for node in nodes]

    assert nearest_relays(dict(relays)) == nearest_relays(dict(reversed(relays)))

    near = nodes[3].key.public_key()
    assert nearest_relays(dict([*relays[:3], (relays[3][0], UsableRelay(near, 99))]))[0] == near
