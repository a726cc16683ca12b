"""Copies of the clone: what is built in one is not seen by the tests that look at the clone itself."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def files() -> frozenset[str]:
    """Return every file git would commit."""
    listing = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    return frozenset(name for name in found.splitlines() if (ROOT / name).is_file())


def copy_to(folder: Path) -> Path:
    """Copy these files into a new folder, and return that."""
    for name in files():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    return folder
