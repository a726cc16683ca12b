"""The parts one at a time: every part gives figures that can be, and names what it lacks."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.micro.path import read_count
from benchmarks.micro.table import Table

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "benchmarks/micro"
STRICT = ("-std=c11", "-O3", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only")
EMULATED = ["path", "aead-arm64"]

# Lines of each part that have to be there on every host, and all columns of its first line.
EXPECTED = {
    "aead": (
        {"1,420 B, portable, 8 at once", "64 B, portable, 48 at once", "0 B, PyNaCl, by Python"},
        {f"{what}, {unit}" for what in ("seal", "open", "both in place") for unit in ("ns", "GB/s")},
    ),
    "routes": (
        {"IPv4 hosts, 1", "IPv4, /16 to /32, 100,000", "IPv6 hosts, 1,000", "IPv6, /32 to /64, 10"},
        {"memory, B/route", "warm, ns", "cold, ns"},
    ),
    "replay": (
        {"in order", "up to 64 out of order", "up to 4,096 out of order", "seen before"},
        {"a check, ns"},
    ),
    "superpackets": (
        {"TCP4, 47 packets", "TCP6, 48 packets", "UDP4, 47 packets", "UDP6, 2 packets"},
        {f"{what}, {unit}" for what in ("segment", "coalesce") for unit in ("ns", "GB/s")},
    ),
    "checksum": (
        {"20 B, an IPv4 header", "65,535 B"},
        {f"{what}, {unit}" for what in ("sum", "sum and copy", "copy alone") for unit in ("ns", "GB/s")},
    ),
    "handshake": (
        {"create initiation", "consume initiation", "create cookie reply", "session: both keys",
         "engine: a handshake as responder", "engine: a cookie reply under load"},
        {"µs", "1/s"},
    ),
    "portable": (
        {"1,420 B: seal", "64 B: open", "look-up past 33 prefix lengths"},
        {"µs", "1,000/s", "Mbit/s"},
    ),
    "path": (
        {"1 at once", "45 at once"},
        {f"{way}, {what}" for way in ("out", "in") for what in ("all", "cipher", "beside")}
        | {"policy", "1 rule", "10,000 rules", "1 site, 1 rule", "1,000 sites, many rules"},
    ),
    "aead-arm64": ({"1,420 B, neon, 8 at once"}, {"seal", "open", "both in place"}),
}  # fmt: skip


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"there is no {', '.join(missing)} here")


def micro(*options: str | Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.micro", *options],
        cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.timeout(900)  # two compilers' work, and an emulator's
@needs("cc")
@pytest.mark.parametrize("names", [
    pytest.param([name for name in EXPECTED if name not in EMULATED], id="timed"),
    pytest.param(EMULATED, id="counted", marks=needs("qemu-aarch64", "aarch64-linux-gnu-gcc")),
])  # fmt: skip
def test_every_line_of_every_part_has_figures_that_can_be(names: list[str], tmp_path: Path) -> None:
    record = tmp_path / "record.json"

    done = micro("--quick", "--json", record, *names)

    assert done.returncode == 0, done.stderr
    parts = json.loads(record.read_text())["parts"]
    assert list(parts) == names
    for name in names:
        lines, columns = EXPECTED[name]
        samples = parts[name]["samples"]
        assert lines <= samples.keys()
        assert set(next(iter(samples.values()))) == columns
        taken = [sample for line in samples.values() for cell in line.values() for sample in cell]
        assert all(math.isfinite(sample) and sample > 0 for sample in taken)
        for line in lines:
            assert f"| {line} " in done.stdout


def test_a_part_without_its_tools_is_left_out_by_name_and_the_next_one_goes_on(tmp_path: Path) -> None:
    done = micro("--quick", "replay", "path", "handshake", path=str(tmp_path))

    assert done.returncode == 0, done.stderr
    assert "there is no C compiler: cc is not in PATH" in done.stdout
    assert "aarch64-linux-gnu-gcc is not in PATH" in done.stdout
    assert "| create initiation " in done.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [(["aed"], "there is no part aed"), (["--rounds", "0"], "0 is no number of rounds")],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(options: list[str], reason: str) -> None:
    done = micro(*options)

    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.parametrize("compiler", [pytest.param(name, marks=needs(name)) for name in ("gcc", "clang")])
def test_the_programs_have_no_warnings(compiler: str) -> None:
    command = [compiler, *STRICT, "-I", str(ROOT / "wgpy/fastpath"), *map(str, MICRO.glob("*.c"))]

    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_lines_and_columns_keep_their_order_and_show_the_spread_of_their_samples() -> None:
    table = Table()
    table.read("b\tns\t3\nb\tGB/s\t0.5\na\tns\t7\nb\tns\t1\nb\tns\t1.5\n")

    header, _, first, second = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.markdown().splitlines()
    ]

    assert header == ["", "ns", "GB/s"]
    assert first == ["b", "1.50 (1.00..3.00)", "0.50"]
    assert second == ["a", "7.00", "-"]


def test_what_was_left_out_stands_below_the_table_or_alone() -> None:
    whole, empty = Table({"a": {"ns": [1.0]}}, ["no b here"]), Table(left_out=["no c here"])

    assert whole.markdown().splitlines()[-3:] == ["Left out:", "", "- no b here"]
    assert empty.markdown().strip().splitlines() == ["Left out:", "", "- no c here"]


def test_instructions_are_read_behind_whatever_else_the_emulator_says() -> None:
    assert read_count("qemu-aarch64: a warning\ninstructions: 123456\n") == 123456


@pytest.mark.parametrize("text", ["qemu-aarch64: unknown option\n", ""])
def test_an_emulator_that_did_not_count_says_why(text: str) -> None:
    with pytest.raises(ValueError, match=text.strip() or "nothing"):
        read_count(text)
