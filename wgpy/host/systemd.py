"""Notifications to systemd, and descriptors that it keeps from one life of a service to the next.

sd_notify(3), sd_listen_fds(3), FileDescriptorStoreMax in systemd.service(5)
"""

import os
import socket
from collections.abc import MutableMapping, Sequence
from typing import Final

from wgpy.lazy_log import LOG

_FIRST_FD: Final = 3
_OF_FDS: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def notify(state: str, fds: Sequence[int] = ()) -> None:
    """Report a state, if systemd wants it. state: `READY=1` or `STOPPING=1`, say; fds: to keep."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as systemd:
        try:
            systemd.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            socket.send_fds(systemd, [state.encode()], list(fds))
        except OSError as error:
            LOG.warning("cannot notify systemd: %s", error.strerror)


def store(name: str, fds: Sequence[int]) -> None:
    """Have systemd keep descriptors under a name until the service is stopped, if its unit has it so.

    They are instead of those that it keeps under this name.
    """
    forget(name)
    notify(f"FDSTORE=1\nFDNAME={name}", fds)


def forget(name: str) -> None:
    """Have systemd close what it keeps under a name."""
    notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def take_stored(environment: MutableMapping[str, str]) -> dict[str, list[int]]:
    """Return what systemd kept, by name, and let no child take it for its own. Called once."""
    pid, count, names = (environment.pop(variable, "") for variable in _OF_FDS)
    found: dict[str, list[int]] = {}
    if pid != str(os.getpid()) or not count.isdecimal():
        return found
    fds = range(_FIRST_FD, _FIRST_FD + int(count))
    for fd, name in zip(fds, names.split(":"), strict=False):
        os.set_inheritable(fd, False)
        found.setdefault(name, []).append(fd)
    return found
