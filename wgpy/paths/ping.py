"""A question whether somebody is reached by a path, and the answer. Neither is authenticated.

    magic "wgpp" (4)  version (1)  kind (1)  id (8)

Invariant: an answer is as long as its question, so nobody is made to send more than he was sent; memory is
bounded, whatever comes.
"""

from collections import OrderedDict
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError

MAGIC: Final = b"wgpp"
MAX_QUESTIONS: Final = 64  # that wait for their answers
MAX_ANSWERS: Final = 64  # that wait for `take_answers`

_VERSION: Final = 1
_QUESTION: Final = 1
_ANSWER: Final = 2
_LAYOUT: Final = Struct(">4sBB8s")
_ID_SIZE: Final = 8


class Answer(NamedTuple):
    """Somebody was reached there. round_trip: ns."""

    remote: Endpoint
    round_trip: int


class Ping:
    """Asks, and answers who asks. `receive` is a reader for MAGIC."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        """random(n): n secret random bytes, so that only who has heard a question can answer it."""
        self._random = random
        self._questions: OrderedDict[bytes, tuple[Endpoint, int]] = OrderedDict()  # the oldest first
        self._answers: list[Answer] = []

    def ask(self, remote: Endpoint, now: int) -> bytes:
        """The datagram to send there. The oldest question of too many is forgotten. now: boottime ns."""
        if len(self._questions) >= MAX_QUESTIONS:
            self._questions.popitem(last=False)
        number = self._random(_ID_SIZE)
        self._questions[number] = remote.without_source(), now
        return _LAYOUT.pack(MAGIC, _VERSION, _QUESTION, number)

    def take_answers(self) -> list[Answer]:
        """Those since the last call, the newest MAX_ANSWERS, each question's once."""
        answers, self._answers = self._answers, []
        return answers

    def receive(self, data: bytes, source: Endpoint, now: int) -> bytes | None:
        """The answer to a question. Raises DatagramError for what is neither question nor answer of ours."""
        if len(data) != _LAYOUT.size:
            raise DatagramError(DropReason.MALFORMED)
        magic, version, kind, number = _LAYOUT.unpack(data)
        if (magic, version) != (MAGIC, _VERSION) or kind not in (_QUESTION, _ANSWER):
            raise DatagramError(DropReason.MALFORMED)
        if kind == _QUESTION:
            return _LAYOUT.pack(MAGIC, _VERSION, _ANSWER, number)
        self._note_answer(number, source.without_source(), now)
        return None

    def _note_answer(self, number: bytes, source: Endpoint, now: int) -> None:
        remote, asked_at = self._questions.get(number, (None, 0))
        if remote != source:
            raise DatagramError(DropReason.UNEXPECTED_ANSWER)
        del self._questions[number]
        self._answers = [*self._answers, Answer(source, now - asked_at)][-MAX_ANSWERS:]
