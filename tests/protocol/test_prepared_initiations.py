"""Chapter 1, continued: an initiation that is prepared before it is needed. Whitepaper 5.4.2."""

import os

from wgpy.contract.endpoint import Endpoint
from wgpy.engine.peertable import PREPARED_PEERS
from wgpy.testing import PeerConfig

from . import whitepaper as wp
from .harness import PAPER_AT, Bench


def ephemeral_of(initiation: bytes) -> bytes:
    return initiation[8:40]


def test_a_prepared_initiation_begins_a_session() -> None:
    bench = Bench()
    bench.node.engine.prepare_initiations(bench.node.now)

    packet = bench.node_sends()
    (initiation,) = bench.take()
    response, session = bench.paper.respond(initiation)

    assert session.open(bench.exchange(response)[0]).startswith(packet)


def test_what_was_prepared_long_ago_is_not_sent() -> None:
    """Or who read the memory an hour ago could derive the keys of this session."""
    bench = Bench()
    state = bench.node.engine.peers[next(iter(bench.node.engine.peers))].state
    bench.node.engine.prepare_initiations(bench.node.now)
    lent = state.lent
    bench.run(180 * wp.NS)

    bench.node_sends()

    (initiation,) = bench.take()
    assert lent is not None
    assert ephemeral_of(initiation) != lent.message.unencrypted_ephemeral


def time_in_the_next(bench: Bench) -> bytes:
    (initiation,) = bench.take()
    timestamp, *_ = bench.paper.consume_initiation(initiation)
    return timestamp


def test_the_time_in_it_is_that_of_its_sending_where_one_was_sent_before() -> None:
    bench = Bench()
    bench.node_sends()
    bench.take()
    bench.node.engine.prepare_initiations(bench.node.now)
    prepared_at = bench.now

    bench.run(wp.REKEY_TIMEOUT + wp.NS)

    assert time_in_the_next(bench) > wp.tai64n(prepared_at + 4 * wp.NS)


def test_the_time_in_the_first_one_is_that_of_its_preparing() -> None:
    """The data path may have it, so it is complete; a peer compares the time with earlier ones alone."""
    bench = Bench()
    prepared_at = bench.now
    bench.node.engine.prepare_initiations(bench.node.now)
    bench.run(100 * wp.NS)

    bench.node_sends()

    assert wp.tai64n(prepared_at - 17 * wp.MS) < time_in_the_next(bench) <= wp.tai64n(prepared_at)


def test_no_two_initiations_have_one_ephemeral_key() -> None:
    bench = Bench()
    bench.node_sends()
    for _ in range(80):
        bench.node.engine.prepare_initiations(bench.node.now)
        bench.run(wp.NS)

    ephemerals = [ephemeral_of(initiation) for initiation in bench.take()]
    assert len(set(ephemerals)) == len(ephemerals) > 10


def test_what_was_prepared_for_another_private_key_is_never_sent() -> None:
    bench = Bench()
    bench.node.engine.prepare_initiations(bench.node.now)
    bench.node.engine.set_private_key(wp.hash_(b"another key"), bench.now)
    paper = wp.PaperPeer(wp.hash_(b"paper's key"), bench.node.engine.public_key or b"")

    bench.node_sends()

    (initiation,) = bench.take()
    timestamp, *_ = paper.consume_initiation(initiation)
    assert timestamp


def test_a_peer_with_a_low_order_key_leaves_the_others_theirs() -> None:
    bench = Bench()
    low = bench.node.add_peer(PeerConfig(wp.LOW_ORDER_POINTS[0], (), PAPER_AT))
    last = bench.node.add_peer(PeerConfig(wp.public(os.urandom(32)), (), PAPER_AT))

    bench.node.engine.prepare_initiations(bench.node.now)

    assert low.state.prepared is None
    assert low.state.lent is None
    assert last.state.lent is not None


def test_of_many_peers_none_is_prepared_so_no_turn_takes_long() -> None:
    bench = Bench()
    for number in range(PREPARED_PEERS):
        bench.node.add_peer(PeerConfig(wp.hash_(bytes([number])), (), Endpoint("192.0.2.9", 9)))

    bench.node.engine.prepare_initiations(bench.node.now)

    assert not any(peer.has_state for peer in bench.node.engine.peers.values())
