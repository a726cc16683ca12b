"""What is not as it should be at this node."""

import logging
from collections.abc import Iterator

_LOG = logging.getLogger("wgpy")


class Warnings:
    """One sentence for each subject at most."""

    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        return filter(None, self._sentences.values())

    def set(self, subject: str, sentence: str) -> None:
        """Keep a sentence, "" for none any more, and log it if it is a new one."""
        if sentence and self._sentences.get(subject) != sentence:
            _LOG.warning("%s", sentence)
        self._sentences[subject] = sentence
