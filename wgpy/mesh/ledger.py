"""All that was said in a network, each record verified, the newest word on each subject.

Law: what a ledger holds depends on which records were added, not on their order nor how often. A record that
is refused changes nothing.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeVar

from wgpy.mesh.records import (
    Decree,
    Departure,
    Network,
    Node,
    Record,
    RecordInvalid,
    Unknown,
    admission,
    decode,
    network_id,
)
from wgpy.mesh.signing import Signed, VerifyKey

MAX_RECORDS: Final = 100_000

_D = TypeVar("_D", bound=Decree)


class Verdict(Enum):
    """What became of a record that is genuine."""

    NEW = "new"
    KNOWN = "known"
    OLD = "old"  # a newer one is there


class RefusalReason(Enum):
    """Why a record is not genuine, or not for us."""

    INVALID = "not a record"
    OTHER_NETWORK = "of another network"
    BAD_SIGNATURE = "not signed by who may say it"
    BAD_ADMISSION = "not admitted by the token that it names"
    TOO_MANY = "one more than a network may have"


class RecordRefused(Exception):
    """A record that does not count."""

    def __init__(self, reason: RefusalReason, details: str = "") -> None:
        super().__init__(f"{reason.value}: {details}" if details else reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a ledger knows what everybody is to know: neighbours with the same one know the same.

    sequence: the highest of a decree; digest: 32 bytes over all decrees and departures that count.
    """

    sequence: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Entry:
    signed: Signed
    record: Record | Unknown

    @property
    def rank(self) -> tuple[int, bytes]:
        """The greater counts. Of two different ones with one sequence, everybody has to choose the same."""
        return getattr(self.record, "sequence", 0), self.signed.digest


@dataclass(slots=True)
class Ledger:
    """The records of one network, which is known by its key."""

    key: VerifyKey
    _entries: dict[tuple[str, bytes], _Entry] = field(default_factory=dict)

    @property
    def network(self) -> bytes:
        """The network's id."""
        return network_id(self.key)

    def add(self, signed: Signed) -> Verdict:
        """Verify a record and keep it if it is the newest on its subject. Raises RecordRefused."""
        try:
            record = decode(signed.body)
        except RecordInvalid as error:
            raise RecordRefused(RefusalReason.INVALID, str(error)) from None
        if record.network != self.network:
            raise RecordRefused(RefusalReason.OTHER_NETWORK)
        place, entry = _place(record, signed), _Entry(signed, record)
        present = self._entries.get(place)
        if present is not None and present.rank >= entry.rank:
            return Verdict.KNOWN if present.rank == entry.rank else Verdict.OLD
        self._verify(record, signed)
        if present is None and len(self._entries) >= MAX_RECORDS:
            raise RecordRefused(RefusalReason.TOO_MANY, f"{MAX_RECORDS} are there")
        self._entries[place] = entry
        return Verdict.NEW

    def _verify(self, record: Record | Unknown, signed: Signed) -> None:
        """What is unknown is signed by who it says; whether that one may say it, others know."""
        if isinstance(record, Decree) and record.signer != self.key:
            raise RecordRefused(RefusalReason.BAD_SIGNATURE)
        if not record.signer.verifies(signed.body, signed.signature):
            raise RecordRefused(RefusalReason.BAD_SIGNATURE)
        if isinstance(record, Node):
            admitted = admission(record.network, record.signer, record.admitted)
            if not record.token.verifies(admitted, record.admission):
                raise RecordRefused(RefusalReason.BAD_ADMISSION, record.name)

    def __iter__(self) -> Iterator[Signed]:
        """Give every record that counts, those of unknown types included."""
        return (entry.signed for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def decrees(self, kind: type[_D]) -> dict[bytes, _D]:
        """Return the decrees of a type by their subject."""
        return {record.subject: record for record in self._records() if isinstance(record, kind)}

    def nodes(self) -> list[Node]:
        """Return what hosts say of themselves, whether or not they are members."""
        return [record for record in self._records() if isinstance(record, Node)]

    def departed(self) -> set[VerifyKey]:
        """Return the identities that said they left."""
        return {record.signer for record in self._records() if isinstance(record, Departure)}

    def charter(self) -> Network | None:
        """Return what the network is, once that is known."""
        return next(iter(self.decrees(Network).values()), None)

    def time(self) -> int:
        """Return a time, Unix seconds, that has surely come: of the newest decree; 0 without any."""
        return max((record.time for record in self._records() if isinstance(record, Decree)), default=0)

    def for_everybody(self) -> list[Signed]:
        """Return the decrees and departures that count."""
        return [entry.signed for entry in self._entries.values() if is_for_everybody(entry.record)]

    def standing(self) -> Standing:
        digests = sorted(signed.digest for signed in self.for_everybody())
        sequence = max(
            (record.sequence for record in self._records() if isinstance(record, Decree)), default=0
        )
        return Standing(sequence, hashlib.blake2s(b"".join(digests)).digest())

    def _records(self) -> Iterator[Record | Unknown]:
        return (entry.record for entry in self._entries.values())


def is_for_everybody(record: Record | Unknown) -> bool:
    """Say whether all nodes are to know a record, whoever may reach whom."""
    return isinstance(record, Decree | Departure)


def _place(record: Record | Unknown, signed: Signed) -> tuple[str, bytes]:
    """Return the subject on which the newest record alone counts."""
    match record:
        case Decree():
            return record.TYPE, record.subject
        case Node() | Departure():
            return record.TYPE, bytes(record.signer)
        case _:
            return "", signed.digest
