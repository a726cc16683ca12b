"""Copies of a SQLite database, also while it is in use."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path


def copy_database(
    source: Path, target: Path, finish: Callable[[sqlite3.Connection], None] | None = None
) -> None:
    """Replace target atomically by a copy, on disk on return. Raises OSError and sqlite3.Error.

    finish: called with the copy before that.
    """
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as original,
            closing(sqlite3.connect(new)) as copy,
        ):
            original.backup(copy)
            if finish is not None:
                finish(copy)
            copy.commit()
            copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is one file
        sync(new)
        new.replace(target)
        sync(target.parent)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Return once a file or folder is on disk. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
