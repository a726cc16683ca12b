"""Chapter 20: a host with IPv6 alone reaches hosts with IPv4 alone by a NAT64. Of this implementation."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Network

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.paths.nat64 import reached
from wgpy.testing import Attachment, Node, PeerConfig, Simulation
from wgpy.testing.nat import LINUX, PORT_RESTRICTED, SYMMETRIC_RANDOM, Nat64, NatKind

from . import whitepaper as wp

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
