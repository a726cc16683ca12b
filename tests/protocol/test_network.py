"""Chapter 0: the simulation itself, as everything else here stands on it."""

from random import Random

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.testing import Conditions, InnerPacket, Nat, NatKind, Network, Simulation, Timeline, number_of

from . import whitepaper as wp

LEFT = Endpoint("192.0.2.1", 1)
RIGHT = Endpoint("192.0.2.2", 2)
INSIDE = Endpoint("192.168.0.1", 1)


class World:
    """A network with a socket at RIGHT, and what arrived there: when, from where, what."""

    def __init__(self, conditions: Conditions) -> None:
        self.timeline = Timeline(0)
        self.network = Network(self.timeline, Random(1), conditions)
        self.arrived: list[tuple[int, Endpoint, bytes]] = []
        self.network.attach(RIGHT, self._receive)

    def send(self, count: int, source: Endpoint = LEFT) -> list[bytes]:
        """That many datagrams, 1 ms apart, and time for all of them to arrive."""
        sent = [number.to_bytes(40, "big") for number in range(count)]
        for data in sent:
            self.network.send(source, RIGHT, data)
            self.timeline.run_for(wp.MS)
        self.timeline.run_for(10 * wp.NS)
        return sent

    @property
    def data(self) -> list[bytes]:
        return [data for _, _, data in self.arrived]

    def _receive(self, data: bytes, source: Endpoint, tos: int) -> None:
        self.arrived.append((self.timeline.now, source, data))


# -- Time --------------------------------------------------------------------------------------------


def test_time_moves_from_one_event_to_the_next_and_to_where_it_was_told() -> None:
    timeline = Timeline(0)
    seen: list[tuple[str, int]] = []
    timeline.call_at(30, lambda: seen.append(("late", timeline.now)))
    timeline.call_after(10, lambda: seen.append(("early", timeline.now)))
    timeline.call_at(10, lambda: seen.append(("same instant, later told", timeline.now)))
    timeline.call_at(31, lambda: seen.append(("not yet", timeline.now)))

    timeline.run_until(30)

    assert seen == [("early", 10), ("same instant, later told", 10), ("late", 30)]
    assert timeline.now == 30


def test_what_is_due_already_happens_next() -> None:
    timeline = Timeline(100)
    seen: list[int] = []
    timeline.call_at(5, lambda: seen.append(timeline.now))

    timeline.run_for(0)

    assert seen == [100]


def test_time_does_not_run_backward() -> None:
    with pytest.raises(ValueError, match="backward"):
        Timeline(100).run_until(99)


def test_the_boot_clock_and_the_wall_clock_of_a_host_are_stepped_apart() -> None:
    simulation = Simulation(1)
    clock = simulation.add_node("node").clock
    boot, wall = clock.boot(), clock.wall()

    clock.step_wall(-5 * wp.NS)
    simulation.run_for(wp.NS)

    assert clock.boot() == boot + wp.NS
    assert clock.wall() == wall - 4 * wp.NS
    assert clock.when(clock.boot()) == simulation.timeline.now
    clock.reboot()
    assert clock.boot() < boot
    assert clock.wall() == wall - 4 * wp.NS
    clock.set_wall_right()
    assert clock.wall() == simulation.timeline.now


# -- The network -------------------------------------------------------------------------------------


def test_a_perfect_network_delivers_everything_in_order_after_its_delay() -> None:
    world = World(Conditions(delay=7 * wp.MS))

    sent = world.send(20)

    assert world.data == sent
    assert [at for at, _, _ in world.arrived] == [(7 + n) * wp.MS for n in range(20)]


def test_a_lossy_network_loses_its_share() -> None:
    world = World(Conditions(loss=0.3))

    sent = world.send(1000)

    assert 620 < len(world.data) < 780
    assert set(world.data) < set(sent)


def test_a_duplicating_network_delivers_its_share_twice() -> None:
    world = World(Conditions(duplication=0.5))

    sent = world.send(1000)

    assert 1400 < len(world.data) < 1600
    assert set(world.data) == set(sent)


def test_jitter_reorders() -> None:
    world = World(Conditions(jitter=50 * wp.MS))

    sent = world.send(100)

    assert world.data != sent
    assert sorted(world.data) == sent


def test_a_corrupting_network_flips_one_bit_of_its_share() -> None:
    world = World(Conditions(corruption=0.5))

    sent = world.send(1000)

    flipped = [
        (int.from_bytes(was, "big") ^ int.from_bytes(now, "big")).bit_count()
        for was, now in zip(sent, world.data, strict=True)
    ]
    assert set(flipped) == {0, 1}
    assert 400 < sum(flipped) < 600


def test_the_same_seed_gives_the_same_network() -> None:
    weather = Conditions(loss=0.2, jitter=50 * wp.MS, duplication=0.2, corruption=0.2)
    first, second = World(weather), World(weather)

    first.send(200)
    second.send(200)

    assert first.arrived == second.arrived


def test_a_partition_cuts_one_part_off_until_it_is_healed() -> None:
    world = World(Conditions())
    world.network.partition(frozenset({RIGHT.address}))
    assert world.send(1) != []
    assert world.data == []

    world.network.heal()

    assert world.send(1) == world.data


def test_inside_a_part_everybody_is_reached() -> None:
    world = World(Conditions())
    world.network.partition(frozenset({LEFT.address, RIGHT.address}))

    assert world.send(1) == world.data


def test_nobody_is_reached_at_a_closed_socket() -> None:
    world = World(Conditions())
    world.network.detach(RIGHT)

    world.send(1)

    assert world.data == []


# -- NAT ---------------------------------------------------------------------------------------------


def make_nat() -> Nat:
    return Nat("198.51.100.1", Random(1), NatKind(unanswered=30 * wp.NS, answered=30 * wp.NS))


def test_a_nat_shows_one_public_port_to_everybody() -> None:
    nat = make_nat()

    first = nat.outbound(INSIDE, LEFT, 0)
    second = nat.outbound(INSIDE, RIGHT, 0)

    assert first == second
    assert first.address == "198.51.100.1"


def test_a_nat_lets_in_who_was_contacted_and_nobody_else() -> None:
    nat = make_nat()
    public = nat.outbound(INSIDE, LEFT, 0)

    assert nat.inbound(LEFT, public, 1) == INSIDE
    assert nat.inbound(RIGHT, public, 1) is None
    assert nat.inbound(LEFT, public._replace(port=public.port ^ 1), 1) is None


def test_a_nat_forgets_who_was_not_heard_of_for_its_timeout() -> None:
    nat = make_nat()
    public = nat.outbound(INSIDE, LEFT, 0)
    assert nat.inbound(LEFT, public, 30 * wp.NS) == INSIDE
    assert nat.inbound(LEFT, public, 60 * wp.NS) == INSIDE

    assert nat.inbound(LEFT, public, 91 * wp.NS) is None
    assert nat.outbound(INSIDE, LEFT, 92 * wp.NS) != public


def test_a_nat_that_rebinds_shows_another_port() -> None:
    nat = make_nat()
    before = nat.outbound(INSIDE, LEFT, 0)

    nat.rebind()

    assert nat.inbound(LEFT, before, 1) is None
    assert nat.outbound(INSIDE, LEFT, 1) != before


# -- Nodes and packets -------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "destination"), [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
@pytest.mark.parametrize("size", [0, 100, 1420])
def test_an_inner_packet_says_its_own_length_and_is_known_by_its_number(
    source: str, destination: str, size: int
) -> None:
    packet = InnerPacket(source, destination, 77, size).encode()

    stated = (
        int.from_bytes(packet[2:4], "big") if packet[0] >> 4 == 4 else 40 + int.from_bytes(packet[4:6], "big")
    )
    assert stated == len(packet) == (size or len(packet))
    assert number_of(packet) == 77


def test_an_ipv4_header_has_a_right_checksum() -> None:
    header = InnerPacket("10.0.0.1", "10.0.0.2", 1).encode()[:20]

    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, 20, 2))

    assert total % 0xFFFF == 0


def test_a_node_that_sleeps_neither_hears_nor_speaks() -> None:
    simulation = Simulation(1)
    alice, bob = simulation.add_node("alice"), simulation.add_node("bob")
    simulation.connect(alice, bob)
    sent: list[object] = []
    simulation.network.watch(sent.append)
    bob.suspend()

    simulation.send(bob, alice)
    assert sent == []
    simulation.send(alice, bob)
    simulation.run_for(wp.NS)

    assert len(sent) == 1
    assert bob.is_asleep


def test_a_node_that_stopped_forgets_all_but_its_configuration() -> None:
    simulation = Simulation(1)
    alice, bob = simulation.add_node("alice"), simulation.add_node("bob")
    simulation.connect(alice, bob)
    before = bob.device
    bob.stop()
    assert not bob.is_running
    simulation.send(bob, alice)

    bob.start()

    assert bob.is_running
    assert bob.device is not before
    assert list(bob.engine.peers) == [alice.public_key]


def test_a_simulation_has_room_for_a_stated_number_of_nodes() -> None:
    simulation = Simulation(1)
    for number in range(200):
        simulation.add_node(f"node{number}")

    with pytest.raises(ValueError, match="at most 200"):
        simulation.add_node("one too many")
