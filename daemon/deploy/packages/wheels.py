"""The wheels: one for each kind of Linux that has a C data path, and one in Python for all others.

The compiler is zig's clang, of the package index: it has the headers of every libc that is built for, and
links against as old a glibc as is asked for. PEP 600, PEP 656

The wheel for this host alone is by its own compiler.
"""

import gzip
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final


@dataclass(frozen=True, slots=True)
class Target:
    """platform: of the wheel's tag; triple: as zig calls it; "" where zig is not asked."""

    platform: str
    triple: str = ""


PURE: Final = Target("any")
NATIVE: Final = Target("native")
EXTENSION: Final = "wgpy/_fastpath.abi3.so"
_OF_SETUPTOOLS: Final = {"setup.cfg", "wgpy.egg-info"}
TARGETS: Final = (  # all that are to be had without naming one
    Target("manylinux_2_17_x86_64", "x86_64-linux-gnu.2.17"),
    Target("manylinux_2_17_aarch64", "aarch64-linux-gnu.2.17"),
    Target("musllinux_1_2_x86_64", "x86_64-linux-musl"),
    Target("musllinux_1_2_aarch64", "aarch64-linux-musl"),
    PURE,
)


def build_sdist(clone: Path, folder: Path) -> Path:
    """Raises CalledProcessError."""
    return _normalize(_build("sdist", clone, folder, {}))


def _normalize(sdist: Path) -> Path:
    """Have a source distribution be the same from every clone and every source distribution.

    Without owners, modes and times of its files, and without what setuptools says of where it found them.
    """
    date = int(os.environ["SOURCE_DATE_EPOCH"])
    with TemporaryDirectory(dir=sdist.parent) as place:
        written = Path(place, sdist.name)
        with (
            tarfile.open(sdist) as old,
            written.open("wb") as file,
            gzip.GzipFile("", "wb", mtime=date, fileobj=file) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for member in sorted(old.getmembers(), key=lambda one: one.name):
                if member.isfile() and member.name.split("/")[1] not in _OF_SETUPTOOLS:
                    new.addfile(_normalized(member, date), old.extractfile(member))
        return written.replace(sdist)


def _normalized(member: tarfile.TarInfo, date: int) -> tarfile.TarInfo:
    new = tarfile.TarInfo(member.name)  # without the other's extended headers, where its time is as well
    new.size, new.mtime, new.mode = member.size, date, 0o755 if member.mode & 0o100 else 0o644
    return new


def build_wheel(source: Path, target: Target, folder: Path) -> Path:
    """source: as the source distribution has it, and without what another target has built.

    Raises CalledProcessError, or RuntimeError if the compiler has failed.
    """
    if target is PURE:
        return _build("wheel", source, folder, {"WGPY_PURE": "1"})
    compiler = f"{sys.executable} -m ziglang cc -target {target.triple}" if target.triple else "cc"
    # LDSHARED as some Pythons have it names a folder of the host that they were built on.
    variables = {"CC": compiler, "LDSHARED": f"{compiler} -shared -Wl,-s"}
    options = [f"--build-option=--plat-name={target.platform}"] if target.triple else []
    wheel = _build("wheel", source, folder, variables, *options)
    _check(wheel)
    return wheel


def _check(wheel: Path) -> None:
    """Raises RuntimeError if a wheel has no C: whoever installs from the source may do without."""
    with zipfile.ZipFile(wheel) as archive:
        if EXTENSION not in archive.namelist():
            wheel.unlink()
            raise RuntimeError(f"the C data path of {wheel.name} could not be built")


def _build(what: str, source: Path, folder: Path, variables: Mapping[str, str], *options: str) -> Path:
    with TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, "-m", "build", f"--{what}", "--no-isolation", "--outdir", place]
        command += [f"--config-setting={option}" for option in options]
        subprocess.run(
            [*command, str(source)], env={**os.environ, **variables}, check=True, stdout=subprocess.DEVNULL
        )
        (built,) = Path(place).iterdir()
        return built.replace(folder / built.name)
