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


# -- Its settings ----------------------------------------------------------------------------------


def test_setconf_takes_away_what_the_file_left_out(lab: Lab, program: str, datapath: str) -> None:
    host = lab.host("host")
    _start(host, program, datapath)
    key = host.run("wg", "genkey").strip()
    peer = host.run("sh", "-c", f"echo {key} | wg pubkey").strip()
    secret = host.run("wg", "genpsk").strip()
    rest = f"[Peer]\nPublicKey = {peer}\nAllowedIPs = 10.20.0.9/32\n"
    full = host.write("/root/full.conf", f"{rest}PresharedKey = {secret}\nEndpoint = 10.10.0.9:51820\n")
    short = host.write("/root/short.conf", rest)

    host.run("wg", "setconf", "wg0", full)
    assert host.run("wg", "show", "wg0", "endpoints").split() == [peer, "10.10.0.9:51820"]
    host.run("wg", "setconf", "wg0", short)

    assert host.run("wg", "show", "wg0", "endpoints").split() == [peer, "(none)"]
    assert host.run("wg", "show", "wg0", "preshared-keys").split() == [peer, "(none)"]
    assert host.run("wg", "show", "wg0", "allowed-ips").split() == [peer, "10.20.0.9/32"]


_DIE_IN_A_SET = """
import os, socket, sys
daemon = socket.socket(socket.AF_UNIX)
daemon.connect("/run/wireguard/wg0.sock")
daemon.sendall(f"set=1\\nlisten_port=4444\\npublic_key={'a1' * 32}\\n{sys.argv[1]}".encode())
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("half", ["allowed_ip=10.70.0.0/2", "allowed_ip=10.70.0.0/24\n"])
def test_a_set_whose_sender_dies_within_it_changes_nothing(lab: Lab, program: str, half: str) -> None:
    host = lab.host("host")
    process = _start(host, program, "native")

    assert host.attempt("python3", "-c", _DIE_IN_A_SET, half).status != 0
    wait_until_listening(host, "wg0", process)

    assert host.run("wg", "show", "wg0", "peers") == ""
    assert host.run("wg", "show", "wg0", "listen-port") != "4444\n"
