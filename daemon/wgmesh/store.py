"""The database of a coordinator: by SQLAlchemy, so in SQLite or what else it knows.

Invariant: what one request hands in is stored in one transaction, under a revision that is taken from one row
in the same transaction; who gets an answer may rely on it. Whoever holds that row is the only one who stores,
so revisions become visible in their order, and a reader that knows one revision needs only what is newer.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, insert, inspect, select, update

from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.ledger import Ledger, RecordRefused
from wgpy.mesh.records import decode
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.topology import derive

from .database import Database
from .errors import Overtaken, StoreError
from .schema import ADMISSIONS, AUDIT, COORDINATORS, RECORDS, SCHEMA, SEEN, STATE, STEPS, Step
from .settings import DATABASE, Settings
from .snapshot import Entry, Snapshot
from .sqlite import copy_database
from .transaction import Transaction, place_of

_LOG = logging.getLogger("wgmesh")

MAX_AUDIT: Final = 100_000  # entries, the newest
_PART: Final = 1000  # rows that are copied at once
_FORGOTTEN: Final = 3600  # seconds, after which a coordinator that is away is no row any more


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change. time: Unix seconds; who: said it; what: a sentence; source: the address it came from."""

    time: int
    who: str
    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A node that was there.

    heard: when last, Unix seconds; address: where from; coordinator: whose follower it is, "" for nobody's.
    """

    heard: int
    address: str
    coordinator: str = ""


class Store:
    """An open database of one network."""

    def __init__(
        self, url: str, network: VerifyKey, steps: Sequence[Step] = STEPS, *, is_shared: bool = False
    ) -> None:
        """Make the tables, or bring them up to date after a backup beside them. Raises StoreError.

        url: as SQLAlchemy has it; is_shared: whether other coordinators may write to it.
        """
        self._network = network
        self._database = Database(url)
        self._errors = self._database.errors
        self.name = self._database.name
        self.is_shared = is_shared
        self._engine = self._database.open()
        try:
            with self._errors():
                self._migrate(steps)
                self._found()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()

    # -- Records ---------------------------------------------------------------------------------

    def load(self, now: int) -> Snapshot:
        """Return all that is stored; what is damaged is left out. now: Unix seconds. Raises StoreError."""
        return self.catch_up(Snapshot(Ledger(self._network), revision=-1), now)

    def catch_up(self, book: Snapshot, now: int) -> Snapshot:
        """Return the book with what was stored since, or what is stored instead of it. Raises StoreError.

        now: Unix seconds.
        """
        with self._errors(), self._engine.connect() as connection:
            state = connection.execute(select(STATE)).one()
            if state.restored != book.restored or state.revision < book.revision:
                book = Snapshot(Ledger(self._network), restored=state.restored)
            elif state.revision == book.revision:
                return book
            return self._read_newer(connection, state, book, now)

    def _read_newer(self, connection: Connection, state: Any, book: Snapshot, now: int) -> Snapshot:
        """What others store meanwhile is for the next time, and so is what it takes the place of."""
        ledger, entries, admitted = book.ledger.copy(), book.entries.copy(), book.admitted.copy()
        newer = RECORDS.c.revision > book.revision, RECORDS.c.revision <= state.revision
        for row in connection.execute(select(RECORDS).where(*newer).order_by(RECORDS.c.revision)):
            try:
                signed = Signed(row.body, row.signature)
                ledger.add(signed)
            except (RecordRefused, ValueError) as error:
                _LOG.warning(
                    "%s: a record of type %s is damaged: %s", self.name, row.kind or "unknown", error
                )
                continue
            record = decode(signed.body)
            place = place_of(record, signed)
            entries.pop(place, None)
            entries[place] = Entry(signed, record, row.revision, row.viewed)
        for row in connection.execute(select(ADMISSIONS).where(ADMISSIONS.c.revision > book.revision)):
            try:
                token, identity = VerifyKey.from_base64(row.token), VerifyKey.from_base64(row.identity)
            except ValueError as error:
                _LOG.warning("%s: a use of a token is damaged: %s", self.name, error)
                continue
            admitted[token] = admitted.get(token, frozenset()) | {identity}
        topology = derive(ledger, now, book.topology)
        return Snapshot(ledger, topology, entries, admitted, state.revision, state.visibility, state.restored)

    def commit(self, draft: Transaction, book: Snapshot, audit: Iterable[AuditEntry]) -> Snapshot:
        """Store what a draft changes; the book with it. Raises StoreError, and then nothing is stored.

        book: that which the draft is of; Overtaken: it is not the newest any more.
        """
        with self._errors(), self._engine.begin() as connection:
            revision = self._take_revision(connection, book.revision, 0)
            new = draft.finished(revision)
            connection.execute(update(STATE).values(visibility=new.visibility))
            rows = []
            for place in draft.changes:
                entry = new.entries[place]
                key = RECORDS.c.kind == place.kind, RECORDS.c.subject == place.subject
                connection.execute(delete(RECORDS).where(*key))
                rows.append(
                    {
                        "kind": place.kind,
                        "subject": place.subject,
                        "revision": revision,
                        "viewed": entry.viewed,
                        "body": entry.signed.body,
                        "signature": entry.signed.signature,
                    }
                )
            _insert(connection, RECORDS, rows)
            _insert(
                connection,
                ADMISSIONS,
                [
                    {"token": str(token), "identity": str(identity), "revision": revision}
                    for token, identities in draft.admitted.items()
                    for identity in identities - book.admitted.get(token, frozenset())
                ],
            )
            self._write_audit(connection, audit)
        return new

    def go_on_above(self, book: Snapshot, seen: int, restored: int) -> Snapshot:
        """Return the book above what a node has seen. restored: as in it from now on. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            revision = self._take_revision(connection, book.revision, seen)
            connection.execute(update(STATE).values(restored=restored))
        return replace(book, revision=revision, restored=restored)

    def _take_revision(self, connection: Connection, last: int, above: int) -> int:
        """Revisions are times in microseconds, so that a restored backup goes on above what was seen."""
        revision = min(max(last + 1, time.time_ns() // 1000, above), MAX_NUMBER)
        taken = connection.execute(update(STATE).where(STATE.c.revision == last).values(revision=revision))
        if taken.rowcount != 1:
            raise Overtaken(f"another coordinator writes to {self.name}: stop one of them")
        return revision

    # -- What is beside them -----------------------------------------------------------------------

    def audit(self, count: int = MAX_AUDIT) -> list[AuditEntry]:
        """Return the last changes, the newest last. Raises StoreError."""
        columns = AUDIT.c.time, AUDIT.c.who, AUDIT.c.what, AUDIT.c.source
        with self._errors(), self._engine.connect() as connection:
            rows = connection.execute(select(*columns).order_by(AUDIT.c.number.desc()).limit(count)).all()
        return [AuditEntry(*row) for row in reversed(rows)]

    def seen(self, since: int) -> dict[VerifyKey, Seen]:
        """Return who was there. since: Unix seconds, before which a coordinator is taken for dead.

        Raises StoreError.
        """
        with self._errors(), self._engine.connect() as connection:
            alive = set(connection.scalars(select(COORDINATORS.c.name).where(COORDINATORS.c.alive >= since)))
            seen = {}
            for row in connection.execute(select(SEEN)):
                with suppress(ValueError):  # damaged, and known again when the node comes back
                    coordinator = row.coordinator if row.coordinator in alive else ""
                    seen[VerifyKey.from_base64(row.identity)] = Seen(row.heard, row.address, coordinator)
            return seen

    def write_seen(self, seen: dict[VerifyKey, Seen], coordinator: str) -> None:
        """coordinator: who says it, and says of nobody that it went away from another. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            for identity, one in seen.items():
                known = SEEN.c.identity == str(identity)
                mine = () if one.coordinator else (SEEN.c.coordinator.in_(["", coordinator]),)
                connection.execute(delete(SEEN).where(known, *mine))
                if connection.execute(select(SEEN.c.identity).where(known)).first() is None:
                    row = {"heard": one.heard, "address": one.address, "coordinator": one.coordinator}
                    _insert(connection, SEEN, [{"identity": str(identity), **row}])

    def write_alive(self, coordinator: str, now: int) -> None:
        """Say that a coordinator lives. now: Unix seconds, 0 when it ends. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            connection.execute(
                delete(COORDINATORS).where(
                    (COORDINATORS.c.name == coordinator) | (COORDINATORS.c.alive < now - _FORGOTTEN)
                )
            )
            if now:
                _insert(connection, COORDINATORS, [{"name": coordinator, "alive": now}])

    def mark_restored(self, now: int) -> None:
        """Note that what follows may be lost. now: Unix seconds. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            connection.execute(update(STATE).values(restored=now))

    def copy_to(self, other: "Store") -> None:
        """Put all that is here into another store, instead of what is there. Raises StoreError."""
        with (
            self._errors(),
            self._engine.connect() as unread,
            other._errors(),
            other._engine.begin() as connection,
        ):
            snapshot = {} if self._database.path else {"isolation_level": "REPEATABLE READ"}
            source = unread.execution_options(**snapshot)
            for table in (STATE, RECORDS, ADMISSIONS, AUDIT, SEEN):
                connection.execute(delete(table))
                columns = [column for column in table.columns if column is not AUDIT.c.number]
                order = AUDIT.c.number if table is AUDIT else columns[0]
                for part in source.execute(select(*columns).order_by(order)).mappings().partitions(_PART):
                    _insert(connection, table, list(map(dict, part)))

    @staticmethod
    def _write_audit(connection: Connection, audit: Iterable[AuditEntry]) -> None:
        rows = [{"time": one.time, "who": one.who, "what": one.what, "source": one.source} for one in audit]
        _insert(connection, AUDIT, rows)
        newest = select(AUDIT.c.number).order_by(AUDIT.c.number.desc()).limit(1)
        last = connection.execute(newest).scalar() or 0
        connection.execute(delete(AUDIT).where(AUDIT.c.number <= last - MAX_AUDIT))

    # -- Opening ---------------------------------------------------------------------------------

    def _migrate(self, steps: Sequence[Step]) -> None:
        with self._engine.connect() as connection:
            version = 0
            if inspect(connection).has_table(SCHEMA.name):
                version = connection.execute(select(SCHEMA.c.version)).scalar_one()
        if version > len(steps):
            raise StoreError(
                f"{self.name} is of a newer wgmesh (version {version}, this one: {len(steps)}): update it"
            )
        if version == len(steps):
            return
        if version and (path := self._database.path) is not None:
            copy_database(path, path.with_name(f"{path.name}.version-{version}"))
        with self._engine.begin() as connection:
            for step in steps[version:]:
                step(connection)
            connection.execute(delete(SCHEMA))
            connection.execute(insert(SCHEMA).values(version=len(steps)))

    def _found(self) -> None:
        """Make the row of a new database; of one that is there, make sure whose it is. Raises StoreError."""
        with self._engine.begin() as connection:
            network = connection.execute(select(STATE.c.network)).scalar()
            if network is None:
                connection.execute(
                    insert(STATE).values(network=str(self._network), revision=0, visibility=0, restored=0)
                )
            elif network != str(self._network):
                raise StoreError(f"{self.name} is of another network: give each network its own")


def open_store(folder: Path, settings: Settings) -> Store:
    """Open what a coordinator's settings say. Raises StoreError."""
    url = settings.database or f"sqlite:///{(folder / DATABASE).absolute()}"
    return Store(url, settings.network, is_shared=bool(settings.database))


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
