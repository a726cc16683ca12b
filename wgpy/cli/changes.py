"""What every command does that changes the host: ask for root, undo when it is stopped, warn."""

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
    """Go on with undoing, whatever one step of it says."""
    with suppress(CommandError, InterfaceError):
        step(*arguments, **named)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make SIGTERM and SIGHUP leave by an exception, so that what was begun is undone."""

    numbers = (signal.SIGTERM, signal.SIGHUP)

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)  # a second one must not stop the undoing
        raise SystemExit(128 + number)

    old = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
