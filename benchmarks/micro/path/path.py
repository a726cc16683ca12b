"""How many instructions a packet costs in the whole C data path on 64-bit ARM, and how many in the cipher.

    python -m benchmarks.micro.path.path [--packets 1,8,45]

Both ways of a TCP packet of 1,420 bytes are counted, between system calls that do nothing: what the kernel
does is not in it. Outbound a superpacket is routed, cut, summed and sealed; inbound its datagrams are opened,
checked against replay and routes, summed and joined. What it costs to look whether there is anything is
counted by itself. It runs under QEMU, so the counts are exact and the same on every host; how long an
instruction takes they do not say. It needs qemu-user and a cross compiler (Debian: gcc-aarch64-linux-gnu).
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.compiler import BuildFailed, build

HERE: Final = Path(__file__).parent
PLUGIN: Final = HERE.parent / "aead" / "count_instructions.c"
WGPY: Final = HERE.parents[2] / "wgpy"
FASTPATH: Final = WGPY / "fastpath"
MOST_PACKETS: Final = 45  # of 1,420 bytes in 64 KiB
TIMES: Final = 4


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro.path.path",
        description="Count the instructions of the C data path on 64-bit ARM.",
    )
    parser.add_argument(
        "--packets", metavar="N,...", type=read_numbers, default="1,8,45",
        help="that a superpacket is cut into (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        try:
            program, plugin = _build(Path(folder))
        except BuildFailed as error:
            sys.exit(str(error))
        print(f"{'':>7}   {'outbound':^22}   {'inbound':^22}")
        print(f"{'packets':>7}   {'all':>6} {'seal':>6} {'beside':>8}   {'all':>6} {'open':>6} {'beside':>8}")
        for packets in options.packets:
            print(_line(packets, partial(_instructions, program, plugin, packets)))
        idle = _instructions(program, plugin, 1, "idle")
        print(f"A turn both ways, before anything is found: {idle:.0f}.")
    return 0


def read_numbers(text: str) -> list[int]:
    """Read N,... from 1 to as many packets as there are in a superpacket. Raises ArgumentTypeError."""
    numbers = [int(number) if number.isdecimal() else 0 for number in text.split(",")]
    if not all(1 <= number <= MOST_PACKETS for number in numbers):
        raise argparse.ArgumentTypeError(f"{text} is no list of numbers from 1 to {MOST_PACKETS}")
    return numbers


def read_count(text: str) -> int:
    """Read what the plugin printed. Raises ValueError."""
    _, found, number = text.rpartition("instructions: ")
    if not found:
        raise ValueError(f"the plugin said: {text.strip() or 'nothing'}")
    return int(number)


def _build(folder: Path) -> tuple[Path, Path]:
    """Build the program, and the plugin of the emulator. Raises BuildFailed."""
    sources = [HERE / "path_count.c", WGPY / "_fastpath.c", *sorted(FASTPATH.glob("*.c"))]
    program = build(
        folder / "path_count", sources, "-I", str(FASTPATH), "-pthread", "-static",
        compiler="aarch64-linux-gnu-gcc",
    )  # fmt: skip
    return program, build(folder / "plugin.so", [PLUGIN], "-shared", "-fPIC")


def _line(packets: int, cost: Callable[[str], float]) -> str:
    """Return a line of the table. cost: of a mode of the program, all that it does included."""
    ways = (
        (cost("out") - cost("copy"), cost("seal")),
        (cost("in") - cost("carry"), cost("open")),
    )
    cells = [f"{whole:>6.0f} {cipher:>6.0f} {whole - cipher:>8.0f}" for whole, cipher in ways]
    return f"{packets:>7}   {'   '.join(cells)}"


def _instructions(program: Path, plugin: Path, packets: int, mode: str) -> float:
    """Return a packet's: what twice as many runs take more, so the start does not count."""

    def executed(times: int) -> int:
        emulator = ["qemu-aarch64", "-plugin", str(plugin), "-d", "plugin"]
        command = [*emulator, str(program), mode, str(packets), str(times)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            sys.exit("qemu-aarch64 is not in PATH (Debian: qemu-user)")
        if done.returncode != 0 or done.stdout != "neon\n":
            sys.exit(f"{mode} failed: {done.stderr or done.stdout}")
        return read_count(done.stderr)

    return (executed(2 * TIMES) - executed(TIMES)) / TIMES / packets


if __name__ == "__main__":
    sys.exit(main())
