"""What others sent that is not so. Time is given, never read.

Invariant: everybody can send nonsense, so nothing here grows with it: neither memory nor the log.
"""

import logging
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from wgpy.node.agent_client import RejectedRecord
from wgpy.node.text import printable

_LOG = logging.getLogger("wgpy")

KEPT: Final = 50
MAX_COUNTED: Final = 1000  # pairs of source and reason
OTHERS: Final = "others"  # what comes after that many


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
        rejected = RejectedRecord(now, source, reason, printable(what))
        self._newest.append(rejected)
        known = (source, reason) in self._counts or len(self._counts) < MAX_COUNTED
        self._counts[source if known else OTHERS, reason] += 1
        logged_at, not_logged = self._logged.get(reason, (-1, 0))
        if now == logged_at:
            self._logged[reason] = now, not_logged + 1
            return
        more = f"; {not_logged} more were not logged" if not_logged else ""
        _LOG.warning("rejected a record of %s: %s: %s%s", source, reason, rejected.what, more)
        self._logged[reason] = now, 0
