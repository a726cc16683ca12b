"""The paths of one peer, event by event: what is sent because of what, and that it is bounded."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.direct import MAX_PATHS
from wgpy.paths.exchange import Candidate, PathKind, PathMessage
from wgpy.paths.local import local_candidates
from wgpy.paths.nat import Dependence, NatBehaviour, PortAssignment
from wgpy.paths.outputs import Ask, Keepalive, Output, Register, Relay, Session, Tell, Traffic, Use
from wgpy.paths.rounds import BURST, OFFSETS, PER_SECOND
from wgpy.paths.selection import PeerPaths
from wgpy.paths.told import Predict, nothing_is_predicted

NOW = 1000 * SECOND
RELAY = Relay(b"r" * 32, Endpoint("203.0.113.1", 51820), SECOND // 25)
OTHER_RELAY = Relay(b"s" * 32, Endpoint("203.0.113.2", 51820), SECOND // 10)
HERE = Candidate(Endpoint("198.51.100.1", 1111), PathKind.REFLEXIVE)
THERE = Endpoint("198.51.100.2", 2222)
THERE6 = Endpoint("2001:db8:2::1", 51820)
LAN = Endpoint("192.168.0.2", 51820)
OWN = Endpoint("192.168.0.1", 51820)


@dataclass
class Bench:
    """One end, whose peer the test is."""

    is_leader: bool = True
    relays: tuple[Relay, ...] = (RELAY, OTHER_RELAY)
    now: int = NOW
    traffic: Traffic = field(default_factory=lambda: Traffic(0, 0))
    predict: Predict = nothing_is_predicted
    paths: PeerPaths = field(init=False)

    def __post_init__(self) -> None:
        self.paths = PeerPaths(is_leader=self.is_leader, traffic=lambda: self.traffic, predict=self.predict)
        self.paths.set_relays(self.relays, self.now)
        self.paths.set_local([HERE], self.now)

    def take(self, kind: type[Output]) -> list[Output]:
        return [output for output in self.paths.take_outputs() if isinstance(output, kind)]

    def run(self, duration: int) -> list[Output]:
        """Let time pass, and return what is to be done, in order."""
        end, outputs = self.now + duration, self.paths.take_outputs()
        while (deadline := self.paths.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.paths.expire(self.now)
            outputs += self.paths.take_outputs()
        self.now = end
        return outputs

    def send(self) -> None:
        """Data is sent that is not answered."""
        self.traffic = self.traffic._replace(unanswered=self.traffic.unanswered or self.now)
        self.paths.on_sent(self.now)

    def receive(self) -> None:
        self.traffic = Traffic(self.now, 0)

    def agree(self, *endpoints: Endpoint, kind: PathKind = PathKind.REFLEXIVE) -> None:
        """Have the peer agree to the round that was proposed, with these candidates."""
        proposals = [one.message.proposal for one in self.paths.take_outputs() if isinstance(one, Tell)]
        candidates = tuple(Candidate(endpoint, kind) for endpoint in endpoints)
        self.paths.on_message(PathMessage(7, 1, agreed=max(proposals), candidates=candidates), self.now)

    def make_direct(self, endpoint: Endpoint = THERE) -> None:
        self.send()
        self.agree(endpoint)
        self.run(0)
        self.receive()
        self.paths.on_answer(endpoint, SECOND // 50, self.now)
        self.paths.take_outputs()


# -- From the relay to a direct path ---------------------------------------------------------------------


def test_the_best_relay_is_used_before_anything_is_known() -> None:
    outputs = Bench().paths.take_outputs()

    assert [one for one in outputs if isinstance(one, Use)] == [Use(RELAY.endpoint, False, Session.END)]


def test_a_relay_by_which_the_peer_is_reached_already_keeps_its_session() -> None:
    bench = Bench(relays=())
    bench.paths.set_relays((RELAY, OTHER_RELAY), bench.now, OTHER_RELAY.endpoint)
    bench.paths.on_endpoint(OTHER_RELAY.endpoint, bench.now)

    assert bench.take(Use) == []
    assert bench.paths.path
    assert bench.paths.path.endpoint == OTHER_RELAY.endpoint


def test_a_peer_that_was_never_heard_is_sent_to_by_a_relay_as_soon_as_there_is_one() -> None:
    bench = Bench(relays=())
    bench.paths.set_remote([Candidate(THERE, PathKind.PUBLIC)], bench.now)
    bench.send()
    assert bench.take(Use) == [Use(THERE, False, Session.KEEP)]

    bench.paths.set_relays((RELAY,), bench.now)

    assert bench.take(Use) == [Use(RELAY.endpoint, False, Session.BEGIN)]


def test_a_peer_that_was_never_heard_is_sent_to_where_it_is_until_there_is_a_relay() -> None:
    """A node that is started again goes on where the peer was, not at an address of its own network."""
    bench = Bench(relays=())
    bench.paths.on_guess(THERE, bench.now)
    bench.paths.set_remote([Candidate(LAN, PathKind.LAN), Candidate(THERE, PathKind.PUBLIC)], bench.now)
    bench.send()
    assert bench.take(Use) == []

    bench.paths.set_relays((RELAY,), bench.now)

    assert bench.take(Use) == [Use(RELAY.endpoint, False, Session.BEGIN)]


@pytest.mark.parametrize("news", ["session", "data"])
def test_a_peer_that_was_heard_stays_where_it_is_when_a_relay_becomes_known(news: str) -> None:
    bench = Bench(relays=())
    bench.paths.set_remote([Candidate(THERE, PathKind.PUBLIC)], bench.now)
    bench.send()
    if news == "session":
        bench.paths.on_handshake()
    else:
        bench.paths.on_endpoint(THERE, bench.now)
    bench.paths.take_outputs()

    bench.paths.set_relays((RELAY,), bench.now)

    assert bench.take(Use) == []


def test_what_is_sent_begins_a_round_that_the_peer_must_agree_to() -> None:
    bench = Bench()
    bench.send()

    (told,) = [one for one in bench.paths.take_outputs() if isinstance(one, Tell)]

    assert told.message.proposal
    assert told.message.candidates == (HERE,)


def test_a_round_asks_each_candidate_a_few_times_and_stops_where_there_is_an_answer() -> None:
    bench = Bench()
    bench.send()
    bench.agree(THERE, THERE6)
    bench.receive()

    begun = bench.run(SECOND // 20)
    assert begun.count(Ask(THERE)) == begun.count(Ask(THERE6)) == 1
    bench.paths.on_answer(THERE, SECOND // 50, bench.now)
    outputs = bench.run(4 * SECOND)

    assert outputs.count(Ask(THERE)) == 1  # returns the token
    assert outputs.count(Ask(THERE6)) == len(OFFSETS) - 1


@pytest.mark.parametrize(
    ("first", "second", "is_better"),
    [(20, 19, False), (20, 13, True), (20, 30, False), (2, 1, False)],
    ids=["about the same", "a third less", "more", "hardly any"],
)
def test_a_path_is_changed_only_for_a_better_one(first: int, second: int, is_better: bool) -> None:
    bench = Bench()
    other = THERE._replace(port=3333)
    bench.send()
    bench.agree(THERE, other)
    bench.run(0)
    bench.paths.on_answer(THERE, first * SECOND // 1000, bench.now)
    bench.paths.take_outputs()

    bench.paths.on_answer(other, second * SECOND // 1000, bench.now)

    assert bool(bench.take(Use)) == is_better


def test_an_address_of_the_own_network_is_preferred() -> None:
    bench = Bench()
    bench.send()
    proposal = max(one.message.proposal for one in bench.paths.take_outputs() if isinstance(one, Tell))
    candidates = Candidate(HERE.endpoint._replace(port=9), PathKind.REFLEXIVE), Candidate(LAN, PathKind.LAN)
    bench.paths.on_message(PathMessage(7, 1, agreed=proposal, candidates=candidates), bench.now)
    bench.run(SECOND // 50)
    bench.paths.on_answer(candidates[0].endpoint, SECOND // 1000, bench.now)

    bench.paths.on_answer(LAN, SECOND // 1000, bench.now)

    assert bench.take(Use)[-1] == Use(LAN, True, Session.KEEP)


def test_private_addresses_of_another_network_are_not_asked() -> None:
    bench = Bench()
    bench.send()
    proposal = max(one.message.proposal for one in bench.paths.take_outputs() if isinstance(one, Tell))
    candidates = Candidate(THERE, PathKind.REFLEXIVE), Candidate(LAN, PathKind.LAN)

    bench.paths.on_message(PathMessage(7, 1, agreed=proposal, candidates=candidates), bench.now)

    assert Ask(LAN) not in bench.run(5 * SECOND)


# -- Failures --------------------------------------------------------------------------------------------


def test_a_path_that_answers_stays_though_data_is_not_answered() -> None:
    bench = Bench()
    bench.make_direct()
    bench.send()
    asked = bench.run(SECOND // 2)
    assert Ask(THERE) in asked

    bench.paths.on_answer(THERE, SECOND // 50, bench.now)
    outputs = bench.run(SECOND // 2)

    assert not [one for one in outputs if isinstance(one, Use)]


def test_a_path_that_does_not_answer_is_left_and_the_peer_is_told() -> None:
    bench = Bench()
    bench.make_direct()
    bench.send()

    outputs = bench.run(SECOND)

    use = outputs.index(Use(RELAY.endpoint, False, Session.BEGIN))
    assert outputs[use - 1] == Register(RELAY.key)
    assert any(isinstance(one, Tell) and one.message.deaf for one in outputs[use:])


def test_a_relay_that_does_not_answer_is_left_for_another_one() -> None:
    bench = Bench()
    bench.paths.take_outputs()
    bench.send()

    outputs = bench.run(SECOND)

    assert Ask(RELAY.endpoint, RELAY.key) in outputs
    assert Use(OTHER_RELAY.endpoint, False, Session.BEGIN) in outputs


def test_a_relay_answers_for_itself_only_so_the_peer_is_asked_through_it() -> None:
    bench = Bench()
    bench.paths.take_outputs()
    bench.send()
    outputs = bench.run(SECOND // 2)
    assert [one for one in outputs if isinstance(one, Tell) and one.message.echo]

    bench.paths.on_answer(RELAY.endpoint, SECOND // 50, bench.now)
    outputs = bench.run(SECOND // 2)

    assert Use(OTHER_RELAY.endpoint, False, Session.BEGIN) in outputs


def test_a_relay_by_which_the_peer_answers_stays() -> None:
    bench = Bench()
    bench.paths.take_outputs()
    bench.send()
    bench.run(SECOND // 2)

    bench.paths.on_answer(RELAY.endpoint, SECOND // 50, bench.now)
    bench.receive()

    assert not [one for one in bench.run(5 * SECOND) if isinstance(one, Use | Register)]


def test_what_asks_for_an_answer_gets_an_empty_packet_and_nothing_that_asks_again() -> None:
    bench = Bench()
    bench.paths.take_outputs()

    bench.paths.on_message(PathMessage(0, echo=True), bench.now)

    assert bench.run(60 * SECOND) == [Keepalive()]


def test_a_relay_that_forwarded_the_handshake_forwards_the_sessions_data_again() -> None:
    bench = Bench()
    bench.paths.on_handshake()
    bench.make_direct()
    bench.send()

    assert Use(RELAY.endpoint, False, Session.KEEP) in bench.run(SECOND)


def test_a_peer_is_told_again_that_it_is_not_heard_once_a_session_by_the_relay_began() -> None:
    """A relay forwards nothing of a session whose handshake it did not forward."""
    bench = Bench()
    bench.make_direct()
    bench.send()
    bench.run(SECOND)

    bench.paths.on_handshake()
    bench.paths.on_handshake()

    (told,) = [one for one in bench.paths.take_outputs() if isinstance(one, Tell)]
    assert told.message.deaf


def test_a_path_that_the_peer_does_not_hear_by_is_asked_at_once_as_the_peer_may_be_late() -> None:
    bench = Bench()
    bench.make_direct()
    bench.paths.on_message(PathMessage(7, 1, deaf=True), bench.now)
    assert Ask(THERE) in bench.paths.take_outputs()

    bench.paths.on_answer(THERE, SECOND, bench.now)

    assert Use(THERE, True, Session.KEEP) in bench.paths.take_outputs()


def test_only_rounds_make_the_pause_grow_and_nothing_puts_the_next_one_off() -> None:
    bench = Bench()
    bench.send()
    bench.run(0)

    begun = set()
    for number in range(60):
        bench.paths.on_endpoint((RELAY, OTHER_RELAY)[number % 2].endpoint, bench.now)
        outputs = bench.run(SECOND)
        begun |= {one.message.proposal for one in outputs if isinstance(one, Tell)} - {0}
        bench.receive()
        bench.send()

    assert begun == {1, 2, 3, 4}  # at once, and after 5, 15 and 35 s


def test_who_is_told_that_the_peer_hears_nothing_leaves_its_direct_path() -> None:
    bench = Bench()
    bench.make_direct()

    bench.paths.on_message(PathMessage(7, 1, deaf=True), bench.now)

    assert Use(RELAY.endpoint, False, Session.BEGIN) in bench.paths.take_outputs()


# -- Bounds ----------------------------------------------------------------------------------------------


def test_after_silence_the_relay_is_used_and_there_is_no_deadline() -> None:
    bench = Bench()
    bench.make_direct()

    outputs = bench.run(60 * SECOND)

    assert [one for one in outputs if isinstance(one, Use)] == [Use(RELAY.endpoint, False, Session.END)]
    assert bench.paths.next_deadline() is None


def test_a_path_that_needs_no_opening_is_kept_in_silence() -> None:
    bench = Bench()
    bench.send()
    bench.agree(THERE, kind=PathKind.PUBLIC)
    bench.run(0)
    bench.receive()
    bench.paths.on_answer(THERE, SECOND // 50, bench.now)

    outputs = bench.run(60 * SECOND)

    assert outputs[-1] != Use(RELAY.endpoint, False, Session.END)
    assert bench.paths.path
    assert bench.paths.path.endpoint == THERE


def test_a_path_that_is_kept_open_is_kept_in_silence() -> None:
    bench = Bench()
    bench.paths.keep_open(None, bench.now)
    bench.make_direct()

    assert [one for one in bench.run(60 * SECOND) if isinstance(one, Use)] == []
    assert bench.paths.next_deadline() is None


def test_a_peer_that_heard_is_asked_once_however_often_it_is_heard() -> None:
    bench = Bench()
    bench.send()
    bench.paths.take_outputs()

    for _ in range(100):
        bench.paths.on_heard(THERE, bench.now)
        bench.paths.on_answer(THERE, SECOND // 50, bench.now)

    assert bench.paths.take_outputs().count(Ask(THERE)) == 2


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_little_is_sent_and_memory_is_bounded(seed: int) -> None:
    """A stranger may make some of these events, by what it replays, delays and drops."""
    random, bench = Random(seed), Bench(is_leader=seed % 2 == 0)
    endpoints = [THERE._replace(port=port) for port in range(1, 200)]
    asked = told = 0

    for _ in range(600):  # in 60 s
        bench.send()
        if random.random() < 0.3:
            bench.receive()
        event = random.randrange(5)
        endpoint = random.choice(endpoints)
        if event == 0:
            bench.paths.on_heard(endpoint, bench.now)
        elif event == 1:
            bench.paths.on_answer(endpoint, random.randrange(SECOND), bench.now)
        elif event == 2:
            bench.paths.on_endpoint(endpoint, bench.now)
        elif event == 3:
            message = PathMessage(random.randrange(3), 0, random.randrange(3), random.randrange(3))
            bench.paths.on_message(message, bench.now)
        outputs = bench.run(SECOND // 10)
        asked += sum(isinstance(output, Ask) for output in outputs)
        told += sum(isinstance(output, Tell) for output in outputs)

    assert len(bench.paths.tried) <= MAX_PATHS
    checks = 600  # of what answered or of what is in use, at most one each time
    assert asked < BURST + 60 * PER_SECOND + checks
    assert told < 600


def test_two_ends_that_answer_each_other_come_to_rest() -> None:
    left, right = Bench(is_leader=True), Bench(is_leader=False)
    left.send()
    told = 0
    for _ in range(20):
        for one, other in ((left, right), (right, left)):
            for output in one.run(SECOND // 100):
                if isinstance(output, Tell):
                    told += 1
                    other.paths.on_message(output.message, other.now)

    assert 2 <= told <= 6


def test_a_peer_cannot_have_this_host_flood_whom_it_names() -> None:
    bench = Bench()
    bench.send()
    asked = 0

    for number in range(1, 601):  # in 60 s
        victims = tuple(
            Candidate(Endpoint(f"198.51.100.{place}", number), PathKind.PUBLIC) for place in range(20)
        )
        bench.paths.on_message(PathMessage(number, 0, number % 256, candidates=victims), bench.now)
        questions = [output for output in bench.run(SECOND // 10) if isinstance(output, Ask)]
        asked += sum(question.key is None for question in questions)

    assert asked <= BURST + 60 * PER_SECOND


def test_where_no_relay_answers_the_relays_are_asked_ever_less() -> None:
    bench = Bench()
    asked = []

    for _ in range(4):
        bench.send()
        outputs = bench.run(60 * SECOND)
        asked.append(sum(isinstance(output, Ask) for output in outputs))

    assert asked[0] < 40
    assert asked[-1] < 20


# -- A NAT that shows another port to each -------------------------------------------------------------


def test_a_peer_that_was_not_told_where_it_was_asked_from_agrees_to_another_round() -> None:
    shown: list[Candidate] = []
    bench = Bench(predict=lambda remotes: (shown if remotes else [], []))
    bench.send()
    bench.agree(THERE)
    assert bench.run(SECOND // 20).count(Ask(THERE)) == 1

    shown.append(Candidate(HERE.endpoint._replace(port=7777), PathKind.PREDICTED))
    told = [one.message for one in bench.run(SECOND // 10) if isinstance(one, Tell)]

    assert [(bool(one.proposal), shown[0] in one.candidates) for one in told] == [(True, True)]


def test_a_nat_that_shows_another_port_to_each_makes_no_news_of_it() -> None:
    """Else each answer of anybody would begin a round with everybody."""
    bench = Bench()
    behaviour = NatBehaviour(
        (HERE.endpoint,), True, Dependence.ADDRESS_AND_PORT_DEPENDENT, PortAssignment.RANDOM
    )
    bench.paths.set_local(local_candidates([OWN], [behaviour]), bench.now)
    bench.send()
    bench.run(0)

    later = replace(behaviour, seen_as=(HERE.endpoint, HERE.endpoint._replace(port=9)))
    bench.paths.set_local(local_candidates([OWN], [later]), bench.now)

    assert bench.take(Tell) == []
