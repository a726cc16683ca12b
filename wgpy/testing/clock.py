"""Time that moves only when told: the world's timeline, and each host's two clocks on it.

Invariant: everything happens as a callback of the timeline, in order of time and, at one instant, in order of
scheduling; so a run depends on its inputs alone. All times are nanoseconds.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final

from wgpy.contract.constants import SECOND

# Worlds begin here, in 2023; hosts booted a little before it.
WORLD_START: Final = 1_700_000_000 * SECOND
UPTIME_AT_START: Final = 100 * SECOND


class Timeline:
    """What is to happen, and when. It jumps from one event to the next."""

    def __init__(self, now: int = WORLD_START) -> None:
        self.began = now
        self._now = now
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    @property
    def now(self) -> int:
        return self._now

    def call_at(self, when: int, callback: Callable[[], None]) -> None:
        """Call back at that time, or as the very next thing if it has passed."""
        heappush(self._queue, (max(when, self._now), next(self._order), callback))

    def call_after(self, delay: int, callback: Callable[[], None]) -> None:
        self.call_at(self._now + delay, callback)

    def run_until(self, when: int) -> None:
        """Let everything happen that is due until then, that instant included."""
        if when < self._now:
            raise ValueError("time does not run backward; step a host's wall clock instead")
        while self._queue and self._queue[0][0] <= when:
            self._now, _, callback = heappop(self._queue)
            callback()
        self._now = when

    def run_for(self, duration: int) -> None:
        self.run_until(self._now + duration)


class HostClock:
    """A host's boot clock, which runs on while it is suspended, and its wall clock, which people may set."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._booted = timeline.now - UPTIME_AT_START
        self._wall_error = 0

    def boot(self) -> int:
        """Like CLOCK_BOOTTIME."""
        return self._timeline.now - self._booted

    def wall(self) -> int:
        """Like CLOCK_REALTIME."""
        return self._timeline.now + self._wall_error

    def step_wall(self, by: int) -> None:
        """Set the wall clock forward or backward; the boot clock does not notice."""
        self._wall_error += by

    def set_wall_right(self) -> None:
        """What a time server does."""
        self._wall_error = 0

    def reboot(self) -> None:
        """Begin the boot clock anew; the wall clock goes on."""
        self._booted = self._timeline.now - SECOND

    def when(self, boot: int) -> int:
        """The time of the world at which the boot clock shows this."""
        return boot + self._booted
