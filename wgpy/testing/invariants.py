"""What must hold in every network at every instant, checked from outside the nodes.

Invariant: the auditor only listens. It knows the nodes' private keys and the keys they install, so it reads
the wire as the receivers do; whatever it finds broken raises InvariantBroken at that very instant.
"""

from dataclasses import dataclass, field
from typing import Final, NoReturn

from wgpy.contract.constants import (
    PADDING_MULTIPLE,
    REJECT_AFTER_TIME,
    REKEY_TIMEOUT,
    SECOND,
    ZERO_KEY_MATERIAL_AFTER,
)
from wgpy.contract.errors import WgpyError
from wgpy.contract.events import PeerId
from wgpy.contract.messages import HandshakeInitiation, TransportData, decode
from wgpy.contract.orders import AllowedIP, DataPathOrder, InstallKeypair, RemoveKeypair, RemovePeer
from wgpy.engine.actions import Action
from wgpy.engine.crypto import InvalidTag, aead_open
from wgpy.engine.exchange import Exchange, agree, finish
from wgpy.engine.noise import Identity, consume_initiation

from .clock import Timeline
from .node import (
    ActionTaken,
    DatagramSent,
    Node,
    Notice,
    PacketDelivered,
    PacketSent,
    Resumed,
    Settled,
    Started,
)
from .packets import number_of

# The longest a handshake may follow the packet that asked for it: REKEY_ATTEMPT_TIME for a first session,
# 15 s of silence in it, REKEY_ATTEMPT_TIME once more, and what the network and the passive keepalive add.
LONGEST_ECHO: Final = 240 * SECOND
MAX_LIVE_KEYPAIRS: Final = 3  # per peer: next, current, previous


class InvariantBroken(WgpyError, AssertionError):
    """A node did what no node may do."""


@dataclass(slots=True)
class _Session:
    """One end of a session."""

    peer: PeerId
    began: int
    sending_key: bytes = field(repr=False)
    last_counter: int = -1


@dataclass(slots=True)
class _Life:
    """What is known of a node since it last started."""

    by_local_index: dict[int, _Session] = field(default_factory=dict)
    by_remote_index: dict[tuple[PeerId, int], _Session] = field(default_factory=dict)
    live: dict[int, _Session] = field(default_factory=dict)  # those whose keys are in memory
    last_initiation: dict[PeerId, int] = field(default_factory=dict)
    resumed_at: int = 0


class Auditor:
    """Checks every node that it watches. `initiations` counts them, so that a test can bound them."""

    def __init__(self, timeline: Timeline) -> None:
        self.initiations = 0
        self._timeline = timeline
        self._nodes: dict[bytes, Node] = {}  # by public key
        self._lives: dict[Node, _Life] = {}
        self._timestamps: dict[Node, bytes] = {}
        self._static_static: dict[tuple[Node, Node], bytes] = {}  # computed once, as it is slow
        self._keys: set[bytes] = set()  # every sending key there ever was
        self._under_way: dict[int, bytes] = {}  # packets by number
        self._packets_delivered: set[int] = set()
        self._last_traffic: dict[frozenset[Node], int] = {}

    def watch(self, node: Node) -> None:
        """Check this node from now on; it must not have sessions yet."""
        self._nodes[node.public_key] = node
        self._lives[node] = _Life()
        node.listen_to(self._notice)

    def live_keypairs(self, node: Node) -> int:
        """How many sessions' keys the node has in memory."""
        return len(self._lives[node].live)

    def _notice(self, node: Node, notice: Notice) -> None:
        match notice:
            case PacketSent(packet):
                self._under_way[number_of(packet)] = packet
                self._note_traffic(node, packet)
            case PacketDelivered(packet, datagram):
                self._check_delivery(node, packet, datagram)
                self._note_traffic(node, packet)
            case DatagramSent(peer, data) if peer is not None:
                self._check_datagram(node, peer, data)
            case ActionTaken(action):
                self._note_action(node, action)
            case Started():
                self._lives[node] = _Life()
            case Resumed():
                self._lives[node].resumed_at = self._timeline.now
            case Settled():
                self._check_rest(node)

    # -- Packets ---------------------------------------------------------------------------------

    def _note_traffic(self, node: Node, packet: bytes) -> None:
        for config in node.config.values():
            if any(_inner_address(packet, prefix.address) for prefix in config.allowed_ips):
                ends = frozenset((node, self._nodes[config.public_key]))
                self._last_traffic[ends] = self._timeline.now

    def _check_delivery(self, node: Node, packet: bytes, datagram: bytes) -> None:
        number = number_of(packet)
        if number in self._packets_delivered:
            self._broken(node, f"packet {number} was delivered twice")
        if self._under_way.get(number) != packet:
            self._broken(node, f"packet {number} was altered or never sent")
        own = [prefix.address for prefix in self._prefixes_of(node)]
        if not any(_destination(packet) == address for address in own):
            self._broken(node, f"packet {number} is for another node")
        self._packets_delivered.add(number)
        del self._under_way[number]
        session = self._lives[node].by_local_index[_receiver_index(datagram)]
        if self._timeline.now - session.began >= REJECT_AFTER_TIME:
            self._broken(node, "a session received past REJECT_AFTER_TIME")

    def _prefixes_of(self, node: Node) -> list[AllowedIP]:
        """The node's own inner addresses, as its peers have them."""
        return [
            prefix
            for other in self._nodes.values()
            if node.public_key in other.config
            for prefix in other.config[node.public_key].allowed_ips
        ]

    # -- Datagrams -------------------------------------------------------------------------------

    def _check_datagram(self, node: Node, peer: PeerId, data: bytes) -> None:
        message = decode(data)
        if isinstance(message, TransportData):
            self._check_transport(node, peer, message)
        elif isinstance(message, HandshakeInitiation):
            self._check_initiation(node, peer, message)

    def _check_transport(self, node: Node, peer: PeerId, message: TransportData) -> None:
        session = self._lives[node].by_remote_index.get((peer, message.receiver_index))
        if session is None:
            self._broken(node, "data was sent by a session that is not there")
        if message.counter != session.last_counter + 1:
            self._broken(node, f"counter {message.counter} follows {session.last_counter}")
        session.last_counter = message.counter
        if self._timeline.now - session.began >= REJECT_AFTER_TIME:
            self._broken(node, "a session sent past REJECT_AFTER_TIME")
        try:
            padded = aead_open(session.sending_key, message.counter, message.encrypted_packet, b"")
        except InvalidTag:
            self._broken(node, "data was sealed by another key than its session's")
        if len(padded) % PADDING_MULTIPLE and len(padded) < node.mtu:
            self._broken(node, f"{len(padded)} bytes are not padded")

    def _check_initiation(self, node: Node, peer: PeerId, message: HandshakeInitiation) -> None:
        now, life = self._timeline.now, self._lives[node]
        self.initiations += 1
        last = life.last_initiation.get(peer)
        if last is not None and now - last < REKEY_TIMEOUT:
            self._broken(node, "two initiations within REKEY_TIMEOUT")
        life.last_initiation[peer] = now
        remote = self._node_of(node, peer)
        if not self._is_kept_alive(node, remote):
            # What was asked for before a sleep is done after it.
            asked_at = max(self._asked_at(node, remote), life.resumed_at)
            if now - asked_at > LONGEST_ECHO:
                self._broken(node, "an idle tunnel began a handshake")
        timestamp = self._read_timestamp(message, node, remote)
        if timestamp <= self._timestamps.get(node, b""):
            self._broken(node, "a timestamp went back")
        self._timestamps[node] = timestamp

    def _asked_at(self, node: Node, remote: Node) -> int:
        """When something was last sent between them; by way of a relay, between the remote and anybody."""
        if node.is_relay:
            return max((when for ends, when in self._last_traffic.items() if remote in ends), default=0)
        return self._last_traffic.get(frozenset((node, remote)), 0)

    def _read_timestamp(self, message: HandshakeInitiation, initiator: Node, responder: Node) -> bytes:
        """What the responder reads in the initiation, if it arrives."""

        def static_static(_public_key: bytes) -> Exchange[bytes]:
            ends = (initiator, responder)
            if ends not in self._static_static:
                pair = responder.private_key, initiator.public_key
                (self._static_static[ends],) = yield from agree(pair)
            return self._static_static[ends]

        identity = Identity(responder.private_key, responder.public_key)
        return finish(consume_initiation(identity, message, static_static)).timestamp

    def _node_of(self, node: Node, peer: PeerId) -> Node:
        known = node.engine.peer(peer)
        if known is None:
            self._broken(node, "a message was sent to a peer that is not there")
        return self._nodes[known.public_key]

    def _is_kept_alive(self, left: Node, right: Node) -> bool:
        return any(
            here.config[there.public_key].persistent_keepalive
            for here, there in ((left, right), (right, left))
        )

    # -- Keys ------------------------------------------------------------------------------------

    def _note_action(self, node: Node, action: Action | DataPathOrder) -> None:
        life = self._lives[node]
        match action:
            case InstallKeypair():
                if action.sending_key in self._keys:
                    self._broken(node, "a key was used for two sessions")
                self._keys.add(action.sending_key)
                session = _Session(action.peer, self._timeline.now, action.sending_key)
                life.by_local_index[action.local_index] = life.live[action.local_index] = session
                life.by_remote_index[action.peer, action.remote_index] = session
            case RemoveKeypair(local_index=index):
                del life.live[index]
            case RemovePeer(peer):
                life.live = {i: session for i, session in life.live.items() if session.peer != peer}

    def _check_rest(self, node: Node) -> None:
        """When a node has done all it had to do, its next deadline is ahead and old keys are gone."""
        deadline = node.device.next_deadline()
        if deadline is not None and deadline < node.now:
            self._broken(node, "a deadline was missed")
        newest: dict[PeerId, list[int]] = {}
        for session in self._lives[node].live.values():
            newest.setdefault(session.peer, []).append(session.began)
        for began in newest.values():
            if len(began) > MAX_LIVE_KEYPAIRS:
                self._broken(node, f"{len(began)} sessions of one peer are alive")
            # At the deadline itself the node may be about to do it.
            if self._timeline.now - max(began) > ZERO_KEY_MATERIAL_AFTER:
                self._broken(node, "keys were not erased")

    def _broken(self, node: Node, sentence: str) -> NoReturn:
        at = (self._timeline.now - self._timeline.began) / SECOND
        raise InvariantBroken(f"{node.name}, {at:.3f} s after the beginning: {sentence}")


def _receiver_index(transport: bytes) -> int:
    return int.from_bytes(transport[4:8], "little")


def _source(packet: bytes) -> bytes:
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def _destination(packet: bytes) -> bytes:
    return packet[16:20] if packet[0] >> 4 == 4 else packet[24:40]


def _inner_address(packet: bytes, address: bytes) -> bool:
    """Whether the packet comes from or goes to this address."""
    return address in (_source(packet), _destination(packet))
