"""Which reader gets a datagram that is not WireGuard's: its first bytes say so.

Invariant: memory and the work for a datagram are bounded, whatever arrives; each source has a budget, and
takes nothing from another's. A datagram without a reader is counted, and takes nothing from any budget.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError, StateError
from wgpy.contract.messages import TYPE_INITIATION, TYPE_TRANSPORT
from wgpy.ratelimiter import RateLimiter

Reader = Callable[[bytes, Endpoint, int], bytes | None]
"""Called with a datagram, where it came from, and the time in boottime ns; gives the answer, if there is one.

It raises DatagramError, and nothing else, for a datagram that it refuses.
"""

MAX_READERS: Final = 16
MAX_PREFIX_SIZE: Final = 16
# Of each source: a few questions a second of every node behind a NAT.
RATE_PER_SECOND: Final = 32
BURST: Final = 16
MAX_SOURCES: Final = 1024

_WIREGUARD: Final = tuple(bytes([kind, 0, 0, 0]) for kind in range(TYPE_INITIATION, TYPE_TRANSPORT + 1))


class Demultiplexer:
    """Readers by prefix, and the budgets of sources."""

    def __init__(self) -> None:
        self._readers: dict[bytes, Reader] = {}
        self._budget = RateLimiter(
            per_second=RATE_PER_SECOND, burst=BURST, max_sources=MAX_SOURCES, forged=True
        )
        self._drops: Counter[DropReason] = Counter()

    @property
    def drops(self) -> Mapping[DropReason, int]:
        """Datagrams refused, by reason."""
        return self._drops

    @property
    def has_readers(self) -> bool:
        return bool(self._readers)

    def is_only_reader(self, prefix: bytes) -> bool:
        return self._readers.keys() == {prefix}

    def register(self, prefix: bytes, reader: Reader) -> None:
        """Hand the datagrams that begin with this prefix to a reader.

        prefix: 1 to MAX_PREFIX_SIZE bytes. Raises ValueError if WireGuard's messages or those of another
        reader may begin so, StateError beyond MAX_READERS.
        """
        self._check_prefix(prefix)
        if len(self._readers) >= MAX_READERS:
            raise StateError(f"there are {MAX_READERS} readers already: unregister one first")
        self._readers[prefix] = reader

    def unregister(self, prefix: bytes) -> None:
        """Harmless when repeated."""
        self._readers.pop(prefix, None)

    def receive(self, data: bytes, source: Endpoint, now: int) -> bytes | None:
        """What is to be answered to this datagram, from the address at which it came in. now: boottime ns."""
        prefix = next(filter(data.startswith, self._readers), None)
        if prefix is None:
            reason = DropReason.UNKNOWN_TYPE
        elif not self._budget.allow(source.packed()[:-2], now):
            reason = DropReason.FOREIGN_RATE_LIMITED
        else:
            try:
                return self._readers[prefix](data, source, now)
            except DatagramError as error:
                reason = error.reason
        self._drops[reason] += 1
        return None

    def _check_prefix(self, prefix: bytes) -> None:
        if not 1 <= len(prefix) <= MAX_PREFIX_SIZE:
            raise ValueError(f"a prefix has 1 to {MAX_PREFIX_SIZE} bytes, not {len(prefix)}")
        if any(_overlap(prefix, header) for header in _WIREGUARD):
            raise ValueError(f"messages of WireGuard begin with {prefix.hex()}: take another prefix")
        if any(_overlap(prefix, other) for other in self._readers):
            raise ValueError(f"datagrams that begin with {prefix.hex()} have a reader: take another prefix")


def _overlap(left: bytes, right: bytes) -> bool:
    """Whether a datagram may begin with both."""
    return left.startswith(right) or right.startswith(left)
