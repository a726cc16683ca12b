"""A benchmark shows who does wrong.

left: a daemon that drops, reorders or hangs, or a right one ==== right: the same
"""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rows import measures_of, read_rows
from benchmarks.suite.record import Record, Results

ROOT = Path(__file__).parents[2]
WRONG = ("env", "WGPY_DATAPATH=portable", sys.executable, str(Path(__file__).parent / "wrongdaemon.py"))
MEASURES = measures_of(read_rows("faithful"))


def measured(commands: dict[str, str], file: Path) -> tuple[int, Results]:
    """Run the benchmark of some daemons; return its exit status and results."""
    if absent := [tool for tool in ("iperf3", "cc") if shutil.which(tool) is None]:
        pytest.skip(f"this host lacks {', '.join(absent)}")
    given = [word for name, command in commands.items() for word in ("--impl", f"{name}={command}")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--rows", "faithful,tcp1", *given,
         "--implementations", ",".join(commands), "--json", file],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    return done.returncode, Record.read(file).results


def wrongly(fault: str) -> str:
    return shlex.join([*WRONG, fault, "-f"])


def test_daemons_that_drop_or_reorder_are_shown_as_such(tmp_path: Path, program: str) -> None:
    commands = {"drop": wrongly("drop"), "reorder": wrongly("reorder"), "wgpyd": f"{program} -f"}

    status, results = measured(commands, tmp_path / "record.json")

    wrong = {
        (name, measure.name)
        for name in commands
        for measure in MEASURES
        if any(sample >= measure.wrong_from for sample in results.taken(name, measure.name))
    }
    assert wrong >= {("drop", "udp_lost"), ("reorder", "udp_reordered")}
    # A host as busy as one with other tests on it may lose some of anybody's datagrams, but swaps none.
    assert ("wgpyd", "udp_reordered") not in wrong
    assert results.taken("wgpyd", "udp_lost") < results.taken("drop", "udp_lost")
    assert all(results.taken(name, "tcp_1") for name in commands)
    assert status == 0


def test_a_daemon_that_hangs_is_shown_as_such(tmp_path: Path) -> None:
    status, results = measured({"hang": wrongly("hang")}, tmp_path / "record.json")

    assert [failure.implementation for failure in results.failures] == ["hang"]
    assert "it hung" in results.failures[0].reason
    assert not results.taken("hang", "tcp_1")
    assert status == 1
