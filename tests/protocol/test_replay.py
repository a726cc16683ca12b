"""Chapter 3: replay. Whitepaper 5.4.6: a sliding window, as UDP reorders; its size is the kernel's."""

import random

from wgpy.contract.drops import DropReason

from . import whitepaper as wp
from .harness import PAPER_AT, Bench

WINDOW = 8128  # a message this much older than the newest is the oldest that is accepted


def receives(bench: Bench, session: wp.PaperSession, counter: int) -> bool:
    """Whether the node takes a new packet with this counter."""
    before = len(bench.node.delivered)
    bench.exchange(session.seal(counter, bench.paper_packet()))
    return len(bench.node.delivered) == before + 1


def test_the_same_datagram_twice_is_delivered_once() -> None:
    bench = Bench()
    session = bench.establish()
    datagram = session.seal(1, bench.paper_packet())

    bench.exchange(datagram)
    bench.exchange(datagram)

    assert len(bench.node.delivered) == 1
    assert bench.dropped(DropReason.REPLAYED_COUNTER) == 1


def test_two_packets_with_one_counter_are_one_too_many() -> None:
    bench = Bench()
    session = bench.establish()

    assert receives(bench, session, 5)
    assert not receives(bench, session, 5)


def test_reordered_datagrams_are_all_delivered() -> None:
    bench = Bench()
    session = bench.establish()
    counters = list(range(1, 300))
    random.Random(1).shuffle(counters)

    for counter in counters:
        bench.simulation.network.send(
            PAPER_AT, bench.node.listen, session.seal(counter, bench.paper_packet())
        )
    bench.run(wp.NS)

    assert len(bench.node.delivered) == len(counters)


def test_the_oldest_counter_in_the_window_is_accepted_once() -> None:
    bench = Bench()
    session = bench.establish()
    assert receives(bench, session, 20_000)

    assert receives(bench, session, 20_000 - WINDOW)
    assert not receives(bench, session, 20_000 - WINDOW)


def test_a_counter_older_than_the_window_is_refused() -> None:
    bench = Bench()
    session = bench.establish()
    assert receives(bench, session, 20_000)

    assert not receives(bench, session, 20_000 - WINDOW - 1)
    assert not receives(bench, session, 1)


def test_a_jump_far_ahead_forgets_nothing_that_matters() -> None:
    bench = Bench()
    session = bench.establish()
    for counter in (1, 2, 3):
        assert receives(bench, session, counter)

    assert receives(bench, session, 2**40)

    assert not receives(bench, session, 3)
    assert not receives(bench, session, 2**40)
    assert receives(bench, session, 2**40 - 1)
    assert not receives(bench, session, 2**40 - 1)


def test_replayed_datagrams_do_not_move_the_endpoint() -> None:
    bench = Bench()
    session = bench.establish()
    datagram = session.seal(1, bench.paper_packet())
    bench.exchange(datagram)

    bench.exchange(datagram, source=PAPER_AT._replace(address="203.0.113.66"))

    assert bench.peer.endpoint == PAPER_AT


def test_a_replayed_confirmation_does_not_bring_an_old_session_back() -> None:
    bench = Bench()
    old = bench.initiate()
    confirmation = old.seal(0, b"")
    bench.exchange(confirmation)
    bench.run(wp.NS)
    new = bench.establish()

    bench.exchange(confirmation)

    bench.node_sends()
    assert wp.receiver_of(bench.take()[0]) == new.local_index


def test_each_session_has_a_window_of_its_own() -> None:
    bench = Bench()
    old = bench.establish()
    assert receives(bench, old, 100_000)
    bench.run(wp.NS)
    new = bench.establish()

    assert receives(bench, new, 1)
    assert receives(bench, old, 99_999)
