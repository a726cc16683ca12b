"""The daemon works with hardly any privileges, and everything that `wg` can ask of it still works."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, eventually
from tests.integration.peers import Implementation, key_pair, wait_until_listening
from tests.integration.topologies import Pair
from wgpy.datapath import native

_NET_BIND_SERVICE_AND_NET_ADMIN = f"{1 << 10 | 1 << 12:016x}"
_STATE = "/var/lib/wgpyd"


def _start(host: Host, *program: str) -> HostProcess:
    process = host.start(*program, "-f", "wg0")
    wait_until_listening(host, "wg0", process)
    return process


def _tasks(process: HostProcess) -> list[Path]:
    return list(Path(f"/proc/{process.pid}/task").iterdir())


def test_two_capabilities_are_all_that_any_thread_keeps(lab: Lab, program: str) -> None:
    host = lab.host("host")
    process = _start(host, program)

    threads = _tasks(process)
    assert threads
    for thread in threads:
        lines = (thread / "status").read_text().splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        assert status["CapEff"] == status["CapPrm"] == _NET_BIND_SERVICE_AND_NET_ADMIN
        assert status["NoNewPrivs"] == "1"


def test_threads_that_move_packets_go_before_others(lab: Lab, program: str) -> None:
    host = lab.host("host")
    process = _start(host, "env", "WGPY_NICE=-7", program)

    nice = {int(task.name): os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in _tasks(process)}

    assert nice.pop(process.pid) == 0, "Python's own"
    assert set(nice.values()) == ({-7} if native.available() else set())


def test_low_ports_and_marks_can_still_be_set(lab: Lab, program: str) -> None:
    host = lab.host("host")
    _start(host, program)

    host.run("wg", "set", "wg0", "listen-port", "53", "fwmark", "0xffffffff")

    assert host.run("wg", "show", "wg0", "listen-port") == "53\n"
    assert host.run("wg", "show", "wg0", "fwmark") == "0xffffffff\n"


def test_in_a_container_without_net_admin_it_serves_a_tun_that_it_was_given(lab: Lab, program: str) -> None:
    host = lab.host("host")
    host.run("ip", "tuntap", "add", "wg0", "mode", "tun", "user", "root")

    process = host.start(
        "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", program, "-f", "wg0"
    )

    wait_until_listening(host, "wg0", process)
    assert host.attempt("wg", "set", "wg0", "listen-port", "51820").status == 0


def test_without_its_privileges_it_says_that_the_kernel_filters_nothing(lab: Lab, program: str) -> None:
    if not native.available():
        pytest.skip("the C data path is not built")
    withheld = "-bpf,-perfmon,-sys_admin"

    process = lab.host("host").start(
        "env", "LOG_LEVEL=debug", "setpriv", f"--bounding-set={withheld}", f"--inh-caps={withheld}", program,
        "-f", "wg0",
    )  # fmt: skip

    eventually(lambda: "takes no filter of datagrams" in process.log.read_text(), "it says so")


def test_the_clock_of_its_key_is_on_disk_for_the_next_start(lab: Lab, daemon: Implementation) -> None:
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    pair.left.ping(pair.right)
    host = pair.left.machine
    assert isinstance(host, Host)

    (file,) = host.path(_STATE).iterdir()
    assert file.read_text().endswith(" running\n")

    assert pair.left.process is not None
    pair.left.process.kill(signal.SIGTERM)
    pair.left.process.wait(5)
    assert file.read_text().endswith(" stopped\n")


def test_a_read_only_disk_is_one_warning(lab: Lab, program: str) -> None:
    host = lab.host("host")
    host.run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/var/lib")
    process = _start(host, program)
    private, _ = key_pair()
    _, other = key_pair()
    key = host.write("/run/private.key", private)

    host.run("ip", "link", "set", "wg0", "up")
    host.run(
        "wg", "set", "wg0", "private-key", key,
        "peer", other, "endpoint", "127.0.0.1:9", "persistent-keepalive", "1",
    )  # fmt: skip
    eventually(lambda: "cannot keep the clock" in process.log.read_text(), "the warning")

    process.kill(signal.SIGTERM)
    result = process.wait(5)
    assert result.status == 0
    assert result.output.count("WARNING") == 1
