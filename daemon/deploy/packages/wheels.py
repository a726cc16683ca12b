"""The wheels: one for each kind of Linux that has a C data path, and one in Python for all others.

The compiler is zig's clang, of the package index: it has the headers of every libc that is built for, and
links against as old a glibc as is asked for. PEP 600, PEP 656
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final


@dataclass(frozen=True, slots=True)
class Target:
    """platform: of the wheel's tag; triple: as zig calls it; "" for the wheel without C."""

    platform: str
    triple: str = ""


PURE: Final = Target("any")
TARGETS: Final = (
    Target("manylinux_2_17_x86_64", "x86_64-linux-gnu.2.17"),
    Target("manylinux_2_17_aarch64", "aarch64-linux-gnu.2.17"),
    Target("musllinux_1_2_x86_64", "x86_64-linux-musl"),
    Target("musllinux_1_2_aarch64", "aarch64-linux-musl"),
    PURE,
)


def build_sdist(clone: Path, folder: Path) -> Path:
    """Raises CalledProcessError."""
    return _build("sdist", clone, folder, {})


def build_wheel(source: Path, target: Target, folder: Path) -> Path:
    """source: as the source distribution has it, and without what another target has built.

    Raises CalledProcessError.
    """
    if target is PURE:
        return _build("wheel", source, folder, {"WGPY_PURE": "1"})
    compiler = f"{sys.executable} -m ziglang cc -target {target.triple}"
    variables = {"CC": compiler, "LDSHARED": f"{compiler} -shared -Wl,-s"}
    return _build("wheel", source, folder, variables, f"--build-option=--plat-name={target.platform}")


def _build(what: str, source: Path, folder: Path, variables: Mapping[str, str], *options: str) -> Path:
    with TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, "-m", "build", f"--{what}", "--no-isolation", "--outdir", place]
        command += [f"--config-setting={option}" for option in options]
        subprocess.run(
            [*command, str(source)], env={**os.environ, **variables}, check=True, stdout=subprocess.DEVNULL
        )
        (built,) = Path(place).iterdir()
        return built.replace(folder / built.name)
