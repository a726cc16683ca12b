"""Forking into the background, with a status for the caller. daemon(7)

The caller's command returns only when the daemon can be used, and with status 1 if it never will. Until
then the child still has standard error, for the sentence that says why.
"""

import os
import sys
from collections.abc import Callable

_READY = b"1"


def daemonise(serve: Callable[[Callable[[], None]], int], *, keep_output: bool) -> int:
    """Run serve(ready) in a background process, and return the exit status of the current process.

    serve is to call ready() once, and is to start no thread before we fork. keep_output: leave standard
    output and error open even then.
    """
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        return _wait(child, reading)
    os.close(reading)
    os.setsid()
    os.chdir("/")

    def ready() -> None:
        _close_standard_streams(keep_output=keep_output)
        os.write(writing, _READY)
        os.close(writing)

    return serve(ready)


def _wait(child: int, reading: int) -> int:
    """Return 0 when the child is ready, 1 if it ended before."""
    with os.fdopen(reading, "rb") as pipe:
        if pipe.read(1) == _READY:
            return 0
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        print(f"wgpyd: the daemon was killed by signal {os.WTERMSIG(status)} as it started", file=sys.stderr)
    return 1


def _close_standard_streams(*, keep_output: bool) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0,) if keep_output else (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
