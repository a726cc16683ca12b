"""Runs our programs on hosts, for tests that run them often: a process that has imported them forks for each.

A command has the arguments, environment, streams and namespaces that it would have of `nsenter … wgpy`, looks
the same in /proc, and ends as that does. What it saves is the start of an interpreter and the imports, which
take longer than what most commands do.

commandserver.py SOCKET PADDING      as long as standard input is open; requests: see `commandclient`
"""

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_ROOM = 1 << 20  # bytes of a request
_STREAMS, _NAMESPACES = 3, 3  # descriptors of a request
_MAINS = {"wgpy": "wgpy.cli.main", "wgpyd": "wgpyd.main", "wgmesh": "wgmesh.main"}
_ARGUMENTS_BEGIN, _ARGUMENTS_END = 45, 46  # in /proc/PID/stat, behind the name


def serve(listening: socket.socket) -> list[str]:
    """Fork for each request, and return the command's words in the process that is to run it."""
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # nobody waits for those that carry commands into namespaces
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        connection, _ = listening.accept()
        with connection:
            data, descriptors, _, _ = socket.recv_fds(connection, _ROOM, _STREAMS + _NAMESPACES)
            if data:
                request = json.loads(data)
                _import_program(request["words"][0])
                if os.fork() == 0:
                    listening.detach()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _carry(connection.detach(), descriptors[_STREAMS:])
                    return _become(request, descriptors[:_STREAMS])
        for descriptor in descriptors:
            os.close(descriptor)
    os._exit(0)


@cache
def _import_program(name: str) -> None:
    """Import all that a program may import."""
    package = importlib.import_module(_MAINS[name].rpartition(".")[0])
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    gc.freeze()


def _carry(connection: int, namespaces: Sequence[int]) -> None:
    """Enter the namespaces; return in the process that is inside, and say from outside how it ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    for namespace in namespaces:
        if libc.setns(namespace, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    if inside := os.fork():
        status = _wait(inside, connection)
        with suppress(OSError):  # who has asked is gone
            os.write(connection, b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)


def _wait(inside: int, connection: int) -> int:
    """Return how a process ends, terminated when nobody waits for its end any more."""
    process = os.pidfd_open(inside)
    if process not in select.select([process, connection], [], [])[0]:
        signal.pidfd_send_signal(process, signal.SIGTERM)
    return os.waitpid(inside, 0)[1]


def _become(request: dict[str, Any], streams: Sequence[int]) -> list[str]:
    """Take over streams, environment and name; return the words."""
    words: list[str] = request["words"]
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(request["environment"])
    _show(words)
    return words


def _show(words: Sequence[str]) -> None:
    """Have /proc show the words of a command where those of this process stood."""
    numbers = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(numbers[_ARGUMENTS_BEGIN]), int(numbers[_ARGUMENTS_END])
    program = str(Path(sys.executable).with_name(words[0]))
    shown = "\0".join([sys.executable, program, *words[1:]]).encode()
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, shown, min(len(shown), end - begin))
    Path("/proc/self/comm").write_text(words[0])


def _main() -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(sys.argv[1])
        listening.listen()
        print("ready", flush=True)
        name, *arguments = serve(listening)
    # Next to the command are those that this server runs, too: so `wgpy` starts its daemons by them.
    place = Path(sys.argv[1]).parent if name == "wgpy" else Path(sys.executable).parent
    sys.argv[:] = [str(place / name), *arguments]
    status: int = importlib.import_module(_MAINS[name]).main()
    return status


if __name__ == "__main__":
    sys.exit(_main())
