"""The records of a network: each is verified, and only the newest on each subject counts.

Invariant: what a ledger holds depends on which records were added, not on their order nor how often. A record
that is rejected changes nothing.
"""

import hashlib
from collections.abc import Iterator
from enum import Enum
from itertools import chain, filterfalse
from operator import attrgetter
from typing import Any, Final, TypeVar

from wgpy.contract.errors import WgpyError
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.mesh.clock import judging_time
from wgpy.mesh.records import (
    KINDS,
    UNKNOWN,
    AdminRecord,
    Audience,
    Author,
    Departure,
    Kind,
    Network,
    Node,
    Paths,
    Record,
    RecordInvalid,
    Sites,
    Token,
    Unknown,
    decode,
    describe,
    kind_of,
    network_id,
)
from wgpy.mesh.signing import Signed, VerifyKey

MAX_UNKNOWN_NODES: Final = 1_000  # nodes of tokens that are not known, or not yet
MAX_CHANGES: Final = 1_000  # in a row that are known: after more, whoever asks looks at all records
MAX_RECORDS: Final[dict[type, int]] = {kind.record: kind.limit for kind in (*KINDS, UNKNOWN)}
_ADMIN_KINDS: Final = tuple(kind for kind in KINDS if kind.author is Author.ADMINISTRATOR)
_OTHER_KINDS: Final = tuple(kind for kind in (*KINDS, UNKNOWN) if kind not in _ADMIN_KINDS)
# What neighbours compare, with admin records of unknown kinds.
_COMMON_KINDS: Final = tuple(kind for kind in KINDS if kind.audience is Audience.EVERYBODY)

_D = TypeVar("_D", bound=AdminRecord)
_R = TypeVar("_R", bound=Record)


class Verdict(Enum):
    """What a ledger does with a record that is authentic: it keeps a new one."""

    NEW = "new"
    KNOWN = "known"
    OLD = "old"  # a newer one is there


class RejectionReason(Enum):
    """Why a ledger does not take a record."""

    INVALID = "not a record"
    OTHER_NETWORK = "of another network"
    BAD_SIGNATURE = "not signed by the right key"
    BAD_ADMISSION = "not admitted by the token that it names"
    TOO_MANY = "one more than a network may have"


class RecordRejected(WgpyError):
    """A ledger does not take a record. description: what the record is about."""

    def __init__(self, reason: RejectionReason, description: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.description = description


@dataclass(frozen=True, slots=True)
class StateDigest:
    """A digest of the records that every node is to have: ledgers with the same digest have the same ones.

    These are all of the administrator, of unknown kinds too, and departures.

    sequence: the highest of an admin record; digest: 32 bytes.
    """

    sequence: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Judged:
    """An authentic record, and its verdict. record: perhaps Unknown."""

    signed: Signed
    record: Any  # a Record, whose kind depends on where it is kept
    verdict: Verdict

    @property
    def rank(self) -> tuple[int, bytes]:
        """The greatest counts. Between two of one sequence the digest decides, the same for all nodes."""
        return getattr(self.record, "sequence", 0), self.signed.digest


@dataclass(slots=True, eq=False)
class Change:
    """A record that a ledger kept. previous: the change before it; None: not known, or not any more.

    length: how many in a row are known before it.
    """

    judged: Judged
    replaced: Judged | None  # what counted on the subject before
    previous: "Change | None"
    length: int


@dataclass(slots=True)
class Ledger:
    """The records of one network, which is known by its key."""

    key: VerifyKey
    _records: dict[type, dict[bytes, Judged]] = field(
        default_factory=lambda: {kind: {} for kind in MAX_RECORDS}
    )  # by class, then by subject
    _admitted: dict[VerifyKey, int] = field(default_factory=dict)  # nodes that name a token
    _state_digest: StateDigest | None = None  # None: not known since it changed
    _newest: Judged | None = None
    _shared: set[type] = field(default_factory=set)  # whose records are another ledger's, too: copied first
    _last: Change | None = None

    @property
    def newest(self) -> AdminRecord | None:
        """The admin record with the highest sequence number, if there is one."""
        return self._newest.record if self._newest else None

    @property
    def network(self) -> bytes:
        """The network's id."""
        return network_id(self.key)

    def add(self, signed: Signed) -> Judged:
        """Judge a record, and keep it if it is new. Raises RecordRejected."""
        judged = self.judge(signed)
        if judged.verdict is Verdict.NEW:
            self.keep(judged)
        return judged

    def judge(self, signed: Signed) -> Judged:
        """Decode and verify a record, and return its verdict. Raises RecordRejected."""
        try:
            record = decode(signed.body)
        except RecordInvalid as error:
            what = f"{len(signed.body)} bytes that are no record"
            raise RecordRejected(RejectionReason.INVALID, what, str(error)) from None
        kind = kind_of(record)
        if record.network != self.network:
            raise _rejected(record, RejectionReason.OTHER_NETWORK)
        present = self._records[kind.record].get(kind.subject(record))
        if present is None or present.signed != signed:
            self._verify(record, signed)  # also an old one, so that an altered record is noticed
        return self.judge_verified(signed, record)

    def judge_verified(self, signed: Signed, record: Record) -> Judged:
        """Return the verdict on what was verified, perhaps by another ledger of this network.

        Raises RecordRejected.
        """
        kind = kind_of(record)
        present = self._records[kind.record].get(kind.subject(record))
        if present is not None and present.signed == signed:
            return Judged(signed, record, Verdict.KNOWN)
        judged = Judged(signed, record, Verdict.NEW)
        if present is None:
            self._check_room(kind, record)
        elif present.rank >= judged.rank:
            return Judged(signed, record, Verdict.KNOWN if present.rank == judged.rank else Verdict.OLD)
        return judged

    def keep(self, judged: Judged) -> None:
        """Keep a record that was judged to be new since the last change."""
        kind = kind_of(judged.record)
        kept, subject = self._own(kind), kind.subject(judged.record)
        replaced = kept.get(subject)
        self._count_admitted(replaced, -1)
        self._count_admitted(judged, 1)
        kept[subject] = judged
        if self.is_for_everybody(judged):
            self._state_digest = None
        if self.is_admin_record(judged) and (self._newest is None or judged.rank > self._newest.rank):
            self._newest = judged
        if self._last is not None and self._last.length >= MAX_CHANGES:
            _forget(self._last)
        self._last = Change(judged, replaced, self._last, self._last.length + 1 if self._last else 0)

    def take_back(self, before: Change | None) -> None:
        """Undo the last change, which is of no admin record. before: what then was the last change."""
        assert self._last is not None
        assert not self.is_admin_record(self._last.judged)
        judged, replaced = self._last.judged, self._last.replaced
        kind = kind_of(judged.record)
        kept, subject = self._own(kind), kind.subject(judged.record)
        self._count_admitted(judged, -1)
        self._count_admitted(replaced, 1)
        if replaced is None:
            del kept[subject]
        else:
            kept[subject] = replaced
        if self.is_for_everybody(judged):
            self._state_digest = None
        self._last = before

    @property
    def last_change(self) -> Change | None:
        """The record that was kept last: a place in the history of this ledger and of its copies."""
        return self._last

    def changes_since(self, last: Change) -> list[Change] | None:
        """Return what was kept after a change, the first one first; None if that is not known any more."""
        found, change = [], self._last
        while change is not last:
            if change is None:
                return None
            found.append(change)
            change = change.previous
        found.reverse()
        return found

    def forget_changes(self) -> None:
        """Forget what led to the last change, from which on alone changes are asked for."""
        if self._last is not None:
            _forget(self._last)

    def _own(self, kind: Kind[Any]) -> dict[bytes, Judged]:
        """Return the records of a kind, to change them: those that a copy has, too, stay as they are."""
        if kind.record in self._shared:
            self._records[kind.record] = self._records[kind.record].copy()
            self._shared.remove(kind.record)
        return self._records[kind.record]

    def _count_admitted(self, judged: Judged | None, by: int) -> None:
        if judged is not None and isinstance(judged.record, Node):
            token = judged.record.token
            self._admitted[token] = self._admitted.get(token, 0) + by

    def is_admin_record(self, judged: Judged) -> bool:
        """Return whether a record, which may be of an unknown kind, is one of the administrator."""
        return kind_of(judged.record) in _ADMIN_KINDS or self._is_unknown_admin_record(judged)

    def _verify(self, record: Record, signed: Signed) -> None:
        """Raises RecordRejected. Of an unknown kind only the signature can be verified."""
        if kind_of(record).author is Author.ADMINISTRATOR and record.signer != self.key:
            raise _rejected(record, RejectionReason.BAD_SIGNATURE)
        if not record.signer.verifies(signed.body, signed.signature):
            raise _rejected(record, RejectionReason.BAD_SIGNATURE)
        if isinstance(record, Node) and not record.is_admitted:
            raise _rejected(record, RejectionReason.BAD_ADMISSION, record.name)

    def _check_room(self, kind: Kind[Any], record: Record) -> None:
        """Raises RecordRejected where there is none."""
        limit = MAX_RECORDS[kind.record]
        if kind is UNKNOWN and record.signer == self.key:
            return
        if isinstance(record, Departure) and self.node(record.signer) is not None:
            return  # whatever others filled the room with: there is one at most for each node
        if self._count(kind) >= limit:
            raise _rejected(record, RejectionReason.TOO_MANY, f"{limit} are there")
        if isinstance(record, Node) and not self._is_known(record.token):
            unknown = sum(count for token, count in self._admitted.items() if not self._is_known(token))
            if unknown >= MAX_UNKNOWN_NODES:
                raise _rejected(record, RejectionReason.TOO_MANY, f"{unknown} are there by unknown tokens")

    def _count(self, kind: Kind[Any]) -> int:
        """Return how many there are of a kind, of unknown ones those of nodes."""
        of_administrator = sum(1 for _ in self._unknown_admin_entries()) if kind is UNKNOWN else 0
        return len(self._records[kind.record]) - of_administrator

    def _is_unknown_admin_record(self, judged: Judged) -> bool:
        return isinstance(judged.record, Unknown) and judged.record.signer == self.key

    def _is_known(self, token: VerifyKey) -> bool:
        return bytes(token) in self._records[Token]

    def copy(self) -> "Ledger":
        """Return another that holds the same: to try what a record would change."""
        self._shared = set(self._records)
        return Ledger(
            self.key, self._records.copy(), self._admitted.copy(), self._state_digest, self._newest,
            self._shared.copy(), self._last,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Signed]:
        """Give every record that counts: those of the administrator by sequence, then all others."""
        admin = sorted(self._admin_entries(), key=attrgetter("record.sequence"))
        others = filterfalse(self._is_unknown_admin_record, self._entries(_OTHER_KINDS))
        return (kept.signed for kept in chain(admin, others))

    def __len__(self) -> int:
        return sum(map(len, self._records.values()))

    def by_sequence(self) -> dict[int, Signed]:
        """Return the admin records that count by their sequence number."""
        return {kept.record.sequence: kept.signed for kept in self._admin_entries()}

    def newest_of(self, record: Record) -> Record | None:
        """Return the record that counts on a record's subject, if there is one."""
        kind = kind_of(record)
        kept = self._records[kind.record].get(kind.subject(record))
        return None if kept is None else kept.record

    def admin_records(self, kind: type[_D]) -> dict[bytes, _D]:
        """Return those of a kind by their subject, in the order in which the subjects were first known."""
        return {subject: kept.record for subject, kept in self._records[kind].items()}

    def find(self, kind: type[_R], subject: bytes) -> _R | None:
        """Return the record of a kind on a subject, if there is one."""
        kept = self._records[kind].get(subject)
        return None if kept is None else kept.record

    def nodes(self) -> list[Node]:
        """Return the records of all nodes, whether or not they are members."""
        return [kept.record for kept in self._records[Node].values()]

    def node(self, identity: VerifyKey) -> Node | None:
        """Return the record of a node, if there is one."""
        kept = self._records[Node].get(bytes(identity))
        return None if kept is None else kept.record

    def announcements(self) -> list[Sites]:
        """Return what nodes announce of sites, whether or not they are members."""
        return [kept.record for kept in self._records[Sites].values()]

    def paths(self) -> list[Paths]:
        """Return what nodes publish of the paths to them, whether or not they are members."""
        return [kept.record for kept in self._records[Paths].values()]

    def departed(self) -> set[VerifyKey]:
        """Return the identities of the nodes that left."""
        return {kept.record.signer for kept in self._records[Departure].values()}

    def charter(self) -> Network | None:
        """Return the network's record, once it is there."""
        return next(iter(self.admin_records(Network).values()), None)

    def judging_time(self, now: int) -> int:
        """Return the time by which to judge expiry, Unix seconds. now: by the local clock."""
        return judging_time(now, self.newest.time if self.newest else 0)

    def for_everybody(self) -> list[Signed]:
        """Return the records that count and that every node is to have."""
        return [kept.signed for kept in chain(self._entries(_COMMON_KINDS), self._unknown_admin_entries())]

    def is_for_everybody(self, judged: Judged) -> bool:
        """Return whether every node is to have a record, so that neighbours send it to each other."""
        return kind_of(judged.record) in _COMMON_KINDS or self._is_unknown_admin_record(judged)

    def state_digest(self) -> StateDigest:
        if self._state_digest is None:
            digests = sorted(signed.digest for signed in self.for_everybody())
            sequence = self.newest.sequence if self.newest else 0
            self._state_digest = StateDigest(sequence, hashlib.blake2s(b"".join(digests)).digest())
        return self._state_digest

    def _admin_entries(self) -> Iterator[Judged]:
        return chain(self._entries(_ADMIN_KINDS), self._unknown_admin_entries())

    def _unknown_admin_entries(self) -> Iterator[Judged]:
        return filter(self._is_unknown_admin_record, self._entries((UNKNOWN,)))

    def _entries(self, kinds: tuple[Kind[Any], ...]) -> Iterator[Judged]:
        return (kept for kind in kinds for kept in self._records[kind.record].values())


def _forget(change: Change) -> None:
    change.previous, change.length = None, 0


def _rejected(record: Record, reason: RejectionReason, details: str = "") -> RecordRejected:
    message = f"{reason.value}: {details}" if details else reason.value
    return RecordRejected(reason, describe(record), message)
