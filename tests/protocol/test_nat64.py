"""Chapter 20: a host with IPv6 alone reaches hosts with IPv4 alone by a NAT64. Of this implementation."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.nat64 import reached
from wgpy.testing import Attachment, Node, PeerConfig, Simulation
from wgpy.testing.nat import LINUX, PORT_RESTRICTED, SYMMETRIC_RANDOM, Nat64, NatKind

from . import path_hosts
from . import whitepaper as wp
from .test_path_matrix import PREFIX as ACCESS_PREFIX
from .test_path_matrix import add_host, attachments, begin_at_once, connect, talk

PREFIX = IPv6Network("2001:db8:64:ff9b::/96")
SIX = Endpoint("2001:db8:64::2", 51820)


@dataclass
class World:
    """Six is behind a NAT64, Four behind an ordinary NAT; the relay has an IPv4 address."""

    kind: NatKind = LINUX
    simulation: Simulation = field(default_factory=Simulation)

    def __post_init__(self) -> None:
        translator = Nat64(self.simulation.add_nat(1, self.kind), PREFIX)
        self.relay = self.simulation.add_node("relay")
        self.relay.relay()
        self.six = self.simulation.add_node("six", at=[Attachment(SIX, translator)])
        self.four = self.simulation.add_node("four", nat=self.simulation.add_nat(2))
        for node in (self.six, self.four):
            self.relay.add_peer(replace(self.simulation.peer_config(node), endpoint=None))
            node.add_peer(self.at_relay(node, self.relay, keepalive=25))
        self.six.add_peer(self.at_relay(self.six, self.four))
        self.four.add_peer(self.at_relay(self.four, self.six))

    def at_relay(self, node: Node, other: Node, keepalive: int = 0) -> PeerConfig:
        """How a node has another one, where it reaches the relay."""
        prefix = PREFIX if node is self.six else None
        config = self.simulation.peer_config(other, persistent_keepalive=keepalive)
        return replace(config, endpoint=reached(self.relay.listen, prefix))

    def passes(self, source: Node, destination: Node) -> bool:
        packet = self.simulation.send(source, destination)
        self.simulation.run_for(wp.NS)
        return packet in destination.delivered


@pytest.mark.parametrize("kind", [LINUX, PORT_RESTRICTED, SYMMETRIC_RANDOM])
def test_a_host_with_ipv6_alone_and_one_with_ipv4_alone_reach_each_other(kind: NatKind) -> None:
    world = World(kind)
    world.simulation.run_for(wp.NS)

    assert world.passes(world.relay, world.six)
    assert world.passes(world.six, world.relay)
    assert world.passes(world.six, world.four), "by the relay"
    assert world.passes(world.four, world.six)


def test_in_another_prefix_there_is_nobody() -> None:
    world = World()
    received: list[Endpoint] = []
    world.simulation.network.attach(
        Endpoint("192.0.2.200", 1), lambda data, source, tos: received.append(source)
    )

    for at in (Endpoint("192.0.2.200", 1), Endpoint("64:ff9b::c000:2c8", 1)):
        world.six.send_raw(at, b"x")
    world.simulation.run_for(wp.NS)
    assert received == []

    world.six.send_raw(reached(Endpoint("192.0.2.200", 1), PREFIX), b"x")
    world.simulation.run_for(wp.NS)
    assert [source.address for source in received] == ["198.51.100.1"]


@pytest.mark.parametrize("other", ["Linux", "port-restricted", "counting", "firewall"])
def test_after_silence_it_learns_how_ipv4_sees_it_now_also_from_relays_that_it_reaches_by_ipv6(
    other: str, seed: int
) -> None:
    world = path_hosts.World(seed)
    six, four = (add_host(world, kind, number) for number, kind in enumerate(("NAT64", other), 1))
    assert {endpoint.is_ipv6 for endpoint in six.relays.values()} == {True}

    world.run(400 * wp.NS)

    result = connect(world, six, four)
    assert result.direct is not None
    assert result.lost == 0


def test_how_a_host_behind_a_nat64_sees_others_makes_no_others_lose_their_paths(seed: int) -> None:
    """It sees them in its own prefix. Twelve are more than a NAT that counts is predicted for."""
    world = path_hosts.World(seed)
    kinds = ("counting", "NAT64", *["port-restricted"] * 12)

    one, *others = begin_at_once(world, kinds, rounds=20)

    assert [at.node.name for at in others if not (one.is_direct(at) and at.is_direct(one))] == []
    assert {seen.is_ipv6 for seen in one.observers[4].behaviour((), 0).seen_as} == {False}


def test_a_host_that_comes_behind_a_nat64_is_direct_again(seed: int) -> None:
    world = path_hosts.World(seed)
    moving, four = (
        add_host(world, kind, number) for number, kind in enumerate(("Linux", "port-restricted"), 1)
    )
    world.run(2 * wp.NS)
    assert connect(world, moving, four).direct is not None

    moving.nat64 = ACCESS_PREFIX
    moving.change_network(*attachments(world, "NAT64", 7))

    result = talk(world, moving, four, 10 * wp.NS)
    assert result.direct is not None
