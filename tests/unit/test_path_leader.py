"""One end leads: it chooses among direct paths and stays there, and the other end follows by roaming."""

from tests.unit.test_path_selection import NOW, RELAY, THERE, THERE6, Bench
from wgpy.contract.constants import SECOND
from wgpy.paths.exchange import Candidate, PathKind
from wgpy.paths.outputs import Ask, Session, Tell, Use


def test_the_leader_pins_what_answers_and_tells_the_peer_something_by_it() -> None:
    bench = Bench()
    bench.send()
    bench.agree(THERE)
    bench.run(0)

    bench.paths.on_answer(THERE, SECOND // 50, bench.now)

    outputs = bench.paths.take_outputs()
    use = outputs.index(Use(THERE, True, Session.KEEP))
    assert any(isinstance(output, Tell) for output in outputs[use:])
    assert bench.paths.path
    assert bench.paths.path.kind is PathKind.REFLEXIVE


def test_the_leader_pins_what_answers_also_where_the_peer_led_it() -> None:
    """Else each may follow the other from the relay to the path and back for ever."""
    bench = Bench()
    bench.send()
    bench.agree(THERE)
    bench.run(0)
    bench.paths.on_endpoint(THERE, bench.now)
    asked = bench.take(Ask)

    bench.paths.on_answer(THERE, SECOND // 50, bench.now)

    assert Ask(THERE) in asked
    assert bench.take(Use) == [Use(THERE, True, Session.KEEP)]
    bench.paths.on_endpoint(RELAY.endpoint, bench.now)
    bench.paths.on_endpoint(THERE, bench.now)
    assert bench.take(Use) == [Use(THERE, True, Session.KEEP)]


def test_the_other_end_follows_by_roaming() -> None:
    bench = Bench(is_leader=False)
    bench.send()
    bench.agree(THERE)
    bench.run(0)

    bench.paths.on_answer(THERE, SECOND // 50, bench.now)
    assert bench.take(Use) == []
    bench.paths.on_endpoint(THERE._replace(local_address="192.168.1.1"), bench.now)

    assert bench.take(Use) == []
    assert bench.paths.path
    assert bench.paths.path.endpoint == THERE


def test_without_a_relay_either_end_uses_what_answers_first() -> None:
    bench = Bench(is_leader=False, relays=())
    bench.paths.set_remote([Candidate(THERE, PathKind.PUBLIC), Candidate(THERE6, PathKind.IPV6)], NOW)
    bench.send()
    asked = bench.run(SECOND // 20)
    assert {one.endpoint for one in asked if isinstance(one, Ask)} == {THERE, THERE6}

    bench.paths.on_answer(THERE, SECOND // 50, bench.now)

    assert bench.take(Use) == [Use(THERE, False, Session.KEEP)]


def test_what_has_not_answered_yet_is_not_pinned() -> None:
    """Else a peer that is somewhere else by now could not move it."""
    bench = Bench(relays=())

    bench.paths.set_remote([Candidate(THERE, PathKind.PUBLIC)], NOW)

    assert bench.take(Use) == [Use(THERE, False, Session.KEEP)]
