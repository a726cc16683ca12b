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
from benchmarks.suite.record import Record

ROOT = Path(__file__).parents[2]
WRONG = ("env", "WGPY_DATAPATH=portable", sys.executable, str(Path(__file__).parent / "wrongdaemon.py"))
ROWS = "faithful,tcp1"
MEASURES = {measure.name: measure for measure in measures_of(read_rows(ROWS))}


@pytest.mark.slow
def test_daemons_that_drop_reorder_or_hang_are_shown_as_such(tmp_path: Path, program: str) -> None:
    if absent := [tool for tool in ("iperf3", "cc") if shutil.which(tool) is None]:
        pytest.skip(f"this host lacks {', '.join(absent)}")
    commands = {fault: shlex.join([*WRONG, fault, "-f"]) for fault in ("drop", "reorder", "hang")}
    commands["wgpyd"] = f"{program} -f"
    given = [word for name, command in commands.items() for word in ("--impl", f"{name}={command}")]
    file = tmp_path / "record.json"

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--rows", ROWS, *given,
         "--implementations", ",".join(commands), "--json", file],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip

    results = Record.read(file).results
    wrong = {
        (name, measure.name)
        for name in commands
        for measure in MEASURES.values()
        if any(sample >= measure.wrong_from for sample in results.taken(name, measure.name))
    }
    assert wrong >= {("drop", "udp_lost"), ("reorder", "udp_reordered")}
    # A host as busy as one with other tests on it may lose some of anybody's datagrams, but swaps none.
    assert ("wgpyd", "udp_reordered") not in wrong
    assert results.taken("wgpyd", "udp_lost") < results.taken("drop", "udp_lost")
    assert {failure.implementation for failure in results.failures} == {"hang"}
    assert "it hung" in results.failures[0].reason
    assert results.taken("wgpyd", "tcp_1")
    assert done.returncode == 1
