"""The output of the mesh's commands: aligned columns for people, JSON for programs."""

import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from wgpy.cli.colours import width
from wgpy.cli.show import ago
from wgpy.contract.constants import SECOND
from wgpy.node.document import text as json_text

ENDED_SHOWN: Final = 86_400  # seconds for which a list shows what has ended


def report(arguments: Namespace, document: Mapping[str, Any], text: str) -> None:
    """Print the result of a command: with --json its document, one of `wgpy.cli.documents`, else the text."""
    print(json_text(document) if arguments.json else text)


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Return lines with aligned columns."""
    lines = list(rows)
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(_padded, line, widths)).rstrip() for line in lines)


def _padded(cell: str, wanted: int) -> str:
    return cell + " " * (wanted - width(cell))


def fits(text: str) -> bool:
    """Return whether no line is wider than the terminal, if its width is known."""
    most = shutil.get_terminal_size((sys.maxsize, 0)).columns
    return all(width(line) <= most for line in text.splitlines())


def since(when: int) -> str:
    """Return how long ago a time was. when: Unix seconds, 0 for never."""
    return ago(time.time_ns() - when * SECOND) if when else "never"


def date(when: int) -> str:
    """Return a time in the host's time zone. when: Unix seconds, as they are where no calendar has them."""
    try:
        return datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d %H:%M %Z")
    except (ValueError, OverflowError):
        return str(when)


def listed(items: Iterable[object], nothing: str = "-") -> str:
    return ", ".join(map(str, items)) or nothing


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
