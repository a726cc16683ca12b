"""The output of a run while it goes on."""

import shutil
from dataclasses import dataclass
from typing import Final, TextIO

from benchmarks.suite.implementations import Implementation
from benchmarks.suite.record import Failure
from benchmarks.suite.timetable import in_words

_CLEAR: Final = "\r\033[K"  # the line that the cursor is in


@dataclass(slots=True)
class Progress:
    """Says where a run is: on one line of a terminal, which stays the last, and else in a line per turn."""

    rounds: int
    stream: TextIO
    _turn: str = ""

    def turn(self, number: int, implementation: Implementation, left: float) -> None:
        """Say that a turn begins. number: its round, from 1; left: seconds until the end of the run."""
        self._turn = f"round {number} of {self.rounds}, about {in_words(left)} left: {implementation.name}"
        if not self.stream.isatty():
            self._write(f"{self._turn}\n")

    def row(self, title: str) -> None:
        """Say what is measured now."""
        if self.stream.isatty():
            width = shutil.get_terminal_size().columns - 1
            self._write(_CLEAR + f"{self._turn}: {title}"[:width])

    def failed(self, failure: Failure) -> None:
        self.say(failure.sentence)

    def say(self, sentence: str) -> None:
        """Say what is to be remembered."""
        self.end()
        self._write(f"{sentence}\n")

    def end(self) -> None:
        """Leave nothing of the line behind on a terminal."""
        if self.stream.isatty():
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
