"""The token of `wgpy mesh join`: from an argument, a file, standard input or the environment.

Every user of a host can read the arguments of a process. So a process that was given a token as an argument
executes itself again at once, and passes the token in anonymous memory.
"""

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Final

from wgpy.cli.errors import CommandError
from wgpy.mesh.invitation import Invitation

VARIABLE: Final = "WGPY_TOKEN"
_MAX_TOKEN: Final = 1 << 13


def read_invitation(arguments: Namespace) -> Invitation:
    """Raises CommandError."""
    from_environment = os.environ.pop(VARIABLE, "")  # so that child processes do not inherit the token
    if arguments.token and arguments.token_file:
        raise CommandError("give the token once: as an argument or with --token-file")
    if arguments.token:
        _hide(arguments.token)
    text = arguments.token or (_read(arguments.token_file) if arguments.token_file else from_environment)
    if not text:
        raise CommandError(f"there is no token: give one as an argument, with --token-file or in {VARIABLE}")
    try:
        return Invitation.from_text(text)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _hide(token: str) -> None:
    """Execute this command again without the token among its arguments; return if it is not there."""
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
