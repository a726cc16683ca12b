"""Datagrams that are not WireGuard's, while they wait for the driver: bounded in all, and for each source."""

from collections import Counter

from wgpy.contract.constants import MAX_FOREIGN, MAX_FOREIGN_PER_SOURCE, MAX_FOREIGN_SIZE
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint


class ForeignQueue:
    """is_open: whether somebody wants them."""

    def __init__(self, is_open: bool) -> None:
        self.is_open = is_open
        self._waiting: list[tuple[bytes, Endpoint]] = []
        self._of: Counter[bytes] = Counter()  # how many of a source

    def push(self, data: bytes, source: Endpoint) -> DropReason | None:
        """Keep a datagram until it is taken. Returns why not."""
        if not self.is_open:
            return DropReason.UNKNOWN_TYPE
        if len(data) > MAX_FOREIGN_SIZE:
            return DropReason.FOREIGN_TOO_LONG
        if self._of[source.network()] >= MAX_FOREIGN_PER_SOURCE:
            return DropReason.FOREIGN_SOURCE_LIMIT
        if len(self._waiting) >= MAX_FOREIGN:
            return DropReason.FOREIGN_QUEUE_FULL
        self._waiting.append((data, source))
        self._of[source.network()] += 1
        return None

    def take(self) -> list[tuple[bytes, Endpoint]]:
        """All of them, oldest first."""
        waiting, self._waiting = self._waiting, []
        self._of.clear()
        return waiting
