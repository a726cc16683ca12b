"""The pictures of a run: their measures and files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

from benchmarks.report.document import Picture
from benchmarks.report.figures import figures, is_contest
from benchmarks.report.sheet import FONTS, PIXEL, THEMES, Sheet, shown
from benchmarks.suite.record import Record
from benchmarks.suite.values import Measure

# Who is the fastest, the leanest, and the quickest to answer.
HEADLINES: Final = ("tcp_1", "udp_64", "cpu_daemons", "ping_rest_p50", "ping_busy_p99", "memory")
PNG_SCALE: Final = 2
_STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": FONTS,
    "svg.fonttype": "none",  # as text: small, sharp, and can be searched
    "text.parse_math": False,
    "svg.hashsalt": "wgpy",  # the same names inside for the same record
}


def plot(record: Record, folder: Path) -> list[Picture]:
    """Write the pictures that there is something to show in, each as NAME-light and NAME-dark, .svg and .png.

    The same record gives the same bytes. Raises OSError.
    """
    bars = shown(record)
    measured = [
        measure
        for measure in record.measures
        if is_contest(measure) and figures(measure, bars, record.results)
    ]
    first = headlines(measured)
    pictures = {"overview": ("The run in one picture", first)} if first else {}
    if len(measured) > len(first):
        pictures["everything"] = ("Every measure", measured)
    for name, (_, measures) in pictures.items():
        for variant in THEMES:
            _save(record, measures, variant, folder / f"{name}-{variant}")
    return [Picture(title, f"{name}-light.svg", f"{name}-dark.svg") for name, (title, _) in pictures.items()]


def headlines(measured: Sequence[Measure]) -> list[Measure]:
    """Return the measures of the first picture; if it has none of the usual ones, those that come first."""
    by_name = {measure.name: measure for measure in measured}
    return [by_name[name] for name in HEADLINES if name in by_name] or list(measured[: len(HEADLINES)])


def _save(record: Record, measures: Sequence[Measure], variant: str, path: Path) -> None:
    with mpl.rc_context(_STYLE):
        canvas = Sheet(record, measures, THEMES[variant]).draw()
        dots = 72 / PIXEL
        canvas.savefig(path.with_suffix(".svg"), dpi=dots, metadata={"Date": None, "Creator": None})
        canvas.savefig(path.with_suffix(".png"), dpi=dots * PNG_SCALE, metadata={"Software": None})
