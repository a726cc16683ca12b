"""The duration of turns, and the number of rounds that fit into a budget."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


def rounds_within(budget: float, expected: Mapping[str, float], wanted: int) -> int:
    """Return how many of the wanted rounds fit into a budget, at least one."""
    return max(1, min(wanted, int(min(budget / sum(expected.values()), wanted))))


@dataclass(slots=True)
class Timetable:
    """All in seconds.

    expected: a turn of each implementation, as estimated, and later as long as the last one took.
    """

    budget: float
    expected: dict[str, float]
    began: float = field(default_factory=time.monotonic)

    def left(self, turns: Iterable[str], now: float) -> float:
        """Return how long turns of these implementations will take: no longer than the budget lasts."""
        return max(0, min(sum(self.expected[name] for name in turns), self.began + self.budget - now))

    def has_time_for(self, name: str, now: float) -> bool:
        """Return whether a turn of an implementation would end within the budget."""
        return now + self.expected[name] <= self.began + self.budget


def in_words(seconds: float) -> str:
    """Return a duration as text."""
    if seconds < 100:
        return "1 second" if round(seconds) == 1 else f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
