"""Start and stop of daemons, such as the daemon of an interface."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from wgpy.cli.errors import CommandError
from wgpy.cli.host import Host
from wgpy.cli.launch import Launch, eventually, program
from wgpy.uapi import client as uapi_client

_STOP_TIMEOUT: Final = 60.0  # seconds: a busy host


def daemon_command(environment: Mapping[str, str]) -> list[str]:
    """Return the program that wg-quick's variable names, or else this installation's daemon."""
    if chosen := environment.get("WG_QUICK_USERSPACE_IMPLEMENTATION"):
        return [chosen]
    return program("wgpyd")


def start(host: Host, interface: str, *, persistent: bool = False) -> None:
    """Return when the interface's daemon answers. Raises CommandError with the daemon's message."""
    options = ["--persistent"] if persistent else []
    launch(host, [*daemon_command(os.environ), *options, interface], interface, lambda: _listens(interface))


def launch(host: Host, command: Sequence[str], name: str, answers: Callable[[], bool]) -> None:
    """Run a daemon that forks into the background, and return when it answers.

    name: of what the daemon serves; answers: as for `Launch.finish`. Raises CommandError with the daemon's
    message.
    """
    host.print_change(shlex.join(command))
    with Launch(command) as begun:
        begun.finish(name, answers)


def stop(host: Host, interface: str) -> None:
    """Delete the interface, and return when its daemon has ended. Raises CommandError."""
    host.run(["ip", "link", "delete", "dev", interface])
    if not eventually(lambda: interface not in uapi_client.interfaces(), _STOP_TIMEOUT):
        raise CommandError(f"{interface} is deleted, but its daemon still runs")


def _listens(interface: str) -> bool:
    return interface in uapi_client.interfaces()
