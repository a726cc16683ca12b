"""The wall clock of the host: a descriptor that tells when it was set.

Invariant: while nobody sets the clock, nothing wakes. A clock that is slewed is not set.
"""

import os
import time
from contextlib import suppress
from typing import Final

from . import timerfd

_FAR: Final = (
    365 * 86_400 * 1_000_000_000
)  # ns: the kernel wants a time, and tells of the set clock before it


class ClockMonitor:
    """A descriptor that is readable once the wall clock was set, or the host was suspended."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._fd = timerfd.create(time.CLOCK_REALTIME)
        self._watch()

    def fileno(self) -> int:
        return self._fd

    def acknowledge(self) -> None:
        """Make the descriptor unreadable until the clock is set again."""
        with suppress(OSError):  # ECANCELED: that is how it tells
            os.read(self._fd, 8)
        self._watch()

    def close(self) -> None:
        os.close(self._fd)

    def _watch(self) -> None:
        timerfd.set_at(self._fd, time.time_ns() + _FAR, cancel_on_set=True)
