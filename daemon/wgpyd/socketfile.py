"""The file of the configuration socket: made, watched, and removed. unix(7), inotify(7)"""

import errno
import os
import socket
import time
from contextlib import suppress
from typing import Final

from wgpy.host import inotify

from .errors import StartError

DIRECTORY: Final = "/var/run/wireguard"
BACKLOG: Final = 1024
# How long a daemon may take to end after its interface was deleted: its socket still answers.
_PATIENCE: Final = 2.0
_RETRY_INTERVAL: Final = 0.02

_Path = str | os.PathLike[str]

_GONE: Final = inotify.ATTRIB | inotify.DELETE_SELF | inotify.MOVE_SELF


class SocketFile:
    """A listening socket, its path, and a descriptor that is readable when the file may be gone.

    It has no such descriptor unless it is watched: a user may have 128 of them in all. inotify(7)
    """

    def __init__(self, listener: socket.socket, path: _Path, *, is_watched: bool = True) -> None:
        """Raises StartError if the path cannot be watched."""
        listener.setblocking(False)
        self.listener = listener
        self.path = os.fspath(path)
        self._is_left = False
        try:
            self._file = self._identity()
            self._watch = inotify.watch(self.path, _GONE) if is_watched else -1
        except OSError as error:
            raise StartError(f"cannot watch {path}: {error.strerror}") from None

    @classmethod
    def create(cls, path: _Path, *, is_watched: bool = True) -> "SocketFile":
        """Listen at this path, for its owner alone; the file of a daemon that died is replaced.

        Raises StartError if another daemon answers there.
        """
        # The socket listens before it has its final name, as `wg` unlinks a socket that does not listen.
        folder, name = os.path.split(path)
        unnamed = os.path.join(folder, f".{name}.new")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            _make_folder(folder)
            _clear(path)
            _unlink(unnamed)
            # Before it listens nobody connects; a umask would be that of all threads.
            listener.bind(unnamed)
            os.chmod(unnamed, 0o600)
            listener.listen(BACKLOG)
            os.rename(unnamed, path)
        except OSError as error:
            listener.close()
            raise StartError(f"cannot listen at {path}: {error.strerror or error}") from None
        except StartError:
            listener.close()
            raise
        return cls(listener, path, is_watched=is_watched)

    @classmethod
    def adopt(cls, fd: int) -> "SocketFile":
        """Take over a listening descriptor. Raises StartError; the descriptor is then still the caller's."""
        with suppress(OSError):
            listener = socket.socket(fileno=fd)
            path = listener.getsockname() if listener.family == socket.AF_UNIX else None
            if isinstance(path, str) and path and _is_listening(listener):
                return cls(listener, path)
            listener.detach()
        raise StartError(f"WG_UAPI_FD is {fd}, which is not a listening Unix socket with a path")

    @classmethod
    def inherit(cls, fd: int, path: _Path, *, is_watched: bool = True) -> "SocketFile":
        """Take over what `leave` of an earlier process gave. Raises StartError."""
        try:
            return cls(socket.socket(fileno=fd), path, is_watched=is_watched)
        except OSError as error:
            raise StartError(f"cannot take over {path}: {error.strerror}") from None

    def leave(self) -> int:
        """Leave file and socket to another process; return a descriptor of the socket for it."""
        self._is_left = True
        return os.dup(self.listener.fileno())

    def resume(self) -> None:
        """Have the file alone again, as no other process took it."""
        self._is_left = False

    def fileno(self) -> int:
        return self._watch

    @property
    def is_watched(self) -> bool:
        return self._watch >= 0

    def acknowledge(self) -> None:
        inotify.acknowledge(self._watch)

    def is_there(self) -> bool:
        """Return whether the path is still that of our socket."""
        try:
            return self._identity() == self._file
        except OSError:
            return False

    def rename(self, path: _Path) -> None:
        """Move the file there; that of a daemon that died is replaced.

        Raises StartError if another daemon answers there, or if it cannot be moved; then it stays.
        """
        if _answers(path):
            raise StartError(f"another daemon serves {path}")
        try:
            os.rename(self.path, path)
        except OSError as error:
            raise StartError(f"cannot move {self.path} to {path}: {error.strerror}") from None
        self.path = os.fspath(path)

    def remove(self) -> None:
        """Remove the file if it is ours, while our socket listens, so that no other daemon replaced it."""
        if self.is_there() and not self._is_left:
            with suppress(OSError):
                os.unlink(self.path)

    def close(self) -> None:
        if self.is_watched:
            os.close(self._watch)
        self.listener.close()

    def _identity(self) -> tuple[int, int]:
        found = os.lstat(self.path)
        return found.st_dev, found.st_ino


def _make_folder(folder: str) -> None:
    """Make it passable for all, whatever this process's umask is, if it is not there. Raises OSError."""
    if not os.path.isdir(folder):
        os.makedirs(folder, mode=0o755, exist_ok=True)
        os.chmod(folder, 0o755)


def _clear(path: _Path) -> None:
    """Remove the socket of a dead daemon. Raises OSError, and StartError if a daemon still listens."""
    give_up = time.monotonic() + _PATIENCE
    while _answers(path):
        if time.monotonic() > give_up:
            raise StartError(f"another daemon serves {path}; stop it first, or use another interface name")
        time.sleep(_RETRY_INTERVAL)
    _unlink(path)


def _unlink(path: _Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _answers(path: _Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as caller:
        caller.setblocking(False)
        try:
            caller.connect(os.fspath(path))
        except OSError as error:
            return error.errno == errno.EAGAIN  # a busy daemon listens
        return True


def _is_listening(one: socket.socket) -> bool:
    return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
