"""What one cluster over three sites takes, beside a cluster for each: `./run bench kubernetes`."""

import argparse
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import wgpy
from benchmarks.kubernetes.processes import PARTS, Load, read
from benchmarks.kubernetes.sites import ARRANGEMENTS, running
from tests.kubernetes import components


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
    parser.add_argument("--rounds", type=int, default=3, help="of both arrangements (default: 3)")
    parser.add_argument("--rest", type=float, default=30, help="seconds at rest (default: 30)")
    options = parser.parse_args(arguments)
    readings: dict[str, list[Reading]] = {name: [] for name in ARRANGEMENTS}
    try:
        for number in range(options.rounds):
            for name in ARRANGEMENTS:
                print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr, flush=True)
                readings[name].append(_measure(name, options.rest))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print(_machine())
    print("\n".join(_table(readings)))
    return 0


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


def _table(readings: Mapping[str, Sequence[Reading]]) -> list[str]:
    rows: dict[str, Callable[[Reading], float]] = {
        "control planes": lambda one: one.control_planes,
        "certificates": lambda one: one.certificates,
        **{f"processes: {part}": _part("processes", part) for part in PARTS},
        "processes": lambda one: one.load.processes.total(),
        **{f"memory (PSS), MiB: {part}": _part("memory", part) for part in PARTS},
        "memory (PSS), MiB": lambda one: one.load.memory.total(),
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
    """Return the median, and where they differ the least and the greatest."""
    least, middle, greatest = map(_number, (min(values), median(values), max(values)))
    return middle if least == greatest else f"{middle} ({least}..{greatest})"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 and value % 1 else f"{value:,.0f}"
