"""`--watch`: a text in place on a terminal, renewed until Ctrl-C.

Invariant: however it ends, short of SIGKILL, the terminal is as it was before.
"""

import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from wgpy.cli.colours import Colour, paint
from wgpy.cli.errors import UsageError
from wgpy.contract.errors import WgpyError

# The alternate screen without cursor and without line breaks of its own, and back. xterm, "Control Sequences"
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_LOCAL_MODES, _CHARACTERS = 3, 6  # of what tcgetattr(3) returns


def watch(title: str, read: Callable[[], str], seconds: float) -> None:
    """Show what `read` returns, again after so many seconds; what it raises is shown above what was known.

    Raises UsageError without a terminal, and what the first `read` raises.
    """
    if not sys.stdout.isatty():
        raise UsageError("--watch shows in place, so it needs a terminal; --json is for programs")
    known = read()
    with _screen():
        trouble = ""
        while True:
            _draw(_page(title, known, trouble, seconds))
            signal.sigtimedwait([signal.SIGWINCH], seconds)
            try:
                known, trouble = read(), ""
            except WgpyError as error:
                trouble = str(error)


def _page(title: str, known: str, trouble: str, seconds: float) -> str:
    head = f"{title}, every {seconds:g} s, {time.strftime('%X')}; Ctrl-C ends"
    sentence = paint(f"{trouble}; this was known before:", Colour.BAD)
    return "\n".join([head, *([sentence] if trouble else []), "", known])


def _draw(text: str) -> None:
    """Show as much of a text as there is room for."""
    lines = cropped(text.splitlines(), os.get_terminal_size(sys.stdout.fileno()).lines)
    shown = f"{_END_OF_LINE}\n".join(lines)
    sys.stdout.write(f"{_HOME}{shown}{_END_OF_LINE}{_END_OF_SCREEN}")
    sys.stdout.flush()


def cropped(lines: list[str], height: int) -> list[str]:
    """Return so many lines, of which the last says how many there are more."""
    if len(lines) <= height or not height:
        return lines
    shown = lines[: height - 1]
    return [*shown, f"… {len(lines) - len(shown)} more lines"]


@contextmanager
def _screen() -> Iterator[None]:
    """Have the terminal for a page; Ctrl-C, SIGTERM and SIGHUP end it quietly."""
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in _ENDING}
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
    with _silent_keyboard():
        sys.stdout.write(_ENTER)
        try:
            yield
        except KeyboardInterrupt:
            pass
        finally:
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGWINCH])
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextmanager
def _silent_keyboard() -> Iterator[None]:
    """Show nothing of what is typed meanwhile, and drop it; Ctrl-Z would leave the page on the screen."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    silent = termios.tcgetattr(sys.stdin)
    silent[_LOCAL_MODES] &= ~(termios.ECHO | termios.ICANON)
    silent[_CHARACTERS][termios.VSUSP] = os.fpathconf(sys.stdin.fileno(), "PC_VDISABLE")
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)
