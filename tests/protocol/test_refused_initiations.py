"""Chapter 24: who begins just before it is a peer is answered once it is one; nobody else gains by that."""

from wgpy.contract.drops import DropReason
from wgpy.contract.orders import AllowedIP
from wgpy.testing import PeerConfig, Simulation

from . import whitepaper as wp
from .harness import DELAY, PAPER_AT, Bench

PSK = wp.hash_(b"a secret")
PREFIX = (AllowedIP(bytes([10, 0, 0, 77]), 32),)
INNER = "10.0.0.77"
KEPT = 128  # keys


def unknown(bench: Bench, name: bytes = b"unknown", preshared: bytes = bytes(32)) -> wp.PaperPeer:
    return wp.PaperPeer(wp.hash_(name), bench.node.public_key, preshared)


def call(bench: Bench, peer: wp.PaperPeer) -> bytes:
    """Send an initiation, which is refused; it is returned."""
    initiation = peer.initiation(bench.timestamp())
    assert bench.exchange(initiation) == []
    return initiation


def add(bench: Bench, peer: wp.PaperPeer, preshared: bytes = bytes(32)) -> list[bytes]:
    """Add a peer, and return what the node sends because of that."""
    bench.node.add_peer(PeerConfig(peer.public, PREFIX, preshared_key=preshared))
    bench.run(DELAY)
    return bench.take()


def test_who_becomes_a_peer_just_after_its_initiation_is_answered_without_another_one() -> None:
    bench = Bench()
    newcomer = unknown(bench)
    call(bench, newcomer)
    bench.run(4 * wp.NS)

    (response,) = add(bench, newcomer)

    session = newcomer.consume_response(response)
    packet = bench.paper_packet(INNER)
    bench.exchange(session.seal(0, packet))
    assert bench.node.delivered == [packet]


def test_between_two_nodes_the_packet_that_waits_arrives_at_once() -> None:
    simulation = Simulation(1)
    alice, bob = simulation.add_node("alice"), simulation.add_node("bob")
    alice.add_peer(simulation.peer_config(bob))
    packet = simulation.send(alice, bob)
    simulation.run_for(2 * wp.NS)
    assert bob.delivered == []

    bob.add_peer(simulation.peer_config(alice))
    simulation.run_for(3 * DELAY)

    assert bob.delivered == [packet]


def test_the_answer_comes_when_all_settings_of_the_peer_are_complete() -> None:
    bench = Bench()
    newcomer = unknown(bench, preshared=PSK)
    call(bench, newcomer)

    (response,) = add(bench, newcomer, preshared=PSK)

    newcomer.consume_response(response)


def test_of_several_initiations_the_newest_is_answered() -> None:
    bench = Bench()
    newcomer = unknown(bench)
    call(bench, newcomer)
    newest = call(bench, newcomer)

    (response,) = add(bench, newcomer)

    assert wp.receiver_of(response) == wp.sender_of(newest)


def test_an_initiation_that_its_sender_has_repeated_by_now_is_not_answered() -> None:
    bench = Bench()
    newcomer = unknown(bench)
    call(bench, newcomer)
    bench.run(wp.REKEY_TIMEOUT)

    assert add(bench, newcomer) == []


def test_an_initiation_is_answered_once() -> None:
    bench = Bench()
    newcomer = unknown(bench)
    call(bench, newcomer)
    add(bench, newcomer)

    bench.node.engine.remove_peer(bench.node.peer(newcomer.public))

    assert add(bench, newcomer) == []


def test_who_claims_the_key_of_a_later_peer_gets_no_answer() -> None:
    bench = Bench()
    newcomer, liar = unknown(bench), unknown(bench, b"liar")
    bench.exchange(liar.initiation(bench.timestamp(), static=newcomer.public))

    assert add(bench, newcomer) == []
    assert bench.dropped(DropReason.HANDSHAKE_DECRYPTION_FAILED) == 1


def test_under_load_only_who_receives_at_its_address_is_answered_later() -> None:
    bench = Bench()
    newcomer = unknown(bench)
    bench.node.backlog = wp.UNDER_LOAD_DEPTH
    (reply,) = bench.exchange(newcomer.initiation(bench.timestamp()))
    assert wp.type_of(reply) == wp.COOKIE_REPLY
    bench.node.backlog = 0

    assert add(bench, newcomer) == []


def test_of_many_that_are_refused_the_oldest_is_forgotten() -> None:
    bench = Bench()
    callers = [unknown(bench, b"%d" % number) for number in range(KEPT + 1)]
    for caller in callers:
        bench.simulation.network.send(PAPER_AT, bench.node.listen, caller.initiation(bench.timestamp()))
    bench.run(2 * DELAY)

    assert add(bench, callers[0]) == []
    assert len(add(bench, callers[1])) == 1
    assert len(add(bench, callers[-1])) == 1


def test_a_refused_initiation_makes_a_node_send_nothing_and_sets_no_timer() -> None:
    bench = Bench()

    call(bench, unknown(bench))

    assert bench.node.device.next_deadline() is None
    bench.run(60 * wp.NS)
    assert bench.take() == []
