"""The C compiler, for the programs of the benchmarks: built for each run, in a temporary folder."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


class BuildFailed(Exception):
    """A program could not be built; the message has the compiler's output."""


def build(program: Path, sources: Sequence[Path], *options: str, compiler: str = "cc") -> Path:
    """Build a program and return its path. Raises BuildFailed."""
    command = [compiler, "-std=c11", "-O3", "-o", str(program), *map(str, sources), *options]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except FileNotFoundError:
        raise BuildFailed(f"there is no C compiler: {compiler} is not in PATH") from None
    if done.returncode != 0:
        raise BuildFailed(f"the C compiler failed:\n{done.stdout}")
    return program
