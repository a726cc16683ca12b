"""What a peer is told of where this host may be reached, and when that is worth a round of questions.

What the NAT of this host will show next, and what it shows for the questions to this peer, is asked for when
something is told: it changes with each question to anybody.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint

from .exchange import MAX_CANDIDATES, Candidate

_MAX_NUMBER: Final = 2**32 - 1
_LIKELY: Final = 3  # candidates, of those that are shown; the others change with each answer of anybody

# Where a peer is, to what this host's NAT shows: there already, and next.
Predict = Callable[[Sequence[Endpoint]], tuple[Sequence[Candidate], Sequence[Candidate]]]


def nothing_is_predicted(remotes: Sequence[Endpoint]) -> tuple[Sequence[Candidate], Sequence[Candidate]]:
    """A host whose NAT does not count, or that has none."""
    return (), ()


class Told:
    """Of one peer. number: of the list, 0 while there is none; candidates: MAX_CANDIDATES at most."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._local: tuple[Candidate, ...] = ()
        self.number = 0
        self.candidates: tuple[Candidate, ...] = ()

    def set_local(self, candidates: Iterable[Candidate], now: int) -> bool:
        """Take what everybody is told; return whether that is another list."""
        local = tuple(candidates)
        is_news = local != self._local
        if is_news:
            self._local = local
            since_boot = now // MILLISECOND % _MAX_NUMBER + 1  # more than an earlier process told
            self.number = max(self.number, since_boot)
            self.renew(())
        return is_news

    def renew(self, remotes: Sequence[Endpoint]) -> None:
        """Have the list be as of now. remotes: where the peer is."""
        shown, later = self._predict(remotes)
        every = dict.fromkeys((*shown, *later, *self._local))
        candidates = tuple(islice(every, MAX_CANDIDATES))
        if self.number and candidates != self.candidates:
            self.candidates = candidates
            self.number = self.number % _MAX_NUMBER + 1

    def lacks(self, remotes: Sequence[Endpoint]) -> bool:
        """Whether the peer does not know where questions to it probably come from."""
        shown, _ = self._predict(remotes)
        return self.number != 0 and not set(shown[:_LIKELY]) <= set(self.candidates)
