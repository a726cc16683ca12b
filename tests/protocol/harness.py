"""What the chapters share: a pair of nodes, and a node that faces a peer by the paper. Virtual time only."""

from dataclasses import dataclass, field
from typing import TypeVar

from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP, InstallKeypair
from wgpy.device import DeviceEvent
from wgpy.engine.actions import Action, HandshakeCompleted, PeerUnreachable
from wgpy.engine.peer import Peer
from wgpy.testing import (
    ActionTaken,
    Flight,
    InnerPacket,
    Nat,
    Node,
    Notice,
    PeerConfig,
    Simulation,
)

from . import whitepaper as wp

PAPER_AT = Endpoint("192.0.2.99", 51820)
PAPER_INNER = "10.0.0.99"
NODE_INNER = "10.0.0.1"
DELAY = 10 * wp.MS  # of the perfect network

A = TypeVar("A", bound=Action)


@dataclass
class Wire:
    """Every datagram that was sent, lost or not."""

    flights: list[Flight] = field(default_factory=list)

    def of(self, kind: int, sender: Node | None = None) -> list[Flight]:
        """Those of a message type, of one sender or of all."""
        return [
            flight
            for flight in self.flights
            if flight.data[0] == kind and (sender is None or flight.source == sender.listen)
        ]

    def kinds(self, sender: Node | None = None) -> list[int]:
        return [f.data[0] for f in self.flights if sender is None or f.source == sender.listen]

    def clear(self) -> None:
        self.flights.clear()


def handshake_events(node: Node) -> list[DeviceEvent]:
    """What became of the node's handshakes."""
    return [event for event in node.events if isinstance(event, HandshakeCompleted | PeerUnreachable)]


class Pair:
    """Alice and Bob, who know each other's endpoints, on a perfect network with 10 ms each way."""

    def __init__(self, seed: int = 1, nat: bool = False, ipv6: bool = False) -> None:
        self.simulation = Simulation(seed)
        self.nat: Nat | None = self.simulation.add_nat(1) if nat else None
        self.alice = self.simulation.add_node("alice", nat=self.nat, ipv6=ipv6)
        self.bob = self.simulation.add_node("bob", ipv6=ipv6)
        self.wire = Wire()
        self.simulation.network.watch(self.wire.flights.append)
        self.simulation.connect(self.alice, self.bob)

    @property
    def now(self) -> int:
        return self.simulation.timeline.now

    @property
    def bob_at_alice(self) -> Peer:
        return self.alice.peer(self.bob.public_key)

    @property
    def alice_at_bob(self) -> Peer:
        return self.bob.peer(self.alice.public_key)

    def run(self, ns: int) -> None:
        self.simulation.run_for(ns)

    def alice_sends(self) -> bytes:
        return self.simulation.send(self.alice, self.bob)

    def bob_sends(self) -> bytes:
        return self.simulation.send(self.bob, self.alice)

    def establish(self) -> int:
        """A session begun by Alice, used both ways. Returns when it began; afterwards all is quiet."""
        self.alice_sends()
        self.run(2 * DELAY)
        began = self.now
        self.run(DELAY)
        self.bob_sends()
        self.run(wp.KEEPALIVE_TIMEOUT + wp.NS)
        assert len(self.bob.delivered) == 1
        assert len(self.alice.delivered) == 1
        self.alice.delivered.clear()
        self.bob.delivered.clear()
        self.alice.events.clear()
        self.bob.events.clear()
        self.wire.clear()
        return began

    def keep_talking(self, ns: int, every: int = wp.NS) -> None:
        """Both send a packet now and then, Alice first."""
        end = self.now + ns
        while self.now < end:
            self.alice_sends()
            self.bob_sends()
            self.run(min(every, end - self.now))

    def assert_works_both_ways(self) -> None:
        self.alice.delivered.clear()
        self.bob.delivered.clear()
        there, back = self.alice_sends(), self.bob_sends()
        self.run(wp.NS)
        assert there in self.bob.delivered
        assert back in self.alice.delivered


class Bench:
    """One node that faces an end by the paper: the test makes every message to it and reads every answer."""

    def __init__(self, seed: int = 1, *, endpoint_known: bool = True, preshared: bytes = bytes(32)) -> None:
        self.simulation = Simulation(seed)
        self.node = self.simulation.add_node("node")
        self.paper = wp.PaperPeer(wp.hash_(b"paper's key"), self.node.public_key, preshared)
        self.inbox: list[tuple[bytes, Endpoint]] = []
        self.actions: list[ActionTaken] = []
        self.node.listen_to(self._note)
        self.attach(PAPER_AT)
        self.peer = self.node.add_peer(
            PeerConfig(
                self.paper.public,
                (AllowedIP(bytes([10, 0, 0, 99]), 32),),
                PAPER_AT if endpoint_known else None,
                preshared,
            )
        )
        self.session_began = 0  # when the node took its newest session into use
        self._packets = 0
        self._stamps = 0

    @property
    def now(self) -> int:
        return self.simulation.timeline.now

    def run(self, ns: int) -> None:
        self.simulation.run_for(ns)

    def attach(self, at: Endpoint) -> None:
        """Let the paper's end be reached at this address, too."""
        self.simulation.network.attach(at, lambda data, source, tos: self.inbox.append((data, at)))

    def timestamp(self) -> bytes:
        """Greater than any before it."""
        self._stamps += 1
        return wp.tai64n(self.now + self._stamps)

    def exchange(self, datagram: bytes, source: Endpoint = PAPER_AT) -> list[bytes]:
        """Send the node a datagram; what it says within 100 ms."""
        self.inbox.clear()
        self.simulation.network.send(source, self.node.listen, datagram)
        self.run(100 * wp.MS)
        return self.take()

    def take(self) -> list[bytes]:
        """What the node sent since the last time."""
        data = [data for data, _ in self.inbox]
        self.inbox.clear()
        return data

    def node_sends(self) -> bytes:
        """The node's host sends a packet to the paper's; what the node does about it has arrived."""
        self._packets += 1
        packet = InnerPacket(NODE_INNER, PAPER_INNER, self._packets).encode()
        self.node.send_packet(packet)
        self.run(DELAY)
        return packet

    def paper_packet(self, source: str = PAPER_INNER) -> bytes:
        self._packets += 1
        return InnerPacket(source, NODE_INNER, self._packets).encode()

    def initiate(self) -> wp.PaperSession:
        """A handshake that the paper's end begins, up to the response: the node has not confirmed it."""
        (response,) = self.exchange(self.paper.initiation(self.timestamp()))
        return self.paper.consume_response(response)

    def establish(self) -> wp.PaperSession:
        """A session begun by the paper's end, confirmed by message 0. Its next counter is 1."""
        session = self.initiate()
        self.exchange(session.seal(0, b""))
        return session

    def answer(self) -> wp.PaperSession:
        """A session begun by the node, which has a packet to send; heard by the paper's end in message 0."""
        self.node_sends()
        (initiation,) = self.take()
        response, session = self.paper.respond(initiation)
        self.exchange(response)
        self.exchange(session.seal(0, b""))
        return session

    def dropped(self, reason: DropReason) -> int:
        return self.node.engine.drops.get(reason, 0) + self.node.datapath.counters().get(reason, 0)

    def actions_of(self, kind: type[A]) -> list[A]:
        """What the engine wanted of this kind since the beginning."""
        return [taken.action for taken in self.actions if isinstance(taken.action, kind)]

    def _note(self, node: Node, notice: Notice) -> None:
        if isinstance(notice, ActionTaken):
            self.actions.append(notice)
            if isinstance(notice.action, InstallKeypair):
                self.session_began = self.now
