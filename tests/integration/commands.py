"""Runs `wgpy` on a host as `nsenter … wgpy` would, by one process for all: see `commandserver`."""

import atexit
import json
import os
import select
import shlex
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.integration.hosts import CommandFailed, Host, Result

_SERVER = Path(__file__).with_name("commandserver.py")
_ROOM = 64  # bytes of an exit status


def run_wgpy(host: Host, *arguments: str, timeout: float = 100) -> Result:
    """Run `wgpy …` and return what came of it. Raises TimeoutExpired."""
    program = str(Path(sys.executable).with_name("wgpy"))
    request = {
        "pid": host.namespace(),
        "environment": dict(os.environ),
        "arguments": [program, *arguments],
    }
    with os.fdopen(os.memfd_create("output"), "r+", errors="replace") as output:
        status = _status(json.dumps(request).encode(), output.fileno(), timeout)
        if status is None:
            raise subprocess.TimeoutExpired([program, *arguments], timeout)
        output.seek(0)
        said = output.read()
    if not status:
        raise CommandFailed(f"{host.name}: wgpy {shlex.join(arguments)} was not run: {said}")
    return Result(int(status), said)


def _status(request: bytes, output: int, timeout: float) -> bytes | None:
    """Return the exit status, nothing if it never ran, None if it runs for longer."""
    there, back = os.pipe()
    with os.fdopen(there, "rb", buffering=0) as ending:
        try:
            socket.send_fds(_server(), [request], [output, back])
        finally:
            os.close(back)
        return ending.read(_ROOM) if select.select([ending], [], [], timeout)[0] else None


@cache
def _server() -> socket.socket:
    """Start it; it ends with this process, which closes the socket."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        command = [sys.executable, str(_SERVER), str(there.fileno())]
        server = subprocess.Popen(
            command, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def stop() -> None:
        here.close()
        server.wait()

    atexit.register(stop)
    return here
