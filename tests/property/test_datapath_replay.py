"""Whatever order counters come in, the window answers as a set of all that were accepted would."""

from hypothesis import given
from hypothesis import strategies as st

from wgpy.datapath.replay import ReplayWindow

WINDOW = 8128

STEPS = st.one_of(
    st.integers(-20, 20),
    st.integers(-9000, 9000),
    st.sampled_from([-8192, -8129, -8128, -8127, -64, -8, 8, 64, 8127, 8128, 8129, 8191, 8192, 8193]),
    st.integers(-(2**20), 2**40),
)


class SetModel:
    def __init__(self) -> None:
        self.seen: set[int] = set()

    def accept(self, counter: int) -> bool:
        if counter in self.seen or max(self.seen, default=0) - counter > WINDOW:
            return False
        self.seen.add(counter)
        return True


@given(start=st.integers(0, 2**63), steps=st.lists(STEPS, max_size=200))
def test_the_window_agrees_with_a_set(start: int, steps: list[int]) -> None:
    window, model = ReplayWindow(), SetModel()
    counter = start
    for step in steps:
        counter = max(0, counter + step)
        assert window.accept(counter) == model.accept(counter)


@given(start=st.integers(0, 2**63), offsets=st.permutations(range(300)), stride=st.integers(1, 27))
def test_every_counter_within_the_window_is_accepted_once_in_any_order(
    start: int, offsets: list[int], stride: int
) -> None:
    window = ReplayWindow()
    counters = [start + offset * stride for offset in offsets]

    assert all(window.accept(counter) for counter in counters)
    assert not any(window.accept(counter) for counter in counters)
