"""The token of `wgpy mesh join`: from an argument, a file, standard input, the environment or the terminal.

Every user of a host can read the arguments of a process, and sudo logs them. So a terminal is asked for the
token, without echo. A process that was given a token as an argument writes over it at once; where it must not
write there, it executes itself again, a start of Python later, and passes the token in anonymous memory.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from wgpy.cli.changes import interruptible, need_root
from wgpy.cli.errors import CommandError, UsageError
from wgpy.cli.mesh.ahead import VARIABLE
from wgpy.mesh.invitation import Invitation

_MAX_TOKEN: Final = 1 << 13
_ARGUMENTS_BEGIN: Final = 45  # in /proc/PID/stat, behind the name: arg_start. proc_pid_stat(5)


def read_invitation(arguments: Namespace) -> Invitation:
    """Raises CommandError."""
    from_environment = os.environ.pop(VARIABLE, "")  # so that child processes do not inherit the token
    if arguments.token and arguments.token_file:
        raise UsageError("give the token once: as an argument or with --token-file")
    if arguments.token:
        _hide(arguments.token)
    text = arguments.token or (_read(arguments.token_file) if arguments.token_file else from_environment)
    if not text and sys.stdin.isatty():
        text = _ask(sys.stdin.fileno())
    if not text:
        raise CommandError(f"there is no token: give one as an argument, with --token-file or in {VARIABLE}")
    try:
        return Invitation.from_text(text)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _hide(token: str) -> None:
    with suppress(OSError):
        _write_over(token)
    if token.encode() in _shown():
        _execute_again(token)


def _shown() -> bytes:
    """Return the arguments of this process as others read them."""
    with suppress(OSError):
        return Path("/proc/self/cmdline").read_bytes()
    return b""


def _write_over(token: str) -> None:
    """Have the kernel show something else where the token stands. Raises OSError."""
    place = _shown().find(token.encode())
    if place >= 0:
        begin = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[_ARGUMENTS_BEGIN])
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(begin + place)
            memory.write(b"*" * len(token))


def _execute_again(token: str) -> None:
    """Execute this command without the token among its arguments; return if it is not there."""
    words = sys.orig_argv[1:]
    if token not in words:
        return
    descriptor = os.memfd_create("token", 0)
    os.write(descriptor, token.encode())
    words[words.index(token)] = f"--token-file=/dev/fd/{descriptor}"
    os.execv(sys.executable, [sys.executable, *words])


def _read(name: str) -> str:
    """Raises CommandError."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_MAX_TOKEN)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_MAX_TOKEN)
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}") from None
    if not data.strip():
        raise CommandError(f"there is no token in {'standard input' if name == '-' else name}")
    return data.decode("latin-1")


def _ask(terminal: int) -> str:
    """Return the first line that is not blank, or "" at the end of input. Raises CommandError."""
    need_root("mesh join")
    with interruptible(), _without_echo(terminal):
        print("Token (it is not shown): ", end="", file=sys.stderr, flush=True)
        while (line := os.read(terminal, _MAX_TOKEN)).isspace():
            pass
    return line.decode("latin-1")


@contextmanager
def _without_echo(terminal: int) -> Iterator[None]:
    """Show nothing of what is typed or pasted, and discard what is left of it at the end."""
    import termios

    before = termios.tcgetattr(terminal)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        print(file=sys.stderr)
