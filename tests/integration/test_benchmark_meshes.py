"""What is measured of a whole mesh, beside what others say of the same.

hub 198.18.0.2 ── router ── node0 198.18.1.2, node1 198.18.2.2, node2 198.18.3.2
"""

import re
import shutil
import sys
import time
from pathlib import Path

import pytest

from benchmarks.rows import meshsize, read_rows
from benchmarks.rows.meshsize import LATE, PACE, Grown, Processes
from benchmarks.suite import probe
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import memory_of
from benchmarks.suite.values import Kind
from tests.integration.hosts import Lab, add_addresses, connect, eventually
from tests.integration.meshlab import Coordinator, program

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"


def test_the_first_answer_comes_when_there_is_a_way_to_it_and_not_before(lab: Lab) -> None:
    left, right = lab.host("left"), lab.host("right")
    connect(left, "eth0", right, "eth0")
    pinging = left.start(sys.executable, "-I", "-S", probe.__file__, RIGHT, str(PACE))
    eventually(lambda: "probe.py" in pinging.proc("cmdline"), "it pings")
    add_addresses(right, "eth0", f"{RIGHT}/24")

    before = time.monotonic()
    add_addresses(left, "eth0", f"{LEFT}/24")
    answered = float(pinging.wait().output)

    assert before < answered < time.monotonic()


@pytest.fixture
def grown(lab: Lab, tmp_path: Path) -> Grown:
    mesh = Implementation("wgpy-mesh", Role.OURS, (program("wgpy"),), kind=Kind.MESH)
    (setting,) = read_rows("mesh3")
    made: Grown = setting.build(Turn(mesh, lab, 1, {}, tmp_path))
    return made


def test_a_mesh_is_as_large_as_it_says_and_all_of_its_processes_are_measured(
    grown: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("iperf3") is None:
        pytest.skip("this host lacks iperf3")
    monkeypatch.setattr(meshsize, "UNTIL_IDLE", 0)
    monkeypatch.setattr(meshsize, "WINDOW", 1)

    # A daemon that says that it knows the others, and has answered the first of them.
    assert len(grown.joins) == LATE
    assert min(grown.joins) > 0
    for node in grown.nodes:
        names = {peer.name for peer in node.status().peers}
        assert {other.name for other in (grown.hub, *grown.nodes) if other is not node} <= names
        assert Processes.of(node.host).pids == node.agents()
    server = Processes.of(grown.hub.host)
    assert sorted(server.pids) == sorted(grown.hub.agents() + Coordinator(grown.hub.host).processes())
    mappings = [Path(f"/proc/{pid}/smaps").read_text() for pid in server.pids]
    pss = sum(int(size) for text in mappings for size in re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE))
    assert memory_of(server.pids) == pytest.approx(pss / 1024, rel=0.05)

    ((row,),) = [setting.rows for setting in read_rows("mesh3")]
    samples = row.measure(grown, 1)

    assert set(samples) == {measure.name for measure in row.measures}
    assert samples["mesh3 tcp"] > 0
