"""Backup of a coordinator into one file, and restore.

A backup is a copy of the database in SQLite's format, also of a database in PostgreSQL, with one more
table: the folder's other files. These include the TLS key, as nodes verify the coordinator by its hash.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from wgpy.node.files import StorageError, write_file

from .errors import MeshError
from .settings import DATABASE, SETTINGS, TLS_CERTIFICATE, TLS_KEY, Settings, lock
from .sqlite import copy_database, sync
from .store import Store, open_store

_FILES: Final = (TLS_KEY, TLS_CERTIFICATE, SETTINGS)  # in the order in which they are restored


def back_up(folder: Path, file: Path) -> None:
    """Write a backup, also while the folder is served. Raises MeshError."""
    found = [(name, (folder / name).read_bytes()) for name in _FILES if (folder / name).exists()]
    with _errors(f"cannot write {file}"), _sqlite_copy(folder, file) as rows:
        copy_database(rows, file, lambda copy: _add_files(copy, found))


@contextmanager
def _sqlite_copy(folder: Path, file: Path) -> Iterator[Path]:
    """Yield the folder's database, or a copy of the shared one, in SQLite's format. Raises MeshError."""
    settings = Settings.load(folder)
    if not settings.database:
        if not (folder / DATABASE).exists():
            raise MeshError(f"{folder / DATABASE} is not there: the coordinator has never run")
        yield folder / DATABASE
        return
    with TemporaryDirectory(prefix=f".{file.name}.", dir=file.absolute().parent) as temporary:
        rows = Path(temporary) / DATABASE
        with (
            closing(open_store(folder, settings)) as store,
            closing(Store(f"sqlite:///{rows}", settings.network)) as copy,
        ):
            store.copy_to(copy)
        yield rows


def restore(folder: Path, file: Path, now: int) -> Path | None:
    """Restore a backup; return the path of a copy of the previous database, if there was one.

    now: Unix seconds. Other coordinators of a shared database may run meanwhile. Raises MeshError.
    """
    files = _files_in(file)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock(folder):
        try:
            for name in _FILES:
                if name in files and not (folder / name).exists():
                    write_file(folder / name, files[name])
        except StorageError as error:
            raise MeshError(str(error)) from None
        settings = Settings.load(folder)
        new = folder / f".{DATABASE}.restored"
        with _errors(f"cannot restore {file}"):
            copy_database(file, new, _remove_files)
            with closing(Store(f"sqlite:///{new.absolute()}", settings.network)) as store:
                store.mark_restored(now)
                kept = _replace_shared(folder, settings, store) if settings.database else None
            if settings.database:
                new.unlink()
                return kept
            return _replace_file(new, folder / DATABASE)


def _replace_shared(folder: Path, settings: Settings, restored: Store) -> Path:
    """Replace the contents of the shared database; return a backup of the old ones. Raises MeshError."""
    kept = folder / f"{DATABASE}.{_before()}"
    back_up(folder, kept)
    with closing(open_store(folder, settings)) as store:
        restored.copy_to(store)
    return kept


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Raises MeshError."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise MeshError(f"{what}: {error}") from None


def _before() -> str:
    return f"before-{time.strftime('%Y%m%d-%H%M%S')}"


def _replace_file(new: Path, database: Path) -> Path | None:
    """Replace the database; return the path to which the old one was renamed, as that may be damaged."""
    kept = database.with_name(f"{database.name}.{_before()}")
    was_there = database.exists()
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{database}{suffix}").rename(f"{kept}{suffix}")
    new.replace(database)
    sync(database.parent)
    return kept if was_there else None


def _add_files(copy: sqlite3.Connection, files: list[tuple[str, bytes]]) -> None:
    copy.execute("CREATE TABLE backup_files (name TEXT, content BLOB)")
    copy.executemany("INSERT INTO backup_files VALUES (?, ?)", files)


def _remove_files(copy: sqlite3.Connection) -> None:
    copy.execute("DROP TABLE backup_files")


def _files_in(file: Path) -> dict[str, bytes]:
    """Raises MeshError."""
    if not file.is_file():
        raise MeshError(f"{file} is not there")
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as backup:
            return dict(backup.execute("SELECT name, content FROM backup_files"))
    except sqlite3.Error as error:
        raise MeshError(f"{file} is not a backup of a coordinator: {error}") from None
