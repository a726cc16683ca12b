"""Timing in C and in Python: candidates take turns, so that other load affects all alike."""

import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Final

from benchmarks.compiler import build
from benchmarks.micro.table import Table

HERE: Final = Path(__file__).parent
WGPY: Final = HERE.parents[1] / "wgpy"
FASTPATH: Final = WGPY / "fastpath"
SLICE: Final = 2_000_000  # nanoseconds, about: how long a turn is in Python


class ProgramFailed(Exception):
    """A program of a part failed; the message has the reason."""


def build_part(folder: Path, name: str, *options: str, compiler: str = "cc") -> Path:
    """Build one of the programs here with the C data path, which is built once. Raises BuildFailed."""
    include = ("-I", str(FASTPATH))
    data_path = folder / f"{compiler}.o"
    if not data_path.exists():
        build(
            data_path,
            [WGPY / "_fastpath.c", *sorted(FASTPATH.glob("*.c"))],
            *include,
            "-r",
            compiler=compiler,
        )
    program = [HERE / f"{name}.c", data_path]
    return build(folder / name, program, *include, "-pthread", *options, compiler=compiler)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> tuple[str, str]:
    """Return what a program printed, on standard output, and on standard error. Raises ProgramFailed."""
    words = list(map(str, command))
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError:
        raise ProgramFailed(f"{words[0]} is not in PATH") from None
    if done.returncode != 0:
        name = Path(words[0]).name
        raise ProgramFailed(
            f"{name} ended with status {done.returncode}: {done.stderr.strip() or 'no reason'}"
        )
    return done.stdout, done.stderr


def measure_program(name: str) -> Callable[[Table, int, Path], None]:
    """Return what measures a part that is a program in C and nothing else."""

    def measure(table: Table, rounds: int, folder: Path) -> None:
        printed, _ = run(build_part(folder, name), str(rounds))
        table.read(printed)

    return measure


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function to time. size: bytes of one call, if there is a rate."""

    line: str
    call: Callable[[], object]
    column: str = ""
    size: int = 0


def take_turns(candidates: Iterable[Candidate]) -> Callable[[], Iterator[tuple[Candidate, float]]]:
    """Return a round: each candidate, and the nanoseconds that a call took in its turn."""
    turns: Sequence[tuple[Candidate, int]] = [(one, 1 + SLICE // _timed(one, 1)) for one in candidates]

    def take() -> Iterator[tuple[Candidate, float]]:
        for one, calls in turns:
            yield one, _timed(one, calls) / calls

    return take


def _timed(candidate: Candidate, calls: int) -> int:
    call = candidate.call
    call()
    began = perf_counter_ns()
    for _ in range(calls):
        call()
    return perf_counter_ns() - began
