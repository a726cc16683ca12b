"""The command that measures: its options, its output, and the file of its record."""

import argparse
import math
import os
import platform
import re
import shlex
import signal
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

from benchmarks.compiler import BuildFailed
from benchmarks.report.table import markdown
from benchmarks.rows import measures_of, read_rows, rows_of, seconds_of
from benchmarks.suite.host import obstacle
from benchmarks.suite.implementations import (
    PEER_RELAY,
    PEERS,
    Implementation,
    build_limit,
    build_structures,
    find_implementations,
    read_implementation,
)
from benchmarks.suite.progress import Progress
from benchmarks.suite.record import Machine, Record, Results
from benchmarks.suite.remote import Unusable, add_options, read_route
from benchmarks.suite.rounds import STOPPING, Run, run_rounds, settings_for
from benchmarks.suite.timetable import Timetable, in_words, rounds_within
from benchmarks.suite.values import Kind, Plan, Setting

_T = TypeVar("_T")

ROUNDS: Final = {Plan.QUICK: 1, Plan.DEFAULT: 5, Plan.FULL: 5}
STREAM: Final = {Plan.QUICK: 1, Plan.DEFAULT: 2, Plan.FULL: 2}  # seconds
MINUTES: Final[dict[Plan, float]] = {Plan.QUICK: 2, Plan.DEFAULT: 20, Plan.FULL: math.inf}
FOLDER: Final = Path("results")
BUSY: Final = 0.25  # load for each processor
WIDTH: Final = 110  # of lines, in characters


class Stopped(KeyboardInterrupt):
    """A signal asks the run to end. number: of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: Sequence[str]) -> int:
    """Measure, and return the exit status."""
    options = _parse(arguments)
    if found := obstacle():
        _say(f"Nothing can be measured: {found}")
        return 2
    _when_stopped(_stop)
    try:
        return _run(options)
    except Stopped as stopped:
        _say("Stopped before anything was measured.")
        return 128 + stopped.number
    except Unusable as error:
        _say(f"Nothing can be measured: {error}")
        return 2


def _run(options: argparse.Namespace) -> int:
    plan = options.plan
    settings = options.rows or rows_of(plan)
    results = Results()
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        chosen = _chosen(options, settings, Path(folder), results)
        if options.route:
            settings = options.route.settings(settings)
            chosen = options.route.implementations(chosen, results)
        seconds = options.seconds or STREAM[plan]
        expected = {one.name: seconds_of(settings_for(one, settings), seconds) for one in chosen}
        budget = _budget(options)
        rounds = options.rounds or rounds_within(budget, expected, ROUNDS[plan])
        run = Run(chosen, settings, rounds, seconds)
        record = Record(
            date=began.isoformat(timespec="seconds"),
            host=platform.node(),
            machine=Machine.here(),
            plan=plan.name.lower(),
            rounds=rounds,
            seconds=seconds,
            implementations=chosen,
            measures=measures_of(settings),
            results=results,
        )
        path = options.json or _usual_place(began, record.host)
        where = options.route or "between two namespaces of this host"
        _say(f"Measured, {where}:")
        _announce(run, record, sum(expected.values()) * rounds, budget)
        try:
            status = _measure(run, Timetable(budget, expected), results)
        finally:
            written, sentence = _write(record, path)
            print(markdown(record.measures, chosen, results), flush=True)
            _say(sentence)
    return status if written else max(status, 1)


# -- Options --------------------------------------------------------------------------------------


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; ends the program if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        usage="%(prog)s [run] [OPTION]...\n       %(prog)s report FILE...\n       %(prog)s install-peers",
        description="Compare the WireGuard implementations of this host: run (the default) measures them, "
        "report makes tables and plots of what was measured, install-peers installs others to compare with.",
        epilog="Ctrl-C ends a run; what was measured until then is kept. Exit status 1: an implementation "
        "failed, which is named, or the record could not be written; 2: this host or the command line cannot "
        "do it.",
    )
    plans = parser.add_mutually_exclusive_group()
    plans.add_argument(
        "--quick", dest="plan", action="store_const", const=Plan.QUICK, default=Plan.DEFAULT,
        help="one round of short streams within 2 minutes, as a check that everything works",
    )  # fmt: skip
    plans.add_argument(
        "--full", dest="plan", action="store_const", const=Plan.FULL,
        help="all rows, in hours (default: what fits into 20 minutes)",
    )  # fmt: skip
    parser.add_argument("--rows", metavar="NAME,...", type=argument(read_rows), help="measure only these")
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=positive,
        help="number of rounds (default: 5, or as many as fit into the time)",
    )
    parser.add_argument(
        "--seconds", metavar="N", type=positive, help="duration of each stream (default: 2; with --quick 1)"
    )
    parser.add_argument("--minutes", metavar="N", type=positive, help="begin no turn that would end later")
    parser.add_argument(
        "--implementations", metavar="NAME,...",
        help="measure only these, in this order (default: all that are found)",
    )  # fmt: skip
    parser.add_argument(
        "--impl", metavar="NAME=COMMAND", type=argument(read_implementation), action="append", default=[],
        help="add an implementation, or replace one; COMMAND stays in the foreground "
        "and gets the interface's name where it says {interface}, else at its end; "
        "a name that begins with wgpy is ours",
    )  # fmt: skip
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help=f"the record (default: {FOLDER}/DATE-HOST.json)"
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        options.route = read_route(options)
    except ValueError as error:
        parser.error(str(error))
    if options.json and not options.json.parent.is_dir():
        parser.error(f"there is no folder {options.json.parent} to write {options.json.name} to")
    if options.json and options.json.is_dir():
        parser.error(f"{options.json} is a folder; name a file")
    return options


def argument(read: Callable[[str], _T]) -> Callable[[str], _T]:
    """Let the parser show the message of a reader's ValueError."""

    def read_argument(text: str) -> _T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_argument


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _budget(options: argparse.Namespace) -> float:
    """Return the seconds that a run may take: none if the number of its rounds is given and nothing else."""
    if options.minutes:
        return float(options.minutes * 60)
    return math.inf if options.rounds else MINUTES[options.plan] * 60


def _chosen(
    options: argparse.Namespace, settings: Sequence[Setting[Any]], folder: Path, results: Results
) -> list[Implementation]:
    """Return the implementations to measure; those asked for that are not here end the program.

    folder: to build the limit in.
    """
    kinds = {row.kind for setting in settings for row in setting.rows}
    here = {one.name: one for one in [*find_implementations(), *options.impl] if one.kind in kinds}
    asked = options.implementations.split(",") if options.implementations else []
    peers = [name for kind in Kind if kind in kinds for name in PEERS[kind]]
    if not asked and (absent := [name for name in peers if name not in here]):
        names = ", ".join(absent)
        results.left_out.append(
            f"not on this host: {names} (./run bench --install-peers installs what it can)"
        )
    if Kind.TUNNEL in kinds:
        if not asked and "kernel" not in here:
            results.left_out.append("not on this host: the kernel's own WireGuard")
        here |= _limits(folder, asked, results)
    wanted = asked or [name for name in here if name != PEER_RELAY]
    if absent := [name for name in wanted if name not in here]:
        _say(f"{', '.join(absent)} cannot be measured on this host; found: {', '.join(here)}")
        sys.exit(2)
    return [here[name] for name in dict.fromkeys(wanted)]


def _limits(folder: Path, asked: Sequence[str], results: Results) -> dict[str, Implementation]:
    """Return what is built for the comparison. folder: to build it in; asked: names, none for all."""
    built: dict[str, Implementation] = {}
    try:
        built["limit"] = build_limit(folder)
        if any(name.startswith("structure-") for name in asked):
            built |= {one.name: one for one in build_structures(folder)}
    except BuildFailed as error:
        results.left_out.append(f"the limit was left out: {error}")
    return built


# -- The run --------------------------------------------------------------------------------------


def _announce(run: Run, record: Record, estimate: float, budget: float) -> None:
    """Print the rows, the implementations and the expected time."""
    for setting in run.settings:
        titles = "; ".join(row.title for row in setting.rows)
        _say(textwrap.fill(f"  {setting.name:14} {titles}", WIDTH, subsequent_indent=17 * " "))
    _say("of these implementations:")
    for one in run.implementations:
        _say(f"  {one.name:14} {one.version or '?':36} {_shown(one.command)}")
    for sentence in record.results.left_out:
        _say(f"  {sentence}")
    rounds = "1 round" if run.rounds == 1 else f"{run.rounds} rounds, in each of them everyone anew"
    limit = f", at most {in_words(budget)}" if budget < math.inf else ""
    _say(f"{rounds}; streams of {run.seconds:.0f} s; about {in_words(min(estimate, budget))}{limit}.")
    if (load := record.machine.load) > BUSY * record.machine.processors:
        _say(f"This host is busy (load {load:.1f}), so figures will spread more than they need to.")


def _shown(command: Sequence[str]) -> str:
    """Write a command as one would type it, placeholders as they are."""
    return re.sub(r"'({\w+})'", r"\1", shlex.join(command))


def _measure(run: Run, timetable: Timetable, results: Results) -> int:
    """Measure until the end or a signal; return the exit status."""
    progress = Progress(run.rounds, sys.stderr)
    try:
        run_rounds(run, timetable, results, progress)
    except Stopped as stopped:
        progress.say("Interrupted; this is what was measured until then.")
        results.left_out.append("everything behind the moment when the run was interrupted")
        return 128 + stopped.number
    except OSError as error:
        progress.say(f"The run ended early, {error}; this is what was measured until then.")
        return 1
    finally:
        progress.end()
        _when_stopped(signal.SIG_DFL)  # the next one ends it at once
    return int(bool(results.failures))


def _when_stopped(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Set the handlers of signals, except for signals that the parent ignores, as nohup does."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


# -- The record -----------------------------------------------------------------------------------


def _usual_place(began: datetime, host: str) -> Path:
    return FOLDER / f"{began:%Y-%m-%d-%H%M%S}-{host}.json"


def _write(record: Record, path: Path) -> tuple[bool, str]:
    """Write the record, for the user who called sudo; print the result and return whether it succeeded."""
    try:
        if path.parent == FOLDER:
            FOLDER.mkdir(exist_ok=True)
            _give_back(FOLDER)
        record.write(path)
        _give_back(path)
    except OSError as error:
        return (
            False,
            f"The record could not be written to {path}: {error.strerror}. The table is all there is.",
        )
    return True, f"Every sample is in {path}. For plots: ./run bench report {path}"


def _give_back(path: Path) -> None:
    """Give files of root to the user who called sudo."""
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if user and group and (path.is_file() or path.is_dir()):
        with suppress(OSError):  # not every file system lets root do so
            os.chown(path, int(user), int(group))


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
