"""A service manager for one service, with what systemd documents of notifications and of its store.

A service of it is faster, and says more, than one of systemd, which test_systemd.py has. This is sd_notify(3)
with READY, MAINPID, FDSTORE, FDSTOREREMOVE and FDNAME from any process of the service (NotifyAccess=all), and
sd_listen_fds(3) with LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES at each start. What is stored stays when the
main process ends, and another one follows.

Usage: servicemanager.py COMMAND… -- RELOAD-COMMAND…. SIGHUP reloads, SIGTERM stops. It prints what happens, a
line each. Runs on hosts.
"""

import ctypes
import os
import select
import signal
import socket
import sys
from typing import NoReturn

SOCKET = "/run/notify"
PR_SET_CHILD_SUBREAPER = 36
FIRST_FD = 3
FREE_FD = 100  # from here on there are no others


class Service:
    """Its processes, and descriptors with their names."""

    def __init__(self, command: list[str], reload: list[str]) -> None:
        self._command = command
        self._reload = reload
        self._stored: list[tuple[str, int]] = []
        self._is_stopping = False
        self._main = spawn(command, [])

    def signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            spawn(self._reload, [])
        elif number == signal.SIGTERM:
            self._is_stopping = True
            os.kill(self._main, number)

    def notice(self, fields: dict[str, str], fds: list[int]) -> None:
        """Do what a process of the service notifies of."""
        name = fields.get("FDNAME", "stored")
        if "FDSTORE" in fields:
            self._stored += [(name, fd) for fd in fds]
        if "FDSTOREREMOVE" in fields:
            self._forget(name)
        self._main = int(fields.get("MAINPID", self._main))
        if "READY" in fields:
            print("ready", self._main, flush=True)

    def _forget(self, name: str) -> None:
        for one in [one for one in self._stored if one[0] == name]:
            self._stored.remove(one)
            os.close(one[1])

    def reap(self) -> bool:
        """Start the main process again if it has ended; return whether all is over."""
        while (ended := ended_child()) is not None:
            print("ended", *ended, flush=True)
            if ended[0] == self._main and self._is_stopping:
                return True
            if ended[0] == self._main:
                self._main = spawn(self._command, self._stored)
        return False


def spawn(command: list[str], stored: list[tuple[str, int]]) -> int:
    """Start a process of the service."""
    return os.fork() or execute(command, stored)


def execute(command: list[str], stored: list[tuple[str, int]]) -> NoReturn:
    """Become a process of the service, with copies of descriptors from the first number on."""
    environment = {**os.environ, "NOTIFY_SOCKET": SOCKET}
    copies = [os.dup2(fd, FREE_FD + number) for number, (_, fd) in enumerate(stored)]
    for number, fd in enumerate(copies):
        os.dup2(fd, FIRST_FD + number)
        os.close(fd)
    if stored:
        names = ":".join(name for name, _ in stored)
        pid, count = str(os.getpid()), str(len(stored))
        environment |= {"LISTEN_PID": pid, "LISTEN_FDS": count, "LISTEN_FDNAMES": names}
    os.execvpe(command[0], command, environment)


def ended_child() -> tuple[int, int] | None:
    """Return the id and the status of a process that has ended, None if there is none."""
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def hear(notifications: socket.socket) -> tuple[dict[str, str], list[int]]:
    data, fds, *_ = socket.recv_fds(notifications, 4096, 64)
    lines = (line.partition("=") for line in data.decode().splitlines())
    return {name: value for name, _, value in lines}, fds


def main() -> None:
    border = sys.argv.index("--")
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notifications.bind(SOCKET)
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for wanted in (signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(wanted, lambda *_: None)
    signal.set_wakeup_fd(writing)
    service = Service(sys.argv[1:border], sys.argv[border + 1 :])
    is_over = False
    while not is_over:
        ready, _, _ = select.select([notifications.fileno(), reading], [], [])
        if notifications.fileno() in ready:  # first: what was said before the end counts
            service.notice(*hear(notifications))
            continue
        for number in os.read(reading, 64):
            service.signal(number)
        is_over = service.reap()


if __name__ == "__main__":
    main()
