"""When something is to be done about a peer. Whitepaper 6; the names are the kernel's.

Invariant: one deadline per peer and timer; arming again replaces it. Time is given, never read.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from heapq import heapify, heappop, heappush

from wgpy.contract.constants import REKEY_JITTER
from wgpy.contract.events import PeerId


class Timer(IntEnum):
    """What a deadline is for. The order decides between equal deadlines."""

    RETRANSMIT_HANDSHAKE = 0
    SEND_KEEPALIVE = 1
    NEW_HANDSHAKE = 2
    ZERO_KEY_MATERIAL = 3
    PERSISTENT_KEEPALIVE = 4


class Timers:
    """All deadlines of a device, in boottime ns."""

    __slots__ = ("_armed", "_heap")

    def __init__(self) -> None:
        self._armed: list[dict[PeerId, int]] = [{} for _ in Timer]  # the deadlines of each
        # May hold entries that `_armed` no longer knows, or knows with another deadline: they are skipped.
        self._heap: list[tuple[int, PeerId, Timer]] = []

    def arm(self, peer: PeerId, timer: Timer, deadline: int) -> None:
        armed = self._armed[timer]
        if armed.get(peer) == deadline:
            return
        armed[peer] = deadline
        heappush(self._heap, (deadline, peer, timer))
        if len(self._heap) > 64 + 2 * sum(map(len, self._armed)):
            self._heap = [(at, peer, timer) for timer in Timer for peer, at in self._armed[timer].items()]
            heapify(self._heap)

    def disarm(self, peer: PeerId, timer: Timer) -> None:
        self._armed[timer].pop(peer, None)

    def disarm_all(self, peer: PeerId) -> None:
        for armed in self._armed:
            armed.pop(peer, None)

    def is_armed(self, peer: PeerId, timer: Timer) -> bool:
        return peer in self._armed[timer]

    def next_deadline(self) -> int | None:
        while self._heap:
            deadline, peer, timer = self._heap[0]
            if self._armed[timer].get(peer) == deadline:
                return deadline
            heappop(self._heap)
        return None

    def take_due(self, now: int) -> Iterator[tuple[PeerId, Timer]]:
        """Disarm and give what is due, earliest first, also what is armed meanwhile."""
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, peer, timer = heappop(self._heap)
            del self._armed[timer][peer]
            yield peer, timer


def jitter(random: Callable[[int], bytes]) -> int:
    """0 to REKEY_JITTER, so that two ends that failed together do not retry together."""
    return int.from_bytes(random(4), "little") * REKEY_JITTER >> 32
