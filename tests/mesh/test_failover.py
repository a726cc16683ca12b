"""Which gateway of a site is used, in virtual time: traffic begins, gateways die and come back."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mesh.network import key_of
from wgpy.contract.constants import MILLISECOND, SECOND
from wgpy.mesh.failover import ANSWER_TIME, FIRST_PAUSE, LAST_PAUSE, Failover, Traffic
from wgpy.mesh.signing import VerifyKey

FIRST, SECOND_ONE, THIRD = (key_of(number).verify_key() for number in (1, 2, 3))
START = 1000 * SECOND
ROUND_TRIP = 20 * MILLISECOND
MOVED_WITHIN = 3 * SECOND


@dataclass
class Gateway:
    is_up: bool = True
    received: int = 0
    unanswered: int = 0
    probes: int = 0
    answers: list[int] = field(default_factory=list)  # when they arrive


class World:
    """A node that sends to one site, and its gateways. is_one_way: the site answers nothing."""

    def __init__(self, *keys: VerifyKey, is_one_way: bool = False) -> None:
        self.gateways = {key: Gateway() for key in keys or (FIRST, SECOND_ONE)}
        self.failover = Failover(self._traffic)
        self.failover.configure([tuple(self.gateways)], START)
        self.is_one_way = is_one_way
        self.now = START
        self.moves: list[int] = []

    def _traffic(self, key: VerifyKey) -> Traffic:
        return Traffic(self.gateways[key].received, self.gateways[key].unanswered)

    @property
    def used(self) -> VerifyKey:
        return self.failover.choose(tuple(self.gateways))

    def run(self, seconds: float, *, interval: int | None = 100 * MILLISECOND) -> None:
        """Let time pass. interval: between packets to the site, None for no traffic."""
        end = self.now + int(seconds * SECOND)
        next_packet = self.now if interval else end + 1
        while (event := self._next_event(next_packet)) is not None and event <= end:
            self.now = event
            self._take_answers()
            if interval and event == next_packet:
                next_packet += interval
                self._send(self.used, is_answered=not self.is_one_way)
            self._expire()
        self.now = end

    def _next_event(self, next_packet: int) -> int | None:
        answers = [time for gateway in self.gateways.values() for time in gateway.answers]
        deadline = self.failover.next_deadline()
        return min((next_packet, *answers, *([max(deadline, self.now)] if deadline else ())), default=None)

    def _expire(self) -> None:
        before = self.used
        probes, has_changed = self.failover.expire(self.now)
        assert has_changed == (before != self.used)
        if has_changed:
            self.moves.append(self.now)
        for key in probes:
            self.gateways[key].probes += 1
            self._send(key, is_answered=True)

    def _send(self, key: VerifyKey, *, is_answered: bool) -> None:
        gateway = self.gateways[key]
        if not gateway.unanswered:
            gateway.unanswered = self.now
            self.failover.sent(key, self.now)
        if gateway.is_up and is_answered:
            gateway.answers.append(self.now + ROUND_TRIP)

    def _take_answers(self) -> None:
        for gateway in self.gateways.values():
            arrived = [time for time in gateway.answers if time <= self.now]
            gateway.answers = [time for time in gateway.answers if time > self.now]
            if arrived:
                gateway.received, gateway.unanswered = self.now, 0


@pytest.fixture(params=[False, True], ids=["both ways", "one way"])
def world(request: pytest.FixtureRequest) -> World:
    return World(is_one_way=request.param)


def test_the_first_by_priority_is_used_while_it_answers(world: World) -> None:
    world.run(300)

    assert world.used == FIRST
    assert world.moves == []


def test_traffic_that_is_answered_needs_no_probe() -> None:
    world = World()

    world.run(300)

    assert [gateway.probes for gateway in world.gateways.values()] == [0, 0]


def test_one_that_dies_is_left_within_three_seconds(world: World) -> None:
    world.run(10)
    world.gateways[FIRST].is_up = False
    died = world.now

    world.run(5)

    assert world.used == SECOND_ONE
    assert world.moves[0] - died <= MOVED_WITHIN


def test_one_that_was_dead_before_the_first_packet_is_left_within_three_seconds(world: World) -> None:
    world.gateways[FIRST].is_up = False

    world.run(5)

    assert world.used == SECOND_ONE
    assert world.moves[0] - START <= MOVED_WITHIN


def test_without_traffic_there_is_nothing_to_do(world: World) -> None:
    world.run(5)
    world.gateways[FIRST].is_up = False
    world.run(5)
    world.run(60, interval=None)
    probes = [gateway.probes for gateway in world.gateways.values()]

    assert world.failover.next_deadline() is None
    world.run(3600, interval=None)

    assert [gateway.probes for gateway in world.gateways.values()] == probes


def test_one_that_comes_back_is_used_again_after_a_pause(world: World) -> None:
    world.run(5)
    world.gateways[FIRST].is_up = False
    world.run(5)
    world.gateways[FIRST].is_up = True

    world.run(30)

    left, back = world.moves
    assert world.used == FIRST
    assert FIRST_PAUSE <= back - left <= FIRST_PAUSE + 2 * ANSWER_TIME


def test_one_that_stays_dead_is_only_probed_now_and_then(world: World) -> None:
    world.gateways[FIRST].is_up = False

    world.run(600)

    assert len(world.moves) == 1
    assert world.gateways[FIRST].probes <= 1 + 600 * SECOND // FIRST_PAUSE


def test_one_that_keeps_failing_is_used_more_and_more_rarely(world: World) -> None:
    for _ in range(8):
        world.gateways[FIRST].is_up = False
        world.run(5)
        world.gateways[FIRST].is_up = True
        while world.used != FIRST:
            world.run(1)

    away = [back - left for left, back in pairwise(world.moves)][::2]
    assert away == sorted(away)
    assert LAST_PAUSE <= away[-1] <= LAST_PAUSE + 3 * ANSWER_TIME


def test_the_next_one_follows_if_that_fails_too() -> None:
    world = World(FIRST, SECOND_ONE, THIRD)
    world.gateways[FIRST].is_up = world.gateways[SECOND_ONE].is_up = False

    world.run(2 * 3)

    assert world.used == THIRD


def test_if_all_fail_whoever_comes_back_is_found(world: World) -> None:
    for gateway in world.gateways.values():
        gateway.is_up = False
    world.run(60)

    world.gateways[SECOND_ONE].is_up = True
    world.run(10)

    assert world.used == SECOND_ONE


def test_a_site_with_one_gateway_is_not_watched() -> None:
    world = World(FIRST)
    world.gateways[FIRST].is_up = False

    world.run(30)

    assert world.failover.gateways == frozenset()
    assert (world.used, world.gateways[FIRST].probes) == (FIRST, 0)


def test_a_gateway_that_is_none_any_more_is_forgotten(world: World) -> None:
    world.gateways[FIRST].is_up = False
    world.run(5)

    world.failover.configure([], world.now)

    assert world.failover.next_deadline() is None
    assert not world.failover.is_failing(FIRST)


@pytest.mark.parametrize("before", [(FIRST,), (SECOND_ONE, FIRST)], ids=["the only one", "the other one"])
def test_what_was_sent_to_a_dead_one_before_it_was_the_first_of_several_counts(
    before: tuple[VerifyKey, ...],
) -> None:
    world = World()
    world.failover.configure([before], world.now)
    world.gateways[FIRST] = Gateway(is_up=False, unanswered=world.now)
    world.failover.sent(FIRST, world.now)
    world.run(1, interval=None)

    world.failover.configure([(FIRST, SECOND_ONE)], world.now)
    world.run(MOVED_WITHIN / SECOND, interval=None)

    assert world.used == SECOND_ONE


def test_one_that_lives_is_used_also_if_something_was_sent_before_it_was_one_of_several() -> None:
    world = World()
    world.failover.configure([(FIRST,)], world.now)
    world.gateways[FIRST].unanswered = world.now
    world.run(5, interval=None)

    world.failover.configure([(FIRST, SECOND_ONE)], world.now)
    world.run(30, interval=None)

    assert world.moves == []
    assert world.failover.next_deadline() is None


def test_a_session_that_is_about_to_begin_with_one_in_use_is_no_traffic() -> None:
    world = World()
    world.gateways[FIRST].unanswered = world.now

    world.failover.configure([(FIRST, SECOND_ONE)], world.now)

    assert world.failover.next_deadline() is None


def test_one_that_comes_back_and_speaks_is_used_again_though_nobody_sends_there() -> None:
    world = World()
    world.gateways[FIRST].is_up = False
    world.run(3)
    world.run(3600, interval=None)
    assert world.used == SECOND_ONE

    world.gateways[FIRST].is_up = True
    world.failover.heard(FIRST, world.now)
    world.run(MOVED_WITHIN / SECOND, interval=None)

    assert world.used == FIRST
    assert world.failover.next_deadline() is None


def test_one_that_speaks_soon_after_it_failed_is_used_again_after_the_pause() -> None:
    world = World()
    world.gateways[FIRST].is_up = False
    world.run(3)
    world.gateways[FIRST].is_up = True

    world.failover.heard(FIRST, world.now)
    world.run(30, interval=None)

    left, back = world.moves
    assert FIRST_PAUSE <= back - left <= FIRST_PAUSE + ANSWER_TIME


def test_one_that_speaks_and_does_not_answer_stays_left() -> None:
    world = World()
    world.gateways[FIRST].is_up = False
    world.run(3)

    for _ in range(10):
        world.failover.heard(FIRST, world.now)
        world.run(1, interval=None)
    world.run(60, interval=None)

    assert world.used == SECOND_ONE
    assert world.failover.next_deadline() is None


@pytest.mark.parametrize("heard", [FIRST, SECOND_ONE, THIRD])
def test_one_that_speaks_and_has_not_failed_is_not_probed(heard: VerifyKey) -> None:
    world = World()

    world.failover.heard(heard, world.now)

    assert world.failover.next_deadline() is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from((0.3, 2.5, 7.0, 40.0))), max_size=12))
def test_whoever_is_alive_is_used_in_the_end(steps: list[tuple[bool, bool, float]]) -> None:
    world = World()
    for first, second, seconds in steps:
        world.gateways[FIRST].is_up, world.gateways[SECOND_ONE].is_up = first, second
        world.run(seconds)
    world.gateways[FIRST].is_up, world.gateways[SECOND_ONE].is_up = False, True

    world.run(2 * LAST_PAUSE / SECOND, interval=SECOND // 2)
    assert world.used == SECOND_ONE

    world.gateways[FIRST].is_up = True
    world.run(2 * LAST_PAUSE / SECOND, interval=SECOND // 2)
    assert world.used == FIRST
