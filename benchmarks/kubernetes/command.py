"""What one cluster over three sites takes, beside a cluster for each: `./run bench kubernetes`."""

import argparse
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from statistics import median

import wgpy
from benchmarks.kubernetes.processes import PARTS, Load, read
from benchmarks.kubernetes.sites import ARRANGEMENTS, running
from benchmarks.suite.command import positive
from benchmarks.suite.host import obstacle
from tests.kubernetes import components
from tests.kubernetes.client import ApiError


@dataclass(frozen=True, slots=True)
class Reading:
    """What one arrangement took in one round.

    ready: seconds until all nodes were; computed: seconds of a processor until its pods were ready; rest:
    part of a processor that it takes at rest.
    """

    ready: float
    computed: float
    rest: float
    load: Load
    control_planes: int
    certificates: int


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench kubernetes", description=__doc__)
    parser.add_argument("--rounds", type=positive, default=3, help="of both arrangements (default: 3)")
    parser.add_argument("--rest", type=positive, default=30, help="seconds at rest (default: 30)")
    options = parser.parse_args(arguments)
    if found := obstacle() or _unbuilt():
        print(f"Nothing can be measured: {found}", file=sys.stderr)
        return 2
    readings: dict[str, list[Reading]] = {name: [] for name in ARRANGEMENTS}
    status = take_turns(readings, options.rounds, lambda name: _measure(name, options.rest))
    if any(readings.values()):
        print(_machine())
        print("\n".join(table(readings)))
    return status


def take_turns(readings: Mapping[str, list[Reading]], rounds: int, measure: Callable[[str], Reading]) -> int:
    """Measure each arrangement in each round, and return the exit status.

    readings: of each, where all stays that came before a failure or an interruption.
    """
    try:
        for number in range(rounds):
            for name, taken in readings.items():
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
                taken.append(measure(name))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (OSError, HTTPException, ApiError, AssertionError) as error:
        print(f"The benchmark failed: {error}", file=sys.stderr)
        return 1
    return 0


def _unbuilt() -> str:
    """Return what is to be done first, or nothing."""
    return "" if components.are_built() else "Kubernetes is not built: use ./run bench kubernetes"


def _measure(name: str, seconds: float) -> Reading:
    with running(name) as found:
        hosts = [node.host for node in found.world.nodes]
        begin = read(hosts)
        time.sleep(seconds)
        end = read(hosts)
        rest = (end.seconds - begin.seconds) / seconds
        planes = len(found.clusters)
        return Reading(found.ready, begin.seconds, rest, end, planes, found.certificates())


def _machine() -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in cpuinfo if line.startswith("model name")]
    return (
        f"{len(models)} of {models[0] if models else platform.machine()}, Linux {platform.release()}, "
        f"Kubernetes {components.release()}, wgpy {wgpy.__version__}, Python {platform.python_version()}\n"
    )


def _part(measure: str, part: str) -> Callable[[Reading], float]:
    return lambda one: float(getattr(one.load, measure)[part])


def table(readings: Mapping[str, Sequence[Reading]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    rows: dict[str, Callable[[Reading], float]] = {
        "control planes": lambda one: one.control_planes,
        "certificates": lambda one: one.certificates,
        **{f"processes: {part}": _part("processes", part) for part in PARTS},
        "processes": lambda one: one.load.processes.total(),
        **{f"memory (PSS), MiB: {part}": _part("memory", part) for part in PARTS},
        "memory (PSS), MiB": lambda one: sum(one.load.memory.values()),
        "bare hosts to all nodes ready, s": lambda one: one.ready,
        "processor time until pods are ready, s": lambda one: one.computed,
        "at rest, % of a processor": lambda one: one.rest * 100,
    }
    lines = [f"| | {' | '.join(readings)} |", "|---" * (len(readings) + 1) + "|"]
    for title, value in rows.items():
        cells = [_cell([value(one) for one in of]) for of in readings.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _cell(values: Sequence[float]) -> str:
    """Return the median, and where they differ the least and the greatest; nothing of none."""
    if not values:
        return ""
    least, middle, greatest = map(_number, (min(values), median(values), max(values)))
    return middle if least == greatest else f"{middle} ({least}..{greatest})"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 and value % 1 else f"{value:,.0f}"
