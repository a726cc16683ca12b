"""Chapter 0, continued: boxes between hosts and the network, each kind by what it lets pass."""

from dataclasses import replace
from random import Random

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.testing import (
    AccessNetwork,
    Attachment,
    Conditions,
    Firewall,
    Nat,
    NatKind,
    Network,
    Simulation,
    Timeline,
)
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

INSIDE = Endpoint("192.168.0.1", 51820)
NEIGHBOUR = Endpoint("192.168.0.2", 51820)
ASKED = Endpoint("192.0.2.1", 1)
OTHER_PORT = ASKED._replace(port=2)
ELSEWHERE = Endpoint("192.0.2.2", 1)
PUBLIC = "198.51.100.1"
KINDS = {
    "full cone": FULL_CONE,
    "address-restricted": ADDRESS_RESTRICTED,
    "port-restricted": PORT_RESTRICTED,
    "symmetric counting": SYMMETRIC_COUNTING,
    "symmetric random": SYMMETRIC_RANDOM,
    "Linux": LINUX,
}
# Who comes in by the mapping towards ASKED.
ADMITTED = {
    "full cone": {ASKED, OTHER_PORT, ELSEWHERE},
    "address-restricted": {ASKED, OTHER_PORT},
    "port-restricted": {ASKED},
    "symmetric counting": {ASKED},
    "symmetric random": {ASKED},
    "Linux": {ASKED},
}


def make_nat(kind: NatKind, behind: Box | None = None, address: str = PUBLIC) -> Nat:
    return Nat(address, Random(1), kind, behind)


class World:
    """A network, and who received what from where."""

    def __init__(self) -> None:
        self.timeline = Timeline(0)
        self.network = Network(self.timeline, Random(1), Conditions(delay=wp.MS))
        self.received: list[tuple[str, Endpoint]] = []

    def attach(self, name: str, at: Endpoint, behind: Box | None = None) -> None:
        self.network.attach(at, lambda data, source, tos: self.received.append((name, source)), behind)

    def send(self, source: Endpoint, to: Endpoint, behind: Box | None = None) -> list[tuple[str, Endpoint]]:
        """Who received it, and from where."""
        self.received.clear()
        self.network.send(source, to, b"x", behind=behind)
        self.timeline.run_for(wp.NS)
        return list(self.received)


# -- Kinds of NAT --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_a_nat_lets_in_whom_its_filter_says(name: str) -> None:
    admitted = set()
    for source in (ASKED, OTHER_PORT, ELSEWHERE):
        nat = make_nat(KINDS[name])
        public = nat.outbound(INSIDE, ASKED, 0)
        if nat.inbound(source, public, 1) == INSIDE:
            admitted.add(source)

    assert admitted == ADMITTED[name]


@pytest.mark.parametrize("name", KINDS)
def test_only_a_symmetric_nat_shows_several_ports(name: str) -> None:
    nat = make_nat(KINDS[name])

    ports = {nat.outbound(INSIDE, remote, 0).port for remote in (ASKED, OTHER_PORT, ELSEWHERE)}

    assert len(ports) == (3 if name.startswith("symmetric") else 1)


def test_an_address_dependent_mapping_is_one_for_all_ports_of_an_address() -> None:
    nat = make_nat(replace(SYMMETRIC_RANDOM, mapping=ADDRESS_RESTRICTED.filtering))

    assert nat.outbound(INSIDE, ASKED, 0) == nat.outbound(INSIDE, OTHER_PORT, 0)
    assert nat.outbound(INSIDE, ASKED, 0) != nat.outbound(INSIDE, ELSEWHERE, 0)


def test_a_nat_that_counts_gives_the_next_port() -> None:
    nat = make_nat(SYMMETRIC_COUNTING)

    first, second, third = (nat.outbound(INSIDE, remote, 0).port for remote in (ASKED, OTHER_PORT, ELSEWHERE))

    assert (second, third) == (first + 1, first + 2)


def test_linux_keeps_the_private_port_and_gives_a_second_host_another_one() -> None:
    nat = make_nat(LINUX)

    first = nat.outbound(INSIDE, ASKED, 0)
    second = nat.outbound(NEIGHBOUR, ASKED, 0)

    assert first.port == INSIDE.port != second.port
    assert nat.inbound(ASKED, first, 1) == INSIDE
    assert nat.inbound(ASKED, second, 1) == NEIGHBOUR
    assert nat.outbound(NEIGHBOUR, ELSEWHERE, 1) == second  # towards everybody


def test_where_the_input_takes_it_who_sends_first_has_the_port_for_himself() -> None:
    takes, refuses = make_nat(replace(LINUX, takes_input=True)), make_nat(LINUX)
    public = Endpoint(PUBLIC, INSIDE.port)

    for nat in (takes, refuses):
        assert nat.inbound(ASKED, public, 0) is None

    assert refuses.outbound(INSIDE, ASKED, 1) == public
    other = takes.outbound(INSIDE, ASKED, 1)
    assert other != public
    assert takes.outbound(INSIDE, ELSEWHERE, 1) == other  # towards everybody


# -- Lifetimes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer_at", "alive_until"),
    [(None, 30 * wp.NS), (wp.NS, 31 * wp.NS), (3 * wp.NS, 123 * wp.NS)],
    ids=["unanswered", "answered at once", "answered later"],
)
def test_a_flow_lives_as_linux_has_it(answer_at: int | None, alive_until: int) -> None:
    nat = make_nat(PORT_RESTRICTED)
    public = nat.outbound(INSIDE, ASKED, 0)
    if answer_at is not None:
        nat.inbound(ASKED, public, answer_at)
    late = make_nat(PORT_RESTRICTED)
    late_public = late.outbound(INSIDE, ASKED, 0)
    if answer_at is not None:
        late.inbound(ASKED, late_public, answer_at)

    assert nat.inbound(ASKED, public, alive_until) == INSIDE
    assert late.inbound(ASKED, late_public, alive_until + 1) is None


# -- Where boxes stand ---------------------------------------------------------------------------------


def test_hosts_behind_one_nat_reach_each_other_by_their_private_addresses_past_it() -> None:
    world, nat = World(), make_nat(PORT_RESTRICTED)
    world.attach("host", INSIDE, nat)
    world.attach("neighbour", NEIGHBOUR, nat)

    assert world.send(INSIDE, NEIGHBOUR, nat) == [("neighbour", INSIDE)]


def test_a_private_address_leads_to_nobody_elsewhere() -> None:
    world, nat = World(), make_nat(FULL_CONE)
    world.attach("host", INSIDE, nat)
    world.attach("public", ASKED)

    assert world.send(ASKED, INSIDE) == []


def test_equal_private_addresses_behind_two_nats_are_two_hosts() -> None:
    world = World()
    one, other = make_nat(FULL_CONE), make_nat(FULL_CONE, address="198.51.100.2")
    world.attach("one", INSIDE, one)
    world.attach("other", INSIDE, other)
    world.attach("public", ASKED)
    ((_, public),) = world.send(INSIDE, ASKED, other)

    assert world.send(ASKED, public) == [("other", ASKED)]


@pytest.mark.parametrize("hairpin", [True, False])
def test_hosts_behind_one_nat_reach_each_other_by_its_own_address_if_it_has_hairpin(hairpin: bool) -> None:
    world, nat = World(), make_nat(replace(FULL_CONE, hairpin=hairpin))
    world.attach("host", INSIDE, nat)
    world.attach("neighbour", NEIGHBOUR, nat)
    world.attach("public", ASKED)
    ((_, own),) = world.send(INSIDE, ASKED, nat)
    ((_, public),) = world.send(NEIGHBOUR, ASKED, nat)

    assert world.send(INSIDE, public, nat) == ([("neighbour", own)] if hairpin else [])


def test_carrier_grade_nat_translates_twice() -> None:
    world = World()
    carrier = make_nat(PORT_RESTRICTED)
    home = make_nat(PORT_RESTRICTED, carrier, "100.64.0.1")
    world.attach("host", INSIDE, home)
    world.attach("public", ASKED)

    ((name, public),) = world.send(INSIDE, ASKED, home)

    assert (name, public.address) == ("public", PUBLIC)
    assert world.send(ASKED, public) == [("host", ASKED)]


def test_a_firewall_lets_only_established_flows_in_and_translates_nothing() -> None:
    world, firewall = World(), Firewall()
    host = Endpoint("2001:db8:1::1", 51820)
    asked, elsewhere = Endpoint("2001:db8::1", 1), Endpoint("2001:db8::2", 1)
    world.attach("host", host, firewall)
    world.attach("asked", asked)
    world.attach("elsewhere", elsewhere)
    assert world.send(asked, host) == []

    assert world.send(host, asked, firewall) == [("asked", host)]

    assert world.send(asked, host) == [("host", asked)]
    assert world.send(elsewhere, host) == []
    firewall.rebind()
    assert world.send(asked, host) == []


def test_a_firewall_may_drop_all_udp() -> None:
    world, firewall = World(), Firewall(passes_udp=False)
    world.attach("host", INSIDE, firewall)
    world.attach("public", ASKED)

    assert world.send(INSIDE, ASKED, firewall) == []
    assert world.send(ASKED, INSIDE) == []


@pytest.mark.parametrize("version", [4, 6])
def test_a_line_carries_one_version_of_ip(version: int) -> None:
    world, line = World(), AccessNetwork(version)
    inside = {4: Endpoint("192.0.2.9", 1), 6: Endpoint("2001:db8::9", 1)}[version]
    public = {4: ASKED, 6: Endpoint("2001:db8::1", 1)}
    world.attach("host", inside, line)
    for at in public.values():
        world.attach("public", at)

    reached = {one for one, at in public.items() if world.send(inside, at, line)}

    assert reached == {version}
    assert world.send(public[version], inside) == [("host", public[version])]


def test_a_node_sends_from_its_address_of_the_same_version_and_may_move() -> None:
    simulation, nat = Simulation(1), make_nat(FULL_CONE)
    six = Endpoint("2001:db8::9", 51820)
    node = simulation.add_node("node", at=[Attachment(INSIDE, nat), Attachment(six)])
    received: list[Endpoint] = []
    public = (ASKED, Endpoint("2001:db8::1", 1))
    for at in public:
        simulation.network.attach(at, lambda data, source, tos: received.append(source))
    for at in public:
        node.send_raw(at, b"x")
    simulation.run_for(wp.NS)
    assert [received[0].address, received[1]] == [PUBLIC, six]

    node.move(Attachment(ELSEWHERE))
    node.send_raw(ASKED, b"x")
    simulation.run_for(wp.NS)

    assert received[2:] == [ELSEWHERE]
