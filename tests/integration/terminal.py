"""A command of a host at a terminal."""

import os
import pty
import termios
from select import select
from types import TracebackType
from typing import Self

from tests.integration.hosts import Host

_SECONDS = 30


class Terminal:
    """A command whose terminal is ours. shown: what the terminal has shown so far."""

    def __init__(self, host: Host, *command: str) -> None:
        self.shown = ""
        self._terminal, terminal = pty.openpty()
        # A session of its own, whose terminal it is: so ctrl-C is for the command and not for nsenter.
        # A shell that runs tests in its background has them ignore ctrl-C.
        session = ("setsid", "--ctty", "--wait", "env", "--default-signal=INT")
        self._process = host.popen((*session, *command), stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def types(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def shows(self, text: str) -> str:
        """Wait until the terminal shows a text, and return all that it has shown."""
        while text not in self.shown:
            more = self._read()
            assert more, f"{text!r} is not in {self.shown!r}"
            self.shown += more
        return self.shown

    def shows_again(self, text: str) -> str:
        """Wait until the terminal shows a text once more than by now, and return what it shows meanwhile."""
        before, self.shown = self.shown, ""
        shown = self.shows(text)
        self.shown = before + shown
        return shown

    def ends(self) -> int:
        """Return the exit status of the command."""
        while more := self._read():
            self.shown += more
        return self._process.wait(_SECONDS)

    def echoes(self) -> bool:
        """Return whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)

    def _read(self) -> str:
        """Return what is shown next, or "" at the end."""
        ready, _, _ = select([self._terminal], [], [], _SECONDS)
        assert ready, f"nothing more than {self.shown!r}"
        try:
            return os.read(self._terminal, 1 << 16).decode()
        except OSError:  # EIO: every other end is closed
            return ""
