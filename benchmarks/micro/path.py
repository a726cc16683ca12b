"""Instructions on 64-bit ARM: of a packet's whole way through the C data path, and of the cipher by itself.

Both ways of a TCP packet of 1,420 bytes are counted, between system calls that do nothing: what the kernel
does is not in it. Outbound a superpacket is routed, cut, summed and sealed; inbound its datagrams are opened,
checked against replay and routes, summed and joined. What it costs to look whether there is anything is
counted by itself, as is what a policy that permits everything costs, both ways together, a rule of a port,
10,000 of them, a site with a rule, and a thousand sites with thousands of rules. It runs under QEMU, so the
counts are exact and the same on every host; how long an instruction takes they do not say. It needs qemu-user
and a cross compiler (Debian: gcc-aarch64-linux-gnu).
"""

from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.compiler import build
from benchmarks.micro.aead import build_aead
from benchmarks.micro.table import Table
from benchmarks.micro.timing import HERE, build_part, run

PACKETS: Final = (1, 8, 45)  # that a superpacket of up to 64 KiB is cut into
TIMES: Final = 4
COMPILER: Final = "aarch64-linux-gnu-gcc"
EMULATOR: Final = "qemu-aarch64"
# path.c says what they do.
MODES: Final = ("copy", "out", "carry", "in", "permit", "rule", "rules", "site", "crowd", "seal", "open")
OPENSSL_MISSING: Final = (
    "OpenSSL: the cross compiler does not find it (Debian: libssl-dev:arm64; where that is only unpacked, "
    "CPATH and LIBRARY_PATH say where)"
)


def measure_path(table: Table, _rounds: int, folder: Path) -> None:
    """Raises BuildFailed, ProgramFailed."""
    program = build_part(folder, "path", "-static", compiler=COMPILER)
    count = partial(_instructions, _build_plugin(folder), program)
    for packets in PACKETS:
        line, cost = f"{packets} at once", {mode: count(mode, str(packets)) / packets for mode in MODES}
        for way, whole, cipher in (
            ("out", cost["out"] - cost["copy"], cost["seal"]),
            ("in", cost["in"] - cost["carry"], cost["open"]),
        ):
            table.add(line, f"{way}, all", whole)
            table.add(line, f"{way}, cipher", cipher)
            table.add(line, f"{way}, beside", whole - cipher)
        table.add(line, "policy", cost["permit"] - cost["in"])
        table.add(line, "1 rule", cost["rule"] - cost["in"])
        table.add(line, "10,000 rules", cost["rules"] - cost["in"])
        table.add(line, "1 site, 1 rule", cost["site"] - cost["in"])
        table.add(line, "1,000 sites, many rules", cost["crowd"] - cost["in"])
    table.add("a turn both ways for nothing", "out, all", count("idle", "1"))


def measure_aead_arm64(table: Table, _rounds: int, folder: Path) -> None:
    """Raises BuildFailed, ProgramFailed."""
    program, with_openssl = build_aead(folder, "-static", "-Wl,--no-warnings", compiler=COMPILER)
    if not with_openssl:
        table.left_out.append(OPENSSL_MISSING)
    plugin = _build_plugin(folder)
    listed, left_out = run(EMULATOR, program, "list")
    table.left_out.extend(left_out.splitlines())
    for number, text in enumerate(listed.splitlines()):
        line, column, each = text.split("\t")
        table.add(line, column, _instructions(plugin, program, "run", str(number)) / float(each))


def read_count(text: str) -> int:
    """Read what the plugin printed. Raises ValueError."""
    _, found, number = text.rpartition("instructions: ")
    if not found:
        raise ValueError(f"the plugin printed: {text.strip() or 'nothing'}")
    return int(number)


def _build_plugin(folder: Path) -> Path:
    """Build the counter for the emulator. Raises BuildFailed."""
    return build(folder / "plugin.so", [HERE / "count_instructions.c"], "-shared", "-fPIC")


def _instructions(plugin: Path, program: Path, *arguments: str) -> float:
    """Return those of one time: what twice as many times take more, so the start does not count."""

    def executed(times: int) -> int:
        _, output = run(EMULATOR, "-plugin", plugin, "-d", "plugin", program, *arguments, str(times))
        return read_count(output)

    return (executed(2 * TIMES) - executed(TIMES)) / TIMES
