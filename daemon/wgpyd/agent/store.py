"""All records that a node was sent: verified, in memory, and on disk for its next life.

Invariant: what is not on disk is not counted as known there: after a reboot a node asks again for all that
came since. A disk that is full costs that, and nothing else.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.ledger import Judged, Ledger, RecordRejected, Verdict
from wgpy.mesh.records import Departure, Record, describe
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.wire import Delta
from wgpy.node.files import Journal, StorageError

from .rejected_records import RejectedRecords

_LOG = logging.getLogger("wgpy")

COORDINATOR: Final = "coordinator"  # a source of records
NEIGHBOUR: Final = "neighbour "  # the beginning of others
JOURNAL: Final = "journal"  # another
DAMAGED: Final = "damaged on disk"
_MAX_REVISION: Final = MAX_NUMBER - (1 << 40)  # so that a false one leaves room for the true one
NOT_FOR_ALL: Final = "not for neighbours to send"
OUTDATED: Final = "older than what is known"


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of records. genuine: whether none was refused."""

    new: tuple[Judged, ...]
    genuine: bool


class RecordStore:
    """A ledger with its journal.

    warning: a sentence, while the disk takes nothing; damage: a sentence, until what was damaged is replaced.
    """

    def __init__(
        self, folder: Path, network: VerifyKey, identity: VerifyKey, clock: Callable[[], float] = time.time
    ) -> None:
        """Read what is on disk. identity: this node's; clock: seconds since 1970. Raises StorageError."""
        self.ledger = Ledger(network)
        self.rejected = RejectedRecords()
        self.warning = ""
        self._identity = identity
        self._clock = clock
        self._journal = Journal(folder)
        self._unsaved: list[Signed] = []
        self.revision = self._journal.load(self.ledger)
        self._saved_revision = self.revision
        self.damage = ""
        if found := self._journal.damage:
            self._note(JOURNAL, DAMAGED, found)
            self.damage = f"records were damaged on disk, and the coordinator is asked again: {found}"

    def learn(self, records: Sequence[Signed], source: str, revision: int = 0) -> Learned:
        """Verify records, and keep those that are new.

        source: as in `RejectedRecord`; revision: up to which all is known then, if the source can know that.
        """
        judged = [self._add(signed, source) for signed in records]
        new = tuple(each for each in judged if each is not None and each.verdict is Verdict.NEW)
        self.revision = max(self.revision, min(revision, _MAX_REVISION))
        self._unsaved += (each.signed for each in new)
        if source == COORDINATOR and not revision:
            return Learned(new, None not in judged)  # the rest of the line follows
        if source == COORDINATOR and revision > 0:
            self.damage = ""  # it has sent again what was lost
        if self._unsaved or self.revision > self._saved_revision:
            self._save()
        return Learned(new, None not in judged)

    def _add(self, signed: Signed, source: str) -> Judged | None:
        try:
            judged = self.ledger.judge(signed)
        except RecordRejected as error:
            self._note(source, error.reason.value, error.description)
            return None
        if source.startswith(NEIGHBOUR) and not self.ledger.is_for_everybody(judged):
            # The coordinator counts the nodes that a token admits; who has a token could send any number.
            self._note(source, NOT_FOR_ALL, describe(judged.record))
            return None
        if source.startswith(NEIGHBOUR) and self._is_of_nobody(judged.record):
            return replace(judged, verdict=Verdict.OLD)
        if judged.verdict is Verdict.NEW:
            self.ledger.keep(judged)
        # A coordinator has no cause to repeat what is over, save what we published ourselves a moment ago.
        if judged.verdict is Verdict.OLD and source == COORDINATOR and judged.record.signer != self._identity:
            self._note(source, OUTDATED, describe(judged.record))
        return judged

    def _is_of_nobody(self, record: Record) -> bool:
        """Whether it is the departure of a node that is unknown here: anybody can make such, in any number.

        A neighbour may have one in good faith, of a node that no rule joins with this one.
        """
        return isinstance(record, Departure) and self.ledger.node(record.signer) is None

    def _note(self, source: str, reason: str, what: str) -> None:
        self.rejected.note(source, reason, what, int(self._clock()))

    def _save(self) -> None:
        """What cannot be saved now is with the next news."""
        try:
            self._journal.append(Delta(self.revision, tuple(self._unsaved)))
            self._unsaved.clear()
            self._saved_revision = self.revision
            self._journal.compact(self.ledger, self.revision)
            self.warning = ""
        except StorageError as error:
            if not self.warning:
                _LOG.warning("%s; the next start will ask the coordinator again", error)
            self.warning = str(error)
