"""What all commands that change the host share: the check for root, undo on interruption, warnings."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import ParamSpec

from wgpy.cli.errors import CommandError
from wgpy.uapi.client import InterfaceError

_P = ParamSpec("_P")


def need_root(command: str) -> None:
    """Raises CommandError."""
    if os.geteuid() != 0:
        raise CommandError(f"only root may change the network; try `sudo wgpy {command} …`")


def warn(text: str) -> None:
    print(f"wgpy: warning: {text}.", file=sys.stderr)


def quietly(step: Callable[_P, object], *arguments: _P.args, **named: _P.kwargs) -> None:
    """Run one step of an undo; errors are ignored, so that the other steps run."""
    with suppress(CommandError, InterfaceError):
        step(*arguments, **named)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that a command undoes its steps."""

    numbers = (signal.SIGTERM, signal.SIGHUP)

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)  # a second signal must not interrupt the undo
        raise SystemExit(128 + number)

    old = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
