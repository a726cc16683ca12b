"""Rounds of questions: each candidate is asked a few times, side by side, and all of it has a budget.

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
