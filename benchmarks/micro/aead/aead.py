"""How fast the C data path's cipher is beside OpenSSL, which takes one packet at a time. One core.

    python benchmarks/micro/aead/aead.py [--rounds N] [--all]
    python benchmarks/micro/aead/aead.py --arm64 ROOT

The first times every kernel of this processor, OpenSSL held to the same instruction set; the
implementations take turns, and medians are printed. It needs a C compiler and OpenSSL's headers
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
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
FASTPATH = HERE.parents[2] / "wgpy/fastpath"
SOURCES = [HERE / "aead_bench.c", *sorted(FASTPATH.glob("aead*.c"))]

# What takes AVX-512 from OpenSSL: F, DQ, IFMA, CD, BW and VL.
MASKS = {"avx512": {}, "avx2": {"OPENSSL_ia32cap": ":~0xdc230000"}}
LENGTHS, BATCHES = "64,512,1420", "1,4,8,32"
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
            for kernel, environment in MASKS.items():
                time(
                    build(Path(folder), "cc", "-lcrypto"),
                    kernel,
                    environment,
                    lengths,
                    batches,
                    options.rounds,
                )


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


def time(
    program: Path, kernel: str, environment: dict[str, str], lengths: str, batches: str, rounds: int
) -> None:
    command = [str(program), "time", kernel, lengths, batches, str(rounds)]
    result = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if result.returncode == 3:
        print(result.stderr.strip(), file=sys.stderr)
        return
    result.check_returncode()

    print(f"\n{kernel}, GB/s of plaintext, and times OpenSSL's")
    print(f"{'bytes':>6} {'batch':>5}   {'OpenSSL seal  open':>18}   {'kernel seal  open':>17}   ratio")
    for line in result.stdout.splitlines():
        length, batch, *times = line.split()
        sealed, opened, our_sealed, our_opened = map(float, times)
        theirs = f"{int(length) / sealed:>12.2f} {int(length) / opened:>5.2f}"
        ours = f"{int(length) / our_sealed:>11.2f} {int(length) / our_opened:>5.2f}"
        ratios = f"{sealed / our_sealed:.2f} {opened / our_opened:.2f}"
        print(f"{length:>6} {batch:>5}   {theirs}   {ours}   {ratios}")


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
