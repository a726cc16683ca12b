"""A part's table: samples by line and column, medians with their spread."""

from dataclasses import dataclass, field

from benchmarks.report.figures import Figure, number
from benchmarks.report.table import aligned


@dataclass(slots=True)
class Table:
    """Lines and columns, in the order of their first samples; a sentence for each missing one."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, line: str, column: str, sample: float) -> None:
        """column: with its unit."""
        self.samples.setdefault(line, {}).setdefault(column, []).append(sample)

    def read(self, printed: str) -> None:
        """Add the samples that a program printed, LINE, COLUMN and a number, apart by tabs."""
        for text in printed.splitlines():
            line, column, sample = text.split("\t")
            self.add(line, column, float(sample))

    def markdown(self) -> str:
        """Return the table, and below it what was left out."""
        columns = list(dict.fromkeys(column for line in self.samples.values() for column in line))
        rows = [["", *columns]]
        for line, cells in self.samples.items():
            rows.append([line, *(_cell(cells.get(column, [])) for column in columns)])
        left_out = [f"- {sentence}" for sentence in self.left_out]
        return "\n".join([
            *(aligned(rows) if self.samples else ()),
            *(["", "Left out:", "", *left_out] if left_out else ()),
        ])  # fmt: skip


def _cell(samples: list[float]) -> str:
    if not samples:
        return "-"
    return str(Figure.of(samples)) if len(samples) > 1 else number(samples[0])
