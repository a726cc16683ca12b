"""The benchmarks between namespaces, as their readers run them.

left: wgpyd, one that is broken, the limit, and others ==== right: the same
"""

import io
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.compiler import build
from benchmarks.rows import read_rows
from benchmarks.rows.flood import FASTPATH, SOURCES
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.progress import Progress
from benchmarks.suite.record import Record, Results
from benchmarks.suite.rounds import Run, run_rounds
from benchmarks.suite.timetable import Timetable
from tests.integration.hosts import Lab, eventually, heed_interrupts
from wgpy.contract.messages import HandshakeInitiation, decode
from wgpy.engine.cookie import CookieChecker

# test_benchmark_rows.py has the rest.
TUNNEL_ROWS = "ping,tcp1,inside6,outside6,routed,busy,udp64,memory"
MUST_FLOW = {"tcp_1", "tcp_inside6", "tcp_outside6", "udp_64", "memory"}
ROOT = Path(__file__).parents[2]
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
RECEIVE_TEN = """
import socket
with socket.socket(type=socket.SOCK_DGRAM) as here:
    here.bind(("127.0.0.1", 51820))
    for _ in range(10):
        message, source = here.recvfrom(2048)
        print(source[0], message.hex())
"""


@pytest.fixture(autouse=True)
def _tools() -> None:
    if absent := [tool for tool in ("iperf3", "wireguard-go", "cc") if shutil.which(tool) is None]:
        pytest.skip(f"this host lacks {', '.join(absent)}")


def benchmark(mark: Path, *options: str | Path) -> subprocess.Popen[str]:
    """Start a quick benchmark, as a terminal does; all its processes bear the mark, where its files go."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "--quick", *options],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(mark)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=heed_interrupts,
    )  # fmt: skip


def marked(mark: Path) -> Sequence[str]:
    """Return the processes that bear a mark; a namespace lives in its processes only."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone in the meantime
            if f"TMPDIR={mark}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
    return found


def test_a_round_measures_what_works_and_names_what_does_not(tmp_path: Path, program: str) -> None:
    path = tmp_path / "record.json"
    given = ("--impl", f"wgpyd={program} -f", "--impl", "broken=false")
    names = ("--implementations", "wgpyd,broken,limit", "--rows", TUNNEL_ROWS)

    running = benchmark(tmp_path, *given, *names, "--json", path)
    table, _ = running.communicate(timeout=200)

    record = Record.read(path)
    assert [one.sentence for one in record.results.failures] == [
        "broken failed in round 1, starting: the daemon ended with status 1: it printed nothing"
    ]
    assert "broken" in table
    assert running.returncode == 1
    for name in ("wgpyd", "limit"):
        beyond = {"tcp_outside6"} if name == "limit" else set()
        samples = record.results.samples[name]
        assert set(samples) == {measure.name for measure in record.measures} - beyond
        assert all(set(by_round) == {1} for by_round in samples.values())
        assert all(by_round[1] > 0 for measure, by_round in samples.items() if measure in MUST_FLOW)
    assert list(tmp_path.iterdir()) == [path]
    eventually(lambda: not marked(tmp_path), "every process of the benchmark is gone")


def test_one_that_hangs_and_one_that_crashes_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    crashing = "crashing=timeout --signal=KILL 3 wireguard-go -f"
    given = ("--impl", "hung=sh -c 'exec sleep 1000'", "--impl", crashing)
    names = ("--implementations", "hung,crashing,limit", "--rows", "ping,tcp1")

    running = benchmark(tmp_path, *given, *names, "--seconds", "3", "--json", path)
    _, progress = running.communicate(timeout=250)

    results = Record.read(path).results
    assert [one.implementation for one in results.failures] == ["hung", "crashing"]
    assert "hung failed in round 1, starting: it hung, not within 30 s: wgbench0.sock answers" in progress
    assert "crashing failed in round 1, TCP, 1 stream: the daemon ended with SIGKILL" in progress
    assert results.taken("crashing", "ping_rest_p50")
    assert not results.taken("crashing", "tcp_1")
    assert results.taken("limit", "tcp_1")
    assert running.returncode == 1


def test_the_kernels_is_configured_as_others_and_has_no_figures_of_a_process(tmp_path: Path) -> None:
    # Where no kernel has it: an interface that outlives the command that made it, as the kernel's does.
    command = ("sh", "-c", "wireguard-go {interface} && exec sleep infinity")
    kernel = Implementation("kernel", Role.KERNEL, command)
    results, said = Results(), io.StringIO()
    settings = read_rows("tcp1,memory,outside6")

    run = Run([kernel], settings, rounds=1, seconds=1)
    run_rounds(run, Timetable(math.inf, {"kernel": 1}), results, Progress(1, said))

    assert results.failures == [], said.getvalue()
    assert results.samples["kernel"].keys() >= {"tcp_1", "cpu_host"}
    assert results.samples["kernel"].keys().isdisjoint({"cpu_daemons", "memory", "tcp_outside6"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_run_that_is_ended_keeps_what_it_has_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    path = tmp_path / "record.json"
    names = ("--implementations", "limit,wireguard-go", "--rows", "tcp1", "--rounds", "50")
    running = benchmark(tmp_path, *names, "--json", path)
    said = running.stderr
    assert said is not None
    while "round 1 of 50" not in (line := said.readline()) or "wireguard-go" not in line:
        assert line, "it ended too early"

    os.killpg(running.pid, number)  # as Ctrl-C does
    table, progress = running.communicate(timeout=30)

    assert running.returncode == 128 + number
    assert "Interrupted" in progress
    assert "Traceback" not in progress
    assert "TCP, 1 stream" in table
    assert Record.read(path).results.taken("limit", "tcp_1")
    assert list(tmp_path.iterdir()) == [path]
    eventually(lambda: not marked(tmp_path), "every process of the benchmark is gone")


def test_a_record_that_cannot_be_written_leaves_the_table(tmp_path: Path) -> None:
    running = benchmark(tmp_path, "--implementations", "limit", "--rows", "ping", "--json", "/dev/full")
    table, progress = running.communicate(timeout=100)

    assert "The record could not be written to /dev/full: No space left on device" in progress
    assert "ping at rest" in table
    assert running.returncode == 1


def test_who_may_not_measure_is_told_what_to_do() -> None:
    command = [sys.executable, "-m", "benchmarks"]
    nobody = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
    if subprocess.run([*nobody, *command, "--help"], cwd=ROOT, capture_output=True).returncode != 0:
        nobody = ["unshare", "--user"]  # which has no root either, but can read what root alone can

    done = subprocess.run([*nobody, *command], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 2
    assert "needs root" in done.stderr
    assert "sudo .venv/bin/python -m benchmarks" in done.stderr
    assert done.stdout == ""


def test_a_host_without_the_tools_is_told_where_they_are(tmp_path: Path) -> None:
    for tool in ("unshare", "nsenter", "mount", "ip", "ss", "sysctl"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "absent")

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks"],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 2
    assert "this host lacks wg, ping, iperf3." in done.stderr
    assert "apt-get install wireguard-tools iputils-ping iperf3" in done.stderr


def test_a_hub_is_measured_with_all_its_peers(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    names = ("--implementations", "wireguard-go", "--rows", "hub", "--json", record)

    running = benchmark(tmp_path, *names)
    _, progress = running.communicate(timeout=100)

    assert running.returncode == 0, progress
    samples = only_samples(record, "wireguard-go")
    assert samples["hub"] == pytest.approx(samples["hub_out"] + samples["hub_back"])
    assert 0 < samples["hub_least"] <= samples["hub"] / 8
    assert 0 < samples["hub_cpu"] < samples["hub_cpu_all"]


def test_a_flood_is_measured_by_what_it_leaves_of_streams_and_handshakes(
    tmp_path: Path, program: str
) -> None:
    record = tmp_path / "record.json"
    names = ("--implementations", "wgpyd", "--impl", f"wgpyd={program} -f", "--rows", "junk,valid")

    running = benchmark(tmp_path, *names, "--json", record)
    _, progress = running.communicate(timeout=100)

    assert running.returncode == 0, progress
    samples = only_samples(record, "wgpyd")
    assert all(samples[name] > 0 for name in ("tcp_calm", "tcp_closed", "tcp_junk"))
    assert 0 < samples["handshake_flooded"] <= 16
    assert all(0 < samples[name] <= 210 for name in ("rate_closed", "rate_junk", "rate_valid"))


@pytest.mark.parametrize("valid", [True, False], ids=["valid", "wrong"])
def test_the_messages_of_a_flood_have_the_mac1_they_should(lab: Lab, tmp_path: Path, valid: bool) -> None:
    program = build(tmp_path / "flood", SOURCES, *WARNINGS, "-I", str(FASTPATH))
    host = lab.host("flooded")
    public_key = bytes(range(32))
    checker = CookieChecker(public_key, os.urandom)

    key = [public_key.hex()] if valid else []
    host.start(str(program), "127.0.0.1", "51820", "50", "30", "127.64.0.0/10", *key)
    received = [line.split() for line in host.run(sys.executable, "-c", RECEIVE_TEN).splitlines()]

    messages = [bytes.fromhex(message) for _, message in received]
    assert [checker.has_valid_mac1(message) for message in messages] == [valid] * 10
    assert {type(decode(message)) for message in messages} == {HandshakeInitiation}
    assert len({source for source, _ in received}) == 10


def only_samples(record: Path, implementation: str) -> dict[str, float]:
    """Return the samples of the only round by measure."""
    samples = Record.read(record).results.samples[implementation]
    return {measure: by_round[1] for measure, by_round in samples.items()}
