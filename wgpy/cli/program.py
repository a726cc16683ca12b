"""A program that runs in the place of this command: its streams, its signals, and its terminal."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from wgpy.cli.errors import CommandError

if TYPE_CHECKING:
    from wgpy.tunnel.namespace import Program

ENDED_BY: Final = 128  # and the number of a signal, as shells count
FORWARDED: Final = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
    }
)


def open_closed_streams() -> None:
    """Let no descriptor of ours become a standard stream of the program, where the caller closed one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def failure(error: Exception) -> CommandError:
    """Return why a tunnel cannot be used, as a sentence."""
    if isinstance(error, OSError):
        return CommandError(f"the tunnel cannot be used: {error.strerror or error}")
    return CommandError(str(error))


class Signals:
    """Passes on the signals that others send to this command, from a thread; all threads block them.

    Those of a terminal reach the program itself. Before there is one, any signal ends this command, and
    the kernel takes away what it made.
    """

    def __init__(self) -> None:
        self.program: Program | None = None
        threading.Thread(target=self._forward, daemon=True).start()

    def _forward(self) -> None:
        while True:
            caught = signal.sigwaitinfo(FORWARDED)
            if self.program is None:
                os._exit(ENDED_BY + caught.si_signo)
            if caught.si_code <= 0:
                with suppress(ProcessLookupError):
                    os.kill(self.program.pid, caught.si_signo)


@contextmanager
def terminal_kept() -> Iterator[None]:
    """Take the terminal back in the end: a shell inside makes another process group its foreground."""
    try:
        was_ours = os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # no terminal
        was_ours = False
    try:
        yield
    finally:
        if was_ours:
            before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            with suppress(OSError):  # it hung up
                os.tcsetpgrp(0, os.getpgrp())
            signal.signal(signal.SIGTTOU, before)
