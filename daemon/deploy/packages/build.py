#!/usr/bin/env python3
"""Makes the packages of this clone: source distribution, wheels, and Debian packages.

./run package                 all, in dist/; installs what that needs
build.py FOLDER [PLATFORM]... with the wheels for these platforms alone; `native`: by this host's compiler
"""

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))
import debian
import manpages
import wheels

_CLONE: Final = Path(__file__).parents[3]
_OF_DEBIAN: Final = ("manylinux", wheels.NATIVE.platform)


def main(folder: Path, platforms: Sequence[str]) -> None:
    """platforms: all without any. Raises CalledProcessError, RuntimeError."""
    targets = read_targets(platforms)
    os.environ.setdefault("SOURCE_DATE_EPOCH", str(date_of(_CLONE)))
    os.umask(0o022)  # as whoever installs it is another user
    folder.mkdir(exist_ok=True)
    sdist = _said(wheels.build_sdist(_CLONE, folder))
    with TemporaryDirectory() as pages:
        manpages.main(Path(pages))
        for target in targets:
            wheel = _said(_build_wheel(sdist, target, folder))
            if target.platform.startswith(_OF_DEBIAN):
                _said(debian.build(wheel, Path(pages), folder))


def date_of(clone: Path) -> int:
    """Return when a clone was committed; of an unpacked source distribution, when its clone was."""
    log = ["git", "-C", str(clone), "log", "-1", "--format=%ct"]
    done = subprocess.run(log, capture_output=True, text=True, check=False)
    is_known = (clone / ".git").exists() and done.returncode == 0
    return int(done.stdout) if is_known else int((clone / "pyproject.toml").stat().st_mtime)


def read_targets(platforms: Sequence[str]) -> Sequence[wheels.Target]:
    """Return the targets for platforms; ends the program if one is unknown."""
    known = {target.platform: target for target in (*wheels.TARGETS, wheels.NATIVE)}
    if unknown := [name for name in platforms if name not in known]:
        sys.exit(f"there is no wheel for {', '.join(unknown)}, but for {', '.join(known)}")
    return [known[name] for name in platforms] or wheels.TARGETS


def _build_wheel(sdist: Path, target: wheels.Target, folder: Path) -> Path:
    """Build one of what the source distribution has, as everybody would."""
    with TemporaryDirectory() as unpacked:
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        (source,) = Path(unpacked).iterdir()
        return wheels.build_wheel(source, target, folder)


def _said(path: Path) -> Path:
    print(f"{path.name}  {path.stat().st_size / 1024:.0f} KiB", flush=True)
    return path


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
