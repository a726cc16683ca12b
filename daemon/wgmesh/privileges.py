"""What a coordinator gives up when it starts: privileges, and the access of others to its files."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE, S_ISREG
from typing import Final

from wgpy.host.privileges import CAP_NET_BIND_SERVICE, drop_privileges

from .errors import MeshError

_UNCHANGED: Final = -1  # chown(2)
_UMASK: Final = 0o077  # what this process makes is its user's alone


def give_up(folder: Path, name: str) -> None:
    """Protect a coordinator's folder, and keep no privilege but that for ports below 1024.

    name: of the user to become, "" for none. Who serves the folder gets it: root, too, cannot read it without
    privileges after another user had it. Raises MeshError.
    """
    user = _user(name) if name else None
    owner = user.pw_uid if user else 0 if os.geteuid() == 0 else _UNCHANGED
    os.umask(_UMASK)
    try:
        _protect(folder.resolve(), 0o700, owner)
        for file in sorted(folder.iterdir()):
            if S_ISREG(file.lstat().st_mode):
                _protect(file, 0o600, owner)
    except OSError as error:
        raise MeshError(f"{error.filename} cannot be protected from others: {error.strerror}") from None
    try:
        drop_privileges(CAP_NET_BIND_SERVICE, user=user)
    except OSError as error:
        raise MeshError(f"the privileges cannot be dropped: {error.strerror}") from None
    if not os.access(os.__file__, os.R_OK):
        raise MeshError(
            f"{name} cannot read Python ({os.__file__}): install wgpy where every user can read it"
        )


def _user(name: str) -> pwd.struct_passwd:
    """Raises MeshError."""
    if os.geteuid() != 0:
        raise MeshError(f"only root can become {name}: start wgmesh as root, or without --user")
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise MeshError(f"there is no user {name} on this host: `useradd --system {name}` makes it") from None


def _protect(path: Path, mode: int, owner: int) -> None:
    """Give to the owner, and take from others what mode does not give. Raises OSError."""
    found = path.lstat()
    present = S_IMODE(found.st_mode)
    if owner in (found.st_uid, _UNCHANGED) and not present & ~mode:
        return
    with _opened(path) as fd:
        os.fchown(fd, owner, -1)
        os.fchmod(fd, present & mode)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open what may be a link by now, or a pipe, if the folder was another user's. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
