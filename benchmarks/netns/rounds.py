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
from typing import TypeVar

from benchmarks.netns.implementations import Implementation
from benchmarks.netns.namespaces import INTERFACE, PORT
from benchmarks.netns.readings import MeasureFailed
from tests.integration.hosts import Host, HostProcess, Lab, eventually
from tests.integration.peers import wait_until_listening

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Failure:
    """An implementation did not do something in a round; what it had not done yet is not measured then."""

    implementation: str
    round: int
    doing: str
    reason: str


@dataclass(slots=True)
class Results:
    """Samples by implementation and measure, in the order of the rounds; and what went wrong."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


@dataclass(slots=True)
class Turn:
    """One implementation's turn in a round: hosts and daemons that are gone at its end, and its samples.

    doing: what is named should it fail.
    """

    implementation: Implementation
    lab: Lab
    samples: dict[str, list[float]]
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
            self.samples.setdefault(measure, []).append(sample)


Trial = Callable[[Turn], None]


def turned(things: Sequence[_T], number: int) -> list[_T]:
    """Return the things in their order, beginning with another one for every number."""
    start = number % len(things)
    return [*things[start:], *things[:start]]


def run_rounds(
    implementations: Sequence[Implementation],
    rounds: int,
    trials: Sequence[Trial],
    results: Results,
    progress: Callable[[int, Implementation], None],
) -> None:
    """Try everything, and add to `results` as it comes, so that an interrupted run has its beginning."""
    for number in range(rounds):
        for implementation in turned(implementations, number):
            progress(number, implementation)
            for trial in trials:
                _take_turn(implementation, number, trial, results)


def _take_turn(implementation: Implementation, number: int, trial: Trial, results: Results) -> None:
    samples = results.samples.setdefault(implementation.name, {})
    with tempfile.TemporaryDirectory() as logs:
        turn = Turn(implementation, Lab(Path(logs)), samples)
        try:
            trial(turn)
        except (AssertionError, MeasureFailed, subprocess.TimeoutExpired) as error:
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
