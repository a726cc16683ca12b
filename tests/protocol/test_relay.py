"""Chapter 12: a relay. Two nodes that cannot reach each other speak by way of a third one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.testing import Conditions, Flight, Nat, Node, PeerConfig, Simulation
from wgpy.testing.invariants import Auditor
from wgpy.testing.nat import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    LINUX,
    PORT_RESTRICTED,
    SYMMETRIC_COUNTING,
    SYMMETRIC_RANDOM,
    NatKind,
)

from . import whitepaper as wp

KEEPALIVE = 25
RANDOM_RUNS = 40


class Relayed:
    """Alice and Bob, each behind a NAT, who have the relay's endpoint for each other."""

    def __init__(
        self,
        seed: int = 1,
        conditions: Conditions | None = None,
        kinds: Sequence[NatKind] = (SYMMETRIC_RANDOM, PORT_RESTRICTED),
    ) -> None:
        self.simulation = Simulation(seed)
        self.relay = self.simulation.add_node("relay")
        self.relay.relay()
        self.nats = [self.simulation.add_nat(number, kind) for number, kind in enumerate(kinds, 1)]
        self.alice = self.simulation.add_node("alice", nat=self.nats[0])
        self.bob = self.simulation.add_node("bob", nat=self.nats[1])
        self.auditor = Auditor(self.simulation.timeline)
        for node in self.simulation.nodes:
            self.auditor.watch(node)
        self.flights: list[Flight] = []
        self.simulation.network.watch(self.flights.append)
        for node, other in ((self.alice, self.bob), (self.bob, self.alice)):
            self.relay.add_peer(self.simulation.peer_config(node))
            node.add_peer(self.simulation.peer_config(self.relay, persistent_keepalive=KEEPALIVE))
            node.add_peer(self.by_relay(other))
        self.run_for(wp.NS)
        if conditions is not None:
            self.simulation.network.conditions = conditions

    def by_relay(self, node: Node) -> PeerConfig:
        config = self.simulation.peer_config(node)
        return PeerConfig(config.public_key, config.allowed_ips, self.relay.listen)

    def run_for(self, duration: int) -> None:
        self.simulation.run_for(duration)

    def from_relay(self, nat: Nat) -> list[Flight]:
        return [
            flight
            for flight in self.flights
            if flight.source == self.relay.listen and flight.destination.address == nat.address
        ]

    def passes(self, source: Node, destination: Node, within: int = wp.NS) -> bool:
        """Whether a packet arrives."""
        packet = self.simulation.send(source, destination)
        self.run_for(within)
        return packet in destination.delivered


@pytest.fixture
def world() -> Relayed:
    return Relayed()


@pytest.fixture
def carol(world: Relayed) -> Node:
    """Whom the relay can dial, and has no session with; Alice knows her by the relay alone."""
    node = world.simulation.add_node("carol")
    world.auditor.watch(node)
    world.relay.add_peer(world.simulation.peer_config(node))
    world.alice.add_peer(world.by_relay(node))
    for other in (world.relay, world.alice):
        node.add_peer(replace(world.simulation.peer_config(other), endpoint=None))
    return node


def initiations_to(world: Relayed, node: Node) -> list[Flight]:
    flights = (flight for flight in world.flights if flight.destination == node.listen)
    return [flight for flight in flights if flight.data[0] == 1]


# -- An addressee without a session --------------------------------------------------------------------


def test_who_has_no_session_with_the_relay_is_reached_by_the_next_attempt(
    world: Relayed, carol: Node
) -> None:
    assert world.passes(world.alice, carol, within=wp.REKEY_TIMEOUT + wp.NS)


def test_of_an_initiation_for_who_has_no_session_comes_one_initiation_at_most(
    world: Relayed, carol: Node
) -> None:
    carol.suspend()
    world.flights.clear()
    world.simulation.send(world.alice, carol)

    world.run_for(wp.REKEY_ATTEMPT_TIME + 60 * wp.NS)

    asked = [f for f in world.flights if f.source.address == world.nats[0].address and f.data[0] == 1]
    assert 1 < len(initiations_to(world, carol)) <= len(asked)


@pytest.mark.parametrize("is_spoofed", [False, True], ids=["from elsewhere", "in a peer's name"])
def test_who_replays_an_initiation_makes_a_relay_send_less_than_he_does(
    world: Relayed, carol: Node, is_spoofed: bool
) -> None:
    carol.suspend()
    world.simulation.send(world.alice, carol)
    world.run_for(wp.NS)
    recorded = initiations_to(world, world.relay)[-1]
    world.alice.stop()
    world.flights.clear()

    for _ in range(100):
        source = recorded.source if is_spoofed else Endpoint("203.0.113.66", 6666)
        world.simulation.network.send(source, world.relay.listen, recorded.data)
        world.run_for(wp.NS)

    sought = len(initiations_to(world, carol))
    assert (0 < sought <= 100 // 5 + 1) if is_spoofed else sought == 0


# -- It works ----------------------------------------------------------------------------------------


def test_the_first_packet_arrives_after_one_relayed_round_trip(world: Relayed) -> None:
    delay = world.simulation.network.conditions.delay
    packet = world.simulation.send(world.alice, world.bob)

    world.run_for(6 * delay)  # initiation, response, data: two hops each

    assert world.bob.delivered == [packet]


def test_data_passes_both_ways(world: Relayed) -> None:
    assert world.passes(world.alice, world.bob)
    assert world.passes(world.bob, world.alice)


def test_each_datagram_is_forwarded_once_and_as_it_was(world: Relayed) -> None:
    world.flights.clear()

    world.passes(world.alice, world.bob)

    for nat, other in (world.nats, reversed(world.nats)):
        sent = [(f.data, f.tos) for f in world.flights if f.source.address == nat.address]
        assert [(f.data, f.tos) for f in world.from_relay(other)] == sent
    counts = world.relay.datapath.relay_counts()
    assert counts.datagrams == len(world.from_relay(world.nats[0]) + world.from_relay(world.nats[1]))
    assert counts.bytes == sum(len(f.data) for f in world.flights if f.source == world.relay.listen)


def test_the_relay_neither_opens_nor_delivers_what_it_forwards(world: Relayed) -> None:
    world.passes(world.alice, world.bob)

    assert world.relay.delivered == []
    assert not +world.relay.device.counters()


def test_both_ends_may_begin_at_once(world: Relayed) -> None:
    there = world.simulation.send(world.alice, world.bob)
    back = world.simulation.send(world.bob, world.alice)

    world.run_for(10 * wp.NS)

    assert (world.bob.delivered, world.alice.delivered) == ([there], [back])


def test_sessions_are_renewed_by_way_of_the_relay(world: Relayed) -> None:
    for _ in range(400):
        assert world.passes(world.alice, world.bob)
        assert world.passes(world.bob, world.alice)

    assert not +world.relay.device.counters()


def test_an_idle_session_that_ended_is_made_anew_by_way_of_the_relay(world: Relayed) -> None:
    world.passes(world.alice, world.bob)
    world.run_for(3600 * wp.NS)

    assert world.passes(world.bob, world.alice)


def test_an_end_under_load_gives_its_cookie_by_way_of_the_relay(world: Relayed) -> None:
    world.bob.backlog = 64
    packet = world.simulation.send(world.alice, world.bob)
    world.run_for(wp.NS)
    world.bob.backlog = 64

    world.run_for(6 * wp.NS)

    assert [f.data[0] for f in world.from_relay(world.nats[0]) if f.data[0] == 3] == [3]
    assert packet in world.bob.delivered


def test_a_relay_under_load_asks_for_no_cookie_for_what_it_forwards(world: Relayed) -> None:
    world.relay.backlog = 64

    assert world.passes(world.alice, world.bob)


def test_the_relay_speaks_with_both_ends_itself(world: Relayed) -> None:
    assert world.passes(world.alice, world.bob)
    assert world.passes(world.alice, world.relay)
    assert world.passes(world.relay, world.bob)
    assert world.passes(world.bob, world.alice)


# -- Changes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rebound", [0, 1])
def test_after_a_rebinding_the_next_authentic_message_to_the_relay_is_enough(
    world: Relayed, rebound: int
) -> None:
    world.passes(world.alice, world.bob)
    world.nats[rebound].rebind()
    node = (world.alice, world.bob)[rebound]

    world.simulation.send(node, world.relay)
    world.run_for(wp.NS)

    assert world.passes(world.alice, world.bob)
    assert world.passes(world.bob, world.alice)


def test_a_relay_that_was_started_anew_forwards_once_both_ends_have_a_session_with_it(world: Relayed) -> None:
    world.passes(world.alice, world.bob)
    world.relay.crash()
    world.relay.start()
    for node in (world.alice, world.bob):
        node.begin_handshake(world.relay.public_key)
    world.run_for(6 * wp.NS)  # each had one a moment ago

    # What it learnt from handshakes is lost with it: the ends make their session anew.
    world.alice.begin_handshake(world.bob.public_key)
    world.run_for(wp.NS)

    assert world.passes(world.alice, world.bob)
    assert world.passes(world.bob, world.alice)


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_an_end_that_was_started_anew_is_reached(world: Relayed, who: str) -> None:
    node: Node = getattr(world, who)
    world.passes(world.alice, world.bob)
    node.crash()
    world.run_for(30 * wp.NS)
    node.start()
    world.run_for(wp.NS)

    assert world.passes(node, world.alice if node is world.bob else world.bob, 6 * wp.NS)


def test_an_endpoint_moves_to_the_direct_path_and_back_without_loss(world: Relayed) -> None:
    carol = _public_node(world)
    assert world.passes(carol, world.alice)

    _set_endpoint(world.alice, carol, carol.listen)
    for _ in range(3):
        assert world.passes(world.alice, carol)
        assert world.passes(carol, world.alice)
    assert _endpoint(carol, world.alice).address == world.nats[0].address

    _set_endpoint(carol, world.alice, world.relay.listen)
    for _ in range(3):
        assert world.passes(carol, world.alice)
        assert world.passes(world.alice, carol)
    assert _endpoint(world.alice, carol) == world.relay.listen


def test_relayed_data_does_not_move_an_endpoint_that_is_pinned_to_the_direct_path(world: Relayed) -> None:
    """Without it the data that is on its way by the relay would move it back."""
    carol = _public_node(world)
    assert world.passes(carol, world.alice)
    _set_endpoint(world.alice, carol, carol.listen, pinned=True)

    assert world.passes(carol, world.alice)

    assert _endpoint(world.alice, carol) == carol.listen


# -- What is not forwarded ---------------------------------------------------------------------------


def test_nothing_is_forwarded_from_or_to_an_unknown_node(world: Relayed) -> None:
    mallory = world.simulation.add_node("mallory")
    world.auditor.watch(mallory)
    mallory.add_peer(world.by_relay(world.alice))
    world.alice.add_peer(world.by_relay(mallory))
    world.flights.clear()

    assert not world.passes(mallory, world.alice, 30 * wp.NS)
    assert not world.passes(world.alice, mallory, 30 * wp.NS)
    drops = +world.relay.device.counters()
    assert set(drops) == {DropReason.INVALID_MAC1, DropReason.RELAY_NO_ADDRESSEE}
    assert not [f for f in world.from_relay(world.nats[0]) if f.data[0] == 1]


def test_a_node_that_does_not_relay_forwards_nothing() -> None:
    world = Relayed()
    world.relay.relay(0)

    assert not world.passes(world.alice, world.bob, 30 * wp.NS)


def _public_node(world: Relayed) -> Node:
    """Carol, whom Alice could reach directly, and speaks to by the relay."""
    carol = world.simulation.add_node("carol")
    world.auditor.watch(carol)
    world.relay.add_peer(world.simulation.peer_config(carol))
    carol.add_peer(world.simulation.peer_config(world.relay, persistent_keepalive=KEEPALIVE))
    carol.add_peer(world.by_relay(world.alice))
    world.alice.add_peer(world.by_relay(carol))
    world.run_for(wp.NS)
    return carol


def _set_endpoint(node: Node, other: Node, endpoint: Endpoint, pinned: bool = False) -> None:
    node.engine.set_endpoint(node.peer(other.public_key), endpoint, node.now, pinned=pinned)
    node.settle()


def _endpoint(node: Node, other: Node) -> Endpoint:
    endpoint = node.peer(other.public_key).endpoint
    assert endpoint is not None
    return endpoint


# -- Random networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(RANDOM_RUNS))
def test_whatever_happens_both_ends_reach_each_other_in_the_end(number: int, seed: int) -> None:
    random = Random(seed + number)
    world = Relayed(seed + number, _weather(random), random.choices(_KINDS, k=2))
    events = _events(world, random)
    for _ in range(random.randint(5, 20)):
        random.choice(events)()
        world.simulation.send(*random.sample([world.alice, world.bob], 2))
        world.run_for(random.randint(1, 60) * wp.NS)

    world.simulation.network.heal()
    for node in world.simulation.nodes:
        if not node.is_running:
            node.start()
        if node.is_asleep:
            node.resume()
    for node in (world.alice, world.bob):
        node.begin_handshake(world.relay.public_key)
    world.run_for(12 * wp.NS)
    for source, destination in ((world.alice, world.bob), (world.bob, world.alice)):
        world.simulation.send(source, destination)
    world.run_for(30 * wp.NS)

    assert world.passes(world.alice, world.bob), f"repeat with --seed {seed + number}"
    assert world.passes(world.bob, world.alice), f"repeat with --seed {seed + number}"


_KINDS = (
    FULL_CONE,
    ADDRESS_RESTRICTED,
    PORT_RESTRICTED,
    SYMMETRIC_COUNTING,
    SYMMETRIC_RANDOM,
    LINUX,
)


def _weather(random: Random) -> Conditions:
    return Conditions(
        jitter=random.choice((0, 30, 2000)) * wp.MS,
        loss=random.choice((0, 0.05, 0.3)),
        duplication=random.choice((0, 0.3)),
        corruption=random.choice((0, 0.1)),
    )


def _events(world: Relayed, random: Random) -> list[Callable[[], None]]:
    def crash() -> None:
        node = random.choice(world.simulation.nodes)
        if node.is_running:
            node.crash()
        else:
            node.start()

    def sleep() -> None:
        node = random.choice(world.simulation.nodes)
        if node.is_running:
            (node.resume if node.is_asleep else node.suspend)()

    def rebind() -> None:
        random.choice(world.nats).rebind()

    def renew() -> None:
        node = random.choice((world.alice, world.bob))
        node.begin_handshake(world.relay.public_key)

    return [crash, sleep, rebind, renew, lambda: None]
