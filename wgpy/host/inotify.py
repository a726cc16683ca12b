"""Notices of what happens to a file. inotify(7)"""

import ctypes
import os
from contextlib import suppress
from errno import EMFILE
from typing import Final

ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
_READ_SIZE: Final = 4096


def watch(path: str | os.PathLike[str], what: int) -> int:
    """Return a descriptor that is readable after something happened to the file. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if fd < 0 and ctypes.get_errno() == EMFILE:
        raise OSError(
            EMFILE, "programs of this user watch too many files: raise fs.inotify.max_user_instances"
        )
    if fd < 0 or libc.inotify_add_watch(fd, os.fsencode(path), what) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def acknowledge(fd: int) -> None:
    """Take the notices of a descriptor."""
    with suppress(BlockingIOError):
        os.read(fd, _READ_SIZE)
