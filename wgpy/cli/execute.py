"""`wgpy exec`: a program inside a tunnel or a mesh, without root."""

import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from wgpy.cli.changes import warn
from wgpy.cli.errors import UsageError
from wgpy.cli.execute_mesh import find_membership, run_in_mesh
from wgpy.cli.files import CONFIG_DIRECTORY, warn_if_others_can_read
from wgpy.cli.program import ENDED_BY, FORWARDED, Signals, failure, open_closed_streams, terminal_kept
from wgpy.config import Config, load, warnings

# Runs a program; its exit status is as `Program.wait` has it.
Run = Callable[[Signals, Sequence[str], Sequence[int]], int]


def execute(words: Sequence[str], network: str | None) -> None:
    """Run a program, and raise SystemExit with its exit status. Raises CommandError, ConfigError.

    words: of the command line, behind options; network: a mesh's, None for the file that is the first word.
    """
    files, program = ([], [*words]) if network is not None else ([*words[:1]], [*words[1:]])
    program = program[1:] if program[:1] == ["--"] else program
    if not any(program[:1]) or files == ["--"]:
        raise UsageError("say which program to run, after `--`")
    open_closed_streams()
    run = _runner(network, *files)
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    with terminal_kept():
        status = run(Signals(), program, list(old_mask))
    raise SystemExit(status if status >= 0 else ENDED_BY - status)


def _runner(network: str | None, *files: str) -> Run:
    """Raises CommandError, ConfigError."""
    if network is None:
        return partial(_run, read_config(*files))
    return partial(run_in_mesh, find_membership(network))


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


def _run(config: Config, signals: Signals, command: Sequence[str], mask: Sequence[int]) -> int:
    """Raises CommandError."""
    from wgpy.tunnel.errors import TunnelError
    from wgpy.tunnel.tunnel import Tunnel

    try:
        with Tunnel(config) as tunnel:
            warn_of_user_mode(tunnel.user_mode_interface)
            signals.program = tunnel.start_program(command, mask)
            return signals.program.wait()
    except (TunnelError, OSError, ValueError) as error:
        raise failure(error) from None


def warn_of_user_mode(interface: str) -> None:
    """interface: that leads to a network in user space, "" for none."""
    if interface:
        from wgpy.host import user_mode

        warn(user_mode.explain(interface))
