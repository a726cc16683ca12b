"""How many datagrams one source may have answered: handshake messages under load (WP 5.3), and foreign ones.

Invariant: memory is bounded. One token bucket per IPv4 address and per IPv6 /64, as a /64 is what one host
can fill at will. When memory is full of active sources, a new one is refused. Where sources may be forged,
the one that was silent longest is forgotten instead, as forged sources would keep all others out.
"""

from collections import OrderedDict

from wgpy.contract.constants import SECOND


class RateLimiter:
    """Token buckets in nanoseconds: a datagram costs what its rate takes to earn."""

    __slots__ = ("_buckets", "_cost", "_forged", "_full", "_max_sources")

    def __init__(self, *, per_second: int, burst: int, max_sources: int, forged: bool = False) -> None:
        """forged: whether sources may be."""
        self._cost = SECOND // per_second
        self._full = burst * self._cost
        self._max_sources = max_sources
        self._forged = forged
        # Source -> (tokens, time of the last datagram), least recently seen first.
        self._buckets: OrderedDict[bytes, tuple[int, int]] = OrderedDict()

    def allow(self, address: bytes, now: int) -> bool:
        """Whether one more datagram from this address (4 or 16 bytes) may be answered. now: boottime ns."""
        source = address if len(address) == 4 else address[:8]
        tokens, last = self._buckets.pop(source, (self._full, now))
        if not self._has_room(now):
            return False
        tokens = min(self._full, tokens + now - last)
        allowed = tokens >= self._cost
        self._buckets[source] = (tokens - self._cost if allowed else tokens, now)
        return allowed

    def _has_room(self, now: int) -> bool:
        while self._buckets:
            _, last = next(iter(self._buckets.values()))
            if now - last < self._full:
                break
            self._buckets.popitem(last=False)  # full again, so nothing is lost
        if self._forged and len(self._buckets) >= self._max_sources:
            self._buckets.popitem(last=False)
        return len(self._buckets) < self._max_sources

    def __len__(self) -> int:
        return len(self._buckets)
