"""Runs a program by a seccomp profile that lets nobody unshare(2), as Docker's: a container in this respect.

Invariant: it uses nothing but the standard library. seccomp(2)
"""

import ctypes
import os
import platform
import struct
import sys
from errno import EPERM

_UNSHARE = {"x86_64": 272, "aarch64": 97}[platform.machine()]
# linux/prctl.h, linux/seccomp.h, linux/filter.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_REFUSE, _ALLOW = 0x00050000 | EPERM, 0x7FFF0000
_FILTER = b"".join(
    struct.pack("HBBI", *line)
    for line in (
        (_LOAD, 0, 0, 0),  # the number of the call
        (_JUMP_IF_EQUAL, 0, 1, _UNSHARE),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("count", ctypes.c_ushort), ("lines", ctypes.c_char_p))


libc = ctypes.CDLL(None, use_errno=True)
program = _Program(len(_FILTER) // 8, _FILTER)
for call in (
    (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0),
):
    if libc.prctl(*call):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
