"""Programs in C that check parts of the C data path without Python around them."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

FASTPATH = Path(__file__).parents[2] / "wgpy/fastpath"
STRICT = ["-std=c11", "-O3", "-g", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
SANITIZERS = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# What an emulator can stand for: big-endian, 32 bits, and NEON where this machine is no ARM.
EMULATED = ["s390x-linux-gnu", "arm-linux-gnueabihf", "aarch64-linux-gnu"]


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"there is no {', '.join(missing)} here")


def emulator(target: str) -> str:
    return f"qemu-{target.partition('-')[0]}"


each_emulated_target = pytest.mark.parametrize(
    "target", [pytest.param(target, marks=needs(f"{target}-gcc", emulator(target))) for target in EMULATED]
)


def build(compiler: str, program: Path, sources: Iterable[Path], to: Path, *options: str) -> Path:
    """Build a program of sources and objects, file by file: so ccache, if it is used, knows each again."""
    built = to / program.stem
    objects = [compiled(compiler, source, to, *options) for source in (program, *sources)]
    subprocess.run([compiler, *options, "-o", str(built), *map(str, objects)], check=True)
    return built


def compiled(compiler: str, source: Path, to: Path, *options: str) -> Path:
    """Compile a source; an object is returned as it is."""
    if source.suffix == ".o":
        return source
    target = to / f"{source.stem}.o"
    options = tuple(option for option in options if not option.startswith("-Wl,"))
    command = [compiler, *STRICT, *options, "-I", str(FASTPATH), "-c", "-o", str(target), str(source)]
    subprocess.run(command, check=True)
    return target


def run(*command: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), input=given, capture_output=True, text=True)
