"""What the engine knows of one remote peer."""

from collections.abc import Callable
from contextlib import suppress

from wgpy.contract.constants import KEY_LENGTH, REJECT_AFTER_TIME
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.contract.events import PeerId
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.contract.messages import HandshakeInitiation
from wgpy.contract.path_selector import PathSelector

from .cookie import CookieMaker
from .exchange import Exchange, agree, finish
from .keypair import Keypairs
from .noise import Identity, PreparedInitiation, SentInitiation, prepare_initiation


@dataclass(frozen=True, slots=True)
class LentInitiation:
    """A whole initiation that the data path may send."""

    message: HandshakeInitiation
    sent: SentInitiation


@dataclass(slots=True, eq=False)
class ProtocolState:
    """A peer's handshakes and sessions. Times are boottime ns; None for never."""

    cookie_maker: CookieMaker = field(repr=False)
    keypairs: Keypairs
    shared_static: bytes | None = field(default=None, repr=False)  # DH of both static keys, once needed
    prepared: PreparedInitiation | None = None  # the next one
    prepared_at: int = 0
    lent: LentInitiation | None = None  # which was prepared
    initiation: SentInitiation | None = None  # in flight
    retries: int = 0  # of that initiation
    attempts_began: int = 0  # when one was last asked for
    unanswered_since: int = 0  # when one was asked for that this initiation was the first for
    packets_wait: bool = False  # they are staged until a handshake completes
    last_handshake_sent: int | None = None  # an initiation or a response of ours
    last_initiation_consumed: int | None = None
    latest_timestamp: bytes = b""  # greatest TAI64N the peer has sent

    # For people, and for the persistent keepalive
    last_handshake_time: int = 0  # real time in ns since 1970, 0 for never
    last_handshake_traversal: int = 0  # boottime ns of the last authentic handshake message, either way
    tx_bytes: int = 0  # handshake messages; the data path counts the rest
    rx_bytes: int = 0

    def begin_attempts(self, now: int) -> None:
        self.attempts_began = now
        if not self.initiation:
            self.unanswered_since = now


@dataclass(slots=True, eq=False)
class Peer:
    """A peer's settings and protocol state. Read by drivers, written by `Engine` alone."""

    id: PeerId
    public_key: bytes
    preshared_key: bytes = field(default=bytes(KEY_LENGTH), repr=False)  # zeros for none
    endpoint: Endpoint | None = None
    endpoint_is_set: bool = False  # by a setting, at any time, rather than learnt from authentic messages
    pinned: bool = False  # the endpoint stays, wherever authentic messages come from
    selector: PathSelector | None = None  # where else it may be
    persistent_keepalive: int = 0  # seconds, 0 for off
    _state: ProtocolState | None = None  # most of ten thousand peers never have one

    @property
    def has_state(self) -> bool:
        """Whether there was ever anything to do with the peer."""
        return self._state is not None

    @property
    def state(self) -> ProtocolState:
        """Makes it if there is none."""
        if self._state is None:
            self._state = ProtocolState(CookieMaker(self.public_key), Keypairs())
        return self._state

    @property
    def last_handshake_time(self) -> int:
        """Real time in ns since 1970, 0 for never."""
        return self._state.last_handshake_time if self._state else 0

    @property
    def unanswered_since(self) -> int:
        """When the initiation in flight, or the first of those that it repeats, was asked for; 0: none is."""
        return self._state.unanswered_since if self._state and self._state.initiation else 0

    @property
    def tx_bytes(self) -> int:
        """Of handshake messages."""
        return self._state.tx_bytes if self._state else 0

    @property
    def rx_bytes(self) -> int:
        """Of handshake messages."""
        return self._state.rx_bytes if self._state else 0

    def static_static(self, private_key: bytes) -> Exchange[bytes]:
        """DH of both static keys, computed once for a private key. Raises DatagramError (LOW_ORDER_KEY)."""
        state = self.state
        if state.shared_static is None:
            (state.shared_static,) = yield from agree((private_key, self.public_key))
        return state.shared_static

    def prepare_initiation(self, identity: Identity, random: Callable[[int], bytes], now: int) -> None:
        """Make the next initiation as far as it needs no time, if that is not done."""
        if self.state.prepared is None and self.state.lent is None:
            self.state.prepared_at = now
            with suppress(DatagramError):  # a key of low order: it never causes a packet
                static_static = finish(self.static_static(identity.private_key))
                ephemeral = random(KEY_LENGTH)
                exchange = prepare_initiation(identity, self.public_key, static_static, ephemeral)
                self.state.prepared = finish(exchange)

    def take_initiation(
        self, identity: Identity, random: Callable[[int], bytes], now: int
    ) -> PreparedInitiation | None:
        """Prepare it unless that was just done, and forget it. None if the peer's key is of low order.

        What was prepared long ago is not sent: who reads the memory shall not have keys of later sessions.
        """
        if now - self.state.prepared_at >= REJECT_AFTER_TIME:
            self.state.prepared = None
        self.prepare_initiation(identity, random, now)
        prepared, self.state.prepared = self.state.prepared, None
        return prepared
