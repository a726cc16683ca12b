"""The start of a daemon of this installation. Costs little to import: a daemon may start before all else."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from wgpy.cli.errors import CommandError

SYSTEMD: Final = Path("/run/systemd/system")  # exists where it runs. sd_booted(3)
START_TIMEOUT: Final = 60.0  # seconds: a small host that is busy starts Python slowly
LISTENING_TIMEOUT: Final = 10.0  # seconds, for a daemon of which it is not known whether it lives
_POLL_INTERVAL: Final = 0.02


def program(name: str) -> list[str]:
    """Return the command that runs one of this installation's programs."""
    for sibling in (Path(sys.argv[0]), Path(sys.executable)):
        candidate = sibling.absolute().parent / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return [str(candidate)]
    return [sys.executable, "-m", f"{name}.main"]


class Launch:
    """The start of a daemon that forks into the background. One that is not finished is given up."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """environment: None for this process's. Raises CommandError."""
        self._program = command[0]
        # Not a pipe: a daemon may keep it open until it ends. Not on a disk: that may be read-only.
        self._output = os.fdopen(os.memfd_create("output"), "w+b")
        self._life, inherited = os.pipe()  # whose other end is closed when all have ended that inherited it
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=self._output, stderr=self._output, env=environment,
                pass_fds=(inherited,),
            )  # fmt: skip
        except OSError as error:
            self._close()
            raise CommandError(f"{command[0]} cannot be run: {error.strerror}") from None
        finally:
            os.close(inherited)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()
        self._close()

    def finish(self, name: str, answers: Callable[[], bool], told: str = "") -> None:
        """Return when it answers. told: what its standard input is to say. Raises CommandError.

        answers: whether it does, without waiting for a daemon that is busy.
        """
        try:
            self._process.communicate(told.encode(), START_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise CommandError(
                f"{self._program} did not get {name} ready within {START_TIMEOUT:.0f} s"
            ) from None
        if self._process.returncode != 0 or not self._comes_to(answers):
            self._output.seek(0)
            raise CommandError(f"the daemon of {name} did not start: {last_line(self._output.read())}")

    def _comes_to(self, answers: Callable[[], bool]) -> bool:
        """Wait for a daemon that may have returned 0 although it failed, or before it listens.

        One that closed all that it inherited looks as if it had ended.
        """
        eventually(lambda: answers() or not self._lives(), START_TIMEOUT)
        return eventually(answers, LISTENING_TIMEOUT)

    def _lives(self) -> bool:
        """Return whether a process has what the daemon inherited."""
        return not select.select([self._life], [], [], 0)[0]

    def _close(self) -> None:
        self._output.close()
        os.close(self._life)


def last_line(output: bytes) -> str:
    """Return the last line of a daemon's output."""
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def eventually(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for a condition; return whether it holds. timeout: seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_INTERVAL)
    return True
