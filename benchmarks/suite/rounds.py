"""Interleaved rounds: every implementation once a round, in an order that turns.

So changes of the host during the benchmark affect all of them alike.
"""

import dataclasses
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from benchmarks.compiler import BuildFailed
from benchmarks.suite.ends import Daemon
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.namespaces import INTERFACE, PORT
from benchmarks.suite.progress import Progress
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.record import Failure, Results
from benchmarks.suite.timetable import Timetable
from benchmarks.suite.values import Row, Setting
from tests.integration.hosts import Host, HostProcess, Lab, eventually
from tests.integration.peers import wait_until_listening

_T = TypeVar("_T")

STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TRIES: Final = 2  # rounds in which an implementation may fail at one thing
# What a setting or a row may raise, and what comes of a full disk or of a tool that says what nobody expects.
_FAILED: Final = (
    AssertionError,
    BuildFailed,
    MeasureFailed,
    subprocess.SubprocessError,
    OSError,
    ArithmeticError,
    LookupError,
    ValueError,
)


class NotStarted(AssertionError):
    """A daemon could not be started; the message says what it did instead."""


@dataclass(slots=True)
class Turn:
    """One implementation's turn in a round: hosts and daemons that are gone at its end, and its samples.

    programs: a folder for what the rows compile, kept for the whole run; doing: what is named should it fail.
    """

    implementation: Implementation
    lab: Lab
    round: int
    samples: dict[str, dict[int, float]]
    programs: Path
    daemons: list[Daemon] = field(default_factory=list)
    doing: str = "starting"

    def host(self, name: str) -> Host:
        """Boot a host."""
        with _interrupts_held():  # a host half booted could not be powered off
            return self.lab.host(name)

    def command(self, remote: str = "") -> list[str]:
        """Return the words that make an end of a tunnel to `remote`."""
        fields = {"interface": INTERFACE, "remote": remote, "port": PORT}
        return [word.format(**fields) for word in self.implementation.command]

    def start_daemon(self, host: Host, remote: str = "") -> HostProcess:
        """Make an end of a tunnel to `remote` that can be configured. Raises NotStarted."""
        one = self.implementation
        daemon = host.start(*self.command(remote))
        self.daemons.append(daemon)
        try:
            if one.is_daemon:
                wait_until_listening(host, INTERFACE, daemon)
            else:
                eventually(
                    lambda: (
                        host.attempt("ip", "link", "show", INTERFACE).status == 0 or not daemon.is_running()
                    ),
                    "it makes its interface",
                )
        except AssertionError as error:
            raise NotStarted(str(error)) from None
        return daemon

    def add(self, row: Row[Any], samples: Mapping[str, float]) -> None:
        """Keep a row's samples, of those measures that the implementation can have."""
        for measure in _measures(row, self.implementation):
            if measure in samples:
                self.samples.setdefault(measure, {})[self.round] = samples[measure]


def turned(things: Sequence[_T], number: int) -> list[_T]:
    """Return the things in their order, beginning with another one for every number."""
    start = number % len(things)
    return [*things[start:], *things[:start]]


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be measured. seconds: of each stream."""

    implementations: Sequence[Implementation]
    settings: Sequence[Setting[Any]]
    rounds: int
    seconds: float


def settings_for(implementation: Implementation, settings: Sequence[Setting[Any]]) -> list[Setting[Any]]:
    """Return the settings with those rows alone that an implementation can be measured with."""
    fitting = [
        dataclasses.replace(setting, rows=tuple(row for row in setting.rows if _fits(row, implementation)))
        for setting in settings
    ]
    return [setting for setting in fitting if setting.rows]


def run_rounds(run: Run, timetable: Timetable, results: Results, progress: Progress) -> None:
    """Measure everything, and add to `results` as it comes, so that an interrupted run has its beginning.

    No turn begins that would not end within the timetable's budget, but for the very first.
    """
    turns = [(number, one) for number in range(run.rounds) for one in turned(run.implementations, number)]
    untimely: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as programs:
        taker = _Taker(run, results, progress, Path(programs))
        for index, (number, one) in enumerate(turns):
            now = time.monotonic()
            if index and not timetable.has_time_for(one.name, now):
                untimely.setdefault(one.name, []).append(str(number + 1))
                continue
            progress.turn(number + 1, one, timetable.left((other.name for _, other in turns[index:]), now))
            taker.take(one, number + 1)
            timetable.expected[one.name] = time.monotonic() - now
    for name, rounds in untimely.items():
        taker.leave_out(f"{name} was left out of round {', '.join(rounds)}: the time was up")


@dataclass(slots=True)
class _Taker:
    """Takes one turn after another, and knows what failed before.

    failed: how often, by implementation, setting and row; what could not be built has no row, and what could
    not even be started no setting.
    """

    run: Run
    results: Results
    progress: Progress
    programs: Path
    failed: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def take(self, one: Implementation, number: int) -> None:
        """Measure an implementation in all settings. One that cannot be started is not tried any further."""
        self.results.samples.setdefault(one.name, {})
        failures = self.failed[one.name, "", ""]
        for setting in settings_for(one, self.run.settings):
            rows = [row for row in setting.rows if self._is_hopeful(one.name, setting.name, row.name)]
            if rows and self.failed[one.name, "", ""] == failures < TRIES:
                self._measure(one, number, setting, rows)

    def _measure(
        self, one: Implementation, number: int, setting: Setting[Any], rows: Sequence[Row[Any]]
    ) -> None:
        """Build a setting and measure rows in it, until something fails."""
        scope, lost = (one.name, setting.name, ""), "; ".join(row.title for row in rows)
        with tempfile.TemporaryDirectory() as logs:
            turn = Turn(one, Lab(Path(logs)), number, self.results.samples[one.name], self.programs)
            try:
                self.progress.row(turn.doing)
                built = setting.build(turn)
                for row in rows:
                    scope, lost = (one.name, setting.name, row.name), row.title
                    turn.doing = row.title
                    self.progress.row(row.title)
                    turn.add(row, row.measure(built, self.run.seconds))
            except _FAILED as error:
                if isinstance(error, NotStarted) and len(turn.daemons) == 1:
                    scope, lost = (one.name, "", ""), "starting, and so everything"
                self._note(Failure(one.name, number, turn.doing, _reason(error, turn.daemons)), scope, lost)
            finally:
                turn.lab.power_off()

    def leave_out(self, sentence: str) -> None:
        self.results.left_out.append(sentence)
        self.progress.say(sentence)

    def _is_hopeful(self, one: str, setting: str, row: str) -> bool:
        return self.failed[one, setting, ""] < TRIES and self.failed[one, setting, row] < TRIES

    def _note(self, failure: Failure, scope: tuple[str, str, str], lost: str) -> None:
        """Remember a failure. lost: what cannot be measured if it stays like this."""
        self.results.failures.append(failure)
        self.progress.failed(failure)
        self.failed[scope] += 1
        if self.failed[scope] == TRIES and failure.round < self.run.rounds:
            self.leave_out(
                f"{failure.implementation} failed {TRIES} times at this, and is not tried at it again: {lost}"
            )


def _fits(row: Row[Any], implementation: Implementation) -> bool:
    if row.kind is not implementation.kind or (row.ours and implementation.role is not Role.OURS):
        return False
    return (row.rulers or implementation.is_daemon) and bool(_measures(row, implementation))


def _measures(row: Row[Any], implementation: Implementation) -> list[str]:
    """Return the names of the measures that an implementation can have."""
    in_kernel = implementation.role is Role.KERNEL
    return [measure.name for measure in row.measures if not (in_kernel and measure.of_process)]


def _reason(error: Exception, daemons: Sequence[Daemon]) -> str:
    """Say in a line why an implementation failed; that a daemon is dead explains whatever else happened."""
    for daemon in daemons:
        if not daemon.is_running():
            end = daemon.wait()
            how = signal.Signals(-end.status).name if end.status < 0 else f"status {end.status}"
            return f"the daemon ended with {how}: {_gist(end.output)}"
    text = " ".join(str(error).split())[:300]
    match error:
        case subprocess.TimeoutExpired():
            return f"it hung: no end after {error.timeout:.0f} s"
        case AssertionError() if text.startswith("not within"):  # as `eventually` says it
            return f"it hung, {text}"
        case AssertionError() | BuildFailed() | MeasureFailed():
            return text
    return f"{type(error).__name__}: {text}"


def _gist(output: str) -> str:
    """Return the line that tells most: the first, but for advice in a box, or the last of a traceback."""
    lines = [line for line in output.splitlines() if line.strip("┌─┐│└┘ ") == line.strip() != ""]
    lines = lines or ["it printed nothing"]
    return lines[-1 if lines[0].startswith("Traceback") else 0].strip()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
