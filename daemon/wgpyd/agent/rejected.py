"""What others told that is not so, and what they did not tell. Time is given, never read.

Invariant: everybody can send nonsense, so nothing here grows with it: neither memory nor the log.
"""

import logging
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from wgpy.mesh.ledger import Ledger
from wgpy.node.agent import RejectedRecord
from wgpy.node.text import printable

_LOG = logging.getLogger("wgpy")

KEPT: Final = 50
MAX_COUNTED: Final = 1000  # pairs of source and reason
OTHERS: Final = "others"  # what comes after that many
PATIENCE: Final = 10  # seconds of connection in which a coordinator tells its news


class RejectedRecords:
    """The newest of them, and the number of all."""

    def __init__(self) -> None:
        self._newest: deque[RejectedRecord] = deque(maxlen=KEPT)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._logged: dict[str, tuple[int, int]] = {}  # by reason: when last, and how many were not

    @property
    def newest(self) -> tuple[RejectedRecord, ...]:
        """The newest last."""
        return tuple(self._newest)

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """By source and reason."""
        return self._counts

    def note(self, source: str, reason: str, what: str, now: int) -> None:
        """Keep, count and log one.

        source: `coordinator` or `neighbour NAME`; reason: one of few; what: of any kind and length; now: Unix
        seconds. At most one a second is logged for a reason, with the number of those that were not.
        """
        refusal = RejectedRecord(now, source, reason, printable(what))
        self._newest.append(refusal)
        known = (source, reason) in self._counts or len(self._counts) < MAX_COUNTED
        self._counts[source if known else OTHERS, reason] += 1
        logged_at, not_logged = self._logged.get(reason, (-1, 0))
        if now == logged_at:
            self._logged[reason] = now, not_logged + 1
            return
        more = f"; {not_logged} more were not logged" if not_logged else ""
        _LOG.warning("refused what %s told: %s: %s%s", source, reason, refusal.what, more)
        self._logged[reason] = now, 0


class WithholdingDetector:
    """What neighbours knew and the coordinator does not tell, though there is time to.

    Its time is that of connections alone, so that it can neither be late by being away nor hide by going.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._untold: dict[bytes, tuple[str, float]] = {}  # digest: a sentence, and the connected time then
        self._connected_before = 0.0
        self._connected_at: float | None = None

    def connected(self, now: float) -> None:
        """The coordinator sends news from now on. now: seconds of a clock that never goes back."""
        if self._connected_at is None:
            self._connected_at = now

    def disconnected(self, now: float) -> None:
        self._connected_before, self._connected_at = self._connected_time(now), None

    def learned_from_neighbour(self, digest: bytes, name: str, what: str, now: float) -> None:
        """Expect the coordinator to tell this, too. digest: of a new record; what: what it is about."""
        sentence = f"{name} knew {printable(what)}, and the coordinator does not tell it"
        self._untold.setdefault(digest, (sentence, self._connected_time(now)))

    def told_by_coordinator(self, digest: bytes) -> None:
        self._untold.pop(digest, None)

    def withheld(self, now: float) -> tuple[str, ...]:
        """Return a sentence for each that is overdue and still counts."""
        due = self._connected_time(now) - PATIENCE
        overdue = [digest for digest, (_, since) in self._untold.items() if since <= due]
        if not overdue:
            return ()
        counting = {signed.digest for signed in self._ledger}
        for digest in overdue:
            if digest not in counting:
                del self._untold[digest]  # a newer word took its place
        return tuple(self._untold[digest][0] for digest in overdue if digest in counting)

    def _connected_time(self, now: float) -> float:
        """Return how long the coordinator was connected in all, in seconds."""
        return self._connected_before + (0 if self._connected_at is None else now - self._connected_at)
