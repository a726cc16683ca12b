"""How the mesh's commands write: aligned columns for people, JSON for programs."""

import json
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from wgpy.cli.show import ago
from wgpy.contract.constants import SECOND


def tell(arguments: Namespace, document: Any, text: str) -> None:
    """Print what a command found or did, as it was asked to."""
    print(json.dumps(document, indent=2) if arguments.json else text)


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Return lines in which columns stand below each other."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def fits(text: str) -> bool:
    """Say whether no line is wider than the terminal, if that is known."""
    width = shutil.get_terminal_size((sys.maxsize, 0)).columns
    return all(len(line) <= width for line in text.splitlines())


def since(when: int) -> str:
    """Return how long ago that was. when: Unix seconds, 0 for never."""
    return ago(time.time_ns() - when * SECOND) if when else "never"


def date(when: int) -> str:
    """Return a time as this host's clock shows it. when: Unix seconds."""
    return datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def listed(items: Iterable[object], nothing: str = "-") -> str:
    return ", ".join(map(str, items)) or nothing


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
