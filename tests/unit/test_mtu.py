"""The search for the largest packet that passes by a path, in virtual time."""

from collections.abc import Callable, Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.contract.constants import MILLISECOND, SECOND, TRANSPORT_OVERHEAD
from wgpy.paths.discovery import SIZE
from wgpy.paths.mtu import LARGEST, MIN_MTU, MtuSearch

FULL = 1420
LATE = 50 * MILLISECOND


def search(
    found: MtuSearch, passes: Callable[[int], bool], began: int = 0, within: int = 60 * SECOND
) -> Iterator[int]:
    """Let questions of the sizes pass that do, until there are none; give all that are asked."""
    now = began
    while found.due_at is not None:
        now = max(now, found.due_at)
        assert now <= began + within
        asked = found.questions(now)
        yield from asked
        for size in asked:
            if passes(size):
                found.note_answer(size, now + LATE)


def up_to(mtu: int) -> Callable[[int], bool]:
    return lambda size: size <= mtu + TRANSPORT_OVERHEAD


def test_where_the_largest_packet_passes_one_question_of_its_size_is_enough() -> None:
    found = MtuSearch(FULL, 0)

    assert list(search(found, up_to(FULL))) == [SIZE, FULL + TRANSPORT_OVERHEAD]
    assert found.mtu == FULL


@given(st.integers(MIN_MTU, LARGEST), st.integers(MIN_MTU, LARGEST))
def test_what_passes_is_found_to_a_few_bytes(full: int, path: int) -> None:
    found = MtuSearch(full, 0)

    list(search(found, up_to(path)))

    assert found.mtu <= path or found.mtu == full <= path
    assert found.mtu >= min(path, full) - 8


@given(st.integers(MIN_MTU, FULL), st.integers(0, 1 << 32))
def test_lost_questions_never_lead_to_a_size_that_does_not_pass(path: int, seed: int) -> None:
    random = Random(seed)
    found = MtuSearch(FULL, 0)

    list(search(found, lambda size: up_to(path)(size) and random.random() < 0.7))

    assert found.mtu <= path or found.mtu == FULL


def test_until_a_size_is_known_to_be_refused_the_whole_is_used() -> None:
    found = MtuSearch(FULL, 0)
    questions = search(found, up_to(1300))

    assert [next(questions) for _ in range(6)] == [SIZE, FULL + TRANSPORT_OVERHEAD] * 3
    assert found.mtu == FULL
    next(questions)
    assert found.mtu == MIN_MTU


def test_who_does_not_answer_makes_nothing_smaller() -> None:
    found = MtuSearch(FULL, 0)

    assert list(search(found, lambda _: False)) == [SIZE, FULL + TRANSPORT_OVERHEAD] * 3
    assert found.mtu == FULL


def test_another_path_is_searched_anew() -> None:
    found = MtuSearch(FULL, 0)
    list(search(found, up_to(1300)))
    assert found.mtu <= 1300

    found.restart(100 * SECOND)

    assert list(search(found, up_to(1400), 100 * SECOND))
    assert 1392 <= found.mtu <= 1400


@pytest.mark.parametrize("full", [576, MIN_MTU])
def test_a_tunnel_that_is_as_small_as_can_be_is_not_searched(full: int) -> None:
    found = MtuSearch(full, 0)

    assert (found.due_at, found.mtu) == (None, full)


def test_a_jumbo_tunnel_is_searched_as_far_as_can_be_asked() -> None:
    found = MtuSearch(9000, 0)

    list(search(found, lambda _: True))
    assert found.mtu == 9000

    found.restart(0)
    list(search(found, up_to(1420)))
    assert 1412 <= found.mtu <= 1420


def test_an_answer_that_comes_late_counts_as_well() -> None:
    found = MtuSearch(FULL, 0)
    asked = search(found, lambda size: size == SIZE)
    for _ in range(8):
        next(asked)
    assert found.mtu == MIN_MTU

    found.note_answer(FULL + TRANSPORT_OVERHEAD, 10 * SECOND)

    assert (found.mtu, found.due_at) == (FULL, None)
