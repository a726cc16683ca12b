"""Starting and stopping daemons, such as that of one interface."""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.uapi import client as uapi_client
from wgpy.uapi.client import InterfaceError

_START_TIMEOUT: Final = 10.0  # seconds
_STOP_TIMEOUT: Final = 5.0
_POLL: Final = 0.02


def daemon_command(environment: Mapping[str, str]) -> list[str]:
    """The daemon that belongs to this installation, or what wg-quick's own variable names."""
    if chosen := environment.get("WG_QUICK_USERSPACE_IMPLEMENTATION"):
        return [chosen]
    return program("wgpyd")


def program(name: str) -> list[str]:
    """One of this installation's programs."""
    for neighbour in (Path(sys.argv[0]), Path(sys.executable)):
        candidate = neighbour.absolute().parent / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return [str(candidate)]
    return [sys.executable, "-m", f"{name}.main"]


def start(host: Host, interface: str) -> None:
    """Return when the interface's daemon answers. Raises CommandError with the daemon's own words."""
    launch(host, [*daemon_command(os.environ), interface], interface, lambda: _answers(interface))


def launch(host: Host, command: Sequence[str], name: str, answers: Callable[[], bool]) -> None:
    """Run what goes to the background by itself, and return when it answers.

    name: of what it serves. Raises CommandError with the daemon's own words.
    """
    host.say(shlex.join(command))
    # Not a pipe: a daemon may keep it open for life.
    with tempfile.TemporaryFile() as said:
        try:
            status = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=_START_TIMEOUT,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise CommandError(
                f"{command[0]} did not get {name} ready within {_START_TIMEOUT:.0f} s"
            ) from None
        except OSError as error:
            raise CommandError(f"{command[0]} cannot be run: {error.strerror}") from None
        # Some daemons return 0 although they failed, or a moment before they listen.
        if status != 0 or not eventually(answers, _STOP_TIMEOUT):
            said.seek(0)
            raise CommandError(f"the daemon of {name} did not start: {last_line(said.read())}")


def last_line(said: bytes) -> str:
    """Return the words that a daemon ended with."""
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"


def stop(host: Host, interface: str) -> None:
    """Delete the interface, and return when its daemon is gone too. Raises CommandError."""
    host.run(["ip", "link", "delete", "dev", interface])
    if not eventually(lambda: interface not in uapi_client.interfaces(), _STOP_TIMEOUT):
        raise CommandError(f"{interface} is deleted, but its daemon still runs")


def _answers(interface: str) -> bool:
    try:
        uapi_client.get(interface)
    except InterfaceError:
        return False
    return True


def eventually(holds: Callable[[], bool], within: float) -> bool:
    """Wait until something holds; whether it does. within: seconds."""
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL)
    return True
