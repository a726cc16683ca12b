"""Runs `wgpy` on a host as `nsenter … wgpy` would, by one process for all: see `commandserver`."""

import atexit
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.integration.commandclient import start, status_of
from tests.integration.hosts import CommandFailed, Host, Result

_SERVER = Path(__file__).with_name("commandserver.py")
_CLIENT = Path(__file__).with_name("commandclient.py")
_DAEMONS = ("wgpyd", "wgmesh")
_PADDING = "-" * 4096  # where the words of a command are to stand


def run_wgpy(host: Host, *arguments: str, timeout: float = 100) -> Result:
    """Run `wgpy …` and return what came of it; the server runs daemons that it starts, too.

    Raises TimeoutExpired.
    """
    return _run(host.namespace(), ("wgpy", *arguments), timeout)


def import_programs() -> None:
    """Have the server import all programs now, and not when each is run for the first time."""
    for name in ("wgpy", *_DAEMONS):
        _run(os.getpid(), (name, "--help"), timeout=100)


def launcher(name: str) -> str:
    """Return a program that has the server run a daemon, which then starts sooner than the installed one."""
    return str(Path(_server()).with_name(name))


def _run(process: int, words: Sequence[str], timeout: float) -> Result:
    """Run a program in the namespaces of a process."""
    with (
        os.fdopen(os.memfd_create("output"), "r+", errors="replace") as output,
        Path(os.devnull).open() as null,
    ):
        streams = (null.fileno(), output.fileno(), output.fileno())
        with start(_server(), process, words, os.environ, streams) as running:
            running.settimeout(timeout)
            try:
                status = status_of(running)
            except TimeoutError:
                raise subprocess.TimeoutExpired(words, timeout) from None
        output.seek(0)
        said = output.read()
    if status is None:
        raise CommandFailed(f"{shlex.join(words)} was not run: {said}")
    return Result(status, said)


@cache
def _server() -> str:
    """Start it and return its socket; it ends with this process."""
    place = Path(tempfile.mkdtemp(prefix="wgpy-programs-"))
    address = str(place / "socket")
    for name in _DAEMONS:
        _make_launcher(place / name, address)
    server = subprocess.Popen(
        [sys.executable, "-P", str(_SERVER), address, _PADDING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"

    def stop() -> None:
        server.communicate()
        shutil.rmtree(place)

    atexit.register(stop)
    return address


def _make_launcher(program: Path, server: str) -> None:
    """Write a program that the server runs. In /proc nobody takes the client for the program itself."""
    client = (sys.executable, "-I", "-S", str(_CLIENT), f"--program={program.name}", server)
    program.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
    program.chmod(0o755)
