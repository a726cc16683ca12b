"""A coordinator in one file, and back.

A backup is a copy of the SQLite database with one table more: the folder's other files. The key is in it,
since nodes know the coordinator by that.
"""

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from wgpy.node.files import StateError, write_file

from .errors import MeshError
from .settings import DATABASE, SETTINGS, TLS_CERTIFICATE, TLS_KEY, Settings, lock
from .sqlite import copy_database, sync
from .store import Store

_FILES: Final = (TLS_KEY, TLS_CERTIFICATE, SETTINGS)  # in the order in which they are restored


def back_up(folder: Path, file: Path) -> None:
    """Write a backup, also while the folder is served. Raises MeshError."""
    database = folder / DATABASE
    if not database.exists():
        raise MeshError(f"{database} is not there: only a database in SQLite is backed up by this command")
    found = [(name, (folder / name).read_bytes()) for name in _FILES if (folder / name).exists()]
    try:
        copy_database(database, file, lambda copy: _put_in(copy, found))
    except (OSError, sqlite3.Error) as error:
        raise MeshError(f"cannot write {file}: {error}") from None


def restore(folder: Path, file: Path, now: int) -> Path | None:
    """Put a backup in the place of what is there; where that is kept. Raises MeshError.

    now: Unix seconds.
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
        network = Settings.load(folder).network
        new = folder / f".{DATABASE}.restored"
        try:
            copy_database(file, new, _take_out)
            store = Store(f"sqlite:///{new.absolute()}", network)
            store.mark_restored(now)
            store.close()
            return _put_in_place(new, folder / DATABASE)
        except (OSError, sqlite3.Error) as error:
            raise MeshError(f"cannot restore {file}: {error}") from None


def _put_in_place(new: Path, database: Path) -> Path | None:
    """Return where the old one is now. It may be damaged, so it is moved as it is."""
    kept = database.with_name(f"{database.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
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
