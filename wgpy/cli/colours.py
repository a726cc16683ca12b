"""Colours on a terminal.

Invariant: where a command has no option for them, or they are not wanted, text has none.
"""

import os
import re
import sys
from enum import Enum
from typing import Final

AUTO: Final = "auto"
CHOICES: Final = (AUTO, "always", "never")

_chosen: Final = ["never"]  # the last one counts
_SEQUENCE: Final = re.compile(r"\x1b\[[0-9;]*m")  # ECMA-48 section 8.3.117, SGR


class Colour(Enum):
    GOOD = "32"
    NOTICE = "33"
    BAD = "31"
    STRONG = "1"


def choose(choice: str) -> None:
    """Use colours from now on. choice: one of CHOICES; AUTO: if standard output is a terminal that has them.

    https://no-color.org
    """
    _chosen[:] = [choice]


def paint(text: str, colour: Colour) -> str:
    """Return a line in a colour if colours are used."""
    return f"\x1b[{colour.value}m{text}\x1b[0m" if text and _are_used() else text


def width(text: str) -> int:
    """Return how many characters are seen."""
    return len(_SEQUENCE.sub("", text))


def _are_used() -> bool:
    if (choice := _chosen[-1]) != AUTO:
        return choice == "always"
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()
