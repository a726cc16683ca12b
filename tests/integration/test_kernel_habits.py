"""What who comes from the kernel's WireGuard expects of an interface: its name, its port, its ICMP errors."""

import pytest

from tests.integration.hosts import Host, HostProcess, Lab
from tests.integration.peers import wait_until_listening

_PORT = "51820"


def _start(host: Host, program: str, datapath: str, name: str = "wg0") -> HostProcess:
    process = host.start("env", f"WGPY_DATAPATH={datapath}", program, "-f", name)
    wait_until_listening(host, name, process)
    return process


@pytest.fixture(params=["portable", "native"])
def datapath(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _listens(host: Host, port: str = _PORT) -> bool:
    return f":{port} " in host.run("ss", "-Huln")


# -- Its name --------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["down", "up"])
def test_a_renamed_interface_is_found_by_its_new_name(lab: Lab, program: str, link: str) -> None:
    host = lab.host("host")
    process = _start(host, program, "native")
    host.run("wg", "set", "wg0", "listen-port", _PORT)
    host.run("ip", "link", "set", "wg0", link)

    host.run("ip", "link", "set", "wg0", "name", "office")

    wait_until_listening(host, "office", process)
    assert host.run("wg", "show", "office", "listen-port") == f"{_PORT}\n"
    assert host.run("wg", "show", "interfaces") == "office\n"
    host.run("ip", "link", "delete", "office")
    assert process.wait(5).status == 0
    assert not host.path("/run/wireguard/office.sock").exists()


def test_the_former_name_is_free_after_a_renaming(lab: Lab, program: str) -> None:
    host = lab.host("host")
    first = _start(host, program, "native")
    host.run("ip", "link", "set", "wg0", "name", "office")
    wait_until_listening(host, "office", first)

    _start(host, program, "native")

    assert sorted(host.run("wg", "show", "interfaces").split()) == ["office", "wg0"]
    assert first.is_running()


# -- ICMP errors -----------------------------------------------------------------------------------


_SEND_AND_LISTEN = """
import socket, sys
udp = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(5)
udp.connect((sys.argv[1], 9))
udp.setsockopt(*((socket.IPPROTO_IPV6, 25, 1) if ":" in sys.argv[1] else (socket.IPPROTO_IP, 11, 1)))
udp.send(b"to nobody")
try:
    udp.recv(1)
except OSError as error:
    print(type(error).__name__, error.errno)
"""
_UNREACHABLE = "OSError 113\n"  # EHOSTUNREACH


@pytest.mark.parametrize("destination", ["10.20.0.7", "fd20::7", "10.20.0.9", "fd20::9"])
def test_who_sends_what_leads_nowhere_learns_it(
    lab: Lab, program: str, datapath: str, destination: str
) -> None:
    """Nobody has the addresses that end in 7; those that end in 9 are a peer's that has no endpoint."""
    host = lab.host("host")
    _start(host, program, datapath)
    key = host.run("wg", "genkey").strip()
    public_key = host.run("sh", "-c", f"echo {key} | wg pubkey").strip()
    host.run("wg", "set", "wg0", "peer", public_key, "allowed-ips", "10.20.0.9/32,fd20::9/128")
    host.run("ip", "link", "set", "wg0", "up")
    for address in "10.20.0.1/24", "fd20::1/64":
        host.run("ip", "address", "add", address, "dev", "wg0")

    assert host.run("python3", "-c", _SEND_AND_LISTEN, destination) == _UNREACHABLE
