"""Chapter 18: how long a NAT keeps a mapping is learnt. Of this implementation."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.discovery import AT_ONCE, ELSEWHERE, Discovery
from wgpy.paths.lifetime import ASSUMED, INTERVALS, MARGIN, LifetimeSearch, Outcome, SilenceTrial
from wgpy.testing import Firewall, Nat, NatKind, Simulation
from wgpy.testing.nat import FULL_CONE, LINUX, PORT_RESTRICTED, SYMMETRIC_COUNTING, SYMMETRIC_RANDOM, Box
from wgpy.testing.network import Conditions

from . import whitepaper as wp

RELAY_AT = Endpoint("192.0.2.1", 51820)
INSIDE = "192.168.0.1"
KINDS = (FULL_CONE, PORT_RESTRICTED, SYMMETRIC_COUNTING, SYMMETRIC_RANDOM, LINUX)
LONGEST = max(INTERVALS) + MARGIN


@dataclass
class World:
    """A host behind a box, and a relay. sent, received: by the host, datagrams."""

    behind: Box | None
    seed: int = 0
    sent: int = 0
    received: int = 0
    simulation: Simulation = field(init=False)
    relay: Discovery = field(init=False)
    is_relay_up: bool = True
    _port: int = 40000

    def __post_init__(self) -> None:
        self.simulation = Simulation(self.seed)
        self.relay = Discovery(bytes([2] * 32), Random(self.seed).randbytes)
        self.simulation.network.attach(RELAY_AT, self.answer)

    @property
    def now(self) -> int:
        return self.simulation.timeline.now

    def answer(self, data: bytes, source: Endpoint, tos: int) -> None:
        if not self.is_relay_up:
            return
        if answer := self.relay.receive(data, source, self.now):
            self.simulation.network.send(RELAY_AT, source, answer)
        due = self.relay.postponed.next_due
        if due is not None:
            self.simulation.timeline.call_at(due, self.answer_later)

    def answer_later(self) -> None:
        for one in self.relay.postponed.take_due(self.now):
            source = RELAY_AT._replace(port=1) if one.elsewhere else RELAY_AT
            self.simulation.network.send(source, one.to, one.data)

    def end_relay(self) -> None:
        self.is_relay_up = False
        self.relay = Discovery(bytes([2] * 32), Random(self.seed).randbytes)

    def outcome(self, silence: int) -> Outcome:
        """Of a trial on a flow of its own."""
        self._port += 1
        flow = Endpoint(INSIDE, self._port)
        host = Discovery(bytes([1] * 32), Random(self._port).randbytes)
        host.set_peers([self.relay.public_key])
        self.relay.set_peers([host.public_key])
        trial = SilenceTrial(host, self.relay.public_key, RELAY_AT, silence)

        def receive(data: bytes, source: Endpoint, tos: int) -> None:
            self.received += 1
            host.receive(data, source, self.now)
            trial.receive_answers()
            advance()

        def advance() -> None:
            if question := trial.advance(self.now):
                self.sent += 1
                self.simulation.network.send(flow, RELAY_AT, question, behind=self.behind)
                self.simulation.timeline.call_at(trial.deadline, advance)
            elif trial.outcome is None:
                self.simulation.timeline.call_at(trial.deadline, advance)

        self.simulation.network.attach(flow, receive, self.behind)
        advance()
        while trial.outcome is None:
            self.simulation.run_for(wp.NS)
        self.simulation.network.detach(flow, self.behind)
        return trial.outcome

    def search(self) -> LifetimeSearch:
        """One that is over."""
        search = LifetimeSearch()
        while silence := search.next_silence():
            search.note(self.outcome(silence))
        return search


def make_nat(kind: NatKind = LINUX, seed: int = 0, unanswered: int = 30, answered: int = 120) -> Nat:
    lasting = replace(kind, unanswered=unanswered * wp.NS, answered=answered * wp.NS)
    return Nat("198.51.100.1", Random(seed), lasting)


def expected(lifetime: int) -> int:
    """The longest interval that a lifetime allows, in seconds; the shortest there is if none."""
    return max((one for one in INTERVALS if one + MARGIN <= lifetime), default=min(INTERVALS))


# -- What is learnt --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(150))
def test_the_longest_interval_that_a_nat_allows_is_found(seed: int) -> None:
    random = Random(seed)
    answered = random.randint(16, 400)
    kind = random.choice(KINDS)
    world = World(make_nat(kind, seed, random.randint(10, answered), answered), seed)
    assumed = LifetimeSearch().interval

    search = world.search()

    # An answer takes a moment, too.
    assert expected(answered - 1) <= search.interval <= expected(answered)
    assert search.interval <= assumed or search.lasts <= answered
    assert world.sent + world.received <= 60


@pytest.mark.parametrize(("lifetime", "interval"), [(120, 85), (180, 170), (60, 56), (30, ASSUMED), (20, 15)])
def test_the_lifetimes_of_common_nats_have_these_intervals(lifetime: int, interval: int) -> None:
    assert World(make_nat(unanswered=min(30, lifetime), answered=lifetime)).search().interval == interval


def test_a_stateful_firewall_is_learnt_as_a_nat_is() -> None:
    firewall = Firewall(replace(PORT_RESTRICTED, answered=90 * wp.NS))

    assert World(firewall).search().interval == 85


@pytest.mark.parametrize("seed", range(20))
def test_a_network_that_loses_datagrams_never_makes_the_interval_too_long(seed: int) -> None:
    world = World(make_nat(seed=seed), seed)
    world.simulation.network.conditions = Conditions(loss=0.2)

    assert world.search().interval <= expected(120)


# -- What a trial tells ------------------------------------------------------------------------------------


def test_an_answer_after_the_silence_proves_that_the_mapping_lasts() -> None:
    world = World(make_nat())

    assert world.outcome(119) is Outcome.SURVIVED
    assert world.outcome(121) is Outcome.FORGOTTEN
    assert (world.sent, world.received) == (2 + 3, 2 + 2)


def test_a_relay_that_does_not_answer_proves_nothing() -> None:
    world = World(make_nat())
    world.is_relay_up = False

    assert world.outcome(20) is Outcome.UNKNOWN
    assert world.search().interval == ASSUMED


def test_a_relay_that_ends_during_the_silence_proves_nothing() -> None:
    world = World(make_nat())
    world.simulation.timeline.call_after(10 * wp.NS, world.end_relay)

    assert world.outcome(20) is Outcome.UNKNOWN


# -- What comes unasked --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behind", "passes"),
    [(None, True), (Firewall(FULL_CONE), True), (Firewall(PORT_RESTRICTED), False), (make_nat(), False)],
    ids=["nothing", "a firewall that is open", "a stateful firewall", "a NAT"],
)
def test_an_answer_from_another_port_shows_what_a_firewall_lets_in(behind: Box | None, passes: bool) -> None:
    world = World(behind)
    network, flow = world.simulation.network, Endpoint(INSIDE, 1)
    host = Discovery(bytes([1] * 32), Random(1).randbytes)
    host.set_peers([world.relay.public_key])
    world.relay.set_peers([host.public_key])

    def receive(data: bytes, source: Endpoint, tos: int) -> None:
        host.receive(data, source, 0)

    network.attach(flow, receive, behind)
    network.send(flow, RELAY_AT, host.ask(world.relay.public_key, RELAY_AT, 0, manner=ELSEWHERE), 0, behind)
    world.simulation.run_for(wp.NS)

    assert [answer.manner for answer in host.take_answers()] == ([ELSEWHERE] if passes else [])


# -- The search ----------------------------------------------------------------------------------------------


def test_until_something_is_proven_the_interval_is_the_assumed_one() -> None:
    search = LifetimeSearch()

    assert (search.interval, search.lasts) == (ASSUMED, 0)
    while (silence := search.next_silence()) and silence > ASSUMED + MARGIN:
        assert search.interval == ASSUMED
        search.note(Outcome.FORGOTTEN)


def test_one_trial_that_fails_is_repeated() -> None:
    search = LifetimeSearch()
    silence = search.next_silence()

    search.note(Outcome.FORGOTTEN)

    assert search.next_silence() == silence


def test_a_mapping_that_was_forgotten_makes_the_interval_the_assumed_one_at_once() -> None:
    search = proven()

    search.note_lapse()

    assert (search.interval, search.lasts) == (ASSUMED, 0)
    finish(search)
    assert search.interval == max(INTERVALS), "its NAT may have been restarted"


def test_an_interval_at_which_mappings_are_forgotten_again_is_given_up() -> None:
    search = proven()

    for _ in range(2):
        search.note_lapse()
        finish(search)

    assert search.interval == INTERVALS[-2]


def test_a_search_ends_whatever_comes_of_its_trials() -> None:
    for seed in range(100):
        random, search, trials = Random(seed), LifetimeSearch(), 0
        while search.next_silence():
            search.note(random.choice(list(Outcome)))
            trials += 1
        assert trials <= 4 * len(INTERVALS)
        assert search.interval in INTERVALS


def test_with_every_interval_a_keepalive_falls_where_a_session_is_renewed() -> None:
    for interval in INTERVALS:
        ages = range(interval * wp.NS, wp.REJECT_AFTER_TIME, interval * wp.NS)
        assert max(ages) >= wp.REKEY_AFTER_TIME, "this end renews it"
        assert max(ages) >= wp.REKEY_ON_RECEIVE, "or the other one, if that began it"


def test_a_question_that_is_answered_at_once_is_none_of_a_trial() -> None:
    world = World(make_nat())
    host = Discovery(bytes([1] * 32), Random(1).randbytes)
    world.relay.set_peers([host.public_key])
    host.set_peers([world.relay.public_key])
    trial = SilenceTrial(host, world.relay.public_key, RELAY_AT, 20)
    trial.advance(0)
    answer = world.relay.receive(host.ask(world.relay.public_key, RELAY_AT, 0), RELAY_AT, 0)
    host.receive(answer or b"", RELAY_AT, 0)

    trial.receive_answers()

    assert host.take_answers() == []
    assert trial.advance(wp.NS) is None, "it still waits for the other one"
    assert AT_ONCE.delay == 0


def proven() -> LifetimeSearch:
    search = LifetimeSearch()
    finish(search)
    assert search.interval == max(INTERVALS)
    return search


def finish(search: LifetimeSearch) -> None:
    while search.next_silence():
        search.note(Outcome.SURVIVED)
