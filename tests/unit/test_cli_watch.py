"""`--watch`: a page on a terminal, which is afterwards as it was before."""

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from select import select
from typing import Any

import pytest

from wgpy.cli.errors import UsageError
from wgpy.cli.watch import cropped, watch

SECONDS = 60
NONE: Mapping[str, str] = {}
PROGRAM = """
import sys
from wgpy.cli import colours
from wgpy.cli.errors import CommandError
from wgpy.cli.watch import watch

looks = 0

def read():
    global looks
    looks += 1
    if looks == 2:
        raise CommandError("the agent of prod does not run")
    return f"look {looks}\\nof many"

colours.choose("auto")
print("before")
watch("wgpy mesh status", read, float(sys.argv[1]))
print("after")
"""


@dataclass
class Watched:
    """A program on a terminal of ours."""

    terminal: int
    before: list[Any]  # attributes of the terminal
    process: subprocess.Popen[bytes]
    shown: str = ""

    def until(self, text: str) -> None:
        while text not in self.shown:
            ready, _, _ = select([self.terminal], [], [], SECONDS)
            assert ready, self.shown
            self.shown += os.read(self.terminal, 4096).decode()


@contextmanager
def watched(environment: Mapping[str, str] = NONE, seconds: float = 0.05) -> Iterator[Watched]:
    terminal, inner = pty.openpty()
    before = termios.tcgetattr(terminal)
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", sys.executable, "-c", PROGRAM, str(seconds)],
        stdin=inner, stdout=inner, stderr=inner, env={**os.environ, "TERM": "xterm", **environment},
    )  # fmt: skip
    os.close(inner)
    try:
        yield Watched(terminal, before, process)
    finally:
        process.kill()
        process.wait(SECONDS)
        os.close(terminal)


def test_a_page_is_renewed_in_place_until_ctrl_c_and_the_terminal_is_as_before() -> None:
    with watched() as one:
        one.until("look 3")
        assert not termios.tcgetattr(one.terminal)[3] & termios.ECHO
        os.write(one.terminal, b"typed\x03")
        one.until("after")

        assert one.process.wait(SECONDS) == 0
        assert termios.tcgetattr(one.terminal) == one.before
    page = one.shown[one.shown.index("before") : one.shown.index("after")]
    assert page.startswith("before\r\n\x1b[?1049h")
    assert page.endswith("\x1b[?1049l")
    assert "typed" not in one.shown
    assert "look 1\x1b[K\r\nof many\x1b[K\x1b[J" in page


def test_what_fails_meanwhile_is_a_sentence_above_what_was_known() -> None:
    with watched() as one:
        one.until("the agent of prod does not run; this was known before:\x1b[0m\x1b[K\r\n\x1b[K\r\nlook 1")
        one.until("look 3")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(environment: dict[str, str]) -> None:
    with watched(environment) as one:
        one.until("look 3")

    assert "\r\nthe agent of prod does not run; this was known before:\x1b[K" in one.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_as_ctrl_c_does(number: signal.Signals) -> None:
    with watched() as one:
        one.until("look 3")
        one.process.send_signal(number)
        one.until("after")

        assert one.process.wait(SECONDS) == 0


def test_a_terminal_that_gets_another_size_is_filled_at_once() -> None:
    with watched(seconds=3600) as one:
        one.until("look 1")
        termios.tcsetwinsize(one.terminal, (3, 80))
        one.until("… 3 more lines\x1b[K\x1b[J")


def test_without_a_terminal_it_is_refused_and_nothing_is_asked() -> None:
    with pytest.raises(UsageError, match="needs a terminal"):
        watch("wgpy show", lambda: pytest.fail("it was asked"), 1)


@pytest.mark.parametrize(
    ("height", "shown"),
    [
        (4, ["a", "b", "c", "d"]),
        (3, ["a", "b", "… 2 more lines"]),
        (1, ["… 4 more lines"]),
        (0, list("abcd")),
    ],
)
def test_what_is_higher_than_the_terminal_is_cut(height: int, shown: list[str]) -> None:
    assert cropped(["a", "b", "c", "d"], height) == shown
