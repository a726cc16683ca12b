"""Databases by URL: SQLite, PostgreSQL, or another that SQLAlchemy supports."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from .errors import StoreError

_BUSY_TIMEOUT: Final = 5.0  # seconds to wait for the file's lock
# The client notices a server that vanished; each request tests its connection first. libpq, section 34.1.2
_POSTGRESQL: Final = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 30}


class Database:
    """A database's URL. name: for messages, without the password."""

    def __init__(self, url: str) -> None:
        """Raises StoreError."""
        try:
            parsed = make_url(url)
        except SQLAlchemyError:  # the message of the error repeats the password
            raise StoreError(
                "the database's URL cannot be read: want one such as postgresql://user@host/name"
            ) from None
        backend = parsed.get_backend_name()
        self.path = Path(parsed.database) if backend == "sqlite" and parsed.database else None
        self.name = str(self.path or parsed.render_as_string(hide_password=True))
        self.has_password = parsed.password is not None
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._url = parsed

    def open(self) -> Engine:
        """Raises StoreError."""
        if self.path is not None:
            return _open_sqlite(self._url)
        arguments = _POSTGRESQL if self._url.drivername == "postgresql+psycopg" else {}
        try:
            return create_engine(self._url, connect_args=arguments, pool_pre_ping=True)
        except ImportError as error:
            how = ": pip install 'wgpy[postgresql]'" if arguments else ""
            raise StoreError(f"{self.name} needs {error.name}, which is not installed{how}") from None
        except SQLAlchemyError as error:
            raise StoreError(f"{self.name} cannot be used: {error}") from None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn a database's errors into one sentence. Raises StoreError."""
        try:
            yield
        except DBAPIError as error:
            raise StoreError(f"{self.name} {_trouble(error.orig)}") from None
        except (SQLAlchemyError, OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.name} {_trouble(error)}") from None


def _open_sqlite(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT})

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # else Python ends a transaction before tables change
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _trouble(error: BaseException | None) -> str:
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the higher bits are details
        case sqlite3.SQLITE_FULL:
            return "cannot be written: the disk is full"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "is damaged: restore a backup by `wgmesh restore`"
        case sqlite3.SQLITE_READONLY:
            return "cannot be written: check its owner, and whether its disk is read-only"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "is in use by another program: stop that program first"
        case sqlite3.SQLITE_CANTOPEN:
            return "cannot be opened: check that its folder exists, and its owner"
        case _:
            return f"cannot be used: {' '.join(str(error).split())}"
