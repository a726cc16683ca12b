"""The benchmark across two hosts, as far as namespaces are two.

here eth0 192.0.2.1 -------- 192.0.2.2 eth0 there
 wgbench0 ============================ wgbench0
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.suite.namespaces import INSIDE, INTERFACE, PORT
from benchmarks.suite.record import Record
from benchmarks.suite.remote import FOLDER, SOCKET
from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually, heed_interrupts

ROOT = Path(__file__).parents[2]
ADDRESSES = {"here": "192.0.2.1", "there": "192.0.2.2"}
OWN_FOLDERS = 'for folder in /run /var/lib; do mount -t tmpfs tmpfs $folder || exit; done; exec "$@"'
LISTEN = "import signal, socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', {})); signal.pause()"
GOING_ON = ("--implementations", "wireguard-go", "--rows", "tcp1", "--seconds", "5", "--rounds", "2")


@dataclass(slots=True)
class Two:
    """The benchmark runs on the one, and reaches the other by nsenter."""

    here: Host
    there: Host
    record: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *options: str, reached: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start a quick benchmark. reached: what runs the other host's shell, if not it alone."""
        # Not in all namespaces of its host, else nsenter could not find the other host's.
        inside = ("nsenter", f"--target={self.here.namespace()}", "--net", "--", "unshare", "--mount")
        there = ("nsenter", f"--target={self.there.namespace()}", "--net", "--mount", "--pid", "--", *reached)
        popen = subprocess.Popen(
            [*inside, "sh", "-c", OWN_FOLDERS, "sh", sys.executable, "-m", "benchmarks", "--quick",
             "--remote", " ".join(there), "--here", ADDRESSES["here"], "--there", ADDRESSES["there"],
             "--json", str(self.record), *options],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=heed_interrupts,
        )  # fmt: skip
        self.running.append(popen)
        return popen

    def stream(self) -> subprocess.Popen[str]:
        """Start a benchmark, and return when its first stream runs."""
        popen = self.start(*GOING_ON)
        eventually(
            lambda: self.there.processes("--one-off") != [] or popen.poll() is not None, "a stream", 30
        )
        assert popen.poll() is None, popen.communicate()
        return popen

    def nothing_is_left(self) -> bool:
        both = (self.here, self.there)
        return (
            all(host.attempt("ip", "link", "show", INTERFACE).status != 0 for host in both)
            and self.there.processes("--one-off") == self.there.processes("wireguard") == []
            and not any(self.there.path(path).exists() for path in (FOLDER, SOCKET))
        )


@pytest.fixture
def two(lab: Lab, tmp_path: Path) -> Iterator[Two]:
    if absent := [tool for tool in ("iperf3", "wireguard-go", "cc") if shutil.which(tool) is None]:
        pytest.skip(f"this host lacks {', '.join(absent)}")
    here, there = (lab.host(name) for name in ADDRESSES)
    connect(here, "eth0", there, "eth0")
    for host in (here, there):
        add_addresses(host, "eth0", f"{ADDRESSES[host.name]}/24")
    two = Two(here, there, tmp_path / "record.json")
    yield two
    for popen in two.running:
        popen.kill()
        popen.communicate()


def test_two_hosts_are_measured_and_left_as_they_were(two: Two, program: str) -> None:
    given = ("--impl", f"wgpyd={program} -f", "--impl", "elsewhere=no-such-program")
    rows = ("--rows", "ping,tcp1,memory,routed,hub")
    names = ("--implementations", "wgpyd,wireguard-go,elsewhere,limit")

    running = two.start(*given, *names, *rows)
    said, _ = running.communicate(timeout=150)

    assert running.returncode == 0, said
    record = Record.read(two.record)
    assert [measure.name for measure in record.measures] == [
        "ping_rest_p50", "ping_rest_p99", "tcp_1", "tcp_1_again", "cpu_daemons", "memory",
    ]  # fmt: skip
    for name in ("wgpyd", "wireguard-go"):
        samples = record.results.samples[name]
        assert all(samples[measure][1] > 0 for measure in ("ping_rest_p50", "tcp_1", "cpu_daemons", "memory"))
    left_out = " ".join(record.results.left_out)
    assert "elsewhere was left out: the other host has no no-such-program" in left_out
    assert "there is no limit" in left_out
    assert "what needs namespaces was left out" in left_out
    assert two.nothing_is_left()


def test_a_run_that_is_killed_leaves_nothing_on_either_host(two: Two) -> None:
    two.stream().kill()

    eventually(two.nothing_is_left, "the daemons are gone")


def test_a_run_that_is_interrupted_leaves_nothing_on_either_host(two: Two) -> None:
    running = two.stream()

    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=30)

    assert running.returncode == 128 + signal.SIGINT
    assert "Interrupted" in said
    assert "Traceback" not in said
    assert two.nothing_is_left()


def test_a_host_that_vanishes_is_named_and_the_run_ends(two: Two) -> None:
    running = two.stream()

    os.kill(two.there.namespace(), signal.SIGKILL)
    said, _ = running.communicate(timeout=100)

    assert running.returncode == 1
    assert "the connection to the other host is lost" in said
    assert "Traceback" not in said


def test_what_the_other_host_lacks_is_named(two: Two, tmp_path: Path) -> None:
    for tool in ("sh", "env", "ip", "ss", "grep", "id", "timeout", "cat", "sleep"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "absent")

    running = two.start("--implementations", "wireguard-go", reached=("env", f"PATH={tmp_path}"))
    said, _ = running.communicate(timeout=30)

    assert running.returncode == 2
    assert "the other host cannot be used: it lacks wg; it lacks iperf3" in said


def test_a_host_that_cannot_be_reached_is_named_with_what_was_said(two: Two) -> None:
    running = two.start("--implementations", "wireguard-go", reached=("no-such-command",))
    said, _ = running.communicate(timeout=30)

    assert running.returncode == 2
    assert "the connection to the other host is lost: nsenter: failed to execute no-such-command" in said


def test_what_the_tunnel_would_meet_is_named(two: Two) -> None:
    two.there.run("ip", "link", "add", INTERFACE, "type", "veth", "peer", "name", "other")
    add_addresses(two.there, "lo", f"{INSIDE[0]}/32")
    two.there.start(sys.executable, "-c", LISTEN.format(PORT))
    eventually(lambda: two.there.run("ss", "-Hlun", f"sport = :{PORT}") != "", "it listens")

    running = two.start("--implementations", "wireguard-go")
    said, _ = running.communicate(timeout=30)

    assert running.returncode == 2
    assert f"it has an interface {INTERFACE} already" in said
    assert f"something listens at its UDP port {PORT}" in said
    assert "it has a route to 198.18.0.0/24" in said
    assert two.there.attempt("ip", "link", "show", INTERFACE).status == 0


def test_two_hosts_need_three_options() -> None:
    command = [sys.executable, "-m", "benchmarks", "--remote", "ssh root@other"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "--remote, --here and --there go together" in done.stderr
