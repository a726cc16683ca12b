"""The initiator's part of handshakes until an initiation is sent. Whitepaper 5.4.2, 6.4.

Invariant: an ephemeral key is of one message. So what the data path has on loan is complete, and whoever is
first sends that very message.
"""

from collections.abc import Callable

from wgpy.contract.constants import INITIATION_SIZE, REJECT_AFTER_TIME, REKEY_TIMEOUT
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.messages import HandshakeInitiation
from wgpy.contract.orders import LendInitiation

from .actions import Action, SendDatagram
from .indextable import IndexTable
from .noise import Identity, SentInitiation, create_initiation
from .peer import LentInitiation, Peer
from .peertable import PeerTable
from .tai64n import Tai64nClock
from .timers import Timer, Timers, jitter


class Initiator:
    """Of all peers. identity: None as long as there is none; then nothing is sent."""

    def __init__(
        self,
        random: Callable[[int], bytes],
        wall_clock: Callable[[], int],
        indices: IndexTable,
        timers: Timers,
        actions: list[Action],
    ) -> None:
        """All as the engine has them."""
        self._random = random
        self._wall_clock = wall_clock
        self._indices = indices
        self._timers = timers
        self._actions = actions
        self._clock = Tai64nClock(wall_clock)
        self.identity: Identity | None = None

    @property
    def last_timestamp(self) -> int:
        """The newest TAI64N value given to an initiation, in ns since 1970."""
        return self._clock.last

    def set_identity(self, identity: Identity | None, last_timestamp: int) -> None:
        """last_timestamp: the newest of an earlier life with this identity."""
        self.identity = identity
        self._clock = Tai64nClock(self._wall_clock, max(last_timestamp, self._clock.last))

    # -- Ahead -----------------------------------------------------------------------------------

    def prepare(self, peers: PeerTable, now: int) -> None:
        """Do what the next initiation of each peer needs, unless there are many peers."""
        if self.identity:
            peers.prepare_initiations(self.identity, self._random, now)

    def lend(self, peers: PeerTable, now: int) -> None:
        """Let the data path send what is prepared, to peers that were sent no handshake message so far.

        To others none may be sent before REKEY_TIMEOUT, of which the data path does not know.
        """
        for peer in peers.by_key.values():
            if peer.has_state and peer.state.prepared and peer.state.last_handshake_sent is None:
                self._lend(peer, now)

    def _lend(self, peer: Peer, now: int) -> None:
        state = peer.state
        assert state.prepared
        message, sent = create_initiation(state.prepared, self._indices.allocate(peer.id), self._clock.next())
        state.lent, state.prepared = LentInitiation(message, sent), None
        datagram = state.cookie_maker.seal(message, now)
        self._actions.append(LendInitiation(peer.id, datagram, state.prepared_at + REJECT_AFTER_TIME))

    def note_sent(self, peer: Peer, local_index: int, now: int) -> None:
        """The data path has sent the one with this index, which may have been recalled just before."""
        if (lent := peer.state.lent) and lent.sent.sender_index == local_index:
            peer.state.lent = None
            peer.state.begin_attempts(now)
            self._note_initiation(peer, lent.sent, now)
            self.note_message(peer, INITIATION_SIZE, now)
        else:
            self.begin(peer, now)

    def recall(self, peer: Peer) -> None:
        """Let what is on loan never be sent."""
        if peer.has_state and (lent := peer.state.lent):
            self._indices.release(lent.sent.sender_index)
            self._take_back(peer)

    def _take_back(self, peer: Peer) -> None:
        peer.state.lent = None
        self._actions.append(LendInitiation(peer.id, None))

    # -- When there is a reason ------------------------------------------------------------------

    def begin(self, peer: Peer, now: int, *, anew: bool = False) -> None:
        """Begin a handshake now if it is to go `anew` or none was tried just before; else soon."""
        if anew:
            self.forget(peer)
        peer.state.begin_attempts(now)
        last = peer.state.last_handshake_sent
        if anew or last is None or now - last >= REKEY_TIMEOUT:
            self.send(peer, now)
        elif not self._timers.is_armed(peer.id, Timer.RETRANSMIT_HANDSHAKE):
            self._timers.arm(peer.id, Timer.RETRANSMIT_HANDSHAKE, last + REKEY_TIMEOUT + jitter(self._random))

    def try_once(self, peer: Peer, now: int) -> None:
        """Send one initiation unless there was one just before, and no more if that is not answered.

        So who has a relay send it has sent as much, and repeats it if it is worth it.
        """
        last = peer.state.last_handshake_sent
        is_due = last is None or now - last >= REKEY_TIMEOUT
        if is_due and not self._timers.is_armed(peer.id, Timer.RETRANSMIT_HANDSHAKE):
            self.send(peer, now)
            self._timers.disarm(peer.id, Timer.RETRANSMIT_HANDSHAKE)

    def send(self, peer: Peer, now: int) -> None:
        """Send an initiation, if there is somewhere to send it to, and wait for the answer to it alone."""
        if self.identity is None or peer.endpoint is None:
            return
        if (taken := self._take(peer, self.identity, now)) is None:
            return
        message, sent = taken
        self._note_initiation(peer, sent, now)
        destination, state = peer.endpoint, peer.state
        if peer.selector and not peer.pinned:
            destination = peer.selector.destination(peer.endpoint, state.retries)
        self.send_message(peer, state.cookie_maker.seal(message, now), destination, now)

    def _take(
        self, peer: Peer, identity: Identity, now: int
    ) -> tuple[HandshakeInitiation, SentInitiation] | None:
        """The next one, without macs; None if the peer's key is of low order."""
        if (lent := peer.state.lent) and now - peer.state.prepared_at < REJECT_AFTER_TIME:
            self._take_back(peer)
            return lent.message, lent.sent
        self.recall(peer)
        prepared = peer.take_initiation(identity, self._random, now)
        if prepared is None:
            return None
        return create_initiation(prepared, self._indices.allocate(peer.id), self._clock.next())

    def _note_initiation(self, peer: Peer, sent: SentInitiation, now: int) -> None:
        peer.state.retries = peer.state.retries + 1 if peer.state.initiation else 0
        self.forget(peer)
        peer.state.initiation = sent
        self._timers.arm(peer.id, Timer.RETRANSMIT_HANDSHAKE, now + REKEY_TIMEOUT + jitter(self._random))

    def forget(self, peer: Peer) -> None:
        """Take no answer to what was sent."""
        if peer.has_state and (initiation := peer.state.initiation):
            self._indices.release(initiation.sender_index)
            peer.state.initiation = None

    # -- Either role -----------------------------------------------------------------------------

    def send_message(self, peer: Peer, datagram: bytes, endpoint: Endpoint, now: int) -> None:
        """Send an initiation or a response."""
        self.note_message(peer, len(datagram), now)
        self._actions.append(SendDatagram(peer.id, datagram, endpoint))
        self.recall(peer)

    def note_message(self, peer: Peer, size: int, now: int) -> None:
        peer.state.last_handshake_sent = peer.state.last_handshake_traversal = now
        peer.state.tx_bytes += size
