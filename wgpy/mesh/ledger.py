"""All that was said in a network, each record verified, the newest word on each subject.

Invariant: what a ledger holds depends on which records were added, not on their order nor how often. A record
that is refused changes nothing.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeVar

from wgpy.mesh.records import (
    AdminRecord,
    Departure,
    Network,
    Node,
    Record,
    RecordInvalid,
    Token,
    Unknown,
    admission,
    decode,
    network_id,
)
from wgpy.mesh.signing import Signed, VerifyKey

# What anybody with a key of its own can say has its own limits, so that it leaves no decree without room.
MAX_RECORDS: Final[dict[type, int]] = {
    AdminRecord: 1_000_000,
    Departure: 20_000,
    Node: 100_000,
    Unknown: 1_000,
}
MAX_UNKNOWN_NODES: Final = 1_000  # nodes of tokens that are not known, or not yet

_D = TypeVar("_D", bound=AdminRecord)


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
class StateDigest:
    """How far a ledger knows what everybody is to know: neighbours with the same one know the same.

    sequence: the highest of a decree; digest: 32 bytes over all decrees and departures that count.
    """

    sequence: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class _Entry:
    signed: Signed
    record: Any  # Record or Unknown; its shelf says of which type

    @property
    def rank(self) -> tuple[int, bytes]:
        """The greater counts. Of two different ones with one sequence, everybody has to choose the same."""
        return getattr(self.record, "sequence", 0), self.signed.digest

    @property
    def subject(self) -> bytes:
        return subject(self.record, self.signed)


@dataclass(slots=True)
class Ledger:
    """The records of one network, which is known by its key."""

    key: VerifyKey
    _shelves: dict[type, dict[bytes, _Entry]] = field(default_factory=dict)  # by type, then by subject
    _admitted: Counter[VerifyKey] = field(default_factory=Counter)  # nodes that name a token
    _standing: StateDigest | None = None  # None: not known since it changed

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
        entry = _Entry(signed, record)
        present = self._shelf(type(record)).get(entry.subject)
        if present is not None and present.signed == signed:
            return Verdict.KNOWN
        self._verify(record, signed)  # what is older, too: who alters a record is found out
        if present is not None and present.rank >= entry.rank:
            return Verdict.KNOWN if present.rank == entry.rank else Verdict.OLD
        if present is None:
            self._make_room(record)
        self._keep(entry, present)
        return Verdict.NEW

    def _verify(self, record: Record | Unknown, signed: Signed) -> None:
        """What is unknown is signed by who it says; whether that one may say it, others know."""
        if isinstance(record, AdminRecord) and record.signer != self.key:
            raise RecordRefused(RefusalReason.BAD_SIGNATURE)
        if not record.signer.verifies(signed.body, signed.signature):
            raise RecordRefused(RefusalReason.BAD_SIGNATURE)
        if isinstance(record, Node):
            admitted = admission(record.network, record.signer, record.admitted)
            if not record.token.verifies(admitted, record.admission):
                raise RecordRefused(RefusalReason.BAD_ADMISSION, record.name)

    def _make_room(self, record: Record | Unknown) -> None:
        """Raises RecordRefused where there is none."""
        kind = next(kind for kind in MAX_RECORDS if isinstance(record, kind))
        if sum(map(len, self._shelves_of(kind))) >= MAX_RECORDS[kind]:
            raise RecordRefused(RefusalReason.TOO_MANY, f"{MAX_RECORDS[kind]} are there")
        if isinstance(record, Node) and not self._is_known(record.token):
            strangers = sum(count for token, count in self._admitted.items() if not self._is_known(token))
            if strangers >= MAX_UNKNOWN_NODES:
                raise RecordRefused(RefusalReason.TOO_MANY, f"{strangers} are there by unknown tokens")

    def _is_known(self, token: VerifyKey) -> bool:
        return bytes(token) in self._shelf(Token)

    def _keep(self, entry: _Entry, before: _Entry | None) -> None:
        self._shelf(type(entry.record))[entry.subject] = entry
        if before is not None and isinstance(before.record, Node):
            self._admitted[before.record.token] -= 1
        if isinstance(entry.record, Node):
            self._admitted[entry.record.token] += 1
        if is_for_everybody(entry.record):
            self._standing = None

    def copy(self) -> "Ledger":
        """Return another that holds the same: to try what a record would change."""
        shelves = {kind: shelf.copy() for kind, shelf in self._shelves.items()}
        return Ledger(self.key, shelves, self._admitted.copy(), self._standing)

    def __iter__(self) -> Iterator[Signed]:
        """Give every record that counts, those of unknown types included, decrees first."""
        return (entry.signed for kind in MAX_RECORDS for entry in self._entries(kind))

    def __len__(self) -> int:
        return sum(map(len, self._shelves.values()))

    def admin_records(self, kind: type[_D]) -> dict[bytes, _D]:
        """Return the decrees of a type by their subject."""
        return {subject: entry.record for subject, entry in self._shelf(kind).items()}

    def nodes(self) -> list[Node]:
        """Return what hosts say of themselves, whether or not they are members."""
        return [entry.record for entry in self._shelf(Node).values()]

    def node(self, identity: VerifyKey) -> Node | None:
        """Return what one host says of itself, if anything."""
        entry = self._shelf(Node).get(bytes(identity))
        return None if entry is None else entry.record

    def departed(self) -> set[VerifyKey]:
        """Return the identities that said they left."""
        return {entry.record.signer for entry in self._shelf(Departure).values()}

    def charter(self) -> Network | None:
        """Return what the network is, once that is known."""
        return next(iter(self.admin_records(Network).values()), None)

    def time(self) -> int:
        """Return a time, Unix seconds, that has surely come: of the newest decree; 0 without any."""
        return max((entry.record.time for entry in self._entries(AdminRecord)), default=0)

    def for_everybody(self) -> list[Signed]:
        """Return the decrees and departures that count."""
        return [entry.signed for kind in (AdminRecord, Departure) for entry in self._entries(kind)]

    def state_digest(self) -> StateDigest:
        if self._standing is None:
            digests = sorted(signed.digest for signed in self.for_everybody())
            sequence = max((entry.record.sequence for entry in self._entries(AdminRecord)), default=0)
            self._standing = StateDigest(sequence, hashlib.blake2s(b"".join(digests)).digest())
        return self._standing

    def _shelf(self, kind: type) -> dict[bytes, _Entry]:
        return self._shelves.setdefault(kind, {})

    def _shelves_of(self, kind: type) -> Iterator[dict[bytes, _Entry]]:
        """Give those of a type and of what is derived from it."""
        return (shelf for found, shelf in self._shelves.items() if issubclass(found, kind))

    def _entries(self, kind: type) -> Iterator[_Entry]:
        return (entry for shelf in self._shelves_of(kind) for entry in shelf.values())


def is_for_everybody(record: Record | Unknown) -> bool:
    """Say whether all nodes are to know a record, whoever may reach whom."""
    return isinstance(record, AdminRecord | Departure)


def subject(record: Record | Unknown, signed: Signed) -> bytes:
    """Return on what, among records of its type, the newest alone counts."""
    match record:
        case AdminRecord():
            return record.subject
        case Node() | Departure():
            return bytes(record.signer)
        case _:
            return signed.digest
