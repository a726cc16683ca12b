"""Rounds of questions: each candidate is asked a few times, side by side, and all of it has a budget.

Both ends agree on a round before, and the next one comes after a pause.

Invariant: because of one peer, whatever it tells, at most BURST questions are asked at once, and PER_SECOND
after that: so no peer has this host flood whom it names as candidates.
"""

from collections.abc import Callable, Sequence
from typing import Final

from wgpy.contract.constants import MILLISECOND, SECOND
from wgpy.contract.endpoint import Endpoint

OFFSETS: Final = tuple(offset * MILLISECOND for offset in (0, 100, 300, 700, 1500))
PACE: Final = 2 * MILLISECOND  # between questions
BURST: Final = 240
PER_SECOND: Final = 4
FIRST_PAUSE: Final = 5 * SECOND  # until the next round, or half as long again; then twice as long
LAST_PAUSE: Final = 300 * SECOND
AGREEMENT_TIME: Final = SECOND  # until a proposal is repeated
MAX_PROPOSALS: Final = 5  # of one round
_MAX_NUMBER: Final = 255


class Rounds:
    """Of one peer. began: when the last one began, or will; tried: whom it asks."""

    def __init__(self) -> None:
        self.began = 0
        self.tried: tuple[Endpoint, ...] = ()
        self._questions: list[tuple[int, Endpoint]] = []
        self._paid_at = 0  # when all that was asked will be earned

    def begin(self, endpoints: Sequence[Endpoint], when: int) -> None:
        """Ask these from then on. What is left of the last round is not asked any more."""
        self.began, self.tried = when, tuple(endpoints)
        self._questions = [
            (when + offset + PACE * place, endpoint)
            for offset in OFFSETS
            for place, endpoint in enumerate(endpoints)
        ]

    def end(self) -> None:
        self._questions.clear()

    def due(self, now: int, has_answered: Callable[[Endpoint], bool]) -> list[Endpoint]:
        """Whom to ask now."""
        due = [endpoint for when, endpoint in self._questions if when <= now]
        self._questions = [question for question in self._questions if question[0] > now]
        return [one for one in dict.fromkeys(due) if not has_answered(one) and self.may_ask(now)]

    def may_ask(self, now: int) -> bool:
        """Take one question of the budget, if there is one."""
        if self._paid_at - now > (BURST - 1) * SECOND // PER_SECOND:
            return False
        self._paid_at = max(self._paid_at, now) + SECOND // PER_SECOND
        return True

    def next_at(self) -> int | None:
        """When the next question is due."""
        return min((when for when, _ in self._questions), default=None)


class Proposal:
    """The last one of a round to a peer. number: 0 for none yet."""

    def __init__(self) -> None:
        self.number = 0
        self._left = 0
        self._is_agreed = False

    def renew(self) -> None:
        """Propose another round."""
        self.number = self.number % _MAX_NUMBER + 1
        self._left, self._is_agreed = MAX_PROPOSALS, False

    def repeat(self) -> bool:
        """Whether to send it once more, as the peer has not agreed."""
        self._left -= 1
        return self._left >= 0

    def agree(self, number: int) -> bool:
        """The peer agreed to this one; whether that is news."""
        is_news = 0 != number == self.number and not self._is_agreed
        self._is_agreed = self._is_agreed or is_news
        return is_news


class Pause:
    """Until the next round. A round that finds nothing makes it grow, and nothing else does."""

    def __init__(self, spread: Callable[[int], int]) -> None:
        """spread(most): random ns below that."""
        self._spread = spread
        self._length = FIRST_PAUSE

    def draw(self) -> int:
        """How long it is this time, ns."""
        return self._length + self._spread(self._length // 2)

    def reset(self) -> None:
        self._length = FIRST_PAUSE

    def grow(self) -> None:
        self._length = min(2 * self._length, LAST_PAUSE)
