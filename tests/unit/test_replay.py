"""The replay window at its edges. Whitepaper 5.4.6, RFC 6479."""

import pytest

from wgpy.datapath.replay import ReplayWindow

WINDOW = 8128
LAST = 2**64 - 2**13 - 2  # the last counter that may be used


def accepted(*counters: int) -> list[bool]:
    window = ReplayWindow()
    return [window.accept(counter) for counter in counters]


def test_counters_in_order_are_accepted_once() -> None:
    assert accepted(0, 1, 2, 0, 1, 2) == [True, True, True, False, False, False]


def test_a_session_may_begin_anywhere() -> None:
    assert accepted(5, 0, 4, 5) == [True, True, True, False]


@pytest.mark.parametrize("greatest", [WINDOW, WINDOW + 1, WINDOW + 7, WINDOW + 8, 10_000, 2**32, LAST])
def test_the_window_reaches_8128_back_and_no_further(greatest: int) -> None:
    behind = greatest - WINDOW
    assert accepted(greatest, behind, behind) == [True, True, False]
    assert accepted(greatest, behind - 1)[1] is False


@pytest.mark.parametrize("jump", [1, 8, 64, 8127, 8128, 8129, 8184, 8191, 8192, 8193, 16_384, 2**40])
def test_moving_on_forgets_nothing_that_is_still_within(jump: int) -> None:
    window = ReplayWindow()
    start = 100_000
    seen = range(start - 50, start + 1, 2)
    for counter in seen:
        window.accept(counter)

    assert window.accept(start + jump)

    for counter in range(start - 50, start + 1):
        is_within = start + jump - counter <= WINDOW
        assert window.accept(counter) == (is_within and counter not in seen), counter


@pytest.mark.parametrize("jump", [8129, 8192, 8193, 16_384, 2**40])
def test_moving_on_leaves_no_trace_of_what_is_out(jump: int) -> None:
    """Each place in the ring is used again, and must have been cleared."""
    window = ReplayWindow()
    for counter in range(8192):
        window.accept(counter)

    greatest = 8191 + jump
    assert window.accept(greatest)

    assert all(window.accept(counter) for counter in range(greatest - WINDOW, greatest) if counter > 8191)


def test_a_whole_window_may_arrive_backwards() -> None:
    counters = range(3 * WINDOW, 2 * WINDOW - 1, -1)
    window = ReplayWindow()

    assert all(window.accept(counter) for counter in counters)
    assert not any(window.accept(counter) for counter in counters)


def test_the_end_of_the_counter_space_is_like_any_other() -> None:
    assert accepted(LAST - 1, LAST, LAST, LAST - WINDOW, LAST - WINDOW - 1) == [
        True,
        True,
        False,
        True,
        False,
    ]
