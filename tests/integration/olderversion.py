"""Programs of an older version of this project, as its history has it, beside those under test."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

_CLONE: Final = Path(__file__).parents[2]
_COMMIT: Final = os.environ.get("WGPY_OLDER", "10eee979aacfb2858a8edfae679ec5f8683f9bb6")
_PROGRAM: Final = """\
#!{python} -P
import sys

sys.path[:0] = ["{source}", "{source}/daemon"]
from {package}.main import main

sys.exit(main())
"""
_PACKAGES: Final = {"wgpy": "wgpy.cli", "wgpyd": "wgpyd", "wgmesh": "wgmesh"}


def build_older_version(folder: Path) -> Path:
    """Unpack and build it in a folder, and return that of its programs; skips a test if it is not to be had.

    WGPY_OLDER: its commit.
    """
    source, programs = folder / "source", folder / "programs"
    source.mkdir()
    programs.mkdir()
    git = ("git", "-C", str(_CLONE), "archive", _COMMIT)
    archive = subprocess.run(git, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"AN OLDER VERSION WAS NOT TRIED: this clone has no commit {_COMMIT}")
    subprocess.run(("tar", "-x", "-C", str(source)), input=archive.stdout, check=True)
    built = subprocess.run(
        (sys.executable, "setup.py", "-q", "build_ext", "--inplace"),
        cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout
    for name, package in _PACKAGES.items():
        program = programs / name
        program.write_text(_PROGRAM.format(python=sys.executable, source=source, package=package))
        program.chmod(0o755)
    return programs
