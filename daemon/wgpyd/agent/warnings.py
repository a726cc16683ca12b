"""What is not as it should be at this node."""

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

_LOG = logging.getLogger("wgpy")

_MAX_SENTENCES: Final = 8  # of a subject


class Warnings:
    """By subject."""

    def __init__(self) -> None:
        self._sentences: dict[str, Sequence[str]] = {}

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._sentences.values())

    def set(self, subject: str, sentence: str) -> None:
        """Keep a sentence, "" for none any more, and log it if it is a new one."""
        self.set_all(subject, [sentence] if sentence else [])

    def set_all(self, subject: str, sentences: Sequence[str]) -> None:
        """Keep several sentences, some of them if they are many, and log those that are new."""
        more = len(sentences) - _MAX_SENTENCES
        if more > 0:
            sentences = [*sentences[:_MAX_SENTENCES], f"{sentences[0]}; so it is with {more} others"]
        known = self._sentences.get(subject, ())
        for sentence in sentences:
            if sentence not in known:
                _LOG.warning("%s", sentence)
        self._sentences[subject] = sentences
