"""A path that passes questions and no data: when it is tried again, and that nothing else waits for it."""

from tests.unit.test_path_selection import THERE, Bench
from wgpy.contract.constants import SECOND
from wgpy.paths.exchange import PathMessage
from wgpy.paths.outputs import Output, Tell
from wgpy.paths.rounds import FIRST_PAUSE

_TIMES = 5  # so it is distrusted for 16 s


def distrusting() -> Bench:
    """One end whose peer heard nothing by a path each time that it was used."""
    bench = Bench()
    bench.make_direct()
    for _ in range(_TIMES):
        bench.now += 20 * SECOND
        bench.paths.on_answer(THERE, SECOND // 50, bench.now)
        bench.paths.on_message(PathMessage(7, 1, deaf=True), bench.now)
    bench.run(0)
    return bench


def proposed(outputs: list[Output]) -> bool:
    return any(isinstance(output, Tell) and output.message.proposal for output in outputs)


def test_a_path_that_answers_while_it_is_distrusted_puts_no_round_off() -> None:
    bench = distrusting()
    bench.send()

    bench.paths.on_answer(THERE, SECOND // 50, bench.now)

    assert proposed(bench.run(FIRST_PAUSE))


def test_a_path_that_answers_while_it_is_distrusted_is_tried_when_that_ends() -> None:
    bench = distrusting()
    bench.send()
    for _ in range(16):
        bench.paths.on_answer(THERE, SECOND // 50, bench.now)
        bench.run(SECOND - 1)
        bench.send()
        bench.now += 1
    bench.paths.take_outputs()

    assert proposed(bench.run(0))


def test_a_path_that_answers_in_silence_wakes_nobody_when_it_is_distrusted_no_more() -> None:
    bench = distrusting()
    bench.run(12 * SECOND)
    assert not bench.paths.is_active

    bench.paths.on_answer(THERE, SECOND // 50, bench.now)

    assert bench.paths.next_deadline() is None
