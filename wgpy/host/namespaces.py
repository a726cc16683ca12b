"""Namespaces that this process makes for itself, also without privilege. namespaces(7), user_namespaces(7)

Only a process with one thread can enter a user namespace.
"""

import ctypes
import os
import signal
from pathlib import Path
from typing import Final

NEW_MOUNTS: Final = 0x0002_0000  # CLONE_NEWNS
NEW_USERS: Final = 0x1000_0000
NEW_PIDS: Final = 0x2000_0000  # for children; the first of them is their init
NEW_NETWORK: Final = 0x4000_0000

_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 1 << 19
_MNT_DETACH: Final = 2
_PR_SET_PDEATHSIG: Final = 1


def enter_new(flags: int) -> None:
    """Raises OSError."""
    _check(_libc().unshare(flags))


def enter_new_network() -> None:
    """Enter a network of our own: as root may, or in a new user namespace with the same user and group.

    Raises OSError.
    """
    if os.geteuid() == 0:
        try:
            enter_new(NEW_NETWORK)
            return
        except PermissionError:  # a root of a container, without CAP_SYS_ADMIN
            pass
    user, group = os.geteuid(), os.getegid()
    enter_new(NEW_USERS | NEW_NETWORK)
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{user} {user} 1")
    (own / "gid_map").write_text(f"{group} {group} 1")


def end_with_parent() -> None:
    """Let the kernel kill this process when the thread that forked it ends. Raises OSError."""
    _check(_libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def keep_mounts_inside() -> None:
    """Let mounts of this mount namespace reach no other. Raises OSError."""
    mount("none", Path("/"), "", _MS_REC | _MS_SLAVE)


def bind(source: Path, target: Path) -> None:
    """Show a file or folder at the place of another one. Raises OSError."""
    mount(str(source), target, "", _MS_BIND)


def mount(source: str, target: Path, kind: str, flags: int = 0) -> None:
    """mount(2). Raises OSError."""
    names = (source.encode(), os.fsencode(target), kind.encode())
    _check(_libc().mount(*names, ctypes.c_ulong(flags), None))


def unmount(target: Path) -> None:
    """Take a mount away; what is open in it, or bound elsewhere, stays. Raises OSError."""
    _check(_libc().umount2(os.fsencode(target), _MNT_DETACH))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
