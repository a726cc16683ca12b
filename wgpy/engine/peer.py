"""What the engine knows of one remote peer."""

from wgpy.contract.constants import KEY_LENGTH
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerId
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.contract.path_selector import PathSelector

from .cookie import CookieMaker
from .exchange import Exchange, agree
from .keypair import Keypairs
from .noise import SentInitiation


@dataclass(slots=True, eq=False)
class Peer:
    """A peer's settings and protocol state. Read by drivers, written by `Engine` alone."""

    id: PeerId
    public_key: bytes

    # Settings
    preshared_key: bytes = field(default=bytes(KEY_LENGTH), repr=False)  # zeros for none
    endpoint: Endpoint | None = None
    endpoint_is_set: bool = False  # by a setting, at any time, rather than learnt from authentic messages
    pinned: bool = False  # the endpoint stays, wherever authentic messages come from
    selector: PathSelector | None = None  # where else it may be
    persistent_keepalive: int = 0  # seconds, 0 for off

    # Handshake. Times are boottime ns; None for never.
    shared_static: bytes | None = field(default=None, repr=False)  # DH of both static keys, once needed
    initiation: SentInitiation | None = None  # in flight
    retries: int = 0  # of that initiation
    attempts_began: int = 0  # when one was last asked for
    unanswered_since: int = 0  # when one was asked for that this initiation was the first for
    packets_wait: bool = False  # they are staged until a handshake completes
    last_handshake_sent: int | None = None  # an initiation or a response of ours
    last_initiation_consumed: int | None = None
    latest_timestamp: bytes = b""  # greatest TAI64N the peer has sent
    # Most of ten thousand peers never need them.
    _cookie_maker: CookieMaker | None = field(default=None, repr=False)
    _keypairs: Keypairs | None = None

    # For people, and for the persistent keepalive
    last_handshake_time: int = 0  # real time in ns since 1970, 0 for never
    last_handshake_traversal: int = 0  # boottime ns of the last authentic handshake message, either way
    tx_bytes: int = 0  # handshake messages; the data path counts the rest
    rx_bytes: int = 0

    @property
    def cookie_maker(self) -> CookieMaker:
        if self._cookie_maker is None:
            self._cookie_maker = CookieMaker(self.public_key)
        return self._cookie_maker

    @property
    def keypairs(self) -> Keypairs:
        if self._keypairs is None:
            self._keypairs = Keypairs()
        return self._keypairs

    def begin_attempts(self, now: int) -> None:
        self.attempts_began = now
        if not self.initiation:
            self.unanswered_since = now

    def static_static(self, private_key: bytes) -> Exchange[bytes]:
        """DH of both static keys, computed once for a private key. Raises DatagramError (LOW_ORDER_KEY)."""
        if self.shared_static is None:
            (self.shared_static,) = yield from agree((private_key, self.public_key))
        return self.shared_static
