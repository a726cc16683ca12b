"""From samples to a table: medians, spreads, ratios, ties."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.record import Failure, Results
from benchmarks.suite.values import Measure


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, and the least and most of its samples."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Figure":
        return cls(statistics.median(samples), min(samples), max(samples))

    def ties_with(self, other: "Figure") -> bool:
        """Say whether the difference is no larger than the larger of the two spreads."""
        spread = max(self.most - self.least, other.most - other.least)
        return abs(self.median - other.median) <= spread

    def __str__(self) -> str:
        return f"{_number(self.median)} ({_number(self.least)}..{_number(self.most)})"


def figures(
    measure: Measure, implementations: Sequence[Implementation], results: Results
) -> dict[str, Figure]:
    """Return the figures of a measure by implementation, where there are any."""
    found = {one.name: results.taken(one.name, measure.name) for one in implementations}
    return {name: Figure.of(taken) for name, taken in found.items() if taken}


def best(measure: Measure, candidates: Mapping[str, Figure]) -> str | None:
    """Return the name of the best of some figures."""
    if not candidates:
        return None
    choose = max if measure.more_is_better else min
    return choose(candidates, key=lambda name: candidates[name].median)


def ratio(figure: Figure, other: Figure) -> str:
    """Say how many times the other a figure is, and whether that means anything."""
    if other.median == 0:
        return "-"
    times = f"{figure.median / other.median:.2f}"
    return f"{times} (tie)" if figure.ties_with(other) else times


def markdown(measures: Sequence[Measure], implementations: Sequence[Implementation], results: Results) -> str:
    """Return the table, and below it how measures compare with others, and what failed."""
    ours = [one.name for one in implementations if one.role is Role.OURS]
    names = [one.name for one in implementations]
    rows = [
        ["", *names, *(f"{name} / best peer" for name in ours), *(f"{name} / limit" for name in ours)],
        ["---", *["---:"] * (len(names) + 2 * len(ours))],
    ]
    for measure in measures:
        found = figures(measure, implementations, results)
        cells = [_cell(measure, results.taken(name, measure.name)) for name in names]
        peers = _with_role(implementations, Role.PEER, found)
        limits = _with_role(implementations, Role.LIMIT, found)
        against_peer = [_against(measure, found.get(name), peers, named=True) for name in ours]
        against_limit = [_against(measure, found.get(name), limits, named=False) for name in ours]
        sign = "more" if measure.more_is_better else "less"
        title = f"{measure.title}, {measure.unit} ({sign} is better)"
        rows.append([title, *cells, *against_peer, *against_limit])
    shares = _shares(measures, implementations, results)
    return "\n".join([*_aligned(rows), *shares, *_failures(results.failures)])


def _shares(
    measures: Sequence[Measure], implementations: Sequence[Implementation], results: Results
) -> list[str]:
    """Return a table of the measures that another one of the same implementation stands beside."""
    by_name = {measure.name: measure for measure in measures}
    names = [one.name for one in implementations]
    rows = []
    for measure in measures:
        whole = by_name.get(measure.beside)
        if whole is None:
            continue
        parts, wholes = (figures(one, implementations, results) for one in (measure, whole))
        if common := parts.keys() & wholes.keys():
            cells = [ratio(parts[name], wholes[name]) if name in common else "-" for name in names]
            rows.append([f"{measure.title} / {whole.title}", *cells])
    if not rows:
        return []
    return ["", *_aligned([["", *names], ["---", *["---:"] * len(names)], *rows])]


def _cell(measure: Measure, taken: Sequence[float]) -> str:
    if not taken:
        return "-"
    succeeded = sum(sample < measure.failed_from for sample in taken)
    return f"{Figure.of(taken)}" + (
        f", {succeeded} of {len(taken)}" if measure.failed_from < math.inf else ""
    )


def _with_role(
    implementations: Sequence[Implementation], role: Role, found: Mapping[str, Figure]
) -> dict[str, Figure]:
    return {one.name: found[one.name] for one in implementations if one.role is role and one.name in found}


def _against(measure: Measure, figure: Figure | None, others: Mapping[str, Figure], *, named: bool) -> str:
    other = best(measure, others)
    if figure is None or other is None:
        return "-"
    return f"{ratio(figure, others[other])} {other}" if named else ratio(figure, others[other])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a Markdown table whose columns can be read without rendering it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]


def _failures(failures: Sequence[Failure]) -> list[str]:
    if not failures:
        return []
    lines = [f"- {one.implementation}, round {one.round}, {one.doing}: {one.reason}" for one in failures]
    return ["", "Failed, and not measured from there on in that round:", "", *lines]


def _number(value: float) -> str:
    """Write a number with three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
