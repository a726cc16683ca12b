"""Sets the wall clock of the host by a nanosecond, which needs root: who watches it is told."""

import ctypes
import errno
import os

import pytest

_ADJ_SETOFFSET, _ADJ_NANO = 0x0100, 0x2000  # linux/timex.h


class _Timex(ctypes.Structure):
    """adjtimex(2)"""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("unused", ctypes.c_long * 4),
        ("status", ctypes.c_int),
        ("unused_too", ctypes.c_long * 3),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
        ("rest", ctypes.c_char * 256),
    )


def set_clock() -> None:
    """Set the clock; skip the test where that is not permitted."""
    change = _Timex(modes=_ADJ_SETOFFSET | _ADJ_NANO, seconds=0, nanoseconds=1)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(change)) < 0:
        error = ctypes.get_errno()
        if error == errno.EPERM:
            pytest.skip("the clock cannot be set here")
        raise OSError(error, os.strerror(error))
