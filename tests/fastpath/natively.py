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
    built = to / program.stem
    command = [compiler, *STRICT, *options, "-I", str(FASTPATH), "-o", str(built), str(program)]
    subprocess.run([*command, *map(str, sources)], check=True)
    return built


def run(*command: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), input=given, capture_output=True, text=True)
