"""Chapter 17: an attacker on the path, who records, replays, drops, delays and spoofs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.discovery import MAGIC
from wgpy.testing import Conditions, Flight, NatKind
from wgpy.testing.nat import PORT_RESTRICTED, SYMMETRIC_RANDOM

from . import whitepaper as wp
from .path_hosts import DELAY
from .test_paths import Pair

ATTACKER = Endpoint("203.0.113.66", 666)
VICTIM = Endpoint("203.0.113.99", 99)
_ANSWER = 2  # the kind, at the sixth byte


@dataclass
class Attacker:
    """Sees every datagram between NATs. react: what to do about one, at once."""

    pair: Pair
    react: Callable[["Attacker", Flight], None] = lambda attacker, flight: None
    sent: Counter[Endpoint] = field(default_factory=Counter)  # bytes, by the source that they claim
    received: Counter[Endpoint] = field(default_factory=Counter)  # bytes, by where they arrived
    recorded: list[Flight] = field(default_factory=list)

    def __post_init__(self) -> None:
        network = self.pair.world.simulation.network
        network.watch(self._see)
        network.attach(ATTACKER, lambda data, *_: self.received.update({ATTACKER: len(data)}))
        network.attach(VICTIM, lambda data, *_: self.received.update({VICTIM: len(data)}))

    def send(self, destination: Endpoint, data: bytes, source: Endpoint = ATTACKER) -> None:
        self.sent[source] += len(data)
        self.pair.world.simulation.network.send(source, destination, data)

    def _see(self, flight: Flight) -> None:
        if flight.source not in (ATTACKER, VICTIM):
            self.recorded.append(flight)
            self.react(self, flight)


def is_discovery(flight: Flight) -> bool:
    return flight.data.startswith(MAGIC)


def asked(pair: Pair) -> set[Endpoint]:
    return {endpoint for host in pair.hosts for endpoint in host.asked}


def endpoints(pair: Pair) -> set[Endpoint]:
    """Where the two send to each other."""
    peers = (pair.left.node.peer(pair.right.node.public_key), pair.right.node.peer(pair.left.node.public_key))
    return {peer.endpoint.without_source() for peer in peers if peer.endpoint}


@pytest.mark.parametrize("source", [ATTACKER, VICTIM], ids=["its own address", "another one's"])
def test_who_replays_all_questions_and_answers_has_no_more_sent_than_it_sends(source: Endpoint) -> None:
    pair = Pair.make()
    attacker = Attacker(pair)
    pair.talk(3 * wp.NS)
    for flight in list(attacker.recorded):
        attacker.send(flight.destination, flight.data, source)
        pair.world.run(wp.MS)

    assert pair.talk(5 * wp.NS) == 0

    assert attacker.sent[source] > 0
    assert attacker.received[source] <= attacker.sent[source]
    assert asked(pair).isdisjoint({ATTACKER, VICTIM})
    assert endpoints(pair).isdisjoint({ATTACKER, VICTIM})


def test_who_repeats_each_question_at_once_from_elsewhere_is_never_asked() -> None:
    """So a recorded token, too, is of one address."""
    pair = Pair.make()
    attacker = Attacker(pair, lambda attacker, flight: attacker.send(flight.destination, flight.data))

    assert pair.talk(5 * wp.NS) == 0

    assert attacker.received[ATTACKER] <= attacker.sent[ATTACKER]
    assert ATTACKER not in asked(pair)
    assert ATTACKER not in endpoints(pair)
    assert pair.is_direct


def test_who_drops_all_questions_cannot_keep_two_hosts_apart() -> None:
    pair = Pair.make()
    pair.world.simulation.network.loses = is_discovery

    assert pair.talk(20 * wp.NS) == 0
    assert not pair.is_direct
    pair.world.simulation.network.loses = lambda flight: False

    assert pair.talk(30 * wp.NS) == 0
    assert pair.is_direct


def test_who_delivers_data_first_moves_an_endpoint_for_one_packet() -> None:
    """As it can with any WireGuard; and not even that at the end that leads."""
    pair = Pair.make()
    pair.talk(3 * wp.NS)
    leader, other = pair.hosts[pair.leader], pair.hosts[1 - pair.leader]
    network = pair.world.simulation.network
    racing = [True]

    def race(flight: Flight) -> bool:
        """Deliver it at once from the attacker's address; the real one comes later, and is a replay."""
        if racing[0] and flight.data[0] == 4 and flight.source != ATTACKER:
            network.send(ATTACKER, flight.destination, flight.data)
            network.conditions = Conditions(2 * DELAY)
        return False

    network.loses = race
    for host in pair.hosts:
        pair.world.send(host, other if host is leader else leader)
        pair.world.run(5 * DELAY)
    assert leader.is_direct(other)
    racing[0], network.conditions = False, Conditions(DELAY)

    pair.world.send(leader, other)
    pair.world.run(2 * DELAY)

    assert ATTACKER not in endpoints(pair)
    assert pair.talk(3 * wp.NS) == 0


@pytest.mark.parametrize("number", range(5))
def test_who_delays_repeats_and_redirects_at_random_neither_moves_an_endpoint_nor_has_more_sent(
    number: int, seed: int
) -> None:
    random = Random(seed + number)
    pair = Pair.make(seed=seed + number)

    def meddle(attacker: Attacker, flight: Flight) -> None:
        if is_discovery(flight) and random.random() < 0.5:
            old = random.choice(attacker.recorded)
            to = random.choice([flight.destination, flight.source, old.destination])
            data = bytearray(old.data)
            if random.random() < 0.3:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            attacker.send(to, bytes(data), random.choice([ATTACKER, VICTIM]))

    attacker = Attacker(pair, meddle)
    pair.talk(10 * wp.NS)
    attacker.react = lambda attacker, flight: None

    assert pair.talk(5 * wp.NS) == 0

    assert attacker.received.total() <= attacker.sent.total()
    assert asked(pair).isdisjoint({ATTACKER, VICTIM})
    assert endpoints(pair).isdisjoint({ATTACKER, VICTIM})


@pytest.mark.parametrize("number", range(5))
def test_who_holds_datagrams_back_and_lets_them_go_in_another_order_only_delays_them(
    number: int, seed: int
) -> None:
    """Questions and answers, and what a relay forwards. Each is let go once, so nothing is lost."""
    random = Random(seed + number)
    pair = Pair.make(seed=seed + number)
    network, held = pair.world.simulation.network, set[bytes]()

    def hold(flight: Flight) -> bool:
        if flight.data in held or random.random() < 0.5:
            return False
        held.add(flight.data)
        again = partial(network.send, flight.source, flight.destination, flight.data, flight.tos)
        pair.world.simulation.timeline.call_after(random.randrange(300) * wp.MS, again)
        return True

    network.loses = hold

    assert pair.talk(10 * wp.NS) == 0

    own = {endpoint.address for endpoint in pair.world.relay_endpoints} | {nat.address for nat in pair.nats}
    assert {endpoint.address for endpoint in endpoints(pair)} <= own
    for host in pair.hosts:
        packets = [packet for _, packet in host.received]
        assert len(packets) == len(set(packets)), "none is delivered twice"


@pytest.mark.parametrize("kinds", [(PORT_RESTRICTED, PORT_RESTRICTED), (SYMMETRIC_RANDOM, PORT_RESTRICTED)])
def test_nothing_that_passes_can_be_read_by_who_records_it(kinds: tuple[NatKind, NatKind]) -> None:
    """Neither directly nor by a relay."""
    pair = Pair.make(kinds)
    attacker, secret = Attacker(pair), b"what nobody else may read"

    for _ in range(30):
        packet = pair.world.send_inside(pair.left.node.public_key, pair.right.node.public_key, secret)
        pair.world.run(wp.NS // 10)
        assert any(received == packet for _, received in pair.right.received)

    assert not any(secret in flight.data for flight in attacker.recorded)


@dataclass
class QuestionsNat:
    """Stands before the only relay and acts as a NAT for the questions of a host, and for nothing else.

    So both hosts believe that the first one is at his address, and what is asked there is answered.
    """

    pair: Pair
    place: int
    is_on: bool = True
    _mapping: Endpoint | None = None
    _asking: list[Endpoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._network = self.pair.world.simulation.network
        (self._relay,) = self.pair.world.relays
        self._network.attach(ATTACKER, self._receive)
        self._network.loses = self._intercept

    def _receive(self, data: bytes, source: Endpoint, tos: int) -> None:
        if self.is_on and self._mapping and data.startswith(MAGIC):
            if source != self._relay.listen:
                self._asking.append(source)
            self._send(self._relay.listen, self._mapping, data)

    def _intercept(self, flight: Flight) -> bool:
        is_own = flight.source.address == self.pair.nats[self.place].address
        if not (self.is_on and is_own and flight.destination == self._relay.listen and is_discovery(flight)):
            return False
        self._mapping, is_answer = flight.source, flight.data[5] == _ANSWER
        to = self._asking.pop(0) if is_answer and self._asking else self._relay.listen
        self._send(ATTACKER, to, flight.data)
        return True

    def _send(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        self._network.send(source, destination, data)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("talks", ["both", "one"])
def test_who_passes_questions_and_no_data_is_left_soon_and_each_time_for_longer(
    place: int, talks: str
) -> None:
    pair = Pair.make((SYMMETRIC_RANDOM, PORT_RESTRICTED), relays=1)
    attacker = QuestionsNat(pair, place)
    for host in pair.hosts:
        host.ask_relays()
    pair.world.run(wp.NS)

    lost = pair.talk(60 * wp.NS) if talks == "both" else pair.ping(60, pair.hosts[pair.leader])

    assert ATTACKER in asked(pair)
    assert ATTACKER not in endpoints(pair)
    assert lost <= (60 if talks == "both" else 6)  # a second of ten each way, of five times at most
    attacker.is_on = False
    assert pair.talk(10 * wp.NS) == 0


# -- Between a host and its relay ------------------------------------------------------------------------


class Forger:
    """Stands before a relay: drops what passes now and then, and sends what it recorded, from anywhere."""

    def __init__(self, pair: Pair, random: Random) -> None:
        self.pair = pair
        self.random = random
        self.recorded: list[Flight] = []
        self.sent: Counter[Endpoint] = Counter()  # bytes, by the source that they claim
        self.answered: Counter[Endpoint] = Counter()  # bytes that relays sent there
        self._is_forging = False
        pair.world.simulation.network.loses = self._meddle

    def stop(self) -> None:
        self.pair.world.simulation.network.loses = lambda flight: False

    def _meddle(self, flight: Flight) -> bool:
        relays = self.pair.world.relay_endpoints
        if flight.source in relays:
            self.answered[flight.destination] += len(flight.data)
        if self._is_forging or is_discovery(flight) or not {flight.source, flight.destination} & relays:
            return False
        self.recorded.append(flight)
        if self.random.random() < 0.5:
            self._forge(self.random.choice(self.recorded), flight)
        return self.random.random() < 0.1

    def _forge(self, old: Flight, flight: Flight) -> None:
        data = bytearray(old.data)
        if self.random.random() < 0.3:
            data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        source = self.random.choice([old.source, flight.source, ATTACKER, VICTIM])
        destination = self.random.choice([old.destination, flight.destination])
        self.sent[source] += len(data)
        self._is_forging = True
        self.pair.world.simulation.network.send(source, destination, bytes(data))
        self._is_forging = False


@pytest.mark.parametrize("number", range(5))
def test_who_drops_replays_and_spoofs_what_a_relay_forwards_gains_nothing(number: int, seed: int) -> None:
    pair = Pair.make((SYMMETRIC_RANDOM, PORT_RESTRICTED), seed=seed + number)
    forger = Forger(pair, Random(seed + number))
    pair.talk(20 * wp.NS)
    forger.stop()
    pair.talk(5 * wp.NS)

    assert pair.talk(5 * wp.NS) == 0

    assert forger.sent[ATTACKER] > 0
    assert all(forger.answered[end] <= forger.sent[end] for end in (ATTACKER, VICTIM))
    assert endpoints(pair).isdisjoint({ATTACKER, VICTIM})
    for host in pair.hosts:
        packets = [packet for _, packet in host.received]
        assert len(packets) == len(set(packets)), "none is delivered twice"
