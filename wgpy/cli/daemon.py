"""Start and stop of daemons, such as the daemon of an interface."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.uapi import client as uapi_client
from wgpy.uapi.client import InterfaceError

SYSTEMD: Final = Path("/run/systemd/system")  # exists where it runs. sd_booted(3)
_START_TIMEOUT: Final = 60.0  # seconds: a small host that is busy starts Python slowly
_LISTENING_TIMEOUT: Final = 10.0  # seconds, after it returned
_STOP_TIMEOUT: Final = 5.0
_POLL_INTERVAL: Final = 0.02


def daemon_command(environment: Mapping[str, str]) -> list[str]:
    """Return the program that wg-quick's variable names, or else this installation's daemon."""
    if chosen := environment.get("WG_QUICK_USERSPACE_IMPLEMENTATION"):
        return [chosen]
    return program("wgpyd")


def program(name: str) -> list[str]:
    """Return the command that runs one of this installation's programs."""
    for sibling in (Path(sys.argv[0]), Path(sys.executable)):
        candidate = sibling.absolute().parent / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return [str(candidate)]
    return [sys.executable, "-m", f"{name}.main"]


def start(host: Host, interface: str, *, persistent: bool = False) -> None:
    """Return when the interface's daemon answers. Raises CommandError with the daemon's message."""
    options = ["--persistent"] if persistent else []
    launch(host, [*daemon_command(os.environ), *options, interface], interface, lambda: _answers(interface))


def launch(host: Host, command: Sequence[str], name: str, answers: Callable[[], bool]) -> None:
    """Run a daemon that forks into the background, and return when it answers.

    name: of what the daemon serves. Raises CommandError with the daemon's message.
    """
    host.print_change(shlex.join(command))
    with Launch(command) as begun:
        begun.finish(name, answers)


class Launch:
    """The start of a daemon that forks into the background. One that is not finished is given up."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """environment: None for this process's. Raises CommandError."""
        self._program = command[0]
        # Not a pipe: a daemon may keep it open until it ends. Not on a disk: that may be read-only.
        self._output = os.fdopen(os.memfd_create("output"), "w+b")
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=self._output, stderr=self._output, env=environment
            )
        except OSError as error:
            self._output.close()
            raise CommandError(f"{command[0]} cannot be run: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()
        self._output.close()

    def finish(self, name: str, answers: Callable[[], bool], told: str = "") -> None:
        """Return when it answers. told: what its standard input is to say. Raises CommandError."""
        try:
            self._process.communicate(told.encode(), _START_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise CommandError(
                f"{self._program} did not get {name} ready within {_START_TIMEOUT:.0f} s"
            ) from None
        # Some daemons return 0 although they failed, or a moment before they listen.
        if self._process.returncode != 0 or not eventually(answers, _LISTENING_TIMEOUT):
            self._output.seek(0)
            raise CommandError(f"the daemon of {name} did not start: {last_line(self._output.read())}")


def last_line(output: bytes) -> str:
    """Return the last line of a daemon's output."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def stop(host: Host, interface: str) -> None:
    """Delete the interface, and return when its daemon has ended. Raises CommandError."""
    host.run(["ip", "link", "delete", "dev", interface])
    if not eventually(lambda: interface not in uapi_client.interfaces(), _STOP_TIMEOUT):
        raise CommandError(f"{interface} is deleted, but its daemon still runs")


def _answers(interface: str) -> bool:
    try:
        uapi_client.get(interface)
    except InterfaceError:
        return False
    return True


def eventually(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for a condition; return whether it holds. timeout: seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_INTERVAL)
    return True
