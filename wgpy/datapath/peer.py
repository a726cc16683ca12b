"""Peers and keypairs of the data path in Python."""

from collections import deque
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from wgpy.contract.constants import REJECT_AFTER_MESSAGES
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerActivity, PeerId
from wgpy.contract.orders import InstallKeypair

from .replay import ReplayWindow

NEVER: Final = 2**64  # later than any boot clock


class Peer:
    """Where a peer is, its keypairs, and what waits for one to send by. Compared by identity."""

    __slots__ = ("activity", "endpoint", "id", "keypairs", "pinned", "sending", "staged")

    def __init__(self, peer: PeerId) -> None:
        self.id = peer
        self.endpoint: Endpoint | None = None
        self.pinned = False
        self.keypairs: dict[int, Keypair] = {}  # by local index, the newest last
        self.sending: Keypair | None = None
        self.staged: deque[bytes] = deque()
        self.activity = PeerActivity()

    def newest_keypair(self) -> "Keypair":
        """Of those that are installed, of which there must be one."""
        return next(reversed(self.keypairs.values()))


class Keypair:
    """One session's two keys, with the counter of the one and the window of the other."""

    __slots__ = (
        "confirmed",
        "counter",
        "local_index",
        "looped",
        "open",
        "peer",
        "reject_after_time",
        "rekey_after_received_time",
        "rekey_after_sent_time",
        "remote_index",
        "seal",
        "window",
    )

    def __init__(self, peer: Peer, order: InstallKeypair) -> None:
        self.peer = peer
        self.local_index = order.local_index
        self.remote_index = order.remote_index
        self.seal = ChaCha20Poly1305(order.sending_key).encrypt
        self.open = ChaCha20Poly1305(order.receiving_key).decrypt
        self.counter = 0  # of the next message to send
        self.window = ReplayWindow()
        self.confirmed = False  # it sends, or KeyConfirmed was raised
        self.looped = False  # RoutingLoop was raised
        self.reject_after_time = order.reject_after_time
        self.rekey_after_sent_time = _or_never(order.rekey_after_sent_time)
        self.rekey_after_received_time = _or_never(order.rekey_after_received_time)

    def may_seal(self, now: int) -> bool:
        return now < self.reject_after_time and self.counter < REJECT_AFTER_MESSAGES


def _or_never(time: int | None) -> int:
    return NEVER if time is None else time
