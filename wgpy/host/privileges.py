"""Dropping of privileges that a daemon no longer needs. capabilities(7), prctl(2)

The user stays root, if it is and no other is chosen, as root owns the files that the daemons use. capset and
setuid are about the calling thread alone, so this comes before any thread starts that is to stay.
"""

import ctypes
import os
import pwd
from typing import Final

CAP_NET_BIND_SERVICE: Final = 10
CAP_NET_ADMIN: Final = 12
_VERSION: Final = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 capabilities
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NO_NEW_PRIVS: Final = 38


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop_privileges(*kept: int, user: pwd.struct_passwd | None = None) -> None:
    """Keep only some capabilities, for good, and write no core dumps of keys.

    kept: numbers below 32; the process keeps those of them that it has. user: whom to become. Raises OSError.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if user is not None:
        _become(libc, user)
    words = (_Word * 2)()
    _check(libc.capget(ctypes.byref(_Header(_VERSION, 0)), words))
    low, high = words
    low.permitted &= sum(1 << capability for capability in kept)
    high.permitted = 0
    for word in (low, high):
        word.effective, word.inheritable = word.permitted, 0
    _check(libc.capset(ctypes.byref(_Header(_VERSION, 0)), words))
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    _prctl(libc, _PR_SET_DUMPABLE, 0)


def _become(libc: ctypes.CDLL, user: pwd.struct_passwd) -> None:
    """Become a user that keeps the permitted capabilities. Raises OSError."""
    _prctl(libc, _PR_SET_KEEPCAPS, 1)
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    unused = ctypes.c_ulong(0)
    _check(libc.prctl(option, ctypes.c_ulong(value), unused, unused, unused))


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
