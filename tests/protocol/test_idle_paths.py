"""Chapter 21: idle hosts. One behind a NAT keeps its way to relays open, and to others for a while."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.testing import AccessNetwork, Attachment, Flight, Nat, NatKind
from wgpy.testing.nat import LINUX, PORT_RESTRICTED

from . import whitepaper as wp
from .path_hosts import PORT, PathHost, World

OUTSIDE = "198.51.100.1"
MINUTE = 60 * wp.NS
AFTER_USE = 200 * wp.NS  # by then no pair is kept open, and its session is over
FORGETFUL = replace(LINUX, answered=30 * wp.NS)


@dataclass(eq=False)
class Edge:
    """A host behind a NAT, and others that can be dialled, each of which it has talked to."""

    others: int
    kind: NatKind = LINUX
    seed: int = 1
    world: World = field(init=False)
    hidden: PathHost = field(init=False)
    dialled: list[PathHost] = field(init=False)

    def __post_init__(self) -> None:
        self.world = World(self.seed)
        nat = Nat(OUTSIDE, Random(self.seed), self.kind, AccessNetwork(4))
        self.hidden = self.world.add_host("edge", Attachment(Endpoint("192.168.1.1", PORT), nat))
        self.dialled = [self._add(number) for number in range(1, self.others + 1)]
        self.world.run(2 * wp.NS)
        for other in self.dialled:
            other.know(self.hidden)
            self.hidden.know(other)
            assert self.answers(other)

    def _add(self, number: int) -> PathHost:
        at = Endpoint(f"198.18.0.{number}", PORT)
        return self.world.add_host(f"web{number}", Attachment(at, AccessNetwork(4)), public=True)

    def answers(self, other: PathHost) -> bool:
        """Whether the host behind the NAT is reached by one packet within a second, and answers it."""
        packet = self.world.send(other, self.hidden)
        self.world.run(wp.NS)
        if packet not in [one for _, one in self.hidden.received]:
            return False
        answer = self.world.send(self.hidden, other)
        self.world.run(wp.NS)
        return answer in [one for _, one in other.received]

    def idle_for(self, duration: int) -> list[Flight]:
        """Return what is sent while nobody sends a packet."""
        flights: list[Flight] = []
        self.world.simulation.network.watch(flights.append)
        self.world.run(duration)
        return flights

    def sent_by_hidden(self, flights: list[Flight]) -> int:
        return sum(flight.source.address == OUTSIDE for flight in flights)

    def passed_between(self, flights: list[Flight]) -> int:
        """Return how many the hidden host and the others sent each other, without a relay."""
        ends = {at.address for other in self.dialled for at, _ in other.node.attachments}
        found = ({flight.source.address, flight.destination.address} for flight in flights)
        return sum(OUTSIDE in pair and not ends.isdisjoint(pair) for pair in found)


def test_what_an_idle_host_sends_does_not_grow_with_the_mesh() -> None:
    """In 20 minutes a keepalive each 25 s to each of two relays, and some handshakes."""
    few, many = Edge(5), Edge(50)
    found = []
    for edge in (few, many):
        edge.world.run(AFTER_USE)
        flights = edge.idle_for(20 * MINUTE)
        assert edge.passed_between(flights) == 0
        found.append(edge.sent_by_hidden(flights))

    print(f"{found[0]} of 5 others, {found[1]} of 50")
    assert 96 <= found[0] < 160
    assert abs(found[1] - found[0]) < 10  # as handshakes have jitter


@pytest.mark.parametrize("first", range(0, 20, 5))
@pytest.mark.parametrize("kind", [LINUX, FORGETFUL, PORT_RESTRICTED], ids=["Linux", "30 s", "other"])
def test_a_host_behind_a_nat_is_reached_by_the_first_packet_after_any_silence(
    kind: NatKind, first: int
) -> None:
    edge = Edge(1, kind, first)

    for silence in range(first, 400, 20):
        edge.world.run(silence * wp.NS + wp.NS // 2)
        assert edge.answers(edge.dialled[0]), f"after {silence} s"


def test_after_a_silence_a_host_behind_a_nat_is_direct_again_at_once() -> None:
    edge = Edge(1)
    (other,) = edge.dialled
    edge.world.run(AFTER_USE)
    assert not other.is_direct(edge.hidden)

    edge.answers(other)

    assert other.is_direct(edge.hidden)
    assert edge.hidden.is_direct(other)


def test_who_is_polled_each_minute_stays_direct() -> None:
    edge = Edge(1)
    (other,) = edge.dialled

    for _ in range(10):
        edge.world.run(58 * wp.NS)
        assert other.is_direct(edge.hidden)
        assert edge.answers(other)
