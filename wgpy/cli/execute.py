"""`wgpy exec`: a program inside a tunnel, without root."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wgpy.cli.changes import warn
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.files import CONFIG_DIRECTORY, warn_if_others_can_read
from wgpy.config import Config, load, warnings

if TYPE_CHECKING:
    from wgpy.tunnel.namespace import Program

_ENDED_BY: Final = 128  # and the number of a signal, as shells count
_FORWARDED: Final = frozenset(
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


# A node's key cannot be shared with a network of a user's own; programs of the host have what the node has.
_NO_MESH: Final = (
    "--mesh is not needed: on a node every program is in the mesh, so run it without `wgpy exec`. "
    "For one that is to reach nothing else, with rights of its own: "
    "`wgpy mesh client add NAME --to NODE --out FILE`, and `wgpy exec FILE -- PROGRAM`"
)


def execute(name_or_file: str, command: Sequence[str], mesh: str | None = None) -> None:
    """Run a program, and raise SystemExit with its exit status. Raises CommandError, ConfigError."""
    if mesh is not None:
        raise UsageError(_NO_MESH)
    program = command[1:] if command[:1] == ["--"] else command
    if not any(program[:1]):
        raise UsageError("say which program to run, after `--`")
    _open_closed_streams()
    config = read_config(name_or_file)
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    raise SystemExit(_run(config, program, list(old_mask)))


def _open_closed_streams() -> None:
    """Let no descriptor of ours become a standard stream of the program, where the caller closed one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def read_config(name_or_file: str) -> Config:
    """Return what the file says; what is most likely not meant is a warning. Raises ConfigError."""
    is_file = "/" in name_or_file or name_or_file.endswith(".conf")
    path = Path(name_or_file) if is_file else CONFIG_DIRECTORY / f"{name_or_file}.conf"
    config = load(path)
    warn_if_others_can_read(path)
    for text in warnings(config):
        warn(text)
    if not config.dns:
        warn(
            f"{path} has no DNS, so inside names are asked of this host's servers, if the tunnel leads there"
        )
    return config


def _run(config: Config, command: Sequence[str], mask: Sequence[int]) -> int:
    from wgpy.tunnel.errors import TunnelError
    from wgpy.tunnel.tunnel import Tunnel

    signals = _Signals()
    try:
        with Tunnel(config) as tunnel, _terminal_kept():
            warn_of_user_mode(tunnel.user_mode_tap)
            signals.program = tunnel.start_program(command, mask)
            status = signals.program.wait()
    except (TunnelError, OSError, ValueError) as error:
        raise failure(error) from None
    return status if status >= 0 else _ENDED_BY - status


def warn_of_user_mode(tap: str) -> None:
    """tap: of a network in user space, "" for none."""
    if tap:
        from wgpy.host import user_mode

        warn(user_mode.explain(tap))


def failure(error: Exception) -> CommandError:
    """Return why a tunnel cannot be used, as a sentence."""
    if isinstance(error, OSError):
        return CommandError(f"the tunnel cannot be used: {error.strerror or error}")
    return CommandError(str(error))


class _Signals:
    """Passes on the signals that others send to this command, from a thread; all threads block them.

    Those of a terminal reach the program itself. Before there is one, any signal ends this command, and
    the kernel takes away what it made.
    """

    def __init__(self) -> None:
        self.program: Program | None = None
        threading.Thread(target=self._forward, daemon=True).start()

    def _forward(self) -> None:
        while True:
            caught = signal.sigwaitinfo(_FORWARDED)
            if self.program is None:
                os._exit(_ENDED_BY + caught.si_signo)
            if caught.si_code <= 0:
                with suppress(ProcessLookupError):
                    os.kill(self.program.pid, caught.si_signo)


@contextmanager
def _terminal_kept() -> Iterator[None]:
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
