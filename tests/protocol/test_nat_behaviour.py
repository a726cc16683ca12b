"""Chapter 14: what a host learns of its NAT, beside what the simulated NAT is. Of this implementation."""

from dataclasses import dataclass, replace
from random import Random

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.discovery import Discovery
from wgpy.paths.nat import (
    CONTACT_TIME,
    EXPECTED,
    MAX_CONTACTS,
    MAX_REMOTES,
    Dependence,
    NatBehaviour,
    NatObserver,
    PortAssignment,
)
from wgpy.testing import Firewall, Nat, NatKind, Simulation
from wgpy.testing.nat import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    LINUX,
    PORT_RESTRICTED,
    SYMMETRIC_COUNTING,
    SYMMETRIC_RANDOM,
    Box,
)

from . import whitepaper as wp

PUBLIC = "198.51.100.1"
INSIDE = Endpoint("192.168.0.1", 51820)
NODES = [Endpoint("192.0.2.1", 51820), Endpoint("192.0.2.1", 443), Endpoint("192.0.2.3", 51820)]
INDEPENDENT = Dependence.ENDPOINT_INDEPENDENT
BY_ADDRESS = Dependence.ADDRESS_DEPENDENT
BY_PORT = Dependence.ADDRESS_AND_PORT_DEPENDENT


@dataclass
class Host:
    """A host behind a box, and nodes that it asks."""

    simulation: Simulation
    observer: NatObserver
    discovery: Discovery
    behind: Box | None
    at: Endpoint

    @classmethod
    def make(cls, behind: Box | None, at: Endpoint = INSIDE) -> "Host":
        simulation = Simulation(1)
        discovery = Discovery(bytes([1] * 32), Random(1).randbytes)
        host = cls(simulation, NatObserver(4), discovery, behind, at)
        simulation.network.attach(at, host.receive, behind)
        return host

    def receive(self, data: bytes, source: Endpoint, tos: int) -> None:
        self.observer.note_heard(source, self.simulation.timeline.now)
        if answer := self.discovery.receive(data, source, 0):
            self.simulation.network.send(self.at, source, answer, behind=self.behind)

    def ask(self, number: int) -> None:
        """A node at an address of its own."""
        at = NODES[number]
        node = Discovery(bytes([number + 2] * 32), Random(number).randbytes)
        node.set_peers([self.discovery.public_key])
        self.discovery.set_peers([node.public_key])
        network = self.simulation.network

        def answer(data: bytes, source: Endpoint, tos: int) -> None:
            network.send(at, source, node.receive(data, source, 0) or b"")

        network.attach(at, answer)
        self.observer.note_sent(at, self.simulation.timeline.now)
        network.send(self.at, at, self.discovery.ask(node.public_key, at, 0), behind=self.behind)
        self.simulation.run_for(wp.NS)
        for told in self.discovery.take_answers():
            self.observer.note_answer(told.remote, told.seen_as)

    def behaviour(self) -> NatBehaviour:
        return self.observer.behaviour([self.at.address], self.at.port)


def make_nat(kind: NatKind, behind: Box | None = None, address: str = PUBLIC) -> Nat:
    return Nat(address, Random(1), kind, behind)


@pytest.mark.parametrize(
    ("kind", "mapping", "ports"),
    [
        (FULL_CONE, INDEPENDENT, None),
        (ADDRESS_RESTRICTED, INDEPENDENT, None),
        (PORT_RESTRICTED, INDEPENDENT, None),
        (LINUX, INDEPENDENT, PortAssignment.PRESERVED),  # as long as nobody else has the port
        (replace(SYMMETRIC_RANDOM, mapping=BY_ADDRESS), BY_ADDRESS, PortAssignment.RANDOM),
        (SYMMETRIC_RANDOM, BY_PORT, PortAssignment.RANDOM),
        (SYMMETRIC_COUNTING, BY_PORT, PortAssignment.COUNTING),
    ],
    ids=["full cone", "address", "port", "Linux", "symmetric by address", "random", "counting"],
)
def test_answers_of_three_tell_what_a_nat_maps(
    kind: NatKind, mapping: Dependence, ports: PortAssignment | None
) -> None:
    host = Host.make(make_nat(kind))
    assert host.behaviour() == NatBehaviour()

    for number in range(3):
        host.ask(number)

    found = host.behaviour()
    assert (found.is_translated, found.mapping, found.ports) == (True, mapping, ports)
    assert found.is_symmetric == (mapping is not INDEPENDENT)
    assert {seen.address for seen in found.seen_as} == {PUBLIC}


def test_carrier_grade_nat_maps_as_both_do() -> None:
    carrier = make_nat(SYMMETRIC_COUNTING)
    host = Host.make(make_nat(PORT_RESTRICTED, carrier, "100.64.0.1"))

    for number in range(3):
        host.ask(number)

    assert (host.behaviour().mapping, host.behaviour().ports) == (BY_PORT, PortAssignment.COUNTING)


def test_one_answer_proves_no_mapping() -> None:
    host = Host.make(make_nat(SYMMETRIC_RANDOM))

    host.ask(0)

    assert (host.behaviour().is_translated, host.behaviour().mapping) == (True, None)
    assert not host.behaviour().is_symmetric


@pytest.mark.parametrize("behind", [None, Firewall()], ids=["open", "firewall"])
def test_a_host_that_is_seen_by_its_own_address_has_no_nat(behind: Box | None) -> None:
    host = Host.make(behind, Endpoint("192.0.2.99", 51820))

    for number in range(3):
        host.ask(number)

    assert host.behaviour().is_translated is False


def test_a_nat_that_counts_is_predicted() -> None:
    nat = make_nat(SYMMETRIC_COUNTING)
    host = Host.make(nat)
    for number in range(3):
        host.ask(number)

    first, *_ = host.behaviour().predicted(4)

    assert nat.outbound(INSIDE, Endpoint("203.0.113.1", 1), host.simulation.timeline.now) == first


def test_a_nat_that_does_not_count_is_not_predicted() -> None:
    host = Host.make(make_nat(SYMMETRIC_RANDOM))
    for number in range(3):
        host.ask(number)

    assert host.behaviour().predicted(4) == ()


def test_what_was_seen_before_a_rebinding_does_not_count() -> None:
    nat = make_nat(PORT_RESTRICTED)
    host = Host.make(nat)
    for number in range(3):
        host.ask(number)
    nat.rebind()

    host.ask(2)

    assert host.behaviour().mapping is None
    assert len(host.behaviour().seen_as) == 1
    host.ask(0)
    assert host.behaviour().mapping is INDEPENDENT


@pytest.mark.parametrize(
    ("kind", "at", "filtering"),
    [
        (FULL_CONE, Endpoint("203.0.113.9", 9), INDEPENDENT),
        (FULL_CONE, NODES[0]._replace(port=9), BY_ADDRESS),
        (ADDRESS_RESTRICTED, Endpoint("203.0.113.9", 9), None),
        (ADDRESS_RESTRICTED, NODES[0]._replace(port=9), BY_ADDRESS),
        (PORT_RESTRICTED, NODES[0]._replace(port=9), None),
    ],
)
def test_what_comes_in_unasked_tells_what_a_nat_filters(
    kind: NatKind, at: Endpoint, filtering: Dependence | None
) -> None:
    host = Host.make(make_nat(kind))
    host.ask(0)
    node = Discovery(bytes([2] * 32), Random(0).randbytes)

    outer = host.behaviour().seen_as[-1]
    question = node.ask(host.discovery.public_key, outer, 0)
    host.simulation.network.send(at, outer, question)
    host.simulation.run_for(wp.NS)

    assert host.behaviour().filtering is filtering


def test_what_was_contacted_long_ago_is_unasked() -> None:
    observer = NatObserver(4)
    observer.note_answer(NODES[0], INSIDE)
    observer.note_sent(NODES[0], 0)
    observer.note_heard(NODES[0], CONTACT_TIME - 1)
    assert observer.behaviour([], 1).filtering is None

    observer.note_heard(NODES[0], CONTACT_TIME)

    assert observer.behaviour([], 1).filtering is INDEPENDENT


def test_contacts_of_long_ago_leave_room_for_others() -> None:
    observer = NatObserver(4)
    observer.note_answer(NODES[0], INSIDE)
    for number in range(MAX_CONTACTS):
        observer.note_sent(Endpoint("192.0.2.1", number + 1), 0)
    observer.note_heard(NODES[0], CONTACT_TIME - 1)
    assert observer.behaviour([], 1).filtering is None

    observer.note_heard(NODES[0], CONTACT_TIME)

    assert observer.behaviour([], 1).filtering is INDEPENDENT


def test_it_remembers_a_bounded_number_of_nodes() -> None:
    observer = NatObserver(4)
    for number in range(2 * MAX_REMOTES):
        observer.note_answer(Endpoint("192.0.2.1", number + 1), Endpoint(PUBLIC, number + 1))

    assert len(observer.behaviour([], 1).seen_as) == MAX_REMOTES


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (NatBehaviour(), "unknown, as no node has answered"),
        (NatBehaviour((INSIDE,), False), "no NAT: others see 192.168.0.1, as this host does"),
        (NatBehaviour((INSIDE,), True), "a NAT, 192.168.0.1, seen by one node only"),
        (
            NatBehaviour((INSIDE,), True, INDEPENDENT, None, 0, INDEPENDENT, True, 30 * wp.NS),
            (
                "a NAT, 192.168.0.1, which shows port 51820 to everybody, lets everybody in,"
                " reaches itself too, forgets after 30 s or more"
            ),
        ),
        (
            NatBehaviour((INSIDE,), True, BY_PORT, PortAssignment.COUNTING, 1, hairpin=False),
            "a NAT, 192.168.0.1, which shows another port to each (it counts), reaches itself not",
        ),
    ],
)
def test_people_are_told_in_one_line(behaviour: NatBehaviour, words: str) -> None:
    assert behaviour.words() == words


def test_hairpin_and_lifetime_are_what_was_found() -> None:
    observer = NatObserver(4)
    observer.note_answer(NODES[0], INSIDE)
    observer.note_hairpin(works=True)
    observer.note_lifetime(20 * wp.NS)
    observer.note_lifetime(10 * wp.NS)

    found = observer.behaviour([], 1)

    assert (found.hairpin, found.lifetime) == (True, 20 * wp.NS)


def test_what_a_node_of_the_own_network_sees_tells_nothing_of_the_nat() -> None:
    observer = NatObserver(4)

    observer.note_answer(Endpoint("192.168.0.2", 1), INSIDE)
    observer.note_heard(Endpoint("192.168.0.3", 1), 0)

    assert observer.behaviour([], 1) == NatBehaviour()


@pytest.mark.parametrize(("taken", "asked"), [(6, 2), (4, 4), (2, 6)], ids=["others", "all", "some are not"])
def test_where_a_question_went_out_is_between_what_those_before_and_after_it_saw(
    taken: int, asked: int
) -> None:
    """Other hosts take ports, too, and not all that was sent is translated."""
    before, there, after = NODES
    observer = NatObserver(4)
    observer.note_sent(before, 0)
    for number in range(asked):
        observer.note_sent(there if number == asked // 2 else Endpoint("192.0.2.9", number + 1), 0)
    observer.note_sent(after, 0)
    observer.note_answer(before, Endpoint(PUBLIC, 5000))
    observer.note_answer(after, Endpoint(PUBLIC, 5000 + taken + 1))

    behaviour = observer.behaviour([INSIDE.address], INSIDE.port)

    expected = {one.port for one in observer.expected([there], behaviour)}
    assert set(range(5001, 5001 + taken)) <= expected
    assert len(expected) == EXPECTED


@pytest.mark.parametrize(
    "kept", [(), NODES[:1], NODES[1:2], NODES[2:]], ids=["none", "first", "second", "last"]
)
def test_a_port_that_was_seen_counts_as_what_it_was_also_once_its_contact_is_forgotten(
    kept: list[Endpoint],
) -> None:
    observer = NatObserver(4)
    for number, remote in enumerate(NODES):
        observer.note_sent(remote, 0)
        observer.note_answer(remote, Endpoint(PUBLIC, 5000 + number))
    for remote in kept:
        observer.note_sent(remote, CONTACT_TIME - 1)

    observer.note_sent(Endpoint("192.0.2.9", 51820), CONTACT_TIME)

    assert observer.behaviour([INSIDE.address], INSIDE.port).predicted(1) == (Endpoint(PUBLIC, 5004),)


@pytest.mark.parametrize("order", [NODES, NODES[::-1]], ids=["as asked", "the other way round"])
def test_a_nat_that_counts_and_begins_anew_is_predicted_by_what_it_shows_since(order: list[Endpoint]) -> None:
    observer = NatObserver(4)
    for base in (5000, 7000):
        for remote in NODES:
            observer.note_sent(remote, 0)
        for remote in order:
            observer.note_answer(remote, Endpoint(PUBLIC, base + NODES.index(remote)))
        if base == 5000:
            for port in range(1, 31):
                observer.note_sent(Endpoint("192.0.2.9", port), 0)

    assert observer.behaviour([INSIDE.address], INSIDE.port).predicted(1) == (Endpoint(PUBLIC, 7003),)


@pytest.mark.parametrize("lost", range(3))
def test_a_nat_that_counts_is_known_although_a_first_datagram_was_lost_before_it(lost: int) -> None:
    """The mapping is made by the second one, when later ones have theirs."""
    observer = NatObserver(4)
    for remote in NODES:
        observer.note_sent(remote, 0)
    later = [remote for remote in NODES if remote != NODES[lost]]
    for port, remote in enumerate([*later, NODES[lost]], 5000):
        observer.note_answer(remote, Endpoint(PUBLIC, port))
    observer.note_sent(Endpoint("192.0.2.9", 51820), 0)

    behaviour = observer.behaviour([INSIDE.address], INSIDE.port)

    assert (behaviour.ports, behaviour.step) == (PortAssignment.COUNTING, 1)
    assert Endpoint(PUBLIC, 5000 + len(NODES) + 1) in behaviour.predicted(2)


def test_ports_without_order_are_random_also_if_few_of_them_are_in_order() -> None:
    observer = NatObserver(4)
    for remote, port in zip(NODES, (41000, 5000, 5003), strict=True):
        observer.note_sent(remote, 0)
        observer.note_answer(remote, Endpoint(PUBLIC, port))

    assert observer.behaviour([INSIDE.address], INSIDE.port).ports is PortAssignment.RANDOM
