"""One part of wgpy at a time, in tables: python -m benchmarks.micro"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.compiler import BuildFailed
from benchmarks.micro.aead import measure_aead
from benchmarks.micro.handshake import measure_handshake
from benchmarks.micro.path import measure_aead_arm64, measure_path
from benchmarks.micro.portable import measure_portable
from benchmarks.micro.table import Table
from benchmarks.micro.timing import ProgramFailed, measure_program
from benchmarks.suite.record import Machine

ROUNDS: Final = 15
QUICK_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """measure: fill a table, in so many rounds, with a folder for programs; BuildFailed, ProgramFailed."""

    name: str
    title: str
    measure: Callable[[Table, int, Path], None]


PARTS: Final = (
    Part("aead", "The cipher, a packet of 48, beside OpenSSL and libsodium", measure_aead),
    Part("routes", "Allowed IPs, a look-up among so many routes", measure_program("routes")),
    Part("replay", "The window of counters", measure_program("replay")),
    Part("superpackets", "Superpackets, each cut into packets of 1,420 bytes and joined again",
         measure_program("superpackets")),
    Part("checksum", "The Internet checksum", measure_program("checksum")),
    Part("handshake", "The handshake, in Python", measure_handshake),
    Part("portable", "The portable data path, in Python", measure_portable),
    Part("path", "The C data path on 64-bit ARM, instructions of a packet of 1,420 bytes", measure_path),
    Part("aead-arm64", "The cipher on 64-bit ARM, instructions of a packet of 48", measure_aead_arm64),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.json:
        try:
            options.json.touch()  # what takes minutes is not to be lost in the end
        except OSError as error:
            parser.error(f"{options.json} cannot be written: {error.strerror}")
    chosen = [part for part in PARTS if not options.parts or part.name in options.parts]
    rounds = QUICK_ROUNDS if options.quick else options.rounds
    tables: dict[str, Table] = {}
    with TemporaryDirectory() as folder:
        for part in chosen:
            print(f"{part.name} ...", file=sys.stderr)
            table = tables[part.name] = Table()
            try:
                part.measure(table, rounds, Path(folder))
            except (BuildFailed, ProgramFailed) as error:
                table.left_out.append(f"the rest: {error}" if table.samples else str(error))
            print(f"## {part.title}\n\n{table.markdown()}\n", flush=True)
    if options.json:
        found = {name: dataclasses.asdict(table) for name, table in tables.items()}
        record = {"machine": dataclasses.asdict(Machine.here()), "rounds": rounds, "parts": found}
        options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(part.name for part in PARTS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro",
        description="Measure the parts of wgpy one at a time, and print a table for each: medians with the "
        "least and most of all rounds. In a round everything that a table compares takes its turn.",
    )
    parser.add_argument("parts", nargs="*", metavar="NAME", type=_part, help=f"of a part: {names}; else all")
    parser.add_argument("--rounds", metavar="N", type=_rounds, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="two rounds, as a check that everything works")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every sample to a file")
    return parser


def _part(name: str) -> str:
    if name not in (part.name for part in PARTS):
        raise argparse.ArgumentTypeError(f"there is no part {name}")
    return name


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of rounds")
    return int(text)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted; the tables above are whole.")
