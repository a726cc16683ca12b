"""Chapter 16: what the paths of two hosts do in time: changes, failures, silence. Of this implementation."""

from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.exchange import PathKind
from wgpy.testing import AccessNetwork, Attachment, Conditions, Flight, Nat, NatKind
from wgpy.testing.nat import FULL_CONE, LINUX, PORT_RESTRICTED, SYMMETRIC_RANDOM

from . import whitepaper as wp
from .path_hosts import DELAY, PORT, PathHost, World

MINUTE = 60 * wp.NS


@dataclass(eq=False)
class Pair:
    """Two hosts behind NATs of their own."""

    world: World
    left: PathHost
    right: PathHost
    nats: tuple[Nat, ...]

    @classmethod
    def make(
        cls,
        kinds: tuple[NatKind, NatKind] = (PORT_RESTRICTED, PORT_RESTRICTED),
        *,
        seed: int = 1,
        relays: int = 2,
    ) -> "Pair":
        world = World(seed, relays=relays)
        nats = [make_nat(number, kind) for number, kind in enumerate(kinds, 1)]
        left, right = (
            world.add_host(f"host {number}", Attachment(Endpoint(f"192.168.{number}.1", PORT), nat))
            for number, nat in enumerate(nats, 1)
        )
        pair = cls(world, left, right, (nats[0], nats[1]))
        world.run(2 * wp.NS)
        left.know(right)
        right.know(left)
        world.run(wp.NS)
        return pair

    @property
    def leader(self) -> int:
        """0 or 1."""
        return 0 if self.left.node.public_key < self.right.node.public_key else 1

    @property
    def hosts(self) -> tuple[PathHost, PathHost]:
        return self.left, self.right

    @property
    def is_direct(self) -> bool:
        return self.left.is_direct(self.right) and self.right.is_direct(self.left)

    def talk(self, duration: int, every: int = wp.NS // 10) -> int:
        """Both send now and then; return how many packets did not arrive within a second."""
        sent = []
        end = self.world.now + duration
        while self.world.now < end:
            sent += [self.world.send(self.left, self.right), self.world.send(self.right, self.left)]
            self.world.run(every)
        self.world.run(wp.NS)
        arrived = {packet for host in self.hosts for _, packet in host.received}
        return sum(packet not in arrived for packet in sent)

    def ping(self, count: int, host: PathHost | None = None) -> int:
        """Have a host ping the other once a second; return how many were not answered within that second."""
        lost = 0
        source = host or self.left
        other = self.right if source is self.left else self.left
        for _ in range(count):
            question = self.world.send(source, other)
            answer = b""
            for _ in range(100):
                self.world.run(wp.NS // 100)
                if not answer and any(packet == question for _, packet in other.received):
                    answer = self.world.send(other, source)
            lost += not any(packet == answer for _, packet in source.received)
        return lost

    def ping_often(self, count: int, source: PathHost) -> int:
        """Have a host ping the other thrice a second; return the longest time without an answer, ns."""
        other = self.right if source is self.left else self.left
        answered, heard, began = len(other.received), len(source.received), self.world.now
        for _ in range(count):
            self.world.send(source, other)
            for _ in range(33):
                self.world.run(wp.NS // 100)
                for _ in other.received[answered:]:
                    self.world.send(other, source)
                answered = len(other.received)
        times = [began, *(when for when, _ in source.received[heard:]), self.world.now]
        return max(after - before for before, after in pairwise(times))

    def questions(self) -> int:
        return sum(len(host.asked) for host in self.hosts)


def make_nat(number: int, kind: NatKind) -> Nat:
    return Nat(f"198.51.100.{number}", Random(number), kind, AccessNetwork(4))


# -- Failures and changes ------------------------------------------------------------------------------


@pytest.mark.parametrize("leads", [True, False], ids=["the leader's", "the other's"])
@pytest.mark.parametrize("pings", [True, False], ids=["who pings", "who is pinged"])
def test_a_nat_that_rebinds_costs_one_ping(leads: bool, pings: bool) -> None:
    pair = Pair.make()
    place = pair.leader if leads else 1 - pair.leader
    source = pair.hosts[place if pings else 1 - place]
    assert pair.ping(5, source) == 0
    assert pair.is_direct

    pair.nats[place].rebind()

    assert pair.ping(10, source) <= 1
    assert pair.is_direct


def test_a_direct_path_that_dies_is_left_for_the_relay_within_two_seconds() -> None:
    pair = Pair.make()
    pair.talk(3 * wp.NS)
    assert pair.is_direct

    pair.world.simulation.network.loses = lambda flight: is_direct(pair, flight)
    began = pair.world.now
    while pair.is_direct:
        pair.world.send(pair.left, pair.right)
        pair.world.send(pair.right, pair.left)
        pair.world.run(wp.NS // 10)

    assert pair.world.now - began <= 2 * wp.NS
    assert pair.talk(5 * wp.NS) == 0


@pytest.mark.parametrize("dies", ["both ways", "to the leader", "from the leader"])
@pytest.mark.parametrize("pings", ["the leader", "the other"])
def test_a_direct_path_that_dies_is_left_by_both_also_if_no_relay_knows_the_session(
    pings: str, dies: str
) -> None:
    """The end that hears nothing must tell the other one so, although that one hears something."""
    pair = Pair.make()
    leader, other = pair.hosts[pair.leader], pair.hosts[1 - pair.leader]
    pair.talk(140 * wp.NS, every=wp.NS)  # so the session was renewed on the direct path
    assert pair.is_direct
    dead = {"to the leader": [other], "from the leader": [leader]}.get(dies, [leader, other])
    addresses = {pair.nats[pair.hosts.index(host)].address for host in dead}

    pair.world.simulation.network.loses = lambda flight: (
        is_direct(pair, flight) and flight.source.address in addresses
    )

    assert pair.ping_often(20, leader if pings == "the leader" else other) <= 2 * wp.NS
    assert not pair.is_direct


def test_a_direct_path_that_is_back_is_taken_again_without_a_loss() -> None:
    pair = Pair.make()
    pair.talk(2 * wp.NS)
    pair.world.simulation.network.loses = lambda flight: is_direct(pair, flight)
    pair.talk(20 * wp.NS)
    assert not pair.is_direct
    pair.world.simulation.network.loses = lambda flight: False

    assert pair.talk(60 * wp.NS) == 0

    assert pair.is_direct


def test_two_hosts_that_can_be_dialled_have_a_relay_while_no_line_leads_from_one_to_the_other() -> None:
    world = World(1)
    left, right = (
        world.add_host(name, Attachment(Endpoint(at, PORT), AccessNetwork(4)), public=True)
        for name, at in (("left", "198.51.100.1"), ("right", "198.51.100.2"))
    )
    pair = Pair(world, left, right, ())
    world.run(2 * wp.NS)
    left.know(right)
    right.know(left)
    pair.talk(2 * wp.NS)
    assert pair.is_direct

    world.simulation.network.loses = lambda flight: is_direct(pair, flight)
    pair.talk(2 * wp.NS)
    assert pair.talk(10 * wp.NS) == 0
    assert not pair.is_direct
    world.simulation.network.loses = lambda flight: False

    assert pair.talk(30 * wp.NS) == 0
    assert pair.is_direct


@pytest.mark.parametrize("host", [0, 1])
def test_a_relay_that_dies_costs_three_pings(host: int) -> None:
    pair = Pair.make((SYMMETRIC_RANDOM, PORT_RESTRICTED))
    assert pair.ping(5) == 0
    assert not pair.is_direct
    used = pair.left.path_to(pair.right).path
    assert used
    dead = next(relay for relay in pair.world.relays if used.endpoint in [at for at, _ in relay.attachments])

    dead.crash()

    assert pair.ping(10, pair.hosts[host]) <= 3
    assert pair.ping(10, pair.hosts[host]) == 0


@pytest.mark.parametrize("place", [0, 1])
def test_a_host_that_changes_its_network_is_connected_within_five_seconds(place: int) -> None:
    pair = Pair.make()
    pair.talk(3 * wp.NS)
    moving = pair.hosts[place]

    moving.change_network(Attachment(Endpoint("192.168.77.1", PORT), make_nat(77, FULL_CONE)))

    pair.talk(5 * wp.NS)
    assert pair.talk(5 * wp.NS) == 0
    assert pair.is_direct


def test_a_host_whose_nat_forgets_all_while_it_sleeps_is_connected_when_it_wakes() -> None:
    pair = Pair.make()
    pair.talk(3 * wp.NS)
    pair.left.node.suspend()
    pair.world.run(10 * MINUTE)
    pair.nats[0].rebind()

    pair.left.node.resume()

    pair.talk(5 * wp.NS)
    assert pair.talk(5 * wp.NS) == 0
    assert pair.is_direct


def test_a_relay_is_not_left_because_a_conversation_has_an_end() -> None:
    pair = Pair.make((SYMMETRIC_RANDOM, SYMMETRIC_RANDOM))
    pair.talk(3 * wp.NS)
    used = [host.path_to(other).path for host, other in (pair.hosts, pair.hosts[::-1])]

    for _ in range(10):
        assert pair.talk(wp.NS) == 0
        pair.world.run(2 * wp.NS)

    assert [host.path_to(other).path for host, other in (pair.hosts, pair.hosts[::-1])] == used


# -- Silence -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
def test_after_ten_minutes_of_silence_the_first_packet_arrives_and_soon_the_path_is_direct(
    place: int,
) -> None:
    pair = Pair.make()
    pair.talk(3 * wp.NS)
    pair.world.run(10 * MINUTE)

    first = pair.world.send(pair.hosts[place], pair.hosts[1 - place])
    pair.world.run(8 * DELAY)

    assert first in [packet for _, packet in pair.hosts[1 - place].received]
    assert pair.talk(2 * wp.NS) == 0
    assert pair.is_direct


def test_in_silence_nothing_is_asked_and_nobody_wakes() -> None:
    pair = Pair.make()
    pair.talk(3 * wp.NS)
    pair.world.run(MINUTE)
    before = pair.questions()

    pair.world.run(60 * MINUTE)

    assert pair.questions() == before
    assert pair.left.path_to(pair.right).next_deadline() is None
    assert pair.right.path_to(pair.left).next_deadline() is None


def test_a_path_that_carries_data_is_not_asked() -> None:
    pair = Pair.make()
    pair.talk(5 * wp.NS)
    before = pair.questions()

    pair.talk(10 * MINUTE, every=wp.NS)

    assert pair.questions() == before


def test_where_no_direct_path_is_possible_questions_become_rare() -> None:
    pair = Pair.make((SYMMETRIC_RANDOM, SYMMETRIC_RANDOM))
    pair.talk(20 * MINUTE, every=4 * wp.NS)
    before = pair.questions()

    pair.talk(20 * MINUTE, every=4 * wp.NS)

    assert 0 < pair.questions() - before <= 200
    assert not pair.is_direct


def test_a_peer_that_is_off_is_asked_about_as_often_as_wireguard_tries() -> None:
    pair = Pair.make()
    pair.talk(3 * wp.NS)
    pair.right.node.stop()
    asked = len(pair.left.asked)

    pair.talk(20 * MINUTE, every=wp.NS)

    assert len(pair.left.asked) - asked < 1.2 * (20 * MINUTE // wp.REKEY_TIMEOUT)


# -- Behind one NAT ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hairpin", [True, False])
@pytest.mark.parametrize("kind", [PORT_RESTRICTED, SYMMETRIC_RANDOM, LINUX], ids=["port", "random", "Linux"])
def test_hosts_of_one_network_reach_each_other_in_it(kind: NatKind, hairpin: bool) -> None:
    world = World(1)
    nat = make_nat(1, replace(kind, hairpin=hairpin))
    left, right = (
        world.add_host(f"host {number}", Attachment(Endpoint(f"192.168.1.{number}", PORT), nat))
        for number in (1, 2)
    )
    pair = Pair(world, left, right, (nat, nat))
    world.run(2 * wp.NS)
    left.know(right)
    right.know(left)

    assert pair.talk(5 * wp.NS) == 0

    for host, other in ((left, right), (right, left)):
        path = host.path_to(other).path
        assert path
        assert (path.kind, path.endpoint) == (PathKind.LAN, other.node.listen)


@pytest.mark.parametrize("hairpin", [True, False])
def test_two_homes_of_one_carrier_are_direct_where_its_nat_has_a_hairpin(hairpin: bool) -> None:
    world = World(1)
    carrier = make_nat(1, replace(PORT_RESTRICTED, hairpin=hairpin))
    homes = [Nat(f"100.64.0.{n}", Random(n), PORT_RESTRICTED, carrier) for n in (1, 2)]
    left, right = (
        world.add_host(f"host {n}", Attachment(Endpoint("192.168.0.1", PORT), home))
        for n, home in enumerate(homes, 1)
    )
    pair = Pair(world, left, right, (homes[0], homes[1]))
    world.run(2 * wp.NS)
    left.know(right)
    right.know(left)

    assert pair.talk(5 * wp.NS) == 0

    assert pair.is_direct == hairpin


# -- Bad networks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(5))
def test_a_network_that_loses_and_reorders_ends_with_a_direct_path_that_stays(number: int, seed: int) -> None:
    pair = Pair.make(seed=seed + number)
    pair.world.simulation.network.conditions = Conditions(DELAY, 4 * DELAY, 0.1, 0.05)
    pair.talk(60 * wp.NS)
    pair.world.simulation.network.conditions = Conditions(DELAY)

    assert pair.talk(30 * wp.NS) == 0

    assert pair.is_direct


def is_direct(pair: Pair, flight: Flight) -> bool:
    """Whether it is between the two hosts without a relay."""
    return not {flight.source, flight.destination} & pair.world.relay_endpoints
