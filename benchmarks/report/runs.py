"""The agreement of two runs: no pair of implementations has the opposite order, except for ties."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.report.figures import Figure, beats, figures, is_contest, ratio, wrong
from benchmarks.report.table import aligned, compared, titled
from benchmarks.suite.implementations import Role
from benchmarks.suite.record import Record
from benchmarks.suite.values import Measure


@dataclass(frozen=True, slots=True)
class Contradiction:
    """One is better than the other in every round of the first run, and worse in every one of the second."""

    measure: Measure
    one: str
    other: str
    first: tuple[Figure, Figure]
    second: tuple[Figure, Figure]

    def __str__(self) -> str:
        return (
            f"{titled(self.measure)}: {self.one} was {ratio(*self.first)} of {self.other}, "
            f"then {ratio(*self.second)}"
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """Pairs of implementations in the measures that both runs have. tied: in one of the runs, or in both."""

    alike: int
    tied: int
    contradictions: list[Contradiction]


def agreement(first: Record, second: Record) -> Agreement:
    """Compare the order of every pair of implementations in every measure that both runs have."""
    alike = tied = 0
    contradictions = []
    for measure, one, other, before, after in _pairs(first, second):
        orders = [beats(measure, *pair) - beats(measure, *reversed(pair)) for pair in (before, after)]
        if 0 in orders:
            tied += 1
        elif orders[0] == orders[1]:
            alike += 1
        else:
            contradictions.append(Contradiction(measure, one, other, before, after))
    return Agreement(alike, tied, contradictions)


def compared_runs(first: Record, second: Record, number: int) -> list[str]:
    """Return a section on whether the second run, of that number, has the first run's ranking."""
    found = agreement(first, second)
    lines = [
        f"## Run {number} compared with run 1",
        "",
        f"It began {second.date}.",
        *_differences(first, second),
        "",
    ]
    if not found.alike + found.tied + len(found.contradictions):
        return [*lines, "The runs have nothing in common that could be compared.", ""]
    if found.contradictions:
        count = len(found.contradictions)
        pairs = "1 pair that is no tie" if count == 1 else f"{count} pairs that are no ties"
        lines += [f"**The ranking differs in {pairs}:**", ""]
        lines += [f"- {one}" for one in found.contradictions]
    else:
        lines += ["**The ranking is the same, apart from ties.**"]
    lines += [
        "",
        f"Pairs of implementations in the same order: {found.alike}; a tie in a run: {found.tied}.",
        "",
    ]
    return [*lines, *_ratios(first, second, number)]


def _pairs(
    first: Record, second: Record
) -> Iterator[tuple[Measure, str, str, tuple[Figure, Figure], tuple[Figure, Figure]]]:
    """Yield the figures of every pair of implementations that both runs have, and that are right in both."""
    measured = {measure.name for measure in second.measures}
    mistakes = wrong(first.measures, first.implementations, first.results) | wrong(
        second.measures, second.implementations, second.results
    )
    for measure in first.measures:
        if measure.name not in measured or not is_contest(measure):
            continue
        before, after = (
            figures(measure, compared(run.implementations), run.results) for run in (first, second)
        )
        common = [name for name in before if name in after and name not in mistakes]
        for one, other in itertools.combinations(common, 2):
            yield measure, one, other, (before[one], before[other]), (after[one], after[other])


def _differences(first: Record, second: Record) -> list[str]:
    """Return sentences on the differences of the two runs' conditions."""
    sentences = []
    if (first.machine.processor, first.machine.processors) != (
        second.machine.processor,
        second.machine.processors,
    ):
        sentences.append(f"It ran on another machine, {second.machine.processor}.")
    if first.seconds != second.seconds:
        sentences.append(f"Its streams took {second.seconds:g} s, not {first.seconds:g} s.")
    if min(first.rounds, second.rounds) == 1:
        sentences.append("A run of one round has no spread, so its ties cannot be told from differences.")
    return sentences


def _ratios(first: Record, second: Record, number: int) -> list[str]:
    """Return a table of the ratios of ours to each peer in both runs."""
    ours = next((one.name for one in first.implementations if one.role is Role.OURS), "")
    peers = [one.name for one in first.implementations if one.role is Role.PEER]
    rows: dict[str, dict[str, str]] = {}
    for measure, one, other, before, after in _pairs(first, second):
        if one == ours and other in peers:
            rows.setdefault(titled(measure), {})[other] = f"{ratio(*before)}, {ratio(*after)}"
    if not rows:
        return []
    table = [[title, *(cells.get(name, "-") for name in peers)] for title, cells in rows.items()]
    return [
        f"How many times each peer's figure {ours}'s is, in run 1 and in run {number}:",
        "",
        *aligned([["", *peers], *table]),
        "",
    ]
