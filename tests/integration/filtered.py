"""Runs a program by a seccomp profile, on a kernel that seems to refuse something. seccomp(2)

`filtered.py unshare PROGRAM …`: nobody may unshare(2), as by Docker's profile.
`filtered.py ipv6 PROGRAM …`: there is no IPv6.
Invariant: it uses nothing but the standard library.
"""

import ctypes
import os
import platform
import socket
import struct
import sys
from errno import EAFNOSUPPORT, EPERM

_UNSHARE, _SOCKET = {"x86_64": (272, 41), "aarch64": (97, 198)}[platform.machine()]
# linux/prctl.h, linux/seccomp.h, linux/filter.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_REFUSE, _ALLOW = 0x00050000, 0x7FFF0000
_NUMBER, _FIRST_ARGUMENT = 0, 16  # of the call, in struct seccomp_data
_FILTERS = {
    "unshare": (
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 0, 1, _UNSHARE),
        (_RETURN, 0, 0, _REFUSE | EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ),
    "ipv6": (
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_EQUAL, 0, 3, _SOCKET),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_IF_EQUAL, 0, 1, socket.AF_INET6),
        (_RETURN, 0, 0, _REFUSE | EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ),
}


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("count", ctypes.c_ushort), ("lines", ctypes.c_char_p))


libc = ctypes.CDLL(None, use_errno=True)
lines = [struct.pack("HBBI", *line) for line in _FILTERS[sys.argv[1]]]
program = _Program(len(lines), b"".join(lines))
for call in (
    (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0),
):
    if libc.prctl(*call):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[2], sys.argv[2:])
