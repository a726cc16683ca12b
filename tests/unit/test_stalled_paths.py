"""A host that stalls: what it missed meanwhile is no fault of a path."""

import pytest

from tests.unit.test_path_selection import THERE, Bench
from wgpy.contract.constants import SECOND
from wgpy.paths.exchange import PathMessage
from wgpy.paths.outputs import Ask, Use
from wgpy.paths.selection import ANSWER_TIME

STALL = SECOND


def suspecting() -> Bench:
    """One end that has just asked whether the direct path in use still answers."""
    bench = Bench()
    bench.make_direct()
    bench.now += SECOND
    bench.send()
    assert Ask(THERE) in bench.run(ANSWER_TIME)
    return bench


def left(bench: Bench) -> bool:
    return bool(bench.take(Use))


def test_an_answer_that_came_during_a_stall_is_read_before_the_path_is_judged() -> None:
    bench = suspecting()

    bench.now += STALL
    bench.paths.expire(bench.now)
    assert not left(bench)
    bench.paths.on_answer(THERE, SECOND // 50, bench.now)
    bench.run(ANSWER_TIME)

    assert not left(bench)


def test_a_path_is_judged_even_if_each_look_comes_late() -> None:
    bench = suspecting()

    for _ in range(2):
        bench.now += STALL
        bench.paths.expire(bench.now)

    assert left(bench)


@pytest.mark.parametrize("stall", [STALL, 0])
def test_a_path_is_distrusted_for_what_the_peer_missed_only_if_this_host_did_not_stall(stall: int) -> None:
    bench = Bench()
    bench.make_direct()
    for _ in range(3):  # the first time it may be chance
        bench.send()
        bench.run(SECOND // 10)
        bench.now += stall
        bench.paths.expire(bench.now)
        bench.paths.on_message(PathMessage(7, 1, deaf=True), bench.now)
        bench.paths.take_outputs()
        bench.paths.on_answer(THERE, SECOND // 50, bench.now)

    path = bench.paths.path
    assert path
    assert (path.endpoint == THERE) == bool(stall)
