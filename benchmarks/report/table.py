"""The table of a run in Markdown, which a terminal shows as well as a page."""

import math
from collections.abc import Collection, Sequence

from benchmarks.report.figures import (
    COMPARED,
    Figure,
    Figures,
    best,
    certainty,
    figures,
    is_contest,
    number,
    ranking,
    ratio,
    ties,
    wrong,
)
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.record import Machine, Results
from benchmarks.suite.values import Measure

LEGEND = (
    "Medians, and (least..most) of all rounds. ↑ more is better, ↓ less is better. "
    "Ratios are those within each round, where all met the same minutes, not those of the medians. "
    "A tie: neither was better in every round, so the order says nothing."
)
WRONG = "(!)"


def markdown(measures: Sequence[Measure], implementations: Sequence[Implementation], results: Results) -> str:
    """Return the table; above it the wrong implementations, below it ratios and failures."""
    mistakes = wrong(measures, implementations, results)
    ours = next((one.name for one in implementations if one.role is Role.OURS), None)
    names = [f"{one.name} {WRONG}" if one.name in mistakes else one.name for one in implementations]
    ratios = [f"{ours} / best peer", f"{ours} / limit"] if ours else []
    rows = [["", *names, *ratios]]
    for measure in measures:
        cells = [_cell(measure, results.taken(one.name, measure.name)) for one in implementations]
        found = _right(figures(measure, implementations, results), mistakes)
        against = _against(measure, ours, implementations, found) if ours else []
        rows.append([titled(measure), *cells, *against])
    return "\n".join(
        [
            *warnings(mistakes),
            *aligned(rows),
            "",
            LEGEND,
            _spread(implementations, measures, results),
            *_shares(measures, implementations, results),
            *_listed(
                "What failed was not measured from there on in that round:",
                [one.sentence for one in results.failures],
            ),
            *_listed("Left out:", results.left_out),
        ]
    )


def warnings(mistakes: dict[str, str]) -> list[str]:
    """Return a paragraph for each implementation that loses or reorders packets."""
    lines = [
        f"**{WRONG} {name} is wrong: {what}. Do not compare its figures.**" for name, what in mistakes.items()
    ]
    return [line for warning in lines for line in (warning, "")]


def rankings(
    measures: Sequence[Measure], implementations: Sequence[Implementation], results: Results
) -> list[str]:
    """Return a table with the ranks and the ties of each measure."""
    mistakes = wrong(measures, implementations, results)
    rows = [["", "ranking", "ties"]]
    for measure in filter(is_contest, measures):
        candidates = _right(figures(measure, compared(implementations), results), mistakes)
        if len(candidates) > 1:
            ranks = ranking(measure, candidates).items()
            order = "; ".join(f"{rank}. {', '.join(names)}" for rank, names in ranks)
            pairs = "; ".join(" = ".join(pair) for pair in ties(candidates))
            rows.append([measure.title, order, pairs or "-"])
    return aligned(rows, left=3) if len(rows) > 1 else []


def disturbance(machine: Machine) -> str:
    """Return a warning if the machine had other work than the benchmark."""
    if machine.load <= machine.processors / 2:
        return ""
    return f"The machine was busy with other work (load {machine.load:.1f} before the run): repeat it."


def compared(implementations: Sequence[Implementation]) -> list[Implementation]:
    """Return the ranked implementations: without the kernel, and without those that do not encrypt."""
    return [one for one in implementations if one.role in COMPARED]


def titled(measure: Measure) -> str:
    return f"{measure.title}, {measure.unit} {'↑' if measure.more_is_better else '↓'}"


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return a Markdown table that can be read without rendering it. left: columns that hold no figures."""
    rule = ["---" if column < left else "---:" for column in range(len(rows[0]))]
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    every = [head, rule, *body]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in every
    ]


def _right(found: Figures, mistakes: Collection[str]) -> dict[str, Figure]:
    return {name: figure for name, figure in found.items() if name not in mistakes}


def _cell(measure: Measure, taken: Sequence[float]) -> str:
    if not taken:
        return "-"
    figure = Figure.of(taken)
    if measure.failed_from < math.inf:
        succeeded = sum(sample < measure.failed_from for sample in taken)
        return f"{figure}, {succeeded} of {len(taken)}"
    return str(figure) if len(taken) > 1 else number(figure.median)


def _against(
    measure: Measure, ours: str, implementations: Sequence[Implementation], found: Figures
) -> list[str]:
    """Return the ratios of ours to the best peer and to the limit."""
    against = []
    for role in (Role.PEER, Role.LIMIT):
        others = {
            one.name: found[one.name] for one in implementations if one.role is role and one.name in found
        }
        other = best(measure, others)
        if ours not in found or other is None or not is_contest(measure):
            against.append("-")
        else:
            times = ratio(found[ours], found[other])
            against.append(f"{times} {other}" if role is Role.PEER and times != "-" else times)
    return against


def _spread(implementations: Sequence[Implementation], measures: Sequence[Measure], results: Results) -> str:
    """Return a sentence on the meaning of a spread."""
    counts = [len(results.taken(one.name, measure.name)) for one in implementations for measure in measures]
    most = max(counts, default=0)
    if most == 1:
        return "There was one round, so no spread is known, and a tie cannot be told from a difference."
    if most == 0:
        return "Nothing was measured."
    sure = f"{certainty(most):.0%}"
    return f"With {most} rounds, the true median is within (least..most) with a probability of {sure}."


def _shares(
    measures: Sequence[Measure], implementations: Sequence[Implementation], results: Results
) -> list[str]:
    """Return a table of the ratios of measures to another measure of the same implementation."""
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
    return ["", *aligned([["", *names], *rows])] if rows else []


def _listed(title: str, sentences: Sequence[str]) -> list[str]:
    return ["", title, "", *(f"- {sentence}" for sentence in sentences)] if sentences else []
