"""Chapter 4, continued: keys are erased when they are of no use any more. Whitepaper 6.3."""

import pytest

from wgpy.contract.orders import InstallKeypair, RemoveKeypair

from . import whitepaper as wp
from .harness import Bench, Pair


def live_keypairs(bench: Bench) -> set[int]:
    installed = [action.local_index for action in bench.actions_of(InstallKeypair)]
    removed = [action.local_index for action in bench.actions_of(RemoveKeypair)]
    return set(installed) - set(removed)


def test_keys_are_erased_540_s_after_the_last_session_began() -> None:
    bench = Bench()
    bench.establish()
    bench.run(60 * wp.NS)
    bench.establish()
    assert len(live_keypairs(bench)) == 2

    bench.run(bench.session_began + wp.ZERO_KEYS_AFTER - 1 - bench.now)
    assert live_keypairs(bench) != set()

    bench.run(1)
    assert live_keypairs(bench) == set()


def test_keys_of_a_session_that_was_never_confirmed_are_erased_too() -> None:
    bench = Bench()
    bench.initiate()

    bench.run(wp.ZERO_KEYS_AFTER + wp.NS)

    assert live_keypairs(bench) == set()


def test_after_the_keys_are_erased_nothing_is_left_to_do() -> None:
    pair = Pair()
    pair.establish()

    pair.run(wp.ZERO_KEYS_AFTER)

    assert pair.alice.device.next_deadline() is None
    assert pair.bob.device.next_deadline() is None


def test_after_the_keys_are_erased_the_next_packet_begins_a_handshake() -> None:
    pair = Pair()
    pair.establish()
    pair.run(wp.ZERO_KEYS_AFTER)

    pair.assert_works_both_ways()


def test_a_restart_of_both_ends_costs_one_handshake() -> None:
    pair = Pair()
    pair.establish()
    for node in (pair.alice, pair.bob):
        node.stop()
        node.start()

    pair.assert_works_both_ways()
    assert 1 <= len(pair.wire.of(wp.INITIATION)) <= 2


@pytest.mark.parametrize("wait", [0, 15, 119, 120, 125, 165, 179, 180, 200, 539, 541, 10_000])
def test_after_any_silence_the_next_packets_arrive(wait: int) -> None:
    pair = Pair()
    pair.establish()

    pair.run(wait * wp.NS)

    pair.assert_works_both_ways()
