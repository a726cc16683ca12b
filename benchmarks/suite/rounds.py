"""Interleaved rounds: every implementation once a round, in an order that turns.

So what changes on the host while the benchmark runs meets all of them alike.
"""

import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.compiler import BuildFailed
from benchmarks.suite.implementations import Implementation
from benchmarks.suite.namespaces import INTERFACE, PORT
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.record import Failure, Results
from benchmarks.suite.values import Setting
from tests.integration.hosts import Host, HostProcess, Lab, eventually
from tests.integration.peers import wait_until_listening

_T = TypeVar("_T")


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
    daemons: list[HostProcess] = field(default_factory=list)
    doing: str = "starting"

    def host(self, name: str) -> Host:
        """Boot a host."""
        with _interrupts_held():  # a host half booted could not be powered off
            return self.lab.host(name)

    def start_daemon(self, host: Host, remote: str = "") -> HostProcess:
        """Make an end of a tunnel to `remote` that can be configured. Raises AssertionError."""
        one = self.implementation
        words = [word.format(interface=INTERFACE, remote=remote, port=PORT) for word in one.command]
        daemon = host.start(*words)
        self.daemons.append(daemon)
        if not one.is_daemon:
            eventually(
                lambda: not daemon.is_running() or host.attempt("ip", "link", "show", INTERFACE).status == 0,
                f"{one.name} makes its interface",
            )
        else:
            wait_until_listening(host, INTERFACE, daemon)
        return daemon

    def add(self, samples: Mapping[str, float]) -> None:
        for measure, sample in samples.items():
            self.samples.setdefault(measure, {})[self.round] = sample


def turned(things: Sequence[_T], number: int) -> list[_T]:
    """Return the things in their order, beginning with another one for every number."""
    start = number % len(things)
    return [*things[start:], *things[:start]]


def run_rounds(
    implementations: Sequence[Implementation],
    rounds: int,
    settings: Sequence[Setting[Any]],
    seconds: float,
    results: Results,
    progress: Callable[[int, Implementation], None],
) -> None:
    """Measure everything, and add to `results` as it comes, so that an interrupted run has its beginning.

    seconds: of each stream.
    """
    with tempfile.TemporaryDirectory() as programs:
        for number in range(rounds):
            for implementation in turned(implementations, number):
                progress(number, implementation)
                for setting in settings:
                    _take_turn(implementation, number, setting, seconds, results, Path(programs))


def _take_turn(
    implementation: Implementation,
    number: int,
    setting: Setting[Any],
    seconds: float,
    results: Results,
    programs: Path,
) -> None:
    rows = [row for row in setting.rows if row.rulers or implementation.is_daemon]
    if not rows:
        return
    samples = results.samples.setdefault(implementation.name, {})
    with tempfile.TemporaryDirectory() as logs:
        turn = Turn(implementation, Lab(Path(logs)), number + 1, samples, programs)
        try:
            built = setting.build(turn)
            for row in rows:
                turn.doing = row.title
                turn.add(row.measure(built, seconds))
        except (AssertionError, BuildFailed, MeasureFailed, subprocess.TimeoutExpired) as error:
            reason = _reason(error, turn.daemons)
            results.failures.append(Failure(implementation.name, number + 1, turn.doing, reason))
        finally:
            turn.lab.power_off()


def _reason(error: Exception, daemons: Sequence[HostProcess]) -> str:
    """Say in a line why an implementation failed; that a daemon is dead explains whatever else happened."""
    for daemon in daemons:
        if not daemon.is_running():
            end = daemon.wait()
            return f"the daemon ended with status {end.status}: {_gist(end.output)}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"it hung: no end after {error.timeout:.0f} s"
    return " ".join(str(error).split())[:300]


def _gist(output: str) -> str:
    """Return the line that tells most: the first, but the last of a Python traceback."""
    lines = output.strip().splitlines() or ["it said nothing"]
    return lines[-1 if lines[0].startswith("Traceback") else 0].strip()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
