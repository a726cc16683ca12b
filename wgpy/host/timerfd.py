"""Timers of Linux that are file descriptors: timerfd_create(2). Python has them since 3.13."""

import os
import sys

if sys.version_info >= (3, 13):

    def create(clock: int) -> int:
        """Return a descriptor that does not block. clock: as `time.CLOCK_BOOTTIME`. Raises OSError."""
        return os.timerfd_create(clock, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def set_at(fd: int, when: int, *, cancel_on_set: bool = False) -> None:
        """Fire at a time of the clock, ns, 0 for never. cancel_on_set: also when the clock is set."""
        flags = os.TFD_TIMER_ABSTIME | (os.TFD_TIMER_CANCEL_ON_SET if cancel_on_set else 0)
        os.timerfd_settime_ns(fd, flags=flags, initial=when)

else:
    import ctypes

    _TFD_TIMER_ABSTIME = 1
    _TFD_TIMER_CANCEL_ON_SET = 2
    _LIBC = ctypes.CDLL(None, use_errno=True)
    _TimerSpec = ctypes.c_long * 4  # struct itimerspec: interval, then value, each seconds and nanoseconds

    def create(clock: int) -> int:
        """Return a descriptor that does not block. clock: as `time.CLOCK_BOOTTIME`. Raises OSError."""
        return _checked(_LIBC.timerfd_create(clock, os.O_NONBLOCK | os.O_CLOEXEC))

    def set_at(fd: int, when: int, *, cancel_on_set: bool = False) -> None:
        """Fire at a time of the clock, ns, 0 for never. cancel_on_set: also when the clock is set."""
        flags = _TFD_TIMER_ABSTIME | (_TFD_TIMER_CANCEL_ON_SET if cancel_on_set else 0)
        timer = _TimerSpec(0, 0, *divmod(when, 1_000_000_000))
        _checked(_LIBC.timerfd_settime(fd, flags, timer, None))

    def _checked(result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result
