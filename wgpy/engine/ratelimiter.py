"""How many handshake messages one source may have answered under load. Whitepaper 5.3.

Invariant: memory is bounded; when it is full of active sources, a new one is refused. One token bucket per
IPv4 address and per IPv6 /64, as a /64 is what one host can fill at will.
"""

from collections import OrderedDict

from wgpy.contract.constants import RATE_LIMIT_BURST, RATE_LIMIT_MAX_SOURCES, RATE_LIMIT_PER_SECOND, SECOND

_COST = SECOND // RATE_LIMIT_PER_SECOND
_FULL = RATE_LIMIT_BURST * _COST


class RateLimiter:
    """Token buckets in nanoseconds: a message costs what its rate takes to earn."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        # Source -> (tokens, time of the last message), least recently seen first.
        self._buckets: OrderedDict[bytes, tuple[int, int]] = OrderedDict()

    def allow(self, address: bytes, now: int) -> bool:
        """Whether one more message from this address (4 or 16 bytes) may be answered. now: boottime ns."""
        source = address if len(address) == 4 else address[:8]
        tokens, last = self._buckets.pop(source, (_FULL, now))
        if not self._has_room(now):
            return False
        tokens = min(_FULL, tokens + now - last)
        allowed = tokens >= _COST
        self._buckets[source] = (tokens - _COST if allowed else tokens, now)
        return allowed

    def _has_room(self, now: int) -> bool:
        while self._buckets:
            _, last = next(iter(self._buckets.values()))
            if now - last < _FULL:
                break
            self._buckets.popitem(last=False)  # full again, so nothing is lost
        return len(self._buckets) < RATE_LIMIT_MAX_SOURCES

    def __len__(self) -> int:
        return len(self._buckets)
