"""How fast the C data path's cipher is beside OpenSSL, which takes one packet at a time. One core.

    python benchmarks/micro/aead/aead.py [--rounds N] [--all]
    python benchmarks/micro/aead/aead.py --arm64 ROOT

The first times every kernel of this processor, OpenSSL held to the same instruction set; the
implementations take turns, and medians are printed: first from one place to another, then as the data path
does it, in place and behind a header, sealed and opened again. It needs a C compiler and OpenSSL's headers
(Debian: libssl-dev). Other load on the host makes all figures worse, and those of the kernels most, for
they keep every unit of the core busy.

The second counts the instructions that 64-bit ARM would execute, under QEMU. It needs qemu-user, a cross
compiler (gcc-aarch64-linux-gnu), and below ROOT the unpacked packages libssl-dev and libssl3 for arm64.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
FASTPATH = HERE.parents[2] / "wgpy/fastpath"
SOURCES = [HERE / "aead_bench.c", *sorted(FASTPATH.glob("aead*.c"))]

# What takes AVX-512 from OpenSSL: F, DQ, IFMA, CD, BW and VL.
MASKS = {"avx512": {}, "avx2": {"OPENSSL_ia32cap": ":~0xdc230000"}}
LENGTHS, BATCHES = "64,512,1420", "1,4,8,32"
SUPERPACKET_LENGTHS, SUPERPACKET_BATCH = "1420", ",45"  # what a superpacket of 64 KiB makes
ALL_LENGTHS = "0,16,64,128,256,300,512,576,700,1000,1200,1420,1500,2000"
ALL_BATCHES = "1,2,3,4,5,7,8,9,16,32,64"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the C data path's cipher beside OpenSSL.")
    parser.add_argument("--rounds", type=int, default=101, help="turns of each implementation (%(default)s)")
    parser.add_argument("--all", action="store_true", help="many more lengths and batches")
    parser.add_argument("--arm64", metavar="ROOT", type=Path, help="count instructions of 64-bit ARM instead")
    options = parser.parse_args()

    lengths, batches = (ALL_LENGTHS, ALL_BATCHES) if options.all else (LENGTHS, BATCHES)
    with TemporaryDirectory() as folder:
        if options.arm64:
            count(Path(folder), options.arm64, lengths, batches)
        else:
            program = build(Path(folder), "cc", "-lcrypto")
            for kernel, environment in MASKS.items():
                turns = Turns(program, kernel, os.environ | environment, options.rounds)
                turns.print_apart(lengths, batches)
                turns.print_in_place(SUPERPACKET_LENGTHS, batches + SUPERPACKET_BATCH)


def build(folder: Path, compiler: str, *options: str) -> Path:
    program = folder / "aead_bench"
    command = [
        compiler,
        "-std=c11",
        "-O3",
        "-fPIC",
        "-I",
        str(FASTPATH),
        "-o",
        str(program),
        *map(str, SOURCES),
    ]
    subprocess.run([*command, *options], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Turns:
    """OpenSSL and a kernel take turns; OpenSSL's environment holds it to the kernel's instruction set."""

    program: Path
    kernel: str
    environment: dict[str, str]
    rounds: int

    def print_apart(self, lengths: str, batches: str) -> None:
        measured = self._measure("time", lengths, batches)
        if not measured:
            return
        print(f"\n{self.kernel}, GB/s of plaintext, and times OpenSSL's")
        print(f"{'bytes':>6} {'batch':>5}   {'OpenSSL seal  open':>18}   {'kernel seal  open':>17}   ratio")
        for length, batch, sealed, opened, our_sealed, our_opened in measured:
            theirs = f"{length / sealed:>12.2f} {length / opened:>5.2f}"
            ours = f"{length / our_sealed:>11.2f} {length / our_opened:>5.2f}"
            ratios = f"{sealed / our_sealed:.2f} {opened / our_opened:.2f}"
            print(f"{length:>6.0f} {batch:>5.0f}   {theirs}   {ours}   {ratios}")

    def print_in_place(self, lengths: str, batches: str) -> None:
        measured = self._measure("pairs", lengths, batches)
        if not measured:
            return
        print(f"\n{self.kernel}, in place, sealed and opened: GB/s of plaintext")
        print(f"{'bytes':>6} {'batch':>5}   {'OpenSSL':>7} {'kernel':>7}   ratio")
        for length, batch, theirs, ours in measured:
            speeds = f"{length / theirs:>7.2f} {length / ours:>7.2f}"
            print(f"{length:>6.0f} {batch:>5.0f}   {speeds}   {theirs / ours:.2f}")

    def _measure(self, what: str, lengths: str, batches: str) -> list[list[float]]:
        """A row per length and batch: both, and nanoseconds a packet. Empty where there is no such kernel."""
        command = [str(self.program), what, self.kernel, lengths, batches, str(self.rounds)]
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if result.returncode == 3:
            print(result.stderr.strip(), file=sys.stderr)
            return []
        result.check_returncode()
        return [list(map(float, line.split())) for line in result.stdout.splitlines()]


def count(folder: Path, root: Path, lengths: str, batches: str) -> None:
    plugin = folder / "count_instructions.so"
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "-o", str(plugin), str(HERE / "count_instructions.c")], check=True
    )
    headers = [root / "usr/include", root / "usr/include/aarch64-linux-gnu"]
    library = root / "usr/lib/aarch64-linux-gnu/libcrypto.a"
    options = ["-static", "-Wl,--no-warnings", *(f"-I{header}" for header in headers), str(library)]
    program = build(folder, "aarch64-linux-gnu-gcc", *options)

    print("neon, instructions a byte of plaintext, seal and open together, and by OpenSSL's")
    print(f"{'bytes':>6} {'batch':>5}   {'OpenSSL':>7} {'kernel':>7}   ratio")
    for length, batch in pairs(lengths, batches):
        theirs = instructions(program, plugin, "openssl", length, batch) / max(length, 1)
        ours = instructions(program, plugin, "neon", length, batch) / max(length, 1)
        print(f"{length:>6} {batch:>5}   {theirs:>7.2f} {ours:>7.2f}   {ours / theirs:.2f}")


def pairs(lengths: str, batches: str) -> Iterator[tuple[int, int]]:
    for length in lengths.split(","):
        for batch in batches.split(","):
            yield int(length), int(batch)


def instructions(program: Path, plugin: Path, name: str, length: int, batch: int) -> float:
    """A packet's, sealed or opened: what four runs take more than two, so the start does not count."""

    def executed(times: int) -> int:
        command = ["qemu-aarch64", "-plugin", str(plugin), "-d", "plugin", str(program), "run", name]
        result = subprocess.run(
            [*command, str(length), str(batch), str(times)], capture_output=True, text=True, check=True
        )
        return int(result.stderr.rpartition("instructions:")[2])

    return (executed(4) - executed(2)) / 2 / 2 / batch


if __name__ == "__main__":
    main()
