"""The benchmarks between namespaces, as their readers run them.

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

from benchmarks.compiler import build
from benchmarks.rows import measures_of, read_rows
from benchmarks.rows.flood import FASTPATH, SOURCES
from tests.integration.hosts import Lab, eventually
from wgpy.engine.cookie import CookieChecker
from wgpy.engine.messages import HandshakeInitiation, decode

TUNNEL_ROWS = "ping,tcp1,inside6,outside6,routed,tcp4,back,busy,udp1380,udp64,memory"
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
    names = ("--implementations", "wgpyd,wireguard-go,broken,limit", "--rows", TUNNEL_ROWS)

    running = benchmark(tmp_path, *given, *names, "--json", record)
    table, _ = running.communicate(timeout=200)

    found = json.loads(record.read_text())
    assert {failure["implementation"] for failure in found["failures"]} == {"broken"}
    assert "- broken, round 1, starting: the daemon ended with status 1: it said nothing" in table
    assert running.returncode == 1
    for name in ("wgpyd", "wireguard-go", "limit"):
        beyond = {"tcp_outside6"} if name == "limit" else set()
        assert (
            set(found["samples"][name])
            == {measure.name for measure in measures_of(read_rows(TUNNEL_ROWS))} - beyond
        )
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


def test_a_hub_is_measured_with_all_its_peers(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    names = ("--implementations", "wireguard-go", "--rows", "hub", "--json", record)

    running = benchmark(tmp_path, *names)
    _, progress = running.communicate(timeout=100)

    assert running.returncode == 0, progress
    samples = {name: taken for name, (taken,) in samples_of(record)["wireguard-go"].items()}
    assert samples["hub"] == pytest.approx(samples["hub_out"] + samples["hub_back"])
    assert 0 < samples["hub_least"] <= samples["hub"] / 8
    assert 0 < samples["hub_cpu"] < samples["hub_cpu_all"]


def test_a_flood_is_measured_by_what_it_leaves_of_streams_and_handshakes(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    names = ("--implementations", "wireguard-go", "--rows", "junk,valid", "--json", record)

    running = benchmark(tmp_path, *names)
    _, progress = running.communicate(timeout=100)

    assert running.returncode == 0, progress
    samples = {name: taken for name, (taken,) in samples_of(record)["wireguard-go"].items()}
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


def samples_of(record: Path) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = json.loads(record.read_text())["samples"]
    return found
