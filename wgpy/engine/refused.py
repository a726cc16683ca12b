"""Initiations of keys that are no peer's: who becomes a peer soon after is answered without another one.

Invariant: an initiation that is kept costs its memory and no work. Anybody can claim any key; that the sender
has the key is checked when its initiation is received again.
"""

from wgpy.contract.constants import MAX_REFUSED_INITIATIONS, REKEY_TIMEOUT
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.messages import HandshakeInitiation


@dataclass(frozen=True, slots=True)
class RefusedInitiation:
    message: HandshakeInitiation
    source: Endpoint
    time: int  # boottime ns


class RefusedInitiations:
    """Of each key the newest, of so many keys."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[bytes, RefusedInitiation] = {}  # the oldest first

    def keep(self, public_key: bytes, message: HandshakeInitiation, source: Endpoint, now: int) -> None:
        self._by_key.pop(public_key, None)
        if len(self._by_key) >= MAX_REFUSED_INITIATIONS:
            del self._by_key[next(iter(self._by_key))]
        self._by_key[public_key] = RefusedInitiation(message, source, now)

    def take(self, public_key: bytes, now: int) -> RefusedInitiation | None:
        """Give up what is kept of a key: None if its sender has sent another one by now, or given up."""
        refused = self._by_key.pop(public_key, None)
        return refused if refused and now - refused.time < REKEY_TIMEOUT else None
