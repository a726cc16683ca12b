"""The protocol of one WireGuard interface as a sans-IO state machine. Whitepaper 5 and 6.

Invariant: time is given, randomness and the wall clock are constructor arguments, and what the world is to
do comes out of `take_actions`; so a recorded run replays exactly. Nothing the network sends raises.

`wgpy.device` carries out its actions.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from wgpy.contract.constants import (
    INITIATION_MIN_INTERVAL,
    KEY_LENGTH,
    NEW_HANDSHAKE_AFTER_SILENCE,
    REKEY_ATTEMPT_TIME,
    ZERO_KEY_MATERIAL_AFTER,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.contract.events import (
    DataReceived,
    DataSent,
    EndpointChanged,
    Event,
    InitiationSent,
    KeyAged,
    KeyConfirmed,
    KeyNeeded,
    PeerActivity,
    PeerId,
    SessionNeeded,
)
from wgpy.contract.messages import CookieReply, HandshakeInitiation, HandshakeResponse, TransportData, decode
from wgpy.contract.orders import (
    AddPeer,
    ClearSource,
    PurgeStaged,
    RemoveKeypair,
    RemovePeer,
    SetEndpoint,
    SetMac1Key,
    UseKeypair,
)
from wgpy.contract.path_selector import PathSelector

from .actions import Action, HandshakeCompleted, PeerUnreachable
from .crypto import checked_key, clamp, dh_public
from .exchange import Exchange, finish_together
from .indextable import IndexTable
from .initiator import Initiator
from .keepalive import Keepalives
from .keypair import Keypair, installation
from .noise import Identity, Session, consume_initiation, consume_response, create_response
from .peer import Peer
from .peertable import PeerTable
from .refused import RefusedInitiations
from .timers import Timer, Timers, jitter
from .under_load import HandshakeChecker


class Engine:
    """Peers, handshakes, sessions and timers of one interface. indices: by which others address them."""

    def __init__(
        self,
        *,
        random: Callable[[int], bytes],
        wall_clock: Callable[[], int],
        activity: Callable[[PeerId], PeerActivity],
    ) -> None:
        """random(n): n secret random bytes; wall_clock(): real time in ns since 1970;
        activity(id): the data path's record of a peer, read when a deadline comes.
        """
        self._random = random
        self._wall_clock = wall_clock
        self._activity = activity
        self._actions: list[Action] = []
        self._drops: Counter[DropReason] = Counter()
        self._is_up = False
        # Ours
        self._handshake_checker = HandshakeChecker(random, self._actions)
        # Theirs
        self._peers = PeerTable()
        self._refused = RefusedInitiations()
        # Shared
        self.indices = IndexTable(random)
        self._timers = Timers()
        self._initiator = Initiator(random, wall_clock, self.indices, self._timers, self._actions)
        self._keepalives = Keepalives(self._timers, activity, self._actions)
        self._on_timer = {
            Timer.RETRANSMIT_HANDSHAKE: self._retransmit_handshake,
            Timer.SEND_KEEPALIVE: self._keepalives.send_passive,
            Timer.NEW_HANDSHAKE: self._new_handshake,
            Timer.ZERO_KEY_MATERIAL: self._zero_key_material,
            Timer.PERSISTENT_KEEPALIVE: self._persistent_keepalive,
        }

    # -- Reading ---------------------------------------------------------------------------------

    @property
    def private_key(self) -> bytes | None:
        return self._initiator.identity.private_key if self._initiator.identity else None

    @property
    def public_key(self) -> bytes | None:
        return self._initiator.identity.public_key if self._initiator.identity else None

    @property
    def last_timestamp(self) -> int:
        """The newest TAI64N value that may be sent, in ns since 1970: the driver keeps it across restarts."""
        return self._initiator.last_timestamp

    @property
    def peers(self) -> Mapping[bytes, Peer]:
        """By public key, in order of adding."""
        return self._peers.by_key

    def peer(self, peer: PeerId) -> Peer | None:
        return self._peers.by_id.get(peer)

    @property
    def is_up(self) -> bool:
        return self._is_up

    @property
    def drops(self) -> Mapping[DropReason, int]:
        """Handshake messages refused, by reason."""
        return self._drops

    # -- Settings --------------------------------------------------------------------------------

    def set_private_key(self, key: bytes | None, now: int, last_timestamp: int = 0) -> None:
        """Take another identity, or None for none. Peers send by new sessions only; old ones still receive.

        What waits for a session begins a handshake at once.

        A peer with our own public key is removed. last_timestamp: `last_timestamp` of an earlier life
        with this key. Raises ValueError unless the key is 32 bytes.
        """
        if key is not None:
            key = clamp(checked_key(key))
        if key == self.private_key:
            return
        self._initiator.set_identity(Identity(key, dh_public(key)) if key else None, last_timestamp)
        self._handshake_checker.set_public_key(self.public_key)
        self._actions.append(SetMac1Key(self.public_key))
        if (public_key := self.public_key) and (own := self._peers.by_key.get(public_key)):
            self.remove_peer(own)
        for peer in self._peers.by_key.values():
            if peer.has_state:
                self._initiator.recall(peer)
                peer.state.shared_static = peer.state.prepared = peer.state.last_handshake_sent = None
                self._initiator.forget(peer)
                self._remove_keypairs(peer, peer.state.keypairs.drop_next())
                self.end_session(peer)
                if self._is_up and peer.state.packets_wait:
                    self.begin_handshake(peer, now)
            self._start_persistent_keepalive(peer, now)

    def add_peer(self, public_key: bytes) -> Peer:
        """Begin to know a peer.

        Raises ValueError for a key that is not 32 bytes, our own or already there, StateError when full.
        """
        peer = self._peers.add(public_key, self.public_key)
        self._actions.append(AddPeer(peer.id))
        return peer

    def remove_peer(self, peer: Peer) -> None:
        self._initiator.recall(peer)
        self._initiator.forget(peer)
        for keypair in peer.state.keypairs.clear() if peer.has_state else ():
            self.indices.release(keypair.local_index)
        self._timers.disarm_all(peer.id)
        self._peers.remove(peer)
        self._actions.append(RemovePeer(peer.id))

    def set_preshared_key(self, peer: Peer, key: bytes) -> None:
        """Use this secret from the next handshake on; zeros for none. Raises ValueError."""
        peer.preshared_key = checked_key(key)

    def set_endpoint(self, peer: Peer, endpoint: Endpoint, now: int, *, pinned: bool = False) -> None:
        """Send there. pinned: authentic messages from elsewhere do not move it; only the next call does."""
        was_unreachable = peer.endpoint is None
        peer.endpoint_is_set = True
        self._move_endpoint(peer, endpoint, pinned)
        if was_unreachable:
            self._start_persistent_keepalive(peer, now)

    def end_session(self, peer: Peer) -> None:
        """Send nothing more by it: the next packet begins a handshake at once. What comes by it counts."""
        if peer.has_state:
            peer.state.last_handshake_sent = None
            if peer.state.keypairs.current:
                self._actions.append(UseKeypair(peer.id, None))

    def set_selector(self, peer: Peer, selector: PathSelector | None) -> None:
        """Let it say where initiations go, unless the endpoint is pinned. None: to the endpoint."""
        peer.selector = selector

    def clear_source(self, peer: Peer) -> None:
        """Let the kernel choose our address towards this peer again, as the one used so far may be gone."""
        if peer.endpoint and peer.endpoint != peer.endpoint.without_source():
            peer.endpoint = peer.endpoint.without_source()
            self._actions.append(ClearSource(peer.id))

    def set_persistent_keepalive(self, peer: Peer, seconds: int, now: int) -> None:
        """Send something at least every so many seconds, 0 for no such thing. Whitepaper 6.5."""
        was_off = not peer.persistent_keepalive
        peer.persistent_keepalive = seconds
        self._timers.disarm(peer.id, Timer.PERSISTENT_KEEPALIVE)
        if was_off:
            self._start_persistent_keepalive(peer, now)
        elif seconds and self._is_up:
            self._keepalives.arm_persistent(peer)

    def prepare_initiations(self, now: int) -> None:
        """Do what the next one of each peer needs, unless there are many: for when nobody waits for it."""
        self._initiator.prepare(self._peers, now)
        if self._is_up:
            self._initiator.lend(self._peers, now)

    def recall_initiations(self) -> None:
        """Let the data path begin no handshake by itself any more, until more are prepared."""
        for peer in self._peers.by_key.values():
            self._initiator.recall(peer)

    def up(self, now: int) -> None:
        """The link is up: speak."""
        if not self._is_up:
            self._is_up = True
            for peer in self._peers.by_key.values():
                self._start_persistent_keepalive(peer, now)

    def down(self) -> None:
        """The link is down: forget all sessions and be silent."""
        self._is_up = False
        self.recall_initiations()
        for peer in self._peers.by_key.values():
            self._timers.disarm_all(peer.id)
            if peer.has_state:
                self._initiator.forget(peer)
                self._remove_keypairs(peer, peer.state.keypairs.clear())
                peer.state.packets_wait, peer.state.last_handshake_sent = False, None
            self._actions.append(PurgeStaged(peer.id))

    # -- The engine's loop -----------------------------------------------------------------------

    def take_actions(self) -> list[Action]:
        actions = self._actions.copy()
        self._actions.clear()  # the list is also that of the engine's parts
        return actions

    def next_deadline(self) -> int | None:
        """When `expire` is to be called next, in boottime ns; None while nothing is to be done."""
        return self._timers.next_deadline()

    def expire(self, now: int) -> None:
        """Do what is due by now."""
        for peer_id, timer in self._timers.take_due(now):
            self._on_timer[timer](self._peers.by_id[peer_id], now)

    def receive_datagram(self, data: bytes, source: Endpoint, now: int, queued: int = 0) -> None:
        """A handshake message came in. queued: how many more wait: the measure of load."""
        self.receive_datagrams([(data, source)], now, queued)

    def receive_datagrams(self, messages: Sequence[tuple[bytes, Endpoint]], now: int, queued: int) -> None:
        """Handshake messages came in: as `receive_datagram` of each, but answers may be in another order."""
        finish_together(
            self._receive_message(data, source, now, queued + later)
            for later, (data, source) in zip(reversed(range(len(messages))), messages, strict=True)
        )

    def receive_refused(self, peer: Peer, now: int) -> None:
        """Receive again what the peer sent just before it was one; its settings are complete now."""
        if refused := self._refused.take(peer.public_key, now):
            self.receive_datagram(refused.message.encode(), refused.source, now)

    def receive_event(self, event: Event, now: int) -> None:
        """The data path says that something happened."""
        peer = self._peers.by_id.get(event.peer)
        if peer is None or not self._is_up:
            return
        match event:
            case KeyNeeded():
                peer.state.packets_wait = True
                self.begin_handshake(peer, now)
            case InitiationSent(local_index=index):
                peer.state.packets_wait = True
                self._initiator.note_sent(peer, index, now)
            case SessionNeeded():
                self._initiator.try_once(peer, now)
            case KeyAged(local_index=index):
                if (current := peer.state.keypairs.current) and current.local_index == index:
                    self.begin_handshake(peer, now)
            case KeyConfirmed(local_index=index):
                self._confirm_keypair(peer, index)
            case DataSent():
                self._new_handshake(peer, now)
            case DataReceived():
                self._keepalives.send_passive(peer, now)
            case EndpointChanged(endpoint=endpoint):
                if not peer.pinned:  # else it is older than the order that pins
                    peer.endpoint = endpoint

    # -- Receiving -------------------------------------------------------------------------------

    def _receive_message(self, data: bytes, source: Endpoint, now: int, queued: int) -> Exchange[None]:
        self._handshake_checker.note_load(queued, now)
        try:
            yield from self._receive_authentic(data, source, now)
        except DatagramError as error:
            self._drops[error.reason] += 1

    def _receive_authentic(self, data: bytes, source: Endpoint, now: int) -> Exchange[None]:
        message = decode(data)
        if isinstance(message, TransportData):
            raise DatagramError(DropReason.UNKNOWN_TYPE)  # the data path's, not ours
        if not self._is_up:
            raise DatagramError(DropReason.DEVICE_DOWN)
        if self._initiator.identity is None:
            raise DatagramError(DropReason.NO_PRIVATE_KEY)
        if isinstance(message, CookieReply):
            self._consume_cookie_reply(message, now)
            return
        self._handshake_checker.check(data, message.sender_index, source, now)
        if isinstance(message, HandshakeInitiation):
            yield from self._answer_initiation(self._initiator.identity, message, source, now)
        else:
            yield from self._finish_handshake(self._initiator.identity, message, source, now)

    def _answer_initiation(
        self, identity: Identity, message: HandshakeInitiation, source: Endpoint, now: int
    ) -> Exchange[None]:
        def static_static(public_key: bytes) -> "Exchange[bytes]":  # unquoted, each handshake would make it
            peer = self._peers.by_key.get(public_key)
            if peer is None:
                self._refused.keep(public_key, message, source, now)
                raise DatagramError(DropReason.UNKNOWN_PEER)
            return peer.static_static(identity.private_key)

        initiation = yield from consume_initiation(identity, message, static_static)
        peer = self._peers.by_key[initiation.public_key]
        state = peer.state
        if initiation.timestamp <= state.latest_timestamp:
            raise DatagramError(DropReason.REPLAYED_TIMESTAMP)
        last = state.last_initiation_consumed
        if last is not None and now - last < INITIATION_MIN_INTERVAL:
            raise DatagramError(DropReason.INITIATION_FLOOD)
        # Before the pause: a second initiation, of the same moment, is to find it.
        state.latest_timestamp, state.last_initiation_consumed = initiation.timestamp, now
        index, ephemeral = self.indices.allocate(peer.id), self._random(KEY_LENGTH)
        # This cannot fail any more: both keys it depends on have shown that they are not of low order.
        response, session = yield from create_response(initiation, peer.preshared_key, index, ephemeral)
        state.rx_bytes += message.LAYOUT.size
        self._install_session(peer, session, now)
        self._initiator.send_message(peer, state.cookie_maker.seal(response, now), source, now)
        self._roam(peer, source)

    def _finish_handshake(
        self, identity: Identity, message: HandshakeResponse, source: Endpoint, now: int
    ) -> Exchange[None]:
        peer = self._peer_by_index(message.receiver_index)
        initiation = peer.state.initiation if peer else None
        if peer is None or initiation is None or initiation.sender_index != message.receiver_index:
            raise DatagramError(DropReason.UNEXPECTED_RESPONSE)
        session = yield from consume_response(identity, initiation, peer.preshared_key, message)
        state = peer.state
        if state.initiation is not initiation:  # the same response came twice in this moment
            raise DatagramError(DropReason.UNEXPECTED_RESPONSE)
        state.initiation = None  # its index goes on as the session's
        state.rx_bytes += message.LAYOUT.size
        state.last_handshake_traversal = now
        self._roam(peer, source)
        self._install_session(peer, session, now)
        self._complete_handshake(peer, initiator=True)
        self._actions.append(UseKeypair(peer.id, session.local_index, confirm=True))

    def _consume_cookie_reply(self, message: CookieReply, now: int) -> None:
        peer = self._peer_by_index(message.receiver_index)
        if peer is None:
            raise DatagramError(DropReason.UNEXPECTED_COOKIE)
        peer.state.cookie_maker.consume_reply(message, now)

    # -- Handshakes and sessions -----------------------------------------------------------------

    def begin_handshake(self, peer: Peer, now: int, *, anew: bool = False) -> None:
        """Begin one now if it is to go `anew` to the endpoint or none was tried just before; else soon."""
        self._initiator.begin(peer, now, anew=anew)

    def _install_session(self, peer: Peer, session: Session, now: int) -> None:
        dropped = peer.state.keypairs.add(Keypair(session.local_index, session.initiator))
        self._actions.append(installation(peer.id, session, now))
        self._remove_keypairs(peer, dropped)
        self._timers.arm(peer.id, Timer.ZERO_KEY_MATERIAL, now + ZERO_KEY_MATERIAL_AFTER)

    def _confirm_keypair(self, peer: Peer, local_index: int) -> None:
        dropped = peer.state.keypairs.confirm(local_index)
        if dropped is None:
            return
        self._initiator.forget(peer)
        self._complete_handshake(peer, initiator=False)
        self._actions.append(UseKeypair(peer.id, local_index))
        self._remove_keypairs(peer, dropped)

    def _complete_handshake(self, peer: Peer, initiator: bool) -> None:
        self._timers.disarm(peer.id, Timer.RETRANSMIT_HANDSHAKE)
        peer.state.packets_wait = False
        peer.state.last_handshake_time = self._wall_clock()
        self._actions.append(HandshakeCompleted(peer.id, initiator))

    def _remove_keypairs(self, peer: Peer, keypairs: list[Keypair]) -> None:
        for keypair in keypairs:
            self.indices.release(keypair.local_index)
            self._actions.append(RemoveKeypair(peer.id, keypair.local_index))

    # -- Timers, whitepaper 6 --------------------------------------------------------------------

    def _retransmit_handshake(self, peer: Peer, now: int) -> None:
        if now - peer.state.attempts_began < REKEY_ATTEMPT_TIME:
            self.clear_source(peer)
            self._initiator.send(peer, now)
            return
        self._initiator.forget(peer)
        # Whatever session there still is has gone unanswered: let the next packet ask for a new one.
        self.end_session(peer)
        peer.state.packets_wait = False
        self._actions += PurgeStaged(peer.id), PeerUnreachable(peer.id)

    def _new_handshake(self, peer: Peer, now: int) -> None:
        first = self._activity(peer.id).first_unanswered_sent
        if first and first + NEW_HANDSHAKE_AFTER_SILENCE <= now:
            self.clear_source(peer)
            self.begin_handshake(peer, now)
        elif first:
            deadline = first + NEW_HANDSHAKE_AFTER_SILENCE + jitter(self._random)
            self._timers.arm(peer.id, Timer.NEW_HANDSHAKE, deadline)

    def _zero_key_material(self, peer: Peer, now: int) -> None:
        self._remove_keypairs(peer, peer.state.keypairs.clear())

    def _persistent_keepalive(self, peer: Peer, now: int) -> None:
        if self._keepalives.is_persistent_due(peer, now):
            self._start_persistent_keepalive(peer, now)
        else:
            self._keepalives.arm_persistent(peer)

    def _start_persistent_keepalive(self, peer: Peer, now: int) -> None:
        if self._is_up and self._initiator.identity and peer.persistent_keepalive:
            self._keepalives.start_persistent(peer, now)

    def _peer_by_index(self, local_index: int) -> Peer | None:
        peer_id = self.indices.peer(local_index)
        return None if peer_id is None else self._peers.by_id[peer_id]

    def _roam(self, peer: Peer, source: Endpoint) -> None:
        """An authentic message came from there. Whitepaper 2.1"""
        if not peer.pinned:
            self._move_endpoint(peer, source)

    def _move_endpoint(self, peer: Peer, endpoint: Endpoint, pinned: bool = False) -> None:
        if (peer.endpoint, peer.pinned) != (endpoint, pinned):
            peer.endpoint, peer.pinned = endpoint, pinned
            self._actions.append(SetEndpoint(peer.id, endpoint, pinned))
