"""What is measured between: a host made of namespaces, or one that is reached by a command."""

import signal
from typing import Protocol

from tests.integration.hosts import Result


class Daemon(Protocol):
    """A command running at an end."""

    @property
    def pid(self) -> int:
        """As /proc has it where `proc` reads."""

    def is_running(self) -> bool: ...

    def kill(self, number: signal.Signals = signal.SIGTERM) -> None: ...

    def wait(self, timeout: float = 30) -> Result:
        """Wait for the end and return it; a death by signal is its negative number."""

    def proc(self, file: str) -> str:
        """Return what a file of its folder in /proc says. Raises OSError or CommandFailed."""


class End(Protocol):
    """A host, as far as rows need to know it."""

    name: str

    def attempt(self, *command: str, timeout: float = 30) -> Result:
        """Run a command and return what came of it."""

    def run(self, *command: str, timeout: float = 30) -> str:
        """Run a command that must succeed and return its output."""

    def start(self, *command: str) -> Daemon:
        """Start a command and return while it runs."""

    def write(self, path: str, text: str) -> str:
        """Write a file only root can read, and return its path."""
