"""A WireGuard interface without the world: engine and data path as one object, sans-IO.

Invariant: time is given, and what the world is to do is taken. Every driver is one loop: give input,
`advance`, take datagrams, packets and events, sleep until `next_deadline`. Who has others to serve meanwhile
calls `expire` and `step` instead of `advance`.

A data path with threads and sockets of its own needs no `send` and no `receive`: its driver steps when it has
events.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from wgpy.contract.constants import HANDSHAKE_TOS
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import (
    DataSent,
    EndpointChanged,
    InitiationSent,
    KeyNeeded,
    PeerActivity,
    PeerId,
    RoutingLoop,
)
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.orders import (
    AddRelayed,
    AllowedIP,
    DataPathOrder,
    RemovePeer,
    RemoveRoute,
    SendKeepalive,
    SetEndpoint,
    SetPolicy,
    SetRelay,
    SetRoute,
    SetTranslations,
)
from wgpy.datapath import Datagram, DataPath
from wgpy.engine.actions import Action, HandshakeCompleted, PeerUnreachable, SendDatagram
from wgpy.engine.engine import Engine
from wgpy.engine.peer import Peer
from wgpy.keys import PresharedKey, PrivateKey, PublicKey
from wgpy.model import (
    NO_POLICY,
    NO_TRANSLATIONS,
    AllowedIPChange,
    DeviceStatus,
    PeerPath,
    PeerStatus,
    PeerTraffic,
    Policy,
)
from wgpy.paths.candidates import Candidates

if TYPE_CHECKING:  # it needs OpenSSL, which is a fifth of the memory of a daemon that can do without
    from wgpy.datapath.portable import PortableDataPath


@dataclass(frozen=True, slots=True)
class HandshakeSent:
    """Event: an initiation or a response for this peer leaves, also to an endpoint that it does not have."""

    peer: PeerId
    endpoint: Endpoint


DeviceEvent = HandshakeCompleted | PeerUnreachable | EndpointChanged | RoutingLoop | DataSent | HandshakeSent

_PASSED_ON: Final = (EndpointChanged, RoutingLoop)  # events of the data path

HANDSHAKES_AT_ONCE: Final = 8  # more wait while events and timers have their turn

_Path_co = TypeVar("_Path_co", bound=DataPath, covariant=True)


class Device(Generic[_Path_co]):
    """An interface that owns its parts: `engine` for peers and sessions, `datapath` for packets.

    watched: public keys of peers for which there is an event, `DataSent`, when something is sent that is not
    answered yet. Who changes the engine directly steps afterwards.
    """

    def __init__(
        self,
        datapath: _Path_co,
        *,
        random: Callable[[int], bytes],
        wall_clock: Callable[[], int],
        watch: Callable[[Action | DataPathOrder], None] = lambda _: None,
    ) -> None:
        """random, wall_clock: as `Engine` takes them; watch: called with each order that was carried out."""
        self.datapath = datapath
        self.engine = Engine(random=random, wall_clock=wall_clock, activity=datapath.activity)
        self.watched: frozenset[bytes] = frozenset()
        self._watch = watch
        self._policies: dict[PeerId, Policy] = {}
        self._translations = NO_TRANSLATIONS
        self._relay_rate = 0
        self._datagrams: list[Datagram] = []
        self._events: list[DeviceEvent] = []

    # -- Input -----------------------------------------------------------------------------------

    def send(self: "Device[PortableDataPath]", packet: bytes, now: int) -> None:
        """Take an IP packet for the peer that owns its destination."""
        self.datapath.send_packet(packet, now)

    def receive(
        self: "Device[PortableDataPath]", datagram: bytes, source: Endpoint, now: int, tos: int = 0
    ) -> None:
        """Take a datagram from the network. tos: TOS byte or traffic class of its outer header."""
        self.datapath.receive_datagram(datagram, source, now, tos)

    def expire(self, now: int) -> None:
        """Do what is due by now."""
        self.engine.expire(now)

    # -- The loop --------------------------------------------------------------------------------

    def up(self, now: int) -> None:
        """The link is up: speak."""
        self.engine.up(now)

    def down(self) -> None:
        """The link is down: forget all sessions and be silent."""
        self.engine.down()

    def advance(self, now: int) -> None:
        """Do what is due by now, and step until neither part has anything more to say."""
        self.expire(now)
        while self.step(now):
            pass

    def step(self, now: int, queued: int = 0) -> bool:
        """Let both parts talk once; whether either may have more to say.

        At most HANDSHAKES_AT_ONCE messages are answered. queued: how many more wait outside of the data path.
        """
        events = self.datapath.take_events()
        for event in events:
            if isinstance(event, _PASSED_ON):
                self._events.append(event)
            elif self.watched and isinstance(event, DataSent | KeyNeeded | InitiationSent):
                self._note_sending(event.peer)
            if isinstance(event, InitiationSent):
                self._note_sent_initiation(event.peer)
            self.engine.receive_event(event, now)
        messages = list(islice(iter(self.datapath.next_handshake, None), HANDSHAKES_AT_ONCE))
        if messages:
            self.engine.receive_datagrams(messages, now, self.datapath.handshakes_waiting + queued)
        has_acted = self._carry_out_actions(now)
        self._datagrams += self.datapath.take_datagrams()
        return bool(events) or bool(messages) or has_acted

    def step_without_engine(self) -> None:
        """Take what the data path sends by the sessions that there are; the engine learns nothing."""
        self._datagrams += self.datapath.take_datagrams()

    def _note_sending(self, peer: PeerId) -> None:
        known, event = self.engine.peer(peer), DataSent(peer)
        if known and known.public_key in self.watched and event not in self._events:
            self._events.append(event)

    def _note_sent_initiation(self, peer: PeerId) -> None:
        known = self.engine.peer(peer)
        if known and known.endpoint:
            self._events.append(HandshakeSent(peer, known.endpoint))

    def next_deadline(self) -> int | None:
        """When `expire` is to be called next, in boottime ns; None while nothing is to be done."""
        return self.engine.next_deadline()

    def _carry_out_actions(self, now: int) -> bool:
        actions = self.engine.take_actions()
        for action in actions:
            self._carry_out(action, now)
            self._watch(action)
        return bool(actions)

    def _carry_out(self, action: Action, now: int) -> None:
        match action:
            case SendDatagram(peer, data, endpoint):
                self._datagrams += self.datapath.take_datagrams()  # what was sealed before leaves before
                self._datagrams.append(Datagram(data, endpoint, HANDSHAKE_TOS, peer))
                self.datapath.note_handshake(data, peer)
                if peer is not None:
                    self._events.append(HandshakeSent(peer, endpoint))
            case HandshakeCompleted() | PeerUnreachable():
                self._events.append(action)
            case _:
                self.datapath.apply(action, now)
                if isinstance(action, RemovePeer):
                    self._policies.pop(action.peer, None)
                if isinstance(action, SetEndpoint):
                    self._events.append(EndpointChanged(action.peer, action.endpoint))

    # -- Output ----------------------------------------------------------------------------------

    def take_datagrams(self) -> list[Datagram]:
        """What is to be sent, in order."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def take_packets(self: "Device[PortableDataPath]") -> list[bytes]:
        """IP packets for the host, in order."""
        return self.datapath.take_packets()

    def take_events(self) -> list[DeviceEvent]:
        """What became of handshakes and endpoints, in order."""
        events, self._events = self._events, []
        return events

    # -- Peers and their allowed IPs -------------------------------------------------------------

    def add_peer(self, public_key: bytes, now: int) -> Peer:
        """Begin to know a peer. Raises ValueError and StateError, as `Engine.add_peer`."""
        peer = self.engine.add_peer(public_key)
        self._carry_out_actions(now)  # so that it can have allowed IPs
        if self._relay_rate:
            self._apply(AddRelayed(peer.id, public_key), now)
        return peer

    def allowed_ips(self, peer: Peer) -> list[AllowedIP]:
        """In the order in which the peer got them."""
        return self.datapath.allowed_ips(peer.id)

    def change_allowed_ips(self, peer: Peer, changes: Iterable[AllowedIPChange], now: int) -> None:
        """In order, route each prefix to the peer and to no other, or take it away if it is the peer's."""
        for prefix, remove in changes:
            self._apply(RemoveRoute(peer.id, prefix) if remove else SetRoute(peer.id, prefix), now)

    def set_policy(self, peer: Peer, policy: Policy, now: int) -> None:
        """Let the peer begin what the policy permits, and nothing else.

        Raises ValueError for more than MAX_PERMITS.
        """
        if policy != self._policies.get(peer.id, NO_POLICY):
            self._apply(SetPolicy(peer.id, policy.permits), now)
            self._policies[peer.id] = policy

    def set_translations(self, translations: SetTranslations, now: int) -> None:
        """Raises ValueError for what `wgpy.datapath.translation.check_translations` refuses."""
        if translations != self._translations:
            self._apply(translations, now)
            self._translations = translations

    def set_relay(self, rate: int, now: int) -> None:
        """Forward what peers send to each other, at most `rate` bytes a second from one to another."""
        if rate != self._relay_rate:
            self._apply(SetRelay(rate), now)
            if not self._relay_rate:
                for peer in self.engine.peers.values():
                    self._apply(AddRelayed(peer.id, peer.public_key), now)
            self._relay_rate = rate

    def _apply(self, order: DataPathOrder, now: int) -> None:
        self.datapath.apply(order, now)
        self._watch(order)

    def send_keepalive(self, peer: Peer, now: int) -> None:
        """Send the peer an empty packet, which needs no answer; it begins a session if there is none."""
        self.datapath.apply(SendKeepalive(peer.id), now)

    # -- Reading ---------------------------------------------------------------------------------

    def counters(self) -> Counter[DropReason]:
        """Dropped packets, datagrams and handshake messages by reason."""
        return Counter(self.datapath.counters()) + Counter(self.engine.drops)

    def traffic(self, public_key: bytes) -> PeerTraffic:
        """What passed between this device and a peer, after a step; of a peer that is not known nothing."""
        peer = self.engine.peers.get(public_key)
        if peer is None:
            return PeerTraffic()
        activity = self.datapath.activity(peer.id)
        return PeerTraffic(activity.last_received, _unanswered_since(peer, activity))

    def path(self, public_key: bytes) -> PeerPath:
        """Where a peer is reached; of one that is not known nothing. Costs a look-up."""
        peer = self.engine.peers.get(public_key)
        if peer is None:
            return PeerPath()
        endpoint = peer.endpoint.without_source() if peer.endpoint else None
        return PeerPath(endpoint, peer.last_handshake_time)

    def status(self, listen_port: int = 0, fwmark: int = 0) -> DeviceStatus:
        """The state of everything, after a step. listen_port, fwmark: what the driver knows of itself."""
        key = self.engine.private_key
        return DeviceStatus(
            private_key=PrivateKey(key) if key else None,
            listen_port=listen_port,
            fwmark=fwmark,
            translations=self._translations,
            relay_rate=self._relay_rate,
            relayed=self.datapath.relay_counts(),
            peers=[self._peer_status(peer) for peer in self.engine.peers.values()],
        )

    def _peer_status(self, peer: Peer) -> PeerStatus:
        activity = self.datapath.activity(peer.id)
        return PeerStatus(
            public_key=PublicKey(peer.public_key),
            preshared_key=PresharedKey(peer.preshared_key),
            endpoint=peer.endpoint,
            last_handshake_time=peer.last_handshake_time,
            tx_bytes=activity.tx_bytes + peer.tx_bytes,
            rx_bytes=activity.rx_bytes + peer.rx_bytes,
            persistent_keepalive=peer.persistent_keepalive,
            allowed_ips=tuple(self.allowed_ips(peer)),
            candidates=peer.selector.endpoints if isinstance(peer.selector, Candidates) else (),
            policy=self._policies.get(peer.id, NO_POLICY),
            unanswered_since=_unanswered_since(peer, activity),
        )


def _unanswered_since(peer: Peer, activity: PeerActivity) -> int:
    """Boottime ns, 0 if all that was sent is answered."""
    times = activity.first_unanswered_sent, peer.unanswered_since
    return min(filter(None, times), default=0)
