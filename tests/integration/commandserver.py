"""Runs `wgpy` on hosts, for tests that run it often: a process that has imported it forks for each command.

A command has the arguments, environment and namespaces that it would have of `nsenter … wgpy`, and ends as
that does. What it saves is the start of an interpreter, which takes longer than what most commands do.

commandserver.py SOCKET      messages: JSON with a host's process, environment and arguments; output, way back
"""

import ctypes
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys

_KINDS = ("net", "mnt", "pid")
_ROOM = 1 << 20  # bytes of a request


def serve(listening: socket.socket) -> None:
    """Fork for each request, and return in the process that is to run its command."""
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # nobody waits for those that carry commands into namespaces
    while True:
        data, descriptors, _, _ = socket.recv_fds(listening, _ROOM, 2)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _carry(json.loads(data), *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _carry(request: dict[str, object], output: int, back: int) -> None:
    """Enter the namespaces; return in the process that is inside, and tell from outside how it ended."""
    _enter(int(str(request["pid"])))
    if inside := os.fork():
        _, status = os.waitpid(inside, 0)
        os.write(back, b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(back)
    _become(request, output)


def _enter(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for namespace in [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in _KINDS]:
        if libc.setns(namespace, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(namespace)


def _become(request: dict[str, object], output: int) -> None:
    """Take over arguments, environment and output."""
    for own in (1, 2):
        os.dup2(output, own)
    os.close(output)
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    sys.argv[:] = request["arguments"]  # type: ignore[call-overload]


def _import_all() -> None:
    """All that any command may import."""
    import wgpy.cli.mesh

    for module in pkgutil.iter_modules(wgpy.cli.mesh.__path__, "wgpy.cli.mesh."):
        importlib.import_module(module.name)


if __name__ == "__main__":
    from wgpy.cli.main import main

    _import_all()
    serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(main())
