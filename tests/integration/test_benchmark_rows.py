"""What a benchmark measures, beside what somebody else says of the same; and the wire that delays and loses.

left wg0 ==== wg0 right            left eth0 ---- eth0 middle eth1 ---- eth0 right
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest

from benchmarks.compiler import build
from benchmarks.rows import datagrams as udp
from benchmarks.rows import latency, read_rows, streams
from benchmarks.rows.lossy import DELAY, LEFT_MIDDLE, RIGHT, SOURCE, Lossy, Way, join, lossy
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.namespaces import INSIDE, INTERFACE, PORT, tunnel
from benchmarks.suite.probe import TIMEOUT
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import cpu, datagrams, memory, pings, stream
from tests.integration.hosts import Lab, eventually

# One of each kind that only the full plan has: what differs in nothing but a number is not there twice.
FULL_ROWS = "pinglong,tcp16,back4,both4,busylong,udp1380,rate512,delay,loss1"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
ROUND_TRIP = 2 * DELAY / 1000
COUNT = 4000
SEND = f"""
import socket, time
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range({COUNT}):
    here.sendto(number.to_bytes(4, "big"), ("{LEFT_MIDDLE}", {PORT}))
    if number % 50 == 0:
        time.sleep(0.001)
"""
RECEIVE = f"""
import json, socket
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
here.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
here.bind(("{RIGHT}", {PORT}))
here.settimeout(60)  # until who sends has begun
numbers = []
try:
    while True:
        numbers.append(int.from_bytes(here.recv(2048), "big"))
        here.settimeout(2)
except TimeoutError:
    print(json.dumps(numbers))
"""


@pytest.fixture(autouse=True)
def _tools() -> None:
    if absent := [tool for tool in ("iperf3", "cc") if shutil.which(tool) is None]:
        pytest.skip(f"this host lacks {', '.join(absent)}")


@pytest.fixture
def turn(lab: Lab, program: str, tmp_path: Path) -> Turn:
    daemon = Implementation("wgpyd", Role.OURS, (program, "-f", "{interface}"))
    return Turn(daemon, lab, 1, {}, tmp_path)


def test_every_kind_of_row_of_the_full_plan_measures_what_it_says(
    turn: Turn, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "TAIL_PINGS", 1000)  # a few show what 5,000 would
    monkeypatch.setattr(udp, "FINE", 1.5)
    for setting in read_rows(FULL_ROWS):
        built = setting.build(turn)
        for row in setting.rows:
            samples = row.measure(built, 1)

            assert set(samples) == {measure.name for measure in row.measures}
            assert all(sample > 0 for sample in samples.values()), samples
        lab.power_off()


# -- Beside what others say ------------------------------------------------------------------------


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group that counts the CPU time of its processes, whatever /proc says of them."""
    mounts = re.findall(r"^\S+ (\S+) cgroup2 ", Path("/proc/mounts").read_text(), re.MULTILINE)
    if not mounts:
        pytest.skip("this host has no cgroup2")
    group = Path(mounts[0]) / f"wgpy-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    yield group
    eventually(lambda: (group / "cgroup.procs").read_text() == "", "the group's processes are gone")
    group.rmdir()


def test_cpu_time_is_what_the_control_group_counts(group: Path, turn: Turn, lab: Lab) -> None:
    pair = tunnel(turn)
    for daemon in pair.daemons:
        (group / "cgroup.procs").write_text(str(daemon.pid))

    def counted() -> float:
        usage = re.search(r"^usage_usec (\d+)$", (group / "cpu.stat").read_text(), re.MULTILINE)
        assert usage is not None
        return int(usage[1]) / 1e6

    before = cpu(pair.daemons), counted()
    stream(pair.left, pair.right, INSIDE[1], 1)
    after = cpu(pair.daemons), counted()
    lab.power_off()

    assert after[0] - before[0] == pytest.approx(after[1] - before[1], rel=0.05, abs=0.04)


def test_a_rate_is_what_the_interfaces_count(turn: Turn) -> None:
    pair = tunnel(turn)

    def counted() -> int:
        return int(pair.right.run("cat", f"/sys/class/net/{INTERFACE}/statistics/rx_bytes"))

    before = counted()
    transfer = stream(pair.left, pair.right, INSIDE[1], 1)

    # Headers are counted too, and what came when iperf3 had ended.
    assert transfer.bytes <= (counted() - before) <= transfer.bytes * 1.15


def test_a_stream_by_cubic_is_controlled_by_it(turn: Turn) -> None:
    pair = tunnel(turn)

    with ThreadPoolExecutor(1) as others:
        measured = others.submit(streams.CUBIC.measure, pair, 3)
        eventually(lambda: " cubic " in pair.left.run("ss", "-Htin", "dst", INSIDE[1]), "the kernel says so")

    assert all(sample > 0 for sample in measured.result().values())


def test_memory_is_the_sum_of_all_mappings(turn: Turn) -> None:
    daemon, _ = tunnel(turn).daemons

    mappings = re.findall(r"^Pss:\s+(\d+) kB", Path(f"/proc/{daemon.pid}/smaps").read_text(), re.MULTILINE)

    assert memory(daemon) == pytest.approx(sum(map(int, mappings)) / 1024, rel=0.05)


def test_pings_take_what_the_tool_ping_says(turn: Turn) -> None:
    far = lossy(turn)

    with far.losing(0):
        tool = far.left.start("ping", "-n", "-c", "50", "-i", "0.02", INSIDE[1])
        times = pings(far.left, INSIDE[1], 500)
        said = re.findall(r"time=([\d.]+) ms", tool.wait().output)

    assert median(times) >= ROUND_TRIP
    assert median(times) == pytest.approx(median(map(float, said)) / 1000, rel=0.2)


def test_lost_datagrams_are_those_that_the_wire_lost(turn: Turn) -> None:
    far = lossy(turn)

    with far.losing(5) as ways:
        came = datagrams(far.left, far.right, INSIDE[1], 2, 4e6, 1000)

    to_right, _ = ways
    assert came.lost == pytest.approx(to_right.lost / to_right.came, abs=0.015)
    assert came.out_of_order == 0


def test_pings_are_lost_where_the_wire_lost_them(turn: Turn) -> None:
    far = lossy(turn)

    with far.losing(5) as ways:
        times = pings(far.left, INSIDE[1], 500)

    assert times.count(TIMEOUT) == pytest.approx(sum(way.lost for way in ways), abs=5)


# -- The wire that delays and loses ----------------------------------------------------------------


@pytest.fixture
def hosts(lab: Lab, tmp_path: Path) -> Lossy:
    """No daemons, and so no tunnel."""
    program = build(tmp_path / "delay", [SOURCE], *WARNINGS)
    left, middle, right = (lab.host(name) for name in ("left", "middle", "right"))
    join(left, middle, right)
    return Lossy(left, middle, right, program, seed=1)


def delivered(hosts: Lossy, percent: int) -> tuple[list[int], Way]:
    """Send numbered datagrams from left to right; return those that came, and what the wire said of them."""
    with hosts.losing(percent) as ways:
        receiver = hosts.right.start(sys.executable, "-c", RECEIVE)
        eventually(lambda: hosts.right.run("ss", "-Hlun", f"sport = :{PORT}") != "", "it receives")
        hosts.left.run(sys.executable, "-c", SEND)
        numbers = json.loads(receiver.wait().output)
    return numbers, ways[0]


def test_the_wire_loses_the_share_that_it_should_and_says_how_much(hosts: Lossy) -> None:
    numbers, way = delivered(hosts, 5)

    assert way == Way(came=COUNT, lost=COUNT - len(numbers), overflowed=0)
    assert way.lost == pytest.approx(COUNT * 0.05, rel=0.3)
    assert numbers == sorted(numbers)


def test_the_wire_loses_the_same_in_every_run_with_a_seed(hosts: Lossy) -> None:
    first, _ = delivered(hosts, 5)
    again, _ = delivered(hosts, 5)
    other, _ = delivered(Lossy(hosts.left, hosts.middle, hosts.right, hosts.program, seed=2), 5)

    assert first == again
    assert first != other


def test_a_wire_without_loss_delivers_all(hosts: Lossy) -> None:
    assert delivered(hosts, 0) == (list(range(COUNT)), Way(came=COUNT, lost=0, overflowed=0))
