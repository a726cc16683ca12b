"""How large a packet passes by a path: found by questions of the size of its sealed datagram. Sans-IO.

Most paths let the largest one pass, which takes one question and its answer. Questions may be fragmented as
data may, so what is found is what data meets.

Invariant: a size is given up only where a small question was answered meanwhile: a peer that does not answer,
or not yet, makes nothing smaller. Nothing is asked once the size is known.
"""

from collections.abc import Sequence
from typing import Final

from wgpy.contract.constants import MAX_FOREIGN_SIZE, MILLISECOND, TRANSPORT_OVERHEAD

from .discovery import SIZE

MIN_MTU: Final = 1280  # bytes: what IPv6 needs, RFC 8200 section 5
LARGEST: Final = MAX_FOREIGN_SIZE - TRANSPORT_OVERHEAD  # that can be asked
PAUSE: Final = 700 * MILLISECOND  # until a question counts as lost
_TRIES: Final = 3  # of each size
_GRANULARITY: Final = 8  # bytes: nobody notices less


class MtuSearch:
    """Of one path. mtu: what to use now, in bytes of a packet within the tunnel."""

    def __init__(self, full: int, now: int) -> None:
        """full: the tunnel's MTU; now: boottime ns."""
        self._full = min(full, LARGEST)
        self._limit = full
        self.restart(now)

    def restart(self, now: int) -> None:
        """Look again: the path is another one."""
        self.mtu = self._limit
        self._passes = min(MIN_MTU, self._full)  # the largest that does
        self._refused = 0  # the least that does not, 0 if none is known
        self._tries = 0
        self._is_reached = False
        self._due: int | None = now if self._passes < self._full else None

    @property
    def due_at(self) -> int | None:
        """Return when `questions` has more, boottime ns; None if there is nothing to ask."""
        return self._due

    def questions(self, now: int) -> Sequence[int]:
        """Return the sizes of the questions to ask now, in bytes of their UDP payload: a small one, too."""
        if self._due is None or now < self._due:
            return ()
        if self._tries == _TRIES:
            self._give_up()
        if self._due is None:
            return ()
        self._tries, self._due = self._tries + 1, now + PAUSE
        return SIZE, self._candidate + TRANSPORT_OVERHEAD

    def note_answer(self, size: int, now: int) -> None:
        """A question was answered. size: as `questions` gave it."""
        mtu = size - TRANSPORT_OVERHEAD
        if self._due is None:
            return
        self._is_reached = True
        if self._passes < mtu <= self._full:
            self._passes = mtu
            self._refused = 0 if self._refused <= mtu else self._refused  # else it was lost, not refused
            self._settle(now)

    @property
    def _candidate(self) -> int:
        return (self._passes + self._refused) // 2 if self._refused else self._full

    def _give_up(self) -> None:
        """What was asked does not pass, or nothing does."""
        if self._is_reached:
            self._refused = self._candidate
            self._settle(self._due or 0)
        else:
            self._due = None

    def _settle(self, now: int) -> None:
        """Use what is known to pass, and ask for the next size, if that would make a difference."""
        is_known = (self._refused or self._full + _GRANULARITY) - self._passes <= _GRANULARITY
        self._tries, self._is_reached, self._due = 0, False, None if is_known else now
        self.mtu = self._limit if self._passes == self._full else self._passes
