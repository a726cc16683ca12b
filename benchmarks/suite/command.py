"""The command: options, progress, table, record."""

import argparse
import dataclasses
import json
import os
import platform
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.compiler import BuildFailed
from benchmarks.report.table import markdown
from benchmarks.rows import measures_of, read_rows, rows_of, seconds_of
from benchmarks.suite.implementations import (
    Implementation,
    build_limit,
    build_structures,
    find_implementations,
    read_implementation,
)
from benchmarks.suite.record import Results
from benchmarks.suite.rounds import run_rounds
from benchmarks.suite.values import Plan

_T = TypeVar("_T")

TOOLS: Final = ("unshare", "nsenter", "ip", "ss", "wg", "ping", "iperf3", "sysctl")


def main() -> int:
    options = _parse()
    settings = options.rows or rows_of(Plan.QUICK if options.quick else Plan.DEFAULT)
    with tempfile.TemporaryDirectory() as folder:
        chosen = _chosen(options, Path(folder))
        results = Results()
        interrupted = False
        try:
            progress = _progress(options.rounds, seconds_of(settings, options.seconds), chosen)
            run_rounds(chosen, options.rounds, settings, options.seconds, results, progress)
        except KeyboardInterrupt:
            interrupted = True
            print("Interrupted; this is what was measured until then.", file=sys.stderr)
    print(markdown(measures_of(settings), chosen, results))
    if options.json:
        options.json.write_text(json.dumps(_record(options, chosen, results), indent=1) + "\n")
    return 130 if interrupted else int(bool(results.failures))


def _parse() -> argparse.Namespace:
    """Parse the command line, and see that this host can do it; ends the program if not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare the userspace WireGuard implementations of this host. Needs root.",
        epilog="Exit status 1: an implementation failed. It is named; the others are measured all the same.",
    )
    parser.add_argument(
        "--implementations",
        metavar="NAME,...",
        help="only these, in this order (default: all that are found)",
    )
    parser.add_argument(
        "--impl", metavar="NAME=COMMAND", type=argument(read_implementation), action="append", default=[],
        help="one more, or another program for a name that is found; COMMAND stays in the foreground "
        "and gets the interface's name where it says {interface}, else at its end; "
        "a name that begins with wgpy is ours",
    )  # fmt: skip
    parser.add_argument("--rows", metavar="NAME,...", type=argument(read_rows), help="measure only these")
    parser.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=positive, default=2, help="of each stream (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round with streams of one second")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every sample to FILE")
    options = parser.parse_args()
    if options.json and not options.json.parent.is_dir():
        parser.error(f"there is no folder {options.json.parent} to write {options.json.name} to")
    if options.quick:
        options.rounds = options.seconds = 1
    if missing := _missing():
        parser.exit(2, f"{parser.prog}: this host lacks {missing}\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return options


def argument(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """Have the parser show what a reader that raises ValueError says."""

    def read_argument(text: str) -> _T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_argument


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("want at least 1")
    return number


def _missing() -> str:
    if os.geteuid() != 0:
        return "root's rights: run it as root"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun"
    return ", ".join(tool for tool in TOOLS if shutil.which(tool) is None)


def _chosen(options: argparse.Namespace, folder: Path) -> list[Implementation]:
    """Return the implementations to measure; those asked for that are not here end the program.

    folder: to build the limit in.
    """
    here = {one.name: one for one in [*find_implementations(), *options.impl]}
    asked = options.implementations.split(",") if options.implementations else []
    try:
        here["limit"] = build_limit(folder)
        if any(name.startswith("structure-") for name in asked):
            here |= {one.name: one for one in build_structures(folder)}
    except BuildFailed as error:
        print(f"The limit is left out: {error}", file=sys.stderr)
    names = asked or list(here)
    if absent := [name for name in names if name not in here]:
        sys.exit(f"{', '.join(absent)} cannot be measured on this host; found: {', '.join(here)}")
    return [here[name] for name in names]


def _progress(
    rounds: int, each: float, chosen: Sequence[Implementation]
) -> Callable[[int, Implementation], None]:
    """Say what is measured, and how long that will take; return what says where it is."""
    runs = rounds * len(chosen)
    began = time.monotonic()
    done = 0
    for one in chosen:
        print(f"{one.name:14} {one.version or '?':40} {one.command[0]}", file=sys.stderr)
    print(f"{rounds} rounds, about {_minutes(runs * each)}.", file=sys.stderr)

    def say(number: int, implementation: Implementation) -> None:
        nonlocal done
        pace = (time.monotonic() - began) / done if done else each
        left = _minutes((runs - done) * pace)
        print(f"round {number + 1} of {rounds}, {left} left: {implementation.name}", file=sys.stderr)
        done += 1

    return say


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def _record(
    options: argparse.Namespace, chosen: Sequence[Implementation], results: Results
) -> dict[str, object]:
    """Return everything there is to know about a run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "processor": _processor(),
            "processors": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
        "rounds": options.rounds,
        "seconds": options.seconds,
        "implementations": [
            {
                "name": one.name,
                "role": one.role.value,
                "version": one.version,
                "command": shlex.join(one.command),
            }
            for one in chosen
        ],
        "samples": results.samples,
        "failures": [dataclasses.asdict(failure) for failure in results.failures],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"
