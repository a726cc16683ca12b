"""The command that reports: what its options are, and where its files go."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report.document import Picture, document
from benchmarks.suite.record import Record, RecordUnreadable


def main(arguments: Sequence[str]) -> int:
    """Write a report, and return the exit status."""
    options = _parse(arguments)
    folder: Path = options.to or options.files[0].with_suffix("")
    try:
        record, *others = [Record.read(path) for path in options.files]
        folder.mkdir(parents=True, exist_ok=True)
        pictures = _pictures(record, folder)
        report = folder / "report.md"
        report.write_text(document(record, others, pictures), encoding="utf-8")
    except RecordUnreadable as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"The report cannot be written to {folder}: {error.strerror}.", file=sys.stderr)
        return 2
    print(report)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; ends the program if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks report",
        description="Write report.md with tables and plots (SVG and PNG, for light and dark pages) of a run.",
        epilog="Exit status 2: a file is no record, or the folder cannot be written to.",
    )
    parser.add_argument(
        "files", metavar="FILE", type=Path, nargs="+",
        help="a record, results/DATE-HOST.json; the first is reported, others are compared with it: "
        "whether they have the same ranking",
    )  # fmt: skip
    parser.add_argument(
        "--to", metavar="FOLDER", type=Path, help="default: beside the first file, with its name"
    )
    return parser.parse_args(arguments)


def _pictures(record: Record, folder: Path) -> list[Picture]:
    """Draw the plots, if what draws them is here."""
    try:
        from benchmarks.report.plots import plot  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print("There are no plots without matplotlib: .venv/bin/pip install -e '.[bench]'", file=sys.stderr)
        return []
    return plot(record, folder)
