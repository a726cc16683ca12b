"""Daemons that a row starts, asks and kills itself, without a tool whose start would be measured with it."""

import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks.suite.namespaces import INTERFACE
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from tests.integration.hosts import Host, HostProcess
from tests.integration.peers import wait_until_listening

WITHIN: Final = 10.0  # seconds
POLL: Final = 0.0005  # seconds
_DONE: Final = b"errno=0\n\n"


def launch(turn: Turn, host: Host, *options: str) -> HostProcess:
    """Start a daemon, and return at once."""
    daemon = host.start(*(word.format(interface=INTERFACE) for word in turn.implementation.command), *options)
    turn.daemons.append(daemon)
    return daemon


def launch_program(turn: Turn, host: Host, program: str) -> HostProcess:
    """Start a program of wgpyd's parts as the command starts wgpyd, and return when `wg` can ask it."""
    daemon = host.start(*_command_of(turn.command(), program))
    turn.daemons.append(daemon)
    wait_until_listening(host, INTERFACE, daemon)
    return daemon


def _command_of(command: Sequence[str], program: str) -> list[str]:
    """Return the words that run a program with wgpyd's environment and Python."""
    wgpyd = next((word for word in command if Path(word).name == "wgpyd"), "")
    python = Path(wgpyd).with_name("python")
    settings = [word for word in command[: command.index(wgpyd) if wgpyd else 0] if "=" in word]
    return [
        *("env", *settings),
        str(python if wgpyd and python.exists() else sys.executable),
        *(program, INTERFACE),
    ]


def kill(turn: Turn, daemon: HostProcess) -> None:
    """End a daemon without a warning; its end then explains no failure."""
    daemon.kill(signal.SIGKILL)
    daemon.wait()
    turn.daemons.remove(daemon)


def until_ready(host: Host, daemon: HostProcess, began: float) -> float:
    """Return the seconds until a daemon answers and its interface is there. Raises MeasureFailed."""
    interfaces = Path(f"/proc/{host.namespace()}/net/dev")
    while (took := time.monotonic() - began) < WITHIN and daemon.is_running():
        with suppress(OSError, MeasureFailed):  # nobody listens yet
            ask(host, "get=1\n\n", WITHIN)
            if f"{INTERFACE}:" in interfaces.read_text():
                return time.monotonic() - began
        time.sleep(POLL)
    raise MeasureFailed(f"it is not ready after {took:.1f} s")


def ask(host: Host, request: str, within: float) -> None:
    """Wait until a daemon has done what it was asked for. within: seconds for each part of its answer.

    The protocol is that of https://www.wireguard.com/xplatform/: a request and its answer end with an empty
    line. Raises OSError (TimeoutError too), and MeasureFailed if it refused.
    """
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(within)
        caller.connect(str(host.path(f"/run/wireguard/{INTERFACE}.sock")))
        caller.sendall(request.encode())
        end = b""
        while not end.endswith(b"\n\n"):
            part = caller.recv(65536)
            if not part:
                raise MeasureFailed("the daemon ended its answer too early")
            end = (end + part)[-64:]
    if not end.endswith(_DONE):
        raise MeasureFailed(f"the daemon refused: {end.decode(errors='replace').split()[-1]}")
