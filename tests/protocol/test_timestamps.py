"""Chapter 9: TAI64N never goes back, whatever the clock on the wall does. Whitepaper 5.1 and 5.4.2."""

from itertools import pairwise

import pytest

from wgpy.testing import Node

from . import whitepaper as wp
from .harness import Bench, Pair

HOUR = 3600 * wp.NS
TO_1970 = -1_700_000_000 * wp.NS


def stamps(bench: Bench) -> list[bytes]:
    """The timestamps of the initiations that the node sent."""
    opened = [
        bench.paper.consume_initiation(data) for data in bench.take() if wp.type_of(data) == wp.INITIATION
    ]
    return [timestamp for timestamp, *_ in opened]


def test_every_initiation_has_a_later_timestamp() -> None:
    bench = Bench()
    bench.node_sends()
    bench.run(80 * wp.NS)

    seen = stamps(bench)

    assert len(seen) > 10
    assert all(earlier < later for earlier, later in pairwise(seen))


@pytest.mark.parametrize("step", [-HOUR, HOUR, TO_1970, -wp.MS])
def test_a_step_of_the_wall_clock_does_not_set_the_timestamps_back(step: int) -> None:
    bench = Bench()
    bench.node_sends()
    bench.run(20 * wp.NS)
    bench.node.clock.step_wall(step)
    bench.run(20 * wp.NS)
    bench.node.clock.step_wall(-step)
    bench.run(20 * wp.NS)

    seen = stamps(bench)

    assert len(seen) > 10
    assert all(earlier < later for earlier, later in pairwise(seen))


def test_a_timestamp_tells_the_time_only_to_16_ms() -> None:
    bench = Bench()
    bench.node_sends()
    bench.run(80 * wp.NS)

    for timestamp in stamps(bench):
        assert int.from_bytes(timestamp[8:], "big") % 2**24 == 0
        assert int.from_bytes(timestamp[8:], "big") < wp.NS


def test_a_step_of_the_wall_clock_does_not_disturb_a_session() -> None:
    pair = Pair()
    pair.establish()

    for step in (HOUR, -2 * HOUR, HOUR):
        pair.alice.clock.step_wall(step)
        pair.assert_works_both_ways()

    assert pair.wire.of(wp.INITIATION) == []


def restart(node: Node, in_1970: bool) -> None:
    """Boot again, with or without a battery for the clock."""
    node.clock.reboot()
    if in_1970:
        node.clock.step_wall(TO_1970)
    node.start()


@pytest.mark.parametrize("in_1970", [False, True])
def test_after_an_orderly_restart_the_peer_accepts_us_whatever_the_clock_says(in_1970: bool) -> None:
    pair = Pair()
    pair.establish()

    pair.alice.stop()
    restart(pair.alice, in_1970)
    packet = pair.alice_sends()
    pair.run(wp.NS)

    assert packet in pair.bob.delivered


@pytest.mark.parametrize("in_1970", [False, True])
@pytest.mark.parametrize("uptime", [1, 59, 61, 3000])
def test_after_a_crash_the_peer_accepts_us_whatever_the_clock_says(in_1970: bool, uptime: int) -> None:
    pair = Pair()
    pair.keep_talking(uptime * wp.NS)

    pair.alice.crash()
    restart(pair.alice, in_1970)
    packet = pair.alice_sends()
    pair.run(wp.NS)

    assert packet in pair.bob.delivered


def test_without_the_stored_timestamp_a_clock_in_1970_is_refused_until_it_is_set() -> None:
    pair = Pair()
    pair.establish()
    pair.alice.stop()
    pair.alice.lose_disk()
    restart(pair.alice, in_1970=True)

    pair.alice_sends()
    pair.run(wp.NS)
    assert pair.bob.delivered == []

    pair.alice.clock.set_wall_right()
    pair.run(wp.REKEY_TIMEOUT + wp.JITTER)
    assert len(pair.bob.delivered) == 1


def test_a_peer_that_restarted_has_forgotten_our_timestamps_and_accepts_us() -> None:
    pair = Pair()
    pair.establish()
    pair.bob.stop()
    pair.bob.lose_disk()
    pair.bob.start()
    pair.run(wp.REJECT_AFTER_TIME)

    pair.assert_works_both_ways()


def test_the_value_to_keep_is_the_one_last_sent() -> None:
    bench = Bench()
    bench.node_sends()

    (timestamp,) = stamps(bench)

    assert wp.tai64n(bench.node.engine.last_timestamp) == timestamp


def test_a_new_private_key_does_not_set_the_timestamps_back() -> None:
    bench = Bench()
    bench.node_sends()
    before = bench.node.engine.last_timestamp
    bench.node.clock.step_wall(-HOUR)

    bench.node.engine.set_private_key(wp.hash_(b"new"), bench.node.now)
    bench.node.settle()
    bench.node_sends()

    assert bench.node.engine.last_timestamp > before
