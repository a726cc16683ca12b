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


def test_two_ends_that_have_one_path_alone_do_not_tell_each_other_for_ever_that_it_fails() -> None:
    left, right = Bench(is_leader=True, relays=()), Bench(is_leader=False, relays=())
    told = 0
    for bench in (left, right):
        bench.make_direct()

    left.paths.on_message(PathMessage(7, 1, deaf=True), left.now)
    for _ in range(20):
        for one, other in ((left, right), (right, left)):
            for output in one.run(SECOND // 100):
                if isinstance(output, Tell):
                    told += output.message.deaf
                    other.paths.on_message(output.message, other.now)

    assert told == 0


def test_who_leaves_its_only_path_tells_the_peer_which_may_have_others() -> None:
    bench = Bench(relays=())
    bench.make_direct()
    bench.send()

    outputs = bench.run(SECOND)

    assert any(isinstance(output, Tell) and output.message.deaf for output in outputs)
