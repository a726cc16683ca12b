"""A coordinator in one file, and back.

A backup is a copy of the database in SQLite's format, whichever that is of, with one table more: the
folder's other files. The key is in it, since nodes know the coordinator by that.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from wgpy.node.files import StateError, write_file

from .errors import MeshError
from .settings import DATABASE, SETTINGS, TLS_CERTIFICATE, TLS_KEY, Settings, lock
from .sqlite import copy_database, sync
from .store import Store, open_store

_FILES: Final = (TLS_KEY, TLS_CERTIFICATE, SETTINGS)  # in the order in which they are restored


def back_up(folder: Path, file: Path) -> None:
    """Write a backup, also while the folder is served. Raises MeshError."""
    found = [(name, (folder / name).read_bytes()) for name in _FILES if (folder / name).exists()]
    with _said(f"cannot write {file}"), _rows_of(folder, file) as rows:
        copy_database(rows, file, lambda copy: _put_in(copy, found))


@contextmanager
def _rows_of(folder: Path, file: Path) -> Iterator[Path]:
    """Give a database in SQLite to be copied. Raises MeshError."""
    settings = Settings.load(folder)
    if not settings.database:
        if not (folder / DATABASE).exists():
            raise MeshError(f"{folder / DATABASE} is not there: the coordinator has never run")
        yield folder / DATABASE
        return
    with TemporaryDirectory(prefix=f".{file.name}.", dir=file.absolute().parent) as place:
        rows = Path(place) / DATABASE
        with (
            closing(open_store(folder, settings)) as store,
            closing(Store(f"sqlite:///{rows}", settings.network)) as copy,
        ):
            store.copy_to(copy)
        yield rows


def restore(folder: Path, file: Path, now: int) -> Path | None:
    """Put a backup in the place of what is there; where that is kept. Raises MeshError.

    now: Unix seconds. Other coordinators may go on with a shared database.
    """
    files = _files_in(file)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock(folder):
        try:
            for name in _FILES:
                if name in files and not (folder / name).exists():
                    write_file(folder / name, files[name])
        except StateError as error:
            raise MeshError(str(error)) from None
        settings = Settings.load(folder)
        new = folder / f".{DATABASE}.restored"
        with _said(f"cannot restore {file}"):
            copy_database(file, new, _take_out)
            with closing(Store(f"sqlite:///{new.absolute()}", settings.network)) as store:
                store.mark_restored(now)
                kept = _put_into(folder, settings, store) if settings.database else None
            if settings.database:
                new.unlink()
                return kept
            return _put_in_place(new, folder / DATABASE)


def _put_into(folder: Path, settings: Settings, restored: Store) -> Path:
    """Return a backup of what was in the shared database before. Raises MeshError."""
    kept = folder / f"{DATABASE}.{_before()}"
    back_up(folder, kept)
    with closing(open_store(folder, settings)) as store:
        restored.copy_to(store)
    return kept


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Raises MeshError."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise MeshError(f"{what}: {error}") from None


def _before() -> str:
    return f"before-{time.strftime('%Y%m%d-%H%M%S')}"


def _put_in_place(new: Path, database: Path) -> Path | None:
    """Return where the old one is now. It may be damaged, so it is moved as it is."""
    kept = database.with_name(f"{database.name}.{_before()}")
    was_there = database.exists()
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{database}{suffix}").rename(f"{kept}{suffix}")
    new.replace(database)
    sync(database.parent)
    return kept if was_there else None


def _put_in(copy: sqlite3.Connection, files: list[tuple[str, bytes]]) -> None:
    copy.execute("CREATE TABLE backup_files (name TEXT, content BLOB)")
    copy.executemany("INSERT INTO backup_files VALUES (?, ?)", files)


def _take_out(copy: sqlite3.Connection) -> None:
    copy.execute("DROP TABLE backup_files")


def _files_in(file: Path) -> dict[str, bytes]:
    """Raises MeshError."""
    if not file.is_file():
        raise MeshError(f"{file} is not there")
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as backup:
            return dict(backup.execute("SELECT name, content FROM backup_files"))
    except sqlite3.Error as error:
        raise MeshError(f"{file} is no backup of a coordinator: {error}") from None
