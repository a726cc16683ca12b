"""The benchmark between namespaces, as its readers run it.

left: wgpyd, wireguard-go, one that is broken, the limit ==== right: the same
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.netns.measures import MEASURES
from tests.integration.hosts import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _tools() -> None:
    if absent := [tool for tool in ("iperf3", "wireguard-go", "cc") if shutil.which(tool) is None]:
        pytest.skip(f"this host lacks {', '.join(absent)}")


def benchmark(mark: Path, *options: str | Path) -> subprocess.Popen[str]:
    """Start a quick benchmark, as a terminal does; all its processes bear the mark, where its files go."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.netns", "--quick", *options],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(mark)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def marked(mark: Path) -> Sequence[str]:
    """Return the processes that bear a mark; a namespace lives in its processes only."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone in the meantime
            if f"TMPDIR={mark}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
    return found


@pytest.mark.slow
def test_a_round_measures_what_works_and_names_what_does_not(tmp_path: Path, program: str) -> None:
    record = tmp_path / "record.json"
    given = ("--impl", f"wgpyd={program} -f", "--impl", "broken=false")
    names = ("--implementations", "wgpyd,wireguard-go,broken,limit")

    running = benchmark(tmp_path, *given, *names, "--json", record)
    table, _ = running.communicate(timeout=200)

    found = json.loads(record.read_text())
    assert [failure["implementation"] for failure in found["failures"]] == ["broken"]
    assert "- broken, round 1, starting: the daemon ended with status 1: it said nothing" in table
    assert running.returncode == 1
    for name in ("wgpyd", "wireguard-go", "limit"):
        assert set(found["samples"][name]) == {measure.name for measure in MEASURES}
        assert all(len(taken) == 1 and taken[0] > 0 for taken in found["samples"][name].values())
    assert list(tmp_path.iterdir()) == [record]
    eventually(lambda: not marked(tmp_path), "every process of the benchmark is gone")


def test_an_interrupted_run_shows_what_it_has_and_leaves_nothing(tmp_path: Path) -> None:
    running = benchmark(tmp_path, "--implementations", "wireguard-go,limit")
    eventually(lambda: len(marked(tmp_path)) > 5, "hosts, daemons and tools run", within=90)

    os.killpg(running.pid, signal.SIGINT)  # as Ctrl-C does
    table, progress = running.communicate(timeout=30)

    assert running.returncode == 130
    assert "Interrupted" in progress
    assert "Traceback" not in progress
    assert "TCP, 1 stream" in table
    assert list(tmp_path.iterdir()) == []
    eventually(lambda: not marked(tmp_path), "every process of the benchmark is gone")
