"""Text from other hosts, made fit to be shown."""

from typing import Final

_MAX_LENGTH: Final = 200


def printable(text: str, length: int = _MAX_LENGTH) -> str:
    """Return a line that is safe in a log and on a terminal, wherever the text came from.

    length: characters that are kept at most.
    """
    short = text[:length]
    return "".join(character if character.isprintable() else "?" for character in short) + "…" * (
        short != text
    )
