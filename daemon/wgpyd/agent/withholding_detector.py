"""What neighbours knew and the coordinator does not send. Time is given, never read."""

import logging
from collections.abc import Iterable
from math import inf
from typing import Final

from wgpy.mesh.ledger import Judged, Ledger
from wgpy.mesh.records import describe
from wgpy.node.text import printable

_LOG = logging.getLogger("wgpy")

CATCH_UP_TIME: Final = 10  # seconds of connection in which a coordinator sends its news


class WithholdingDetector:
    """What neighbours knew and the coordinator does not send, though there was time to.

    Its time is that of connections alone, so that it can neither be late by being away nor hide by going.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # By digest: a sentence, and the connected time then.
        self._expected: dict[bytes, tuple[str, float]] = {}
        self._connected_before = 0.0
        self._connected_at: float | None = None
        self._logged: frozenset[str] = frozenset()

    def connected(self, now: float) -> None:
        """The coordinator sends news from now on. now: seconds of a clock that never goes back."""
        if self._connected_at is None:
            self._connected_at = now

    def disconnected(self, now: float) -> None:
        self._connected_before, self._connected_at = self._connected_time(now), None

    def learned_from_neighbour(self, judged: Iterable[Judged], source: str, now: float) -> None:
        """Expect the coordinator to send these, too. judged: new records; source: `neighbour NAME`."""
        name = source.removeprefix("neighbour ")
        for each in judged:
            what = printable(describe(each.record))
            sentence = f"{name} knew {what}, and the coordinator does not send it"
            self._expected.setdefault(each.signed.digest, (sentence, self._connected_time(now)))

    def sent_by_coordinator(self, digest: bytes) -> None:
        self._expected.pop(digest, None)

    def withheld(self, now: float) -> tuple[str, ...]:
        """Return a sentence for each that is overdue and still counts."""
        due = self._connected_time(now) - CATCH_UP_TIME
        overdue = [digest for digest, (_, since) in self._expected.items() if since <= due]
        if not overdue:
            return ()
        counting = {signed.digest for signed in self._ledger}
        for digest in overdue:
            if digest not in counting:
                del self._expected[digest]  # a newer record replaced it
        return tuple(self._expected[digest][0] for digest in overdue if digest in counting)

    def seconds_left(self, now: float) -> float:
        """Return how long until more is overdue, if the coordinator stays connected; infinity for never."""
        waits = (since + CATCH_UP_TIME - self._connected_time(now) for _, since in self._expected.values())
        return (
            min((wait for wait in waits if wait > 0), default=inf) if self._connected_at is not None else inf
        )

    def log(self, now: float) -> float:
        """Log what is withheld since the last call, and return how many seconds later there may be more."""
        withheld = frozenset(self.withheld(now))
        for sentence in sorted(withheld - self._logged):
            _LOG.warning("%s", sentence)
        self._logged = withheld
        return self.seconds_left(now)

    def _connected_time(self, now: float) -> float:
        """Return how long the coordinator was connected in all, in seconds."""
        return self._connected_before + (0 if self._connected_at is None else now - self._connected_at)
