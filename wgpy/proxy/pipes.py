"""Pipes for what the kernel moves from one socket to another: those that are free are used again. splice(2)

Invariant: a pipe that is free is empty.
"""

import fcntl
import os
from contextlib import suppress
from typing import Final, NamedTuple

SIZE: Final = 1 << 20  # bytes, the most that everybody may have. pipe(7)
_MAX_FREE: Final = 16
_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Pipe(NamedTuple):
    """Its two descriptors."""

    reading: int
    writing: int

    def fill(self, source: int) -> int | None:
        """Move what a socket has; return how many bytes, 0 at its end, None if nothing has come.

        Raises OSError.
        """
        try:
            return os.splice(source, self.writing, SIZE, flags=_FLAGS)
        except BlockingIOError:
            return None

    def drain(self, target: int, size: int) -> int:
        """Move so many bytes, or what the target has room for; return how many are left. Raises OSError."""
        with suppress(BlockingIOError):
            while size:
                size -= os.splice(self.reading, target, size, flags=_FLAGS)
        return size

    def close(self) -> None:
        """With what it has."""
        for fileno in self:
            os.close(fileno)


_free: Final[list[Pipe]] = []


def take() -> Pipe:
    """Return an empty pipe. Raises OSError."""
    return _free.pop() if _free else _open()


def give_back(pipe: Pipe) -> None:
    """pipe: an empty one, which is not the caller's any more."""
    if len(_free) < _MAX_FREE:
        _free.append(pipe)
    else:
        pipe.close()


def _open() -> Pipe:
    pipe = Pipe(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
    with suppress(PermissionError):  # this user has many, and it stays at 64 KiB
        fcntl.fcntl(pipe.writing, fcntl.F_SETPIPE_SZ, SIZE)
    return pipe
