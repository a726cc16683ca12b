"""Dropping of privileges that the daemon no longer needs. capabilities(7), prctl(2)

What stays is CAP_NET_ADMIN, for fwmark while it runs, and CAP_NET_BIND_SERVICE, for ports below 1024. The
user stays root, if it is, as the socket's and the state's directories are root's. capset is about the
calling thread alone, so this comes before any thread starts.
"""

import ctypes
import os
from typing import Final

_CAP_NET_BIND_SERVICE: Final = 10
_CAP_NET_ADMIN: Final = 12
_KEPT: Final = 1 << _CAP_NET_BIND_SERVICE | 1 << _CAP_NET_ADMIN
_VERSION: Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 capabilities
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop_privileges() -> None:
    """Keep only the two capabilities that are needed, for good, and write no core dumps of keys.

    Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    words = (_Word * 2)()
    _check(libc.capget(ctypes.byref(_Header(_VERSION, 0)), words))
    low, high = words
    low.permitted &= _KEPT
    high.permitted = 0
    for word in (low, high):
        word.effective, word.inheritable = word.permitted, 0
    _check(libc.capset(ctypes.byref(_Header(_VERSION, 0)), words))
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    _prctl(libc, _PR_SET_DUMPABLE, 0)


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    _check(libc.prctl(option, ctypes.c_ulong(value), unused, unused, unused))


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
