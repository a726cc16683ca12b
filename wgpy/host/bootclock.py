"""The boot clock of the host: the time that runs on while the machine sleeps, and one alarm on it.

Event loops sleep on CLOCK_MONOTONIC, which stands still during a suspend; a deadline of theirs would be
late by all of it. So the alarm is a timerfd on CLOCK_BOOTTIME: the loop watches its descriptor, and
nothing wakes the process before.
"""

import os
import sys
import time
from contextlib import suppress

if sys.version_info >= (3, 13):

    def _create() -> int:
        return os.timerfd_create(time.CLOCK_BOOTTIME, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _set(fd: int, when: int) -> None:
        os.timerfd_settime_ns(fd, flags=os.TFD_TIMER_ABSTIME, initial=when)

else:
    import ctypes

    _TFD_TIMER_ABSTIME = 1
    _LIBC = ctypes.CDLL(None, use_errno=True)
    _TimerSpec = ctypes.c_long * 4  # struct itimerspec: interval, then value, each seconds and nanoseconds

    def _create() -> int:
        return _checked(_LIBC.timerfd_create(time.CLOCK_BOOTTIME, os.O_NONBLOCK | os.O_CLOEXEC))

    def _set(fd: int, when: int) -> None:
        timer = _TimerSpec(0, 0, *divmod(when, 1_000_000_000))
        _checked(_LIBC.timerfd_settime(fd, _TFD_TIMER_ABSTIME, timer, None))

    def _checked(result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result


def boottime() -> int:
    """Nanoseconds since the host started, time asleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Alarm:
    """A descriptor that is readable once the boot clock has reached the time that was set."""

    def __init__(self) -> None:
        self._fd = _create()
        self._when: int | None = None

    def fileno(self) -> int:
        return self._fd

    def set(self, when: int | None) -> None:
        """Fire at this boottime in ns, or never. No system call if that is what is set already."""
        if when != self._when:
            self._when = when
            # Zero would disarm it, and a time that has passed fires at once.
            _set(self._fd, 0 if when is None else max(when, 1))

    def acknowledge(self) -> None:
        """Make the descriptor unreadable until it is set again."""
        self._when = None
        with suppress(BlockingIOError):
            os.read(self._fd, 8)

    def close(self) -> None:
        os.close(self._fd)
