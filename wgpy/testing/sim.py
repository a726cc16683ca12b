"""A world of nodes on one network and one timeline, from one seed.

Invariant: a seed and the calls made give the same run again, byte for byte.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

from wgpy.contract.constants import DEFAULT_MTU, KEY_LENGTH
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP

from .clock import Timeline
from .nat import ADDRESS_RESTRICTED, Box, Nat, NatKind
from .network import PERFECT, Conditions, Network
from .node import Attachment, Node, PeerConfig
from .packets import InnerPacket

LISTEN_PORT: Final = 51820
MAX_NODES: Final = 200


class Simulation:
    """Nodes with the inner addresses 10.0.0.N and fd00::N, in the order they were added."""

    def __init__(self, seed: int = 0, conditions: Conditions = PERFECT) -> None:
        self.random = Random(seed)
        self.timeline = Timeline()
        self.network = Network(self.timeline, Random(self.random.getrandbits(64)), conditions)
        self.nodes: list[Node] = []
        self._packets = 0

    def add_node(
        self,
        name: str,
        *,
        nat: Box | None = None,
        ipv6: bool = False,
        mtu: int = DEFAULT_MTU,
        at: Sequence[Attachment] = (),
    ) -> Node:
        """A node that is up. With a NAT it is reached only after it has sent. at: instead of nat and ipv6."""
        number = len(self.nodes) + 1
        if number > MAX_NODES:
            raise ValueError(f"a simulation has at most {MAX_NODES} nodes")
        node_random = Random(self.random.getrandbits(64))
        listen = Endpoint(_outer_address(number, nat, ipv6), LISTEN_PORT)
        first, *also = at or [Attachment(listen, nat)]
        node = Node(
            self.timeline,
            self.network,
            node_random,
            name=name,
            private_key=node_random.randbytes(KEY_LENGTH),
            listen=first.at,
            nat=first.behind,
            also=also,
            mtu=mtu,
        )
        self.nodes.append(node)
        return node

    def add_nat(self, number: int, kind: NatKind = ADDRESS_RESTRICTED, behind: Box | None = None) -> Nat:
        """A NAT with the address 198.51.100.N."""
        return Nat(f"198.51.100.{number}", Random(self.random.getrandbits(64)), kind, behind)

    def connect(self, left: Node, right: Node, preshared_key: bytes = bytes(KEY_LENGTH)) -> None:
        """Make the two peers of each other, with the endpoints that are known beforehand."""
        left.add_peer(self.peer_config(right, preshared_key))
        right.add_peer(self.peer_config(left, preshared_key))

    def peer_config(
        self, node: Node, preshared_key: bytes = bytes(KEY_LENGTH), persistent_keepalive: int = 0
    ) -> PeerConfig:
        """How others configure this node."""
        return PeerConfig(
            public_key=node.public_key,
            allowed_ips=(AllowedIP(self._inner(node, 4), 32), AllowedIP(self._inner(node, 6), 128)),
            endpoint=None if node.nat is not None else node.listen,
            preshared_key=preshared_key,
            persistent_keepalive=persistent_keepalive,
        )

    def packet(self, source: Node, destination: Node, *, size: int = 0, ipv6: bool = False) -> bytes:
        """A packet from one node to another, unlike any before it."""
        self._packets += 1
        prefix = "fd00::" if ipv6 else "10.0.0."
        left, right = self.nodes.index(source) + 1, self.nodes.index(destination) + 1
        left_address, right_address = (f"{prefix}{n:x}" if ipv6 else f"{prefix}{n}" for n in (left, right))
        return InnerPacket(left_address, right_address, self._packets, size).encode()

    def send(self, source: Node, destination: Node, *, size: int = 0, ipv6: bool = False) -> bytes:
        """Put a new packet into the source's TUN, and return it."""
        packet = self.packet(source, destination, size=size, ipv6=ipv6)
        source.send_packet(packet)
        return packet

    def run_for(self, duration: int) -> None:
        """Let time pass, in ns."""
        self.timeline.run_for(duration)

    def _inner(self, node: Node, version: int) -> bytes:
        number = self.nodes.index(node) + 1
        return bytes([10, 0, 0, number]) if version == 4 else b"\xfd" + bytes(14) + bytes([number])


def _outer_address(number: int, nat: Box | None, ipv6: bool) -> str:
    if nat is not None:
        return f"192.168.0.{number}"
    return f"2001:db8::{number:x}" if ipv6 else f"192.0.2.{number}"
