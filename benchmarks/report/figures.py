"""Figures from samples, and the comparison of two figures: which is better, or that they tie.

The spread of a figure is the least and the most of its samples. With five rounds the true median lies between
them with a probability of 94 %, whatever the distribution; a deviation or a percentile of five
samples would promise more than they hold.

Two figures are compared within each round, since all implementations met the same minutes in it: what makes
both swing leaves their ratio alone. The ratios of all rounds are a figure as well; if 1 lies within its
spread, neither of the two was better in every round, and nobody can tell.
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.record import Results
from benchmarks.suite.values import Measure

COMPARED = (Role.OURS, Role.PEER)


@dataclass(frozen=True, slots=True)
class Figure:
    """The samples of a measure, one of each round, at least one; shown as their median, least and most."""

    by_round: Mapping[int, float]

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Figure":
        """samples: in the order of the rounds, none of which is missing."""
        return cls(dict(enumerate(samples, 1)))

    @property
    def median(self) -> float:
        return statistics.median(self.by_round.values())

    @property
    def least(self) -> float:
        return min(self.by_round.values())

    @property
    def most(self) -> float:
        return max(self.by_round.values())

    def over(self, other: "Figure") -> "Figure | None":
        """Return the ratios to another figure within each round that has both, if there is one."""
        rounds = self.by_round.keys() & other.by_round.keys()
        ratios = {one: _quotient(self.by_round[one], other.by_round[one]) for one in sorted(rounds)}
        return Figure(ratios) if ratios else None

    def ties_with(self, other: "Figure") -> bool:
        """Return whether neither was larger in every round that has both."""
        times = self.over(other)
        return times is None or times.least <= 1 <= times.most

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(self.least)}..{number(self.most)})"


def certainty(rounds: int) -> float:
    """Return the probability that the true median lies between the least and the most of so many samples."""
    return 1 - math.pow(2, 1 - rounds)


Figures = Mapping[str, Figure]  # by implementation


def figures(
    measure: Measure, implementations: Sequence[Implementation], results: Results
) -> dict[str, Figure]:
    """Return the figures of a measure by implementation, where there are any."""
    found = {one.name: results.samples.get(one.name, {}).get(measure.name) for one in implementations}
    return {name: Figure(by_round) for name, by_round in found.items() if by_round}


def wrong(
    measures: Sequence[Measure], implementations: Sequence[Implementation], results: Results
) -> dict[str, str]:
    """Return the implementations that lose or reorder packets, with the reason."""
    found: dict[str, list[str]] = {}
    for measure in measures:
        for name, figure in figures(measure, implementations, results).items():
            if figure.median >= measure.wrong_from:
                found.setdefault(name, []).append(f"{measure.title}: {number(figure.median)} {measure.unit}")
    return {name: "; ".join(what) for name, what in found.items()}


def is_contest(measure: Measure) -> bool:
    """Return whether a measure can be ranked, and not only be right or wrong."""
    return measure.wrong_from == math.inf


# -- Which is better ------------------------------------------------------------------------------


def best(measure: Measure, candidates: Figures) -> str | None:
    """Return the name of the best of some figures."""
    if not candidates:
        return None
    choose = max if measure.more_is_better else min
    return choose(candidates, key=lambda name: candidates[name].median)


def beats(measure: Measure, figure: Figure, other: Figure) -> bool:
    """Return whether a figure is better than the other in every round that has both."""
    times = figure.over(other)
    if times is None:
        return False
    return times.least > 1 if measure.more_is_better else times.most < 1


def ranking(measure: Measure, candidates: Figures) -> dict[int, list[str]]:
    """Return the names at each rank, best first: a rank is behind all that are better in every round."""
    ranks = {
        name: 1 + sum(beats(measure, other, figure) for other in candidates.values())
        for name, figure in candidates.items()
    }
    by_median = sorted(candidates, key=lambda name: candidates[name].median, reverse=measure.more_is_better)
    return {rank: [name for name in by_median if ranks[name] == rank] for rank in sorted(set(ranks.values()))}


def ties(candidates: Figures) -> list[tuple[str, str]]:
    """Return the pairs that tie."""
    pairs = itertools.combinations(candidates, 2)
    return [(one, other) for one, other in pairs if candidates[one].ties_with(candidates[other])]


def ratio(figure: Figure, other: Figure) -> str:
    """Return the ratio of two figures within rounds as text, with its spread, and whether they tie."""
    times = figure.over(other)
    if times is None or math.isinf(times.median):
        return "-"
    notes = [f"{number(times.least)}..{number(times.most)}"] if len(times.by_round) > 1 else []
    notes += ["tie"] if figure.ties_with(other) else []
    return f"{number(times.median)} ({', '.join(notes)})" if notes else number(times.median)


def _quotient(dividend: float, divisor: float) -> float:
    if dividend == divisor:
        return 1  # also of two zeros
    return dividend / divisor if divisor else math.inf


def number(value: float) -> str:
    """Write a number with the three digits that count, two if it is small."""
    if math.isinf(value):
        return "∞"
    size = abs(value)
    if size >= 99.95:
        return f"{float(f'{value:.3g}'):,.0f}"
    if size >= 9.995:
        return f"{value:.1f}"
    if size >= 0.0995 or size == 0:
        return f"{value:.2f}" if size else "0"
    return f"{value:.{1 - math.floor(math.log10(size))}f}"
