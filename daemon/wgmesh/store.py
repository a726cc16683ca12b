"""The database of a coordinator: by SQLAlchemy, so in SQLite or what else it knows.

Law: what one request hands in is stored in one transaction, under a revision that is taken from one row in
the same transaction; who gets an answer may rely on it.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from wgpy.mesh.codec import MAX_NUMBER
from wgpy.mesh.ledger import Ledger, RecordRefused
from wgpy.mesh.records import decode
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.topology import derive

from .book import Book, Entry
from .draft import Draft, place_of
from .errors import StoreError
from .schema import ADMISSIONS, AUDIT, RECORDS, SCHEMA, SEEN, STATE, STEPS, Step
from .sqlite import copy_database

MAX_AUDIT: Final = 100_000  # entries, the newest
_BUSY: Final = 5.0  # seconds to wait for who else reads the file


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change. time: Unix seconds; who: said it; what: a sentence; source: the address it came from."""

    time: int
    who: str
    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A node that was there. heard: when last, Unix seconds; address: where from."""

    heard: int
    address: str


class Store:
    """An open database of one network."""

    def __init__(self, url: str, network: VerifyKey, steps: Sequence[Step] = STEPS) -> None:
        """Make the tables, or bring them up to date after a backup beside them. Raises StoreError.

        url: as SQLAlchemy has it.
        """
        self._network = network
        self.name = database_name(url)
        self._engine = _open(url)
        try:
            with self._errors():
                self._migrate(url, steps)
                self._found()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._engine.dispose()

    # -- Records ---------------------------------------------------------------------------------

    def load(self, now: int) -> tuple[Book, list[str]]:
        """Return all that is stored, and which records are damaged: sentences. Raises StoreError.

        now: Unix seconds.
        """
        ledger = Ledger(self._network)
        entries, damaged = {}, []
        with self._errors(), self._engine.connect() as connection:
            state = connection.execute(select(STATE)).one()
            for row in connection.execute(select(RECORDS).order_by(RECORDS.c.revision)):
                try:
                    signed = Signed(row.body, row.signature)
                    ledger.add(signed)
                except (RecordRefused, ValueError) as error:
                    damaged.append(f"a record of type {row.kind or 'unknown'} is damaged: {error}")
                    continue
                record = decode(signed.body)
                entries[place_of(record, signed)] = Entry(signed, record, row.revision, row.viewed)
            admitted: dict[VerifyKey, frozenset[VerifyKey]] = {}
            for token, identity in _admissions(connection):
                admitted[token] = admitted.get(token, frozenset()) | {identity}
        topology = derive(ledger, now)
        return (
            Book(ledger, topology, entries, admitted, state.revision, state.visibility, state.restored),
            damaged,
        )

    def commit(self, draft: Draft, book: Book, audit: Iterable[AuditEntry]) -> Book:
        """Store what a draft changes; the book with it. Raises StoreError, and then nothing is stored.

        book: that which the draft is of.
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
                    {"token": str(token), "identity": str(identity)}
                    for token, identities in draft.admitted.items()
                    for identity in identities - book.admitted.get(token, frozenset())
                ],
            )
            self._write_audit(connection, audit)
        return new

    def raise_revision(self, book: Book, above: int) -> int:
        """Go on above what a node has seen; the revision. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            return self._take_revision(connection, book.revision, above)

    def _take_revision(self, connection: Connection, last: int, above: int) -> int:
        """Revisions are times in microseconds, so that a restored backup goes on above what was seen."""
        revision = min(max(last + 1, time.time_ns() // 1000, above), MAX_NUMBER)
        taken = connection.execute(update(STATE).where(STATE.c.revision == last).values(revision=revision))
        if taken.rowcount != 1:
            raise StoreError(f"another coordinator writes to {self.name}: stop one of them")
        return revision

    # -- What is beside them -----------------------------------------------------------------------

    def audit(self, count: int = MAX_AUDIT) -> list[AuditEntry]:
        """Return the last changes, the newest last. Raises StoreError."""
        columns = AUDIT.c.time, AUDIT.c.who, AUDIT.c.what, AUDIT.c.source
        with self._errors(), self._engine.connect() as connection:
            rows = connection.execute(select(*columns).order_by(AUDIT.c.number.desc()).limit(count)).all()
        return [AuditEntry(*row) for row in reversed(rows)]

    def seen(self) -> dict[VerifyKey, Seen]:
        """Raises StoreError."""
        with self._errors(), self._engine.connect() as connection:
            return {
                VerifyKey.from_base64(row.identity): Seen(row.heard, row.address)
                for row in connection.execute(select(SEEN))
            }

    def write_seen(self, seen: dict[VerifyKey, Seen]) -> None:
        """Raises StoreError."""
        rows = [
            {"identity": str(identity), "heard": one.heard, "address": one.address}
            for identity, one in seen.items()
        ]
        with self._errors(), self._engine.begin() as connection:
            for row in rows:
                connection.execute(delete(SEEN).where(SEEN.c.identity == row["identity"]))
            _insert(connection, SEEN, rows)

    def mark_restored(self, now: int) -> None:
        """Note that what follows may be lost. now: Unix seconds. Raises StoreError."""
        with self._errors(), self._engine.begin() as connection:
            connection.execute(update(STATE).values(restored=now))

    @staticmethod
    def _write_audit(connection: Connection, audit: Iterable[AuditEntry]) -> None:
        rows = [{"time": one.time, "who": one.who, "what": one.what, "source": one.source} for one in audit]
        _insert(connection, AUDIT, rows)
        newest = select(AUDIT.c.number).order_by(AUDIT.c.number.desc()).limit(1)
        last = connection.execute(newest).scalar() or 0
        connection.execute(delete(AUDIT).where(AUDIT.c.number <= last - MAX_AUDIT))

    # -- Opening ---------------------------------------------------------------------------------

    def _migrate(self, url: str, steps: Sequence[Step]) -> None:
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
        if version and (path := sqlite_path(url)) is not None:
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

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say in a sentence what a database says in its own way. Raises StoreError."""
        try:
            yield
        except DBAPIError as error:
            raise StoreError(f"{self.name} {_trouble(error.orig)}") from None
        except (SQLAlchemyError, OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.name} {_trouble(error)}") from None


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite database."""
    parsed = make_url(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def database_name(url: str) -> str:
    """Return what a person calls a database, without its password."""
    return str(sqlite_path(url) or make_url(url).render_as_string(hide_password=True))


def _open(url: str) -> Engine:
    path = sqlite_path(url)
    if path is None:
        return create_engine(url)
    engine = create_engine(url, connect_args={"timeout": _BUSY})

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # else Python ends a transaction before tables change
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _admissions(connection: Connection) -> Iterator[tuple[VerifyKey, VerifyKey]]:
    for row in connection.execute(select(ADMISSIONS)):
        yield VerifyKey.from_base64(row.token), VerifyKey.from_base64(row.identity)


def _trouble(error: BaseException | None) -> str:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the rest says more than a person needs
        case sqlite3.SQLITE_FULL:
            return "cannot be written: the disk is full"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "is damaged: restore a backup by `wgmesh restore`"
        case sqlite3.SQLITE_READONLY:
            return "cannot be written: see whose it is, and whether its disk is read-only"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "is in use by another program: end that first"
        case sqlite3.SQLITE_CANTOPEN:
            return "cannot be opened: see that its folder is there and whose it is"
        case _:
            return f"cannot be used: {error}"
