"""The data path in Python, sans-IO: packets in, datagrams out, and back. Whitepaper 5.4.6 and 6.

Invariant: nothing that the network or the TUN gives makes it raise; what is not passed on is counted by its
`DropReason`. What it has to send waits until the driver takes it, after each packet or datagram given.
"""

from collections import Counter, deque
from copy import copy
from typing import Final, assert_never

from cryptography.exceptions import InvalidTag

from wgpy.contract.constants import (
    DEFAULT_MTU,
    HANDSHAKE_QUEUE_SIZE,
    MAX_FLOWS,
    MAX_STAGED_BYTES,
    REJECT_AFTER_MESSAGES,
    REKEY_AFTER_MESSAGES,
    TRANSPORT_HEADER_SIZE,
    TRANSPORT_OVERHEAD,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import (
    DataReceived,
    DataSent,
    EndpointChanged,
    Event,
    KeyAged,
    KeyConfirmed,
    KeyNeeded,
    PeerActivity,
    PeerId,
    SessionNeeded,
)
from wgpy.contract.messages import HANDSHAKE_SIZES, TYPE_TRANSPORT, TransportData, message_type, nonce
from wgpy.contract.orders import (
    AddPeer,
    AddRelayed,
    AllowedIP,
    ClearSource,
    DataPathOrder,
    InstallKeypair,
    LendInitiation,
    Permit,
    PurgeStaged,
    RemoveKeypair,
    RemovePeer,
    RemoveRoute,
    SendKeepalive,
    SetCookieSecret,
    SetEndpoint,
    SetMac1Key,
    SetPolicy,
    SetRelay,
    SetRoute,
    SetTranslations,
    UseKeypair,
)

from . import Counters, Datagram, bad_mtu, keypair_exists, no_keypair, no_peer, peer_exists
from . import packet as ip
from .allowedips import AllowedIPs
from .foreign import ForeignQueue
from .peer import NEVER, Keypair, Peer
from .permits import check_permits
from .policy import Policy
from .relay import Forwarding, NoSession, Relay
from .routing_loop import RoutingLoops
from .staging import Staging
from .translation import Translations
from .unreachable import Unreachable

_KEEPALIVE: Final = b""
_ECN: Final = 3  # of a TOS byte
_pack_header: Final = TransportData.LAYOUT.pack
_unpack_header: Final = TransportData.LAYOUT.unpack_from


class PortableDataPath:
    """Implements `DataPath` for a driver that owns the TUN, the sockets and the clock.

    staged_bytes: at most so many of all peers' packets that wait for a keypair.
    accept_foreign: keep datagrams that are not WireGuard's for `take_foreign`.
    flows: at most so many are remembered, for the answers to what was begun here.
    """

    def __init__(
        self,
        *,
        mtu: int = DEFAULT_MTU,
        staged_bytes: int = MAX_STAGED_BYTES,
        accept_foreign: bool = False,
        flows: int = MAX_FLOWS,
    ) -> None:
        self._staging = Staging(staged_bytes)
        self._peers: dict[PeerId, Peer] = {}
        self._keypairs: dict[int, Keypair] = {}  # by local index
        self._routes = AllowedIPs()
        self._loops = RoutingLoops()
        self.note_handshake = self._loops.note_handshake
        self._policy = Policy(self._routes.lookup, flows)
        self._translations = Translations()
        self._relay = Relay(self._keypairs.__contains__)
        self.relay_counts = self._relay.counts
        self._datagrams: list[Datagram] = []
        self._packets: list[bytes] = []
        self._handshakes: deque[tuple[bytes, Endpoint]] = deque()
        self._foreign = ForeignQueue(accept_foreign)
        self.take_foreign = self._foreign.take
        self._events: dict[Event, None] = {}  # a set that keeps its order
        self._unreachable = Unreachable()
        self._moved: dict[Peer, None] = {}
        self._drops: Counter[DropReason] = Counter()
        self.set_mtu(mtu)

    # -- What the driver takes -------------------------------------------------------------------

    def take_datagrams(self) -> list[Datagram]:
        """What is to be sent on the UDP sockets, in order."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams

    def take_packets(self) -> list[bytes]:
        """IP packets for the TUN, in order."""
        packets, self._packets = self._packets, []
        return packets

    def next_handshake(self) -> tuple[bytes, Endpoint] | None:
        """The oldest message of types 1 to 3, of the right size and otherwise unverified."""
        return self._handshakes.popleft() if self._handshakes else None

    @property
    def handshakes_waiting(self) -> int:
        """How many more `next_handshake` would give: at most HANDSHAKE_QUEUE_SIZE."""
        return len(self._handshakes)

    def accept_foreign(self) -> None:
        """Keep datagrams that are not WireGuard's from now on."""
        self._foreign.is_open = True

    def expect_foreign(self, magic: bytes, hints: frozenset[bytes]) -> None:
        """All that come are kept."""

    def take_events(self) -> list[Event]:
        """What happened since the last call, each flag once; new endpoints first, for the rest to use."""
        moved = [EndpointChanged(peer.id, peer.endpoint) for peer in self._moved if peer.endpoint is not None]
        events: list[Event] = [*moved, *self._loops.take_events(), *self._events]
        self._moved.clear()
        self._events.clear()
        return events

    def activity(self, peer: PeerId) -> PeerActivity:
        """The peer's record as it stands now. Raises KeyError for a peer that was not added."""
        return copy(self._peers[peer].activity)

    def allowed_ips(self, peer: PeerId) -> list[AllowedIP]:
        """The prefixes that are the peer's, in the order in which it got them."""
        return self._routes.of_peer(self._peer(peer).id)

    def counters(self) -> Counters:
        """Dropped packets and datagrams by reason, since the data path was made; 0 for any other."""
        return self._drops.copy()

    def rule_counts(self) -> list[int]:
        return self._policy.rule_counts.copy()

    # -- Orders ----------------------------------------------------------------------------------

    def set_mtu(self, mtu: int) -> None:
        if mtu < 1:
            raise bad_mtu(mtu)
        self._mtu = mtu

    def set_silent(self, silent: bool) -> None:
        self._unreachable.is_silent = silent

    def apply(self, action: DataPathOrder, now: int) -> None:  # noqa: C901, PLR0912 - a case for every order
        """Carry out one order of the engine. Raises StateError for a peer or keypair that is not there."""
        match action:
            case SetRoute():  # first, as there may be a hundred thousand
                self._routes.insert(action.prefix, self._peer(action.peer).id)
            case RemoveRoute(peer, prefix):
                self._routes.remove(prefix, self._peer(peer).id)
            case UseKeypair(peer, local_index, confirm):
                self._use_keypair(self._peer(peer), local_index, confirm, now)
            case SendKeepalive(peer):
                self._send_keepalive(self._peer(peer), now)
            case InstallKeypair():
                self._install_keypair(self._peer(action.peer), action)
            case RemoveKeypair(peer, local_index):
                self._remove_keypair(self._peer(peer), local_index)
            case SetEndpoint(peer, endpoint, pinned):
                self._set_endpoint(self._peer(peer), endpoint, pinned)
            case ClearSource(peer):
                self._clear_source(self._peer(peer))
            case PurgeStaged(peer):
                self._purge_staged(self._peer(peer))
            case AddPeer(peer):
                self._add_peer(peer)
            case RemovePeer(peer):
                self._remove_peer(self._peer(peer))
            case SetPolicy(peer, permits):
                self._set_policy(self._peer(peer), permits)
            case SetTranslations():
                self._set_translations(Translations(action.translations, action.closed))
            case SetRelay(rate):
                self._relay.set_rate(rate)
            case AddRelayed(peer, public_key):
                self._add_relayed(self._peer(peer), public_key)
            case SetMac1Key(public_key):
                self._relay.set_own_key(public_key)  # the rest has all macs checked by the engine
            case SetCookieSecret() | LendInitiation():
                pass  # as above, and the engine sends as soon
            case _:
                assert_never(action)

    def _peer(self, peer: PeerId) -> Peer:
        try:
            return self._peers[peer]
        except KeyError:
            raise no_peer(peer) from None

    def _keypair(self, peer: Peer, local_index: int) -> Keypair:
        try:
            return peer.keypairs[local_index]
        except KeyError:
            raise no_keypair(peer.id, local_index) from None

    def _add_peer(self, peer: PeerId) -> None:
        if peer in self._peers:
            raise peer_exists(peer)
        self._peers[peer] = Peer(peer)

    def _remove_peer(self, peer: Peer) -> None:
        self._purge_staged(peer)
        self._routes.remove_peer(peer.id)
        self._policy.forget(peer.id)
        self._relay.remove_end(peer.id)
        for local_index in list(peer.keypairs):
            self._remove_keypair(peer, local_index)
        self._loops.remove_peer(peer.id)
        self._moved.pop(peer, None)
        del self._peers[peer.id]

    def _set_policy(self, peer: Peer, permits: tuple[Permit, ...] | None) -> None:
        check_permits(permits)
        if self._policy.set(peer.id, permits):
            self._purge_staged(peer)

    def _set_translations(self, translations: Translations) -> None:
        if translations.value != self._translations.value:
            for peer in self._peers.values():
                self._purge_staged(peer)
        self._translations = translations

    def _add_relayed(self, peer: Peer, public_key: bytes) -> None:
        self._relay.add_end(peer.id, public_key)
        self._note_relayed(peer)

    def _set_endpoint(self, peer: Peer, endpoint: Endpoint, pinned: bool) -> None:
        peer.endpoint, peer.pinned = endpoint, pinned
        self._note_relayed(peer)
        self._moved.pop(peer, None)  # the order is newer than the move

    def _clear_source(self, peer: Peer) -> None:
        if peer.endpoint is not None:
            peer.endpoint = peer.endpoint.without_source()

    def _install_keypair(self, peer: Peer, order: InstallKeypair) -> None:
        if order.local_index in self._keypairs:
            raise keypair_exists(order.local_index)
        keypair = self._keypairs[order.local_index] = peer.keypairs[order.local_index] = Keypair(peer, order)
        self._loops.add(keypair)
        peer.activity.first_unanswered_sent = peer.activity.first_unacked_received = 0

    def _use_keypair(self, peer: Peer, local_index: int | None, confirm: bool, now: int) -> None:
        peer.sending = None if local_index is None else self._keypair(peer, local_index)
        self._note_relayed(peer)
        if peer.sending is None:
            return
        peer.sending.confirmed = True
        if confirm:
            self._send_keepalive(peer, now)
        elif peer.staged:
            self._send_staged(peer, now)

    def _remove_keypair(self, peer: Peer, local_index: int) -> None:
        if peer.sending is self._keypair(peer, local_index):
            peer.sending = None
            self._note_relayed(peer)
        self._loops.remove(peer.keypairs.pop(local_index))
        del self._keypairs[local_index]

    def _send_keepalive(self, peer: Peer, now: int) -> None:
        if not peer.staged:
            self._stage(peer, _KEEPALIVE)
        self._send_staged(peer, now)

    # -- Outbound --------------------------------------------------------------------------------

    def send_packet(self, packet: bytes, now: int) -> None:
        """Take an IP packet from the TUN, for the peer that owns its destination. Whitepaper 3."""
        if not packet or ip.stated_length(packet) != len(packet):
            self._drops[DropReason.INVALID_OUTBOUND_PACKET] += 1
            return
        owner = self._routes.lookup(ip.destination(packet))
        if owner is None:
            self._refuse(packet, DropReason.NO_PEER_FOR_DESTINATION, now)
            return
        if self._loops.find(packet):
            self._drops[DropReason.ROUTING_LOOP] += 1
            return
        translated = self._translations.outbound(packet)
        if isinstance(translated, DropReason):
            self._drops[translated] += 1
            return
        self._policy.note_sent(owner, translated, now)
        self._send_translated(self._peers[owner], translated, now)

    def _send_translated(self, peer: Peer, packet: bytes, now: int) -> None:
        if peer.endpoint is None:
            self._refuse(packet, DropReason.NO_ENDPOINT, now)
            return
        keypair = peer.sending
        if keypair is None or not keypair.may_seal(now):
            self._stage(peer, packet)
            self._events[KeyNeeded(peer.id)] = None
        elif peer.staged:  # the order to use this keypair is on its way: nothing overtakes
            self._stage(peer, packet)
        else:
            self._seal(peer, peer.endpoint, keypair, packet, now)

    def _refuse(self, packet: bytes, reason: DropReason, now: int) -> None:
        """Drop a packet that leads nowhere, and say so to its sender, who may be of a site."""
        self._drops[reason] += 1
        if packet and (error := self._unreachable.error_for(packet, now)):
            told = self._translations.inbound(error)
            if isinstance(told, bytes):
                self._packets.append(told)

    def _seal(self, peer: Peer, endpoint: Endpoint, keypair: Keypair, packet: bytes, now: int) -> None:
        """Make a datagram of a valid packet, or of an empty one, which is a keepalive."""
        counter = keypair.counter
        keypair.counter = counter + 1
        padding = ip.padding(len(packet), self._mtu)
        padded = packet + bytes(padding) if padding else packet
        header = _pack_header(TYPE_TRANSPORT, keypair.remote_index, counter)
        data = header + keypair.seal(nonce(counter), padded, None)
        self._datagrams.append(Datagram(data, endpoint, ip.ecn(packet) if packet else 0, peer.id))

        record = peer.activity
        record.last_sent = now or 1  # in these records 0 says never
        record.tx_bytes += len(data)
        record.first_unacked_received = 0
        if packet and not record.first_unanswered_sent:
            record.first_unanswered_sent = now or 1
            self._events[DataSent(peer.id)] = None
        if now >= keypair.rekey_after_sent_time:
            keypair.rekey_after_sent_time = NEVER
            self._events[KeyAged(peer.id, keypair.local_index)] = None
        elif counter == REKEY_AFTER_MESSAGES:
            self._events[KeyAged(peer.id, keypair.local_index)] = None

    def _stage(self, peer: Peer, packet: bytes) -> None:
        """Keep the packet until there is a key."""
        self._drops[DropReason.STAGED_QUEUE_FULL] += self._staging.push(peer.staged, packet)

    def _send_staged(self, peer: Peer, now: int) -> None:
        """Seal what is staged, as far as the peer's keypair goes."""
        keypair = peer.sending
        while peer.staged and keypair is not None and keypair.may_seal(now):
            packet = self._staging.pop(peer.staged)
            if peer.endpoint is None:
                self._refuse(packet, DropReason.NO_ENDPOINT, now)
            else:
                self._seal(peer, peer.endpoint, keypair, packet, now)
        if peer.staged:
            self._events[KeyNeeded(peer.id)] = None

    def _purge_staged(self, peer: Peer) -> None:
        self._drops[DropReason.STAGED_PURGED] += len(peer.staged)
        while peer.staged:
            self._staging.pop(peer.staged)

    # -- Inbound ---------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, source: Endpoint, now: int, tos: int = 0) -> None:
        """Take any UDP datagram. tos: TOS byte or traffic class of its outer header; 0 if it is not known."""
        if (kind := message_type(data)) == TYPE_TRANSPORT:
            self._receive_transport(data, source, now, tos)
        elif kind is None:
            if refusal := self._foreign.push(data, source):
                self._drops[refusal] += 1
        elif len(data) != HANDSHAKE_SIZES[kind]:
            self._drops[DropReason.MALFORMED] += 1
        elif not self._is_relayed(data, source, now, tos):
            self._receive_handshake(data, source)

    def _receive_handshake(self, data: bytes, source: Endpoint) -> None:
        if len(self._handshakes) >= HANDSHAKE_QUEUE_SIZE:
            self._drops[DropReason.HANDSHAKE_QUEUE_FULL] += 1
        else:
            self._handshakes.append((data, source))

    def _is_relayed(self, data: bytes, source: Endpoint, now: int, tos: int) -> bool:
        """Whether a message is not for this interface: then it is forwarded, or counted."""
        outcome = self._relay.receive(data, source, now) if self._relay.is_enabled else None
        match outcome:
            case Forwarding(endpoint):
                self._datagrams.append(Datagram(data, endpoint, tos, None))
            case NoSession(peer):
                self._drops[DropReason.RELAY_NO_SESSION] += 1
                self._events[SessionNeeded(peer)] = None
            case DropReason():
                self._drops[outcome] += 1
        return outcome is not None

    def _note_relayed(self, peer: Peer) -> None:
        """Tell the relay where the peer is, and until when its session lasts."""
        live_until = peer.sending.reject_after_time if peer.sending else 0
        self._relay.set_session(peer.id, peer.endpoint, live_until)

    def _receive_transport(self, data: bytes, source: Endpoint, now: int, tos: int) -> None:
        """Open a data message; an authentic one counts for its peer, whatever its packet is then worth."""
        if len(data) < TRANSPORT_OVERHEAD:
            self._drops[DropReason.MALFORMED] += 1
            return
        _, index, counter = _unpack_header(data)
        keypair = self._keypairs.get(index)
        if keypair is None:
            if not self._is_relayed(data, source, now, tos):
                self._drops[DropReason.UNKNOWN_INDEX] += 1
            return
        if now >= keypair.reject_after_time or counter >= REJECT_AFTER_MESSAGES:
            self._drops[DropReason.KEYPAIR_EXPIRED] += 1
            return
        try:
            plaintext = keypair.open(nonce(counter), data[TRANSPORT_HEADER_SIZE:], None)
        except InvalidTag:
            self._drops[DropReason.DECRYPTION_FAILED] += 1
            return
        if not keypair.window.accept(counter):
            self._drops[DropReason.REPLAYED_COUNTER] += 1
            return
        self._note_received(keypair, source, len(data), bool(plaintext), now)
        if plaintext:
            self._receive_packet(keypair.peer, plaintext, tos & _ECN, now)

    def _note_received(self, keypair: Keypair, source: Endpoint, size: int, is_data: bool, now: int) -> None:
        """Note that an authentic datagram came: where from, by which keypair, and when."""
        peer = keypair.peer
        if source != peer.endpoint and not peer.pinned:
            peer.endpoint = source
            self._moved[peer] = None
            self._note_relayed(peer)
        if not keypair.confirmed:
            keypair.confirmed = True
            if keypair is peer.newest_keypair():
                peer.sending = keypair
                self._note_relayed(peer)
            self._events[KeyConfirmed(peer.id, keypair.local_index)] = None
        if now >= keypair.rekey_after_received_time:
            keypair.rekey_after_received_time = NEVER
            self._events[KeyAged(peer.id, keypair.local_index)] = None
        record = peer.activity
        record.last_received = now or 1
        record.rx_bytes += size
        record.first_unanswered_sent = 0
        if is_data and not record.first_unacked_received:
            record.first_unacked_received = now or 1
            self._events[DataReceived(peer.id)] = None

    def _receive_packet(self, peer: Peer, padded: bytes, ecn: int, now: int) -> None:
        length = ip.stated_length(padded)
        if not length or length > len(padded):
            self._drops[DropReason.INVALID_PACKET] += 1
            return
        if self._routes.lookup(ip.source(padded)) != peer.id:
            self._drops[DropReason.SOURCE_NOT_ALLOWED] += 1
            return
        packet = padded[:length]
        refusal = self._policy.refusal(peer.id, packet, now)
        if refusal is not None:
            self._drops[refusal] += 1
            return
        marked = ip.decapsulate_ecn(packet, ecn) if ecn else packet
        if marked is None:
            self._drops[DropReason.ECN_CONGESTION] += 1
        else:
            self._deliver(marked)

    def _deliver(self, packet: bytes) -> None:
        """Hand a packet to the TUN, as its site shall see it."""
        translated = self._translations.inbound(packet)
        if isinstance(translated, DropReason):
            self._drops[translated] += 1
        else:
            self._packets.append(translated)
