"""The reports that are kept, one for each processor, and what the first page says of them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LATEST = Path("benchmarks/latest")
RATIO = "wgpyd / best peer"
MEASURES = {  # as the first page has them, which shows no units, and as a report has them
    "TCP, 1 stream ↑": "TCP, 1 stream, Gbit/s ↑",
    "CPU for a gigabyte of it ↓": "CPU of both daemons, TCP 1, s/GB ↓",
    "UDP of 64 bytes, received ↑": "UDP 64 B, received, 1,000/s ↑",
    "ping at rest, p50 ↓": "ping at rest, p50, µs ↓",
    "ping beside TCP, p99 ↓": "ping beside TCP, p99, µs ↓",
    "memory after load ↓": "memory after load, PSS, MiB ↓",
}


class Kept:
    """A report of the default plan, in a folder of its processor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.relative_to(ROOT)
        text = (folder / "report.md").read_text()
        found = re.match(r"# Userspace WireGuard compared on (.+), \d{4}-\d\d-\d\d", text)
        assert found is not None, folder
        self.processor = found[1]
        rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines()]
        column = next(row for row in rows if RATIO in row).index(RATIO)  # the first cell of the head is empty
        figures = {row[0]: row[1:] for row in reversed(rows)}
        self.ratios = {shown: figures[measure][column] for shown, measure in MEASURES.items()}


KEPT = sorted(
    (Kept(path.parent) for path in ROOT.glob(f"{LATEST}/*/report.md")),
    key=lambda kept: float(kept.ratios["TCP, 1 stream ↑"].split()[0]),
)


def test_there_is_one_report_for_a_processor() -> None:
    assert len(KEPT) >= 2
    assert len({kept.processor for kept in KEPT}) == len(KEPT)


def test_the_first_page_has_the_ratios_of_every_processor_the_least_flattering_first() -> None:
    page = (ROOT / "README.md").read_text()

    head = [RATIO, *(kept.processor for kept in KEPT)]
    body = [[measure, *(kept.ratios[measure] for kept in KEPT)] for measure in MEASURES]
    for row in (head, *body):
        assert f"| {' | '.join(row)} |" in page


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.processor)
def test_the_first_page_shows_and_names_the_picture_of_every_processor(kept: Kept) -> None:
    page = (ROOT / "README.md").read_text()

    for variant in ("light", "dark"):
        picture = kept.folder / f"overview-{variant}.svg"
        assert str(picture) in page
        assert f">{kept.processor} · " in (ROOT / picture).read_text()
    assert f"[{kept.processor}]({kept.folder}/report.md)" in page
