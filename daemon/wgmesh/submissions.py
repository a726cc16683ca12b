"""The submissions that wait to be written: those of one rank that wait at the same time are written together.

Invariant: a turn begins with the submission whose turn it is, however long others are that wait beside it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from wgpy.mesh.ledger import Judged

from .transaction import Outcome
from .turns import Rank


@dataclass(slots=True, eq=False)
class Submission:
    """What one client submitted. source: an address; found: by record, what remains as it was verified."""

    source: str
    found: list[Outcome | Judged]
    _rest: deque[int] = field(init=False)  # numbers of the records that remain

    def __post_init__(self) -> None:
        self._rest = deque(number for number, one in enumerate(self.found) if isinstance(one, Judged))

    def __bool__(self) -> bool:
        """Whether records remain."""
        return bool(self._rest)

    @property
    def rest(self) -> Iterator[Judged]:
        return (one for one in map(self.found.__getitem__, self._rest) if isinstance(one, Judged))

    def judge(self, outcome: Outcome) -> None:
        """Note the outcome of the next record that remains."""
        self.found[self._rest.popleft()] = outcome

    def outcomes(self) -> list[Outcome]:
        return [one for one in self.found if isinstance(one, Outcome)]


class Waiting:
    """The submissions of each rank that wait, the first one first."""

    def __init__(self) -> None:
        self._by_rank: dict[Rank, list[Submission]] = {rank: [] for rank in Rank}

    def add(self, rank: Rank, submission: Submission) -> None:
        self._by_rank[rank].append(submission)

    def remove(self, rank: Rank, submission: Submission) -> None:
        self._by_rank[rank].remove(submission)

    def of_a_turn(self, rank: Rank, first: Submission) -> Sequence[Submission]:
        """Return what may be written in one turn, in this order."""
        return [first, *(one for one in self._by_rank[rank] if one is not first)]


def records_of(submissions: Iterable[Submission]) -> Iterator[tuple[Submission, Judged]]:
    """Give the records that remain of each."""
    return ((submission, record) for submission in submissions for record in submission.rest)
