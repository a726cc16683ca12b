"""Interleaved rounds: every implementation once a round, in an order that turns.

So what changes on the host while the benchmark runs meets all of them alike.
"""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchmarks.netns.implementations import Implementation
from benchmarks.netns.measures import STEPS, MeasureFailed
from benchmarks.netns.namespaces import OUTSIDE, Tunnel, configure, start_daemon, two_hosts, wait_until_ready
from tests.integration.hosts import HostProcess

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


def turned(things: Sequence[_T], number: int) -> list[_T]:
    """Return the things in their order, beginning with another one for every number."""
    start = number % len(things)
    return [*things[start:], *things[:start]]


def run_rounds(
    implementations: Sequence[Implementation],
    rounds: int,
    seconds: float,
    results: Results,
    progress: Callable[[int, Implementation], None],
) -> None:
    """Measure everything, and add to `results` as it comes, so that an interrupted run has its beginning."""
    for number in range(rounds):
        for implementation in turned(implementations, number):
            progress(number, implementation)
            with tempfile.TemporaryDirectory() as logs:
                _measure(implementation, number, seconds, results, Path(logs))


def _measure(
    implementation: Implementation, number: int, seconds: float, results: Results, logs: Path
) -> None:
    samples = results.samples.setdefault(implementation.name, {})
    daemons: list[HostProcess] = []
    doing = "starting"
    with two_hosts(logs) as (left, right):
        try:
            for host, remote in ((left, OUTSIDE[1]), (right, OUTSIDE[0])):
                daemons.append(start_daemon(implementation, host, remote))
                wait_until_ready(implementation, host, daemons[-1])
            doing = "the first ping"
            configure(implementation, left, right)
            tunnel = Tunnel(left, right, (daemons[0], daemons[1]))
            for title, step in STEPS:
                doing = title
                for measure, sample in step(tunnel, seconds).items():
                    samples.setdefault(measure, []).append(sample)
        except (AssertionError, MeasureFailed, subprocess.TimeoutExpired) as error:
            reason = _reason(error, daemons)
            results.failures.append(Failure(implementation.name, number + 1, doing, reason))


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
