"""What stays when the power fails. fsync(2)"""

import os


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Return once the names in a folder are on disk: a file's own `fsync` leaves that out. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
