"""The window in C answers as the one in Python does, whose law tests/unit/test_replay.py knows."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fastpath.parts import Parts
from wgpy.datapath.replay import ReplayWindow

LAST = 2**64 - 1

STEPS = st.one_of(
    st.integers(-20, 20),
    st.integers(-9000, 9000),
    st.sampled_from([-8192, -8129, -8128, -8127, -64, 63, 64, 65, 8127, 8128, 8129, 8191, 8192, 8193]),
    st.integers(-(2**20), 2**40),
)


@given(start=st.integers(0, 9000) | st.integers(0, LAST), steps=st.lists(STEPS, max_size=200))
@example(start=LAST, steps=[-8128, -1, 8129])
@example(start=0, steps=[])
def test_the_two_windows_agree(parts: Parts, start: int, steps: list[int]) -> None:
    window, twin = parts.replay_window(), ReplayWindow()
    counter = start
    for step in [0, *steps]:
        counter = min(max(0, counter + step), LAST)
        assert window.accept(counter) == twin.accept(counter)


@pytest.mark.parametrize("jump", [0, 1, 63, 64, 65, 8127, 8128, 8129, 8191, 8192, 8193, 2**32])
@pytest.mark.parametrize("greatest", [8191, 8192, 8200, 2**40 + 63])
def test_after_a_jump_every_counter_is_as_it_should_be(parts: Parts, greatest: int, jump: int) -> None:
    window, twin = parts.replay_window(), ReplayWindow()
    counters = [
        *range(max(0, greatest - 8200), greatest + 1, 3),
        greatest + jump,
        *range(max(0, greatest + jump - 8200), greatest + jump + 1),
    ]

    assert [window.accept(counter) for counter in counters] == [twin.accept(counter) for counter in counters]
