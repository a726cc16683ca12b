"""The boot clock of the host: the time that runs on while the machine sleeps, and one alarm on it.

Event loops sleep on CLOCK_MONOTONIC, which stands still during a suspend; a deadline of theirs would be
late by all of it. So the alarm is a timerfd on CLOCK_BOOTTIME: the loop watches its descriptor, and
nothing wakes the process before.
"""

import os
import time
from contextlib import suppress

from . import timerfd


def boottime() -> int:
    """Nanoseconds since the host started, time asleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Alarm:
    """A descriptor that is readable once the boot clock has reached the time that was set."""

    def __init__(self) -> None:
        self._fd = timerfd.create(time.CLOCK_BOOTTIME)
        self._when: int | None = None

    def fileno(self) -> int:
        return self._fd

    def set(self, when: int | None) -> None:
        """Fire at this boottime in ns, or never. No system call if that is what is set already."""
        if when != self._when:
            self._when = when
            # Zero would disarm it, and a time that has passed fires at once.
            timerfd.set_at(self._fd, 0 if when is None else max(when, 1))

    def acknowledge(self) -> None:
        """Make the descriptor unreadable until it is set again."""
        self._when = None
        with suppress(BlockingIOError):
            os.read(self._fd, 8)

    def close(self) -> None:
        os.close(self._fd)
