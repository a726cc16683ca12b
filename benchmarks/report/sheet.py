"""How a picture is drawn: a panel for each measure, a bar for each implementation, the limit as a line.

Each implementation has the same row and the same colour in every panel, so names stand once, at the left.
All lengths are pixels of a page that shows the picture in its own size, from above to below.
"""

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.textpath import text_to_path

from benchmarks.report.figures import Figure, figures, number, wrong
from benchmarks.report.table import WRONG, disturbance
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.record import Record
from benchmarks.suite.values import Measure

FONTS: Final = ["DejaVu Sans", "Verdana", "sans-serif"]  # the first two have the same widths
PIXEL: Final = 0.75  # points
WIDTH: Final = 830  # of a README
COLUMNS: Final = 3
TEXT, SMALL, LARGE = 11.5, 10.5, 17.0
MARGIN, GAP, HEADER, FOOTER = 16, 30, 74, 24
LINE, ROW, BAR, BELOW = 16, 19, 11, 46  # BELOW a panel: the limit's name, and space
NOTE: Final = 126  # characters
CUT: Final = 2.0  # times the next; what is that bad is cut off, or it would dwarf the rest


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a page."""

    page: str
    text: str
    quiet: str
    ours: str
    ours_too: str
    peer: str
    whisker: str
    limit: str
    wrong: str
    rule: str


THEMES: Final = {
    "light": Theme(
        page="#ffffff", text="#1f2328", quiet="#59636e", ours="#0a8270", ours_too="#8ccabd", peer="#c3cad2",
        whisker="#3d444d", limit="#b35900", wrong="#c62828", rule="#eaeef2",
    ),
    "dark": Theme(
        page="#0d1117", text="#e6edf3", quiet="#9198a1", ours="#2aa893", ours_too="#1d6b60", peer="#49525d",
        whisker="#d1d7e0", limit="#f0a04b", wrong="#ff7b72", rule="#21262d",
    ),
}  # fmt: skip


def shown(record: Record) -> list[Implementation]:
    """Return those that have a bar."""
    return [one for one in record.implementations if one.role is not Role.LIMIT]


def edge(measure: Measure, medians: Sequence[float]) -> float:
    """Return the end of a panel's scale: the maximum, without outliers that would dwarf the other bars."""
    ordered = sorted(medians)
    while not measure.more_is_better and len(ordered) > 2 and ordered[-1] > CUT * ordered[-2] > 0:
        ordered.pop()
    return ordered[-1]


@dataclass(frozen=True, slots=True)
class _Panel:
    """Where bars stand.

    left: where they begin; end: of the longest; value: that has there; right: where their numbers end;
    top: of the first bar's row.
    """

    axes: Axes
    theme: Theme
    left: float
    end: float
    value: float
    right: float
    top: float

    def draw_bar(self, index: int, colour: str, figure: Figure, *, hollow: bool) -> None:
        """Draw the median as a bar, cut off if it is too long, and the spread as a whisker."""
        middle = self.middle(index)
        length = max(self._x(figure.median) - self.left, 1)
        self._fill((self.left, middle - BAR / 2), length, BAR, colour)
        if hollow:
            self._fill((self.left + 1, middle - BAR / 2 + 1), max(length - 2, 0), BAR - 2, self.theme.page)
        if figure.median > self.value:
            x, low, high = self.end - 12, middle + BAR / 2 + 1, middle - BAR / 2 - 1
            gap = [(x, low), (x + 4, low), (x + 8, high), (x + 4, high)]
            self._add(Polygon(gap, color=self.theme.page, linewidth=0, zorder=3))
            return
        least, most = self._x(figure.least), self._x(figure.most)
        for colour_, width in ((self.theme.page, 3), (self.theme.whisker, 1)):
            self._line((least, most), (middle, middle), colour_, width=width)
            for x in (least, most):
                self._line((x, x), (middle - 3, middle + 3), colour_, width=width)

    def draw_limit(self, figure: Figure, rows: int) -> None:
        """Draw the median as a dashed line, named below, and the spread as a band."""
        top, bottom, colour = self.top - 3, self.top + rows * ROW + 3, self.theme.limit
        least, x, most = self._x(figure.least), self._x(figure.median), self._x(figure.most)
        self._fill((least, top), most - least, bottom - top, colour, alpha=0.16, order=1)
        self._line((x, x), (top, bottom), colour, width=1.5, dashed=True)
        text = f"limit {number(figure.median)}"
        half = width_of(text, SMALL) / 2
        x = min(max(x, self.left + half), self.right - half)
        write(self.axes, x, bottom + 4, text, colour, SMALL, align="center")

    def draw_track(self, index: int) -> None:
        """Draw a line from the bar to its number."""
        middle = self.middle(index)
        self._line((self.left, self.end), (middle, middle), self.theme.rule, order=0)

    def middle(self, index: int) -> float:
        return self.top + (index + 0.5) * ROW

    def _x(self, value: float) -> float:
        share = min(value / self.value, 1) if self.value else 0
        return self.left + share * (self.end - self.left)

    def _line(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        colour: str,
        *,
        width: float = 1,
        order: int = 3,
        dashed: bool = False,
    ) -> None:
        line = Line2D(x, y, color=colour, linewidth=width * PIXEL, zorder=order)
        if dashed:
            line.set_dashes((3, 2))
        line.set_solid_capstyle("butt")
        line.set_clip_on(False)
        self.axes.add_line(line)

    def _fill(
        self,
        corner: tuple[float, float],
        width: float,
        height: float,
        colour: str,
        *,
        alpha: float = 1,
        order: int = 2,
    ) -> None:
        shape = Rectangle(corner, width, height, color=colour, linewidth=0, alpha=alpha, zorder=order)
        self._add(shape)

    def _add(self, shape: Patch) -> None:
        shape.set_clip_on(False)
        self.axes.add_patch(shape)


@dataclass(slots=True)
class Sheet:
    """A picture of some measures, of which each has a figure for one implementation at least."""

    record: Record
    measures: Sequence[Measure]
    theme: Theme

    def draw(self) -> Canvas:
        record, bars = self.record, shown(self.record)
        mistakes = wrong(record.measures, record.implementations, record.results)
        names = [f"{one.name} {WRONG}" if one.name in mistakes else one.name for one in bars]
        left = MARGIN + max(width_of(name, TEXT, "bold") for name in names) + 10
        width = (WIDTH - MARGIN - left - (COLUMNS - 1) * GAP) / COLUMNS
        titled = [(measure, wrapped(measure.title, width)) for measure in self.measures]
        rows = [titled[start : start + COLUMNS] for start in range(0, len(titled), COLUMNS)]
        above = [(max(len(title) for _, title in row) + 1) * LINE + 8 for row in rows]
        below = len(bars) * ROW + BELOW
        notes = self._notes(mistakes)
        height = HEADER + sum(above) + len(rows) * below + len(notes) * LINE + FOOTER
        canvas = Canvas(figsize=(WIDTH * PIXEL / 72, height * PIXEL / 72), facecolor=self.theme.page)
        axes = canvas.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
        axes.set_axis_off()
        self._draw_head(axes)
        tops = itertools.accumulate((one + below for one in above), initial=HEADER)
        for row, top in zip(rows, map(sum, zip(tops, above, strict=False)), strict=True):
            for index, (one, name) in enumerate(zip(bars, names, strict=True)):
                middle = top + (index + 0.5) * ROW
                self._label(axes, left - 10, middle, name, one, mistaken=one.name in mistakes)
            for column, (measure, title) in enumerate(row):
                x = left + column * (width + GAP)
                self._draw_title(axes, x, top - 8 - (len(title) + 1) * LINE, measure, title)
                self._draw_panel(axes, measure, (x, top), width, mistakes)
        for index, (text, colour) in enumerate(reversed(notes), 1):
            write(axes, MARGIN, height - FOOTER - index * LINE + 6, text, colour, SMALL)
        return canvas

    def _draw_head(self, axes: Axes) -> None:
        record, machine = self.record, self.record.machine
        rounds = "1 round" if record.rounds == 1 else f"{record.rounds} rounds"
        parts = (machine.processor, f"{machine.processors} processors", rounds, record.date[:10])
        write(axes, MARGIN, 14, "Userspace WireGuard compared", self.theme.text, LARGE, weight="bold")
        write(axes, MARGIN, 40, " · ".join(parts), self.theme.quiet, SMALL)

    def _draw_title(self, axes: Axes, x: float, y: float, measure: Measure, title: Sequence[str]) -> None:
        for index, line in enumerate(title):
            write(axes, x, y + index * LINE, line, self.theme.text, TEXT, weight="bold")
        better = "more is better" if measure.more_is_better else "less is better"
        write(axes, x, y + len(title) * LINE, f"{measure.unit}, {better}", self.theme.quiet, SMALL)

    def _draw_panel(
        self,
        axes: Axes,
        measure: Measure,
        corner: tuple[float, float],
        width: float,
        mistakes: dict[str, str],
    ) -> None:
        """corner: where the first bar's row begins."""
        (left, top), bars = corner, shown(self.record)
        found = figures(measure, self.record.implementations, self.record.results)
        limits = [
            found[one.name]
            for one in self.record.implementations
            if one.role is Role.LIMIT and one.name in found
        ]
        end = edge(measure, [figure.median for figure in found.values()])
        most = max(figure.most for figure in found.values() if figure.median <= end)
        numbers = max(width_of(number(figure.median), TEXT, "bold") for figure in found.values()) + 10
        right = left + width
        panel = _Panel(axes, self.theme, left, right - numbers, min(most, 1.5 * end), right, top)
        for index, one in enumerate(bars):
            panel.draw_track(index)
            figure = found.get(one.name)
            if figure:
                panel.draw_bar(index, self._colour(one), figure, hollow=one.name in mistakes)
            text = number(figure.median) if figure else "-"
            self._label(axes, right, panel.middle(index), text, one, mistaken=one.name in mistakes)
        for limit in limits:
            panel.draw_limit(limit, len(bars))

    def _label(
        self, axes: Axes, x: float, y: float, text: str, one: Implementation, *, mistaken: bool
    ) -> None:
        """Write a text of an implementation, right-aligned at a point."""
        theme, first = self.theme, one is self._ours()
        colour = theme.wrong if mistaken else theme.text if first else theme.quiet
        weight = "bold" if first else "normal"
        write(axes, x, y, text, colour, TEXT, weight=weight, align="right", stand="center_baseline")

    def _colour(self, one: Implementation) -> str:
        if one.role is Role.OURS:
            return self.theme.ours if one is self._ours() else self.theme.ours_too
        return self.theme.peer

    def _ours(self) -> Implementation | None:
        return next((one for one in self.record.implementations if one.role is Role.OURS), None)

    def _notes(self, mistakes: dict[str, str]) -> list[tuple[str, str]]:
        """Return the lines at the bottom, and their colours."""
        theme = self.theme
        reading = "Bars: medians. " + (
            "Whiskers: least and most of all rounds."
            if self.record.rounds > 1
            else "One round, so no spread is known."
        )
        if any(self._is_cut(measure) for measure in self.measures):
            reading += " A slanted gap: longer than drawn."
        notes = [(reading, theme.quiet)]
        if any(one.role is Role.LIMIT for one in self.record.implementations):
            notes.append(
                ("Dashed line: the limit, the same path through the kernel without a cipher.", theme.limit)
            )
        if disturbed := disturbance(self.record.machine):
            notes.append((disturbed, theme.wrong))
        for name, what in mistakes.items():
            lines = textwrap.wrap(f"{WRONG} {name} is wrong: {what}. Do not compare its figures.", NOTE)
            notes += [(line, theme.wrong) for line in lines]
        return notes

    def _is_cut(self, measure: Measure) -> bool:
        found = figures(measure, self.record.implementations, self.record.results)
        medians = [figure.median for figure in found.values()]
        return max(medians) > edge(measure, medians)


def wrapped(title: str, width: float) -> list[str]:
    """Return a panel's title in one line, or in two that are about as long as each other."""
    words = title.split()
    if len(words) == 1 or width_of(title, TEXT, "bold") <= width:
        return [title]
    pairs = [[" ".join(words[:index]), " ".join(words[index:])] for index in range(1, len(words))]
    return min(pairs, key=lambda pair: max(width_of(line, TEXT, "bold") for line in pair))


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of a text."""
    font = FontProperties(family=FONTS[0], size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width)


def write(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    colour: str,
    size: float,
    *,
    weight: str = "normal",
    align: str = "left",
    stand: str = "top",
) -> None:
    """Write text at a point. stand: what of it is there."""
    axes.text(
        x,
        y,
        text,
        color=colour,
        fontsize=size * PIXEL,
        weight=weight,
        ha=align,
        va=stand,
        zorder=4,
    )
