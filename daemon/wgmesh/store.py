"""The database of a coordinator, through SQLAlchemy: SQLite, PostgreSQL, or another that it supports.

Invariant: the records of one turn of a request are stored in one transaction, under a revision that the same
transaction takes from one row by compare-and-swap; an answered request is durable. The holder of that row
is the only writer, so revisions become visible in order, and a reader that has one revision needs only
newer rows.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar, TypeVarTuple

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.ledger import Ledger, RecordRejected
from wgpy.mesh.records import record_key
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.topology import derive

from .audit import ADMINISTRATOR
from .database import Database
from .errors import Overtaken, StoreError
from .migration import migrate
from .presence_table import PresenceTable
from .schema import ADMISSIONS, AUDIT, RECORDS, SEEN, STATE, STEPS, Step
from .settings import DATABASE, Settings
from .snapshot import Entry, Snapshot
from .transaction import Transaction

_LOG = logging.getLogger("wgmesh")

MAX_AUDIT: Final = 100_000  # entries, the newest, beside those of the administrator
_PART: Final = 1000  # rows that are copied at once

# Statements of each turn. One that is made anew is compared with those that are compiled, which takes longer
# than SQLite does with it.
_TAKE_REVISION: Final = (
    update(STATE).where(STATE.c.revision == bindparam("last")).values(revision=bindparam("new"))
)
_SET_VISIBILITY: Final = update(STATE).values(visibility=bindparam("visible"))
_REPLACE: Final = delete(RECORDS).where(
    RECORDS.c.kind == bindparam("old_kind"), RECORDS.c.subject == bindparam("old_subject")
)
_LAST_ENTRY: Final = select(AUDIT.c.number).order_by(AUDIT.c.number.desc()).limit(1)
# No number of entries of nodes pushes out what the administrator did, which is limited by itself.
_FORGET_ENTRIES: Final = delete(AUDIT).where(
    AUDIT.c.number <= bindparam("last"), AUDIT.c.who != ADMINISTRATOR
)

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change. time: Unix seconds; who: its author; what: a sentence; source: the address of the request."""

    time: int
    who: str
    what: str
    source: str


class Store:
    """An open database of one network."""

    def __init__(
        self, url: str, network: VerifyKey, steps: Sequence[Step] = STEPS, *, is_shared: bool = False
    ) -> None:
        """Create the tables, or migrate them after a backup of the file. Raises StoreError.

        url: of SQLAlchemy; is_shared: whether other coordinators may write to the database.
        """
        self._network = network
        self._database = Database(url)
        self._errors = self._database.errors
        self.name = self._database.name
        self.is_shared = is_shared
        self._engine = self._database.open()
        self._threads = ThreadPoolExecutor(thread_name_prefix="store")
        self.presence = PresenceTable(self._engine, self._database)
        try:
            with self._errors():
                migrate(self._engine, self._database, steps)
                self._claim()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Return when the calls in threads have ended: a connection that one of them uses stays open."""
        self._threads.shutdown()
        self._engine.dispose()

    async def in_thread(self, call: Callable[[*_Arguments], _T], *arguments: *_Arguments) -> _T:
        """Run a call in a thread, to its end even if the caller is cancelled. Raises what the call raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    # -- Records ---------------------------------------------------------------------------------

    def load(self, now: int) -> Snapshot:
        """Return a snapshot of the database without damaged records. now: Unix seconds. Raises StoreError."""
        return self.catch_up(Snapshot(Ledger(self._network), revision=-1), now)

    def catch_up(self, snapshot: Snapshot, now: int) -> Snapshot:
        """Return the snapshot with newer records, or a new one if the database was restored.

        now: Unix seconds. Raises StoreError.
        """
        with self._errors(), self._engine.connect() as connection:
            state = connection.execute(select(STATE)).one()
            if state.restored != snapshot.restored or state.revision < snapshot.revision:
                snapshot = Snapshot(Ledger(self._network), restored=state.restored)
            elif state.revision == snapshot.revision:
                return snapshot
            return self._read_newer(connection, state, snapshot, now)

    def _read_newer(self, connection: Connection, state: Any, snapshot: Snapshot, now: int) -> Snapshot:
        """Read records up to the revision of state: what others store meanwhile, the next call reads."""
        ledger, entries, admitted = snapshot.ledger.copy(), snapshot.entries.copy(), snapshot.admitted.copy()
        newer = RECORDS.c.revision > snapshot.revision, RECORDS.c.revision <= state.revision
        for row in connection.execute(select(RECORDS).where(*newer).order_by(RECORDS.c.revision)):
            try:
                judged = ledger.add(Signed(row.body, row.signature))
            except (RecordRejected, ValueError) as error:
                _LOG.warning(
                    "%s: a record of type %s is damaged: %s", self.name, row.kind or "unknown", error
                )
                continue
            key = record_key(judged.record)
            entries.pop(key, None)
            entries[key] = Entry(judged.signed, judged.record, row.revision, row.viewed)
        for row in connection.execute(select(ADMISSIONS).where(ADMISSIONS.c.revision > snapshot.revision)):
            try:
                token, identity = VerifyKey.from_base64(row.token), VerifyKey.from_base64(row.identity)
            except ValueError as error:
                _LOG.warning("%s: a use of a token is damaged: %s", self.name, error)
                continue
            admitted[token] = admitted.get(token, frozenset()) | {identity}
        topology = derive(ledger, now, snapshot.topology)
        return Snapshot(ledger, topology, entries, admitted, state.revision, state.visibility, state.restored)

    def commit(self, transaction: Transaction, snapshot: Snapshot, audit: Iterable[AuditEntry]) -> Snapshot:
        """Store the changes of a transaction; return the new snapshot. On errors nothing is stored.

        snapshot: the transaction's. Raises StoreError, and Overtaken if the snapshot is no longer the newest.
        """
        with self._errors(), self._engine.begin() as connection:
            revision = self._take_revision(connection, snapshot.revision, 0)
            new = transaction.finished(revision)
            connection.execute(_SET_VISIBILITY, {"visible": new.visibility})
            rows, replaced = [], []
            for key in transaction.changes:
                entry = new.entries[key]
                replaced.append({"old_kind": key.kind, "old_subject": key.subject})
                rows.append(
                    {
                        "kind": key.kind,
                        "subject": key.subject,
                        "revision": revision,
                        "viewed": entry.viewed,
                        "body": entry.signed.body,
                        "signature": entry.signed.signature,
                    }
                )
            connection.execute(_REPLACE, replaced)  # also damaged rows, of which the snapshot knows nothing
            _insert(connection, RECORDS, rows)
            _insert(
                connection,
                ADMISSIONS,
                [
                    {"token": str(token), "identity": str(identity), "revision": revision}
                    for token, identities in transaction.admitted.items()
                    for identity in identities - snapshot.admitted.get(token, frozenset())
                ],
            )
            self._write_audit(connection, audit)
        return new

    def go_on_above(self, snapshot: Snapshot, seen: int, restored: int) -> Snapshot:
        """Raise the revision above one that a node has reached. restored: to be stored. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            revision = self._take_revision(connection, snapshot.revision, seen)
            connection.execute(update(STATE).values(restored=restored))
        return replace(snapshot, revision=revision, restored=restored)

    def _take_revision(self, connection: Connection, last: int, above: int) -> int:
        """Return a new revision: at least the time in microseconds, so that it grows across a restore."""
        revision = min(max(last + 1, time.time_ns() // 1000, above), MAX_NUMBER)
        taken = connection.execute(_TAKE_REVISION, {"last": last, "new": revision})
        if taken.rowcount != 1:
            raise Overtaken(f"another coordinator writes to {self.name}: stop one of them")
        return revision

    # -- Audit log ---------------------------------------------------------------------------------

    def audit(self, count: int = MAX_AUDIT) -> list[AuditEntry]:
        """Return the newest entries of the administrator, and those of all others, the newest last.

        Raises StoreError.
        """
        columns = AUDIT.c.number, AUDIT.c.time, AUDIT.c.who, AUDIT.c.what, AUDIT.c.source
        with self._errors(), self._engine.connect() as connection:
            rows = [
                row
                for whose in (AUDIT.c.who == ADMINISTRATOR, AUDIT.c.who != ADMINISTRATOR)
                for row in connection.execute(
                    select(*columns).where(whose).order_by(AUDIT.c.number.desc()).limit(count)
                )
            ]
        return [AuditEntry(*row[1:]) for row in sorted(rows, key=itemgetter(0))]

    def note(self, entry: AuditEntry) -> None:
        """Write an entry of what the coordinator itself has noticed. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            self._write_audit(connection, [entry])

    def mark_restored(self, now: int) -> None:
        """Mark the database as restored from a backup. now: Unix seconds. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            connection.execute(update(STATE).values(restored=now))

    def copy_to(self, other: "Store") -> None:
        """Replace the contents of another store by those of this one. Raises StoreError."""
        with (
            self._errors(),
            self._engine.connect() as unread,
            other._errors(),
            other._engine.begin() as connection,
        ):
            isolation = {} if self._database.path else {"isolation_level": "REPEATABLE READ"}
            source = unread.execution_options(**isolation)
            for table in (STATE, RECORDS, ADMISSIONS, AUDIT, SEEN):
                connection.execute(delete(table))
                columns = [column for column in table.columns if column is not AUDIT.c.number]
                order = AUDIT.c.number if table is AUDIT else columns[0]
                for part in source.execute(select(*columns).order_by(order)).mappings().partitions(_PART):
                    _insert(connection, table, list(map(dict, part)))

    @staticmethod
    def _write_audit(connection: Connection, audit: Iterable[AuditEntry]) -> None:
        _insert(connection, AUDIT, list(map(asdict, audit)))
        last = connection.execute(_LAST_ENTRY).scalar() or 0
        if last > MAX_AUDIT:
            connection.execute(_FORGET_ENTRIES, {"last": last - MAX_AUDIT})

    # -- Opening ---------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Write the network's row into a new database, or check it in an old one. Raises StoreError."""
        with self._engine.begin() as connection:
            network = connection.execute(select(STATE.c.network)).scalar()
            if network is None:
                connection.execute(
                    insert(STATE).values(network=str(self._network), revision=0, visibility=0, restored=0)
                )
            elif network != str(self._network):
                raise StoreError(f"{self.name} is of another network: give each network its own")


def open_store(folder: Path, settings: Settings) -> Store:
    """Open the database that a coordinator's settings name. Raises StoreError."""
    url = settings.database or f"sqlite:///{(folder / DATABASE).absolute()}"
    return Store(url, settings.network, is_shared=bool(settings.database))


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
