"""What a coordinator gives up when it starts: privileges, and the access of others to its files."""

import os
import pwd
from pathlib import Path
from stat import S_IMODE, S_ISREG
from typing import Final

from wgpy.host.privileges import CAP_NET_BIND_SERVICE, drop_privileges

from .errors import MeshError

_UMASK: Final = 0o077  # what this process makes is its user's alone


def give_up(folder: Path, name: str) -> None:
    """Protect a coordinator's folder, and keep no privilege but that for ports below 1024.

    name: of the user to become, who gets the folder; "" for none. Raises MeshError.
    """
    user = _user(name) if name else None
    os.umask(_UMASK)
    try:
        _protect(folder, 0o700, user)
        for file in sorted(folder.iterdir()):
            if S_ISREG(file.lstat().st_mode):
                _protect(file, 0o600, user)
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


def _protect(path: Path, mode: int, user: pwd.struct_passwd | None) -> None:
    """Take from others what mode does not give. Raises OSError."""
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    present = S_IMODE(path.stat().st_mode)
    if present & ~mode:
        path.chmod(present & mode)
