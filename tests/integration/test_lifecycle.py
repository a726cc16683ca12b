"""Birth and death of the daemon: however it ends, the very next start succeeds and nothing is left behind."""

import signal

import pytest

from tests.integration.hosts import Host, HostProcess, Lab
from tests.integration.peers import wait_until_listening

_SOCKET = "/run/wireguard/wg0.sock"


def _start(host: Host, program: str) -> HostProcess:
    process = host.start(program, "-f", "wg0")
    wait_until_listening(host, "wg0", process)
    host.run("wg", "set", "wg0", "listen-port", "51820")
    return process


def _link_exists(host: Host) -> bool:
    return host.attempt("ip", "link", "show", "wg0").status == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_nothing(lab: Lab, program: str, number: signal.Signals) -> None:
    host = lab.host("host")
    process = _start(host, program)

    process.kill(number)

    assert process.wait(5).status == 0
    assert not host.path(_SOCKET).exists()
    assert not _link_exists(host)
    _start(host, program)


def test_it_starts_again_after_sigkill(lab: Lab, program: str) -> None:
    host = lab.host("host")
    process = _start(host, program)
    process.kill(signal.SIGKILL)
    process.wait(5)
    assert host.path(_SOCKET).exists(), "nobody could remove it"

    again = host.start(program, "-f", "wg0")

    wait_until_listening(host, "wg0", again)
    host.run("wg", "show", "wg0")


def test_it_ends_when_its_link_is_deleted(lab: Lab, program: str) -> None:
    host = lab.host("host")
    process = _start(host, program)

    host.run("ip", "link", "delete", "wg0")
    again = host.start(program, "-f", "wg0")

    assert process.wait(5).status == 0
    wait_until_listening(host, "wg0", again)
    host.run("wg", "show", "wg0")


def test_it_ends_when_its_socket_is_removed(lab: Lab, program: str) -> None:
    host = lab.host("host")
    process = _start(host, program)

    host.path(_SOCKET).unlink()

    assert process.wait(5).status == 0
    assert not _link_exists(host)
    _start(host, program)


def test_in_the_background_it_returns_when_the_socket_listens(lab: Lab, program: str) -> None:
    host = lab.host("host")
    host.run(program, "wg0")
    assert "wg0" in host.run("wg", "show", "interfaces")
    assert len(host.processes(program)) == 1


def test_a_second_start_fails_and_the_first_goes_on(lab: Lab, program: str) -> None:
    host = lab.host("host")
    process = _start(host, program)

    second = host.attempt(program, "-f", "wg0")

    assert second.status != 0
    assert process.is_running()
    assert host.run("wg", "show", "wg0", "listen-port") == "51820\n"
