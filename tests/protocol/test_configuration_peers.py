"""Chapter 8, continued: allowed IPs, peers and the link, changed while they are in use."""

import pytest

from wgpy.contract.drops import DropReason
from wgpy.contract.events import KeyNeeded
from wgpy.contract.orders import AllowedIP
from wgpy.testing import InnerPacket, PeerConfig, Simulation

from . import whitepaper as wp
from .changes import PAPER_PREFIX, add_allowed_ip, remove_allowed_ips
from .harness import NODE_INNER, PAPER_AT, Bench, Pair

# -- Allowed IPs -------------------------------------------------------------------------------------


def test_an_allowed_ip_given_to_another_peer_is_taken_from_the_first() -> None:
    simulation = Simulation(1)
    node, first, second = (simulation.add_node(name) for name in ("node", "first", "second"))
    prefix = AllowedIP(bytes([10, 9, 0, 0]), 16)
    one = node.add_peer(PeerConfig(first.public_key, (prefix,), first.listen))
    other = node.add_peer(PeerConfig(second.public_key, (), second.listen))
    for peer in (first, second):
        peer.add_peer(simulation.peer_config(node))

    add_allowed_ip(node, other, prefix)
    node.settle()
    packet = InnerPacket(NODE_INNER, "10.9.1.2", 1).encode()
    node.send_packet(packet)
    simulation.run_for(wp.NS)

    assert first.delivered == []
    assert second.delivered == [packet]
    assert node.device.allowed_ips(one) == []
    assert node.device.allowed_ips(other) == [prefix]


def test_a_removed_allowed_ip_is_neither_sent_to_nor_accepted_from() -> None:
    bench = Bench()
    session = bench.establish()

    remove_allowed_ips(bench.node, bench.peer, PAPER_PREFIX)
    bench.node.settle()
    bench.node_sends()
    bench.exchange(session.seal(1, bench.paper_packet()))

    assert bench.node.delivered == []
    assert bench.dropped(DropReason.NO_PEER_FOR_DESTINATION) == 1
    assert bench.dropped(DropReason.SOURCE_NOT_ALLOWED) == 1


def test_an_added_allowed_ip_counts_in_the_running_session() -> None:
    bench = Bench()
    session = bench.establish()

    add_allowed_ip(bench.node, bench.peer, AllowedIP(bytes([172, 16, 0, 0]), 12))
    bench.node.settle()

    packet = bench.paper_packet("172.16.3.4")
    bench.exchange(session.seal(1, packet))
    assert bench.node.delivered == [packet]


def test_an_allowed_ip_that_is_not_the_peers_cannot_be_removed_by_it() -> None:
    bench = Bench()
    other = bench.node.add_peer(PeerConfig(wp.hash_(b"other")))
    session = bench.establish()

    remove_allowed_ips(bench.node, other, PAPER_PREFIX)
    bench.node.settle()

    packet = bench.paper_packet()
    bench.exchange(session.seal(1, packet))
    assert bench.node.delivered == [packet]


def test_an_allowed_ip_set_again_changes_nothing() -> None:
    bench = Bench()
    add_allowed_ip(bench.node, bench.peer, AllowedIP(bytes(4), 0))
    before = bench.node.device.allowed_ips(bench.peer)

    add_allowed_ip(bench.node, bench.peer, PAPER_PREFIX)
    bench.node.settle()

    assert bench.node.device.allowed_ips(bench.peer) == before


def test_all_allowed_ips_can_be_taken_at_once() -> None:
    bench = Bench()
    add_allowed_ip(bench.node, bench.peer, AllowedIP(bytes(4), 0))

    remove_allowed_ips(bench.node, bench.peer, *bench.node.device.allowed_ips(bench.peer))
    bench.node.settle()
    bench.node_sends()

    assert bench.node.device.allowed_ips(bench.peer) == []
    assert bench.take() == []


# -- Peers -------------------------------------------------------------------------------------------


def test_a_removed_peer_is_an_unknown_peer() -> None:
    bench = Bench()
    session = bench.establish()

    bench.node.engine.remove_peer(bench.peer)
    bench.node.settle()
    bench.exchange(session.seal(1, bench.paper_packet()))
    answers = bench.exchange(bench.paper.initiation(bench.timestamp()))
    bench.node_sends()

    assert bench.node.delivered == []
    assert answers == []
    assert bench.take() == []
    assert bench.dropped(DropReason.UNKNOWN_INDEX) == 1
    assert bench.dropped(DropReason.UNKNOWN_PEER) == 1


def test_a_peer_removed_during_a_handshake_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    response, _ = bench.paper.respond(initiation)

    bench.node.engine.remove_peer(bench.peer)
    bench.node.settle()

    assert bench.exchange(response) == []
    assert bench.node.device.next_deadline() is None
    bench.run(300 * wp.NS)
    assert bench.take() == []


def test_an_event_about_a_removed_peer_is_ignored() -> None:
    bench = Bench()
    bench.node.engine.remove_peer(bench.peer)
    bench.node.settle()

    bench.node.engine.receive_event(KeyNeeded(bench.peer.id), bench.node.now)

    assert bench.node.engine.take_actions() == []


def test_a_peer_added_again_has_a_new_id_and_works() -> None:
    bench = Bench()
    bench.establish()
    bench.node.engine.remove_peer(bench.peer)
    again = bench.node.add_peer(PeerConfig(bench.paper.public, (PAPER_PREFIX,), PAPER_AT))
    bench.run(wp.NS)

    session = bench.establish()

    assert again.id != bench.peer.id
    packet = bench.node_sends()
    assert session.open(bench.take()[0]).startswith(packet)


def test_removing_a_peer_frees_its_allowed_ips() -> None:
    simulation = Simulation(1)
    node, first, second = (simulation.add_node(name) for name in ("node", "first", "second"))
    wide, narrow = AllowedIP(bytes(4), 0), AllowedIP(bytes([10, 0, 0, 3]), 32)
    gone = node.add_peer(PeerConfig(first.public_key, (narrow,), first.listen))
    node.add_peer(PeerConfig(second.public_key, (wide,), second.listen))
    second.add_peer(simulation.peer_config(node))

    node.engine.remove_peer(gone)
    node.settle()
    packet = simulation.send(node, second)
    simulation.run_for(wp.NS)

    assert second.delivered == [packet]


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_the_callers_mistake(size: int) -> None:
    bench = Bench()
    engine = bench.node.engine

    with pytest.raises(ValueError, match="32 bytes"):
        engine.add_peer(bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        engine.set_private_key(bytes(size), bench.node.now)
    with pytest.raises(ValueError, match="32 bytes"):
        engine.set_preshared_key(bench.peer, bytes(size))


def test_a_peer_cannot_be_added_twice() -> None:
    bench = Bench()

    with pytest.raises(ValueError, match="there is a peer with this public key"):
        bench.node.engine.add_peer(bench.paper.public)


# -- Up and down -------------------------------------------------------------------------------------


def down(bench: Bench) -> None:
    bench.node.engine.down()
    bench.node.settle()


def up(bench: Bench) -> None:
    bench.node.engine.up(bench.node.now)
    bench.node.settle()


def test_an_interface_that_is_down_is_silent_and_deaf() -> None:
    bench = Bench()
    session = bench.establish()
    down(bench)

    bench.node_sends()
    answers = bench.exchange(bench.paper.initiation(bench.timestamp()))
    bench.exchange(session.seal(1, bench.paper_packet()))
    bench.run(60 * wp.NS)

    assert answers == []
    assert bench.take() == []
    assert bench.node.delivered == []
    assert bench.node.device.next_deadline() is None
    assert bench.dropped(DropReason.DEVICE_DOWN) == 1


def test_going_down_forgets_sessions_and_staged_packets() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    response, _ = bench.paper.respond(initiation)
    down(bench)
    up(bench)

    assert bench.exchange(response) == []

    session = bench.initiate()
    assert bench.exchange(session.seal(0, b"")) == []


def test_after_coming_up_again_the_next_packet_begins_a_handshake_at_once() -> None:
    bench = Bench()
    bench.answer()
    down(bench)
    up(bench)
    bench.take()

    bench.node_sends()

    assert [wp.type_of(data) for data in bench.take()] == [wp.INITIATION]


def test_coming_up_twice_is_coming_up_once() -> None:
    bench = Bench()
    session = bench.establish()

    up(bench)

    packet = bench.node_sends()
    assert session.open(bench.take()[0]).startswith(packet)


def test_coming_up_without_keepalive_says_nothing() -> None:
    bench = Bench()
    down(bench)

    up(bench)
    bench.run(60 * wp.NS)

    assert bench.take() == []


def test_both_ends_change_their_keys_and_go_on() -> None:
    pair = Pair()
    pair.establish()
    alice, bob = pair.alice, pair.bob
    old_alice, old_bob = pair.alice_at_bob, pair.bob_at_alice
    for node, name in ((alice, b"alice"), (bob, b"bob")):
        node.private_key = wp.hash_(name)
        node.public_key = wp.public(node.private_key)
        node.engine.set_private_key(node.private_key, node.now)
    alice.engine.remove_peer(old_bob)
    bob.engine.remove_peer(old_alice)

    pair.simulation.connect(alice, bob)

    pair.assert_works_both_ways()


def test_the_address_inside_is_not_tied_to_the_address_outside() -> None:
    bench = Bench()
    session = bench.establish()
    add_allowed_ip(bench.node, bench.peer, AllowedIP(bytes(4), 0))
    bench.node.settle()

    packet = InnerPacket("192.0.2.1", NODE_INNER, 5).encode()  # the node's own outer address
    bench.exchange(session.seal(1, packet))

    assert bench.node.delivered == [packet]
