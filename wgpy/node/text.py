"""What others wrote, made fit to be shown."""

from typing import Final

_MAX_LENGTH: Final = 200


def printable(text: str) -> str:
    """Return one line that may stand in a log and on a terminal, whoever wrote it."""
    short = text[:_MAX_LENGTH]
    return "".join(letter if letter.isprintable() else "?" for letter in short) + "…" * (short != text)
