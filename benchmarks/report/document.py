"""The report of a run: pictures, the table, the ranking, and how to judge and to repeat the run."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.figures import beats, best, figures, is_contest, ratio, wrong
from benchmarks.report.runs import compared_runs
from benchmarks.report.table import aligned, disturbance, markdown, rankings
from benchmarks.rows import SETTINGS, measures_of, read_rows, rows_of
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.record import Record
from benchmarks.suite.values import Plan


@dataclass(frozen=True, slots=True)
class Picture:
    """One plot in two variants, for light and for dark pages. Files: SVG, in the report's folder."""

    title: str
    light: str
    dark: str


def document(record: Record, others: Sequence[Record], pictures: Sequence[Picture]) -> str:
    """Return the report in Markdown. others: runs to compare with, whose own figures it does not show."""
    lines = [
        f"# Userspace WireGuard compared on {record.machine.processor}, {_day(record)}",
        "",
        *(line for picture in pictures[:1] for line in [*_shown(picture), ""]),
        *([f"**{disturbed}**", ""] if (disturbed := disturbance(record.machine)) else []),
        *verdict(record),
        "",
        "## Figures",
        "",
        markdown(record.measures, record.implementations, record.results),
        "",
        *_section("Ranking", _ranking(record)),
        *(line for picture in pictures[1:] for line in _section(picture.title, _shown(picture))),
        *(line for number, other in enumerate(others, 2) for line in compared_runs(record, other, number)),
        *_section("The machine", _machine(record)),
        *_section("The implementations", _implementations(record)),
        *_section("Run it yourself", _reproduction(record)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def verdict(record: Record) -> list[str]:
    """Return a sentence on the measures in which ours beats the best peer, ties with it, or is behind."""
    mistakes = wrong(record.measures, record.implementations, record.results)
    ours = next((one.name for one in record.implementations if one.role is Role.OURS), None)
    peers = [one for one in record.implementations if one.role is Role.PEER and one.name not in mistakes]
    ahead, level, behind = [], [], []
    for measure in filter(is_contest, record.measures):
        found = figures(measure, record.implementations, record.results)
        peer = best(measure, {one.name: found[one.name] for one in peers if one.name in found})
        if ours is None or ours not in found or ours in mistakes or peer is None:
            continue
        if found[ours].ties_with(found[peer]):
            level.append(measure.title)
        elif beats(measure, found[ours], found[peer]):
            ahead.append(measure.title)
        else:
            behind.append(f"{measure.title}, {ratio(found[ours], found[peer])} of {peer}'s")
    if not ahead + level + behind:
        return []
    sentences = [
        f"Of {_counted(len(ahead + level + behind), 'measure')}, {ours} beats the best peer in {len(ahead)}"
    ]
    sentences += [f", ties with it in {len(level)} ({'; '.join(level)})"] if level else []
    sentences += [f", and is behind in {len(behind)}: {'; '.join(behind)}"] if behind else []
    return ["".join(sentences) + "."]


def _ranking(record: Record) -> list[str]:
    table = rankings(record.measures, record.implementations, record.results)
    return table and [
        *table,
        "",
        "A rank is 1 plus the number of those that are better in every round.",
    ]


def _machine(record: Record) -> list[str]:
    machine = record.machine
    cores = _counted(machine.processors, "virtual processor" if machine.virtual else "processor")
    rounds = "1 round" if record.rounds == 1 else f"{record.rounds} interleaved rounds"
    return [
        f"- {machine.processor}, {cores}, {machine.memory / 1024:,.1f} GiB of memory",
        f"- {machine.system}, Linux {machine.kernel}, Python {machine.python}",
        *([f"- congestion control of TCP: {machine.congestion}"] if machine.congestion else []),
        f"- {_day(record)} UTC, load {machine.load:.2f} before it began",
        f"- plan {record.plan}, {rounds}, streams of {record.seconds:g} s; both ends on this machine",
    ]


def _implementations(record: Record) -> list[str]:
    rows = [[one.name, one.version or "?", f"`{_command(one)}`"] for one in record.implementations]
    return aligned([["name", "version", "command"], *rows], left=3)


def _command(one: Implementation) -> str:
    """Return a run's command without the folders of its machine."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in one.command)


def _reproduction(record: Record) -> list[str]:
    names = ",".join(one.name for one in record.implementations)
    words = [
        f"--rounds {record.rounds}",
        f"--seconds {record.seconds:g}",
        f"--implementations {shlex.quote(names)}",
    ]
    if record.plan != Plan.DEFAULT.name.lower():
        words.insert(0, f"--{record.plan}")
    if rows := _rows(record):
        words.insert(0, f"--rows {rows}")
    return [
        f"    sudo .venv/bin/python -m benchmarks {' '.join(words)}",
        "    .venv/bin/python -m benchmarks report results/DATE-HOST.json",
        "",
        "Other hosts give other figures, and so does this one later: only ratios of one run compare.",
    ]


def _rows(record: Record) -> str:
    """Return the option --rows of a run, unless the rows are those of its plan."""
    asked = {measure.name for measure in record.measures}
    plan = next((plan for plan in Plan if plan.name.lower() == record.plan), None)
    if plan and asked == {measure.name for measure in measures_of(rows_of(plan))}:
        return ""
    rows = [row for setting in SETTINGS for row in setting.rows]
    names = [row.name for row in rows if asked & {measure.name for measure in row.measures}]
    return ",".join(names) if names and read_rows(",".join(names)) else ""


def _shown(picture: Picture) -> list[str]:
    return [
        "<picture>",
        f'  <source media="(prefers-color-scheme: dark)" srcset="{picture.dark}">',
        f'  <img alt="{picture.title}" src="{picture.light}">',
        "</picture>",
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _day(record: Record) -> str:
    return record.date[:16].replace("T", " ")
