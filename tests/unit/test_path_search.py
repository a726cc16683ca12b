"""When a search that finds nothing goes on: after the rest of its pause, and whom it asks before."""

from tests.unit.test_path_selection import NOW, THERE, THERE6, Bench
from wgpy.contract.constants import SECOND
from wgpy.paths.exchange import Candidate, PathKind
from wgpy.paths.outputs import Ask


def test_who_can_be_dialled_is_asked_with_what_is_sent_after_a_silence_however_long_the_pause() -> None:
    bench = Bench()
    bench.paths.set_remote([Candidate(THERE, PathKind.PUBLIC), Candidate(THERE6, PathKind.REFLEXIVE)], NOW)
    bench.send()
    bench.run(SECOND)
    bench.receive()  # by the relay; no question is answered, so the pause grows
    bench.run(25 * SECOND)
    assert bench.paths.next_deadline() is None

    bench.send()

    asked = [one for one in bench.paths.take_outputs() if isinstance(one, Ask) and one.key is None]
    assert asked == [Ask(THERE)]
