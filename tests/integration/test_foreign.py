"""What is not WireGuard's at the port that is, and sockets of others: namespaces, and the whole interface.

left ────────────── right ────────────── flooding
eth0 10.10.0.1/24   eth0 10.10.0.2/24
wg0  10.20.0.1/24   wg0  10.20.0.2/24
                    eth1 10.11.0.2/24    eth0 10.11.0.1/24
"""

import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually
from tests.integration.peers import PORT, key_pair

_TOOL = str(Path(__file__).with_name("pinghost.py"))
_QUESTIONS = 30  # in 3 s
_HELLO = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class World:
    left: Host
    right: Host
    flooding: Host
    left_keys: tuple[str, str]
    right_keys: tuple[str, str]
    datapath: str

    @classmethod
    def build(cls, lab: Lab, datapath: str) -> "World":
        left, right, flooding = lab.host("left"), lab.host("right"), lab.host("flooding")
        connect(left, "eth0", right, "eth0")
        connect(right, "eth1", flooding, "eth0")
        add_addresses(left, "eth0", "10.10.0.1/24")
        add_addresses(right, "eth0", "10.10.0.2/24")
        add_addresses(right, "eth1", "10.11.0.2/24")
        add_addresses(flooding, "eth0", "10.11.0.1/24")
        return cls(left, right, flooding, key_pair(), key_pair(), datapath)

    def answering(self) -> HostProcess:
        return self._interface(
            self.right, "answer", self.right_keys[0], self.left_keys[1], ["10.20.0.1/32"], "10.20.0.2/24"
        )

    def asking(self) -> HostProcess:
        more = ["10.20.0.2/32", "10.10.0.2", str(_QUESTIONS)]
        return self._interface(self.left, "ask", self.left_keys[0], self.right_keys[1], more, "10.20.0.1/24")

    def _interface(
        self, host: Host, command: str, private: str, peer: str, more: list[str], inside: str
    ) -> HostProcess:
        environment = f"WGPY_DATAPATH={self.datapath}"
        process = host.start(
            "env", environment, sys.executable, _TOOL, command, "wg0", private, str(PORT), peer, *more
        )
        eventually(lambda: "ready" in said_by(process), f"{host.name} is ready")
        add_addresses(host, "wg0", inside)
        host.run("ip", "link", "set", "wg0", "up")
        return process


def said_by(process: HostProcess) -> str:
    return process.log.read_text(errors="replace")


def answered(process: HostProcess) -> int:
    """How many questions were, once all have been asked."""
    eventually(lambda: " answered" in said_by(process), "all questions are asked")
    words = said_by(process).split()
    return int(words[words.index("answered,") - 1])


@pytest.mark.parametrize("datapath", ["native", "portable"])
def test_a_ping_is_answered_beside_the_tunnel_under_a_flood_of_others(lab: Lab, datapath: str) -> None:
    world = World.build(lab, datapath)
    answering = world.answering()
    keys = world.left_keys[0], world.right_keys[1]
    flooding = world.flooding.start(sys.executable, _TOOL, "flood", "10.11.0.2", str(PORT), "600", *keys)
    eventually(lambda: "flooding" in said_by(flooding), "the flood begins")

    asking = world.asking()
    pings = world.left.run("ping", "-n", "-c", "5", "-i", "0.3", "-W", "2", "10.20.0.2")

    assert " 0% packet loss" in pings
    assert answered(asking) == _QUESTIONS
    assert flooding.is_running()
    flooding.kill()
    print(said_by(asking).splitlines()[-1])
    answering.kill()
    asking.kill()


@pytest.mark.parametrize("datapath", ["native", "portable"])
def test_an_interface_in_namespaces_of_its_own_works_by_a_socket_of_its_host(lab: Lab, datapath: str) -> None:
    world = World.build(lab, datapath)
    answering = world.answering()

    said = world.left.run(
        *("env", f"WGPY_DATAPATH={datapath}", sys.executable, _TOOL, "lend", "wg0"),
        *(world.left_keys[0], str(PORT), world.right_keys[1], "10.20.0.2/32", "10.10.0.2", "10.20.0.1/24"),
    )

    assert " 0% packet loss" in said
    assert "wg0" not in world.left.run("ip", "link")
    answering.kill()


def test_a_socket_of_another_user_namespace_works_there_and_takes_no_mark(lab: Lab) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ours:
        ours.bind(("127.0.0.1", 0))
        unshare = ["unshare", "--user", "--map-root-user", "--net"]
        said = subprocess.run(
            [*unshare, sys.executable, _TOOL, "adopt", str(ours.fileno()), "7"],
            pass_fds=[ours.fileno()], stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip

        assert "take no fwmark from here" in said
        assert "routed elsewhere" in said
        ours.setblocking(True)
        ours.settimeout(_HELLO)
        assert ours.recvfrom(100) == (b"hello", ours.getsockname())


def test_a_socket_of_this_user_namespace_takes_a_mark() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ours:
        ours.bind(("127.0.0.1", 0))
        said = subprocess.run(
            [sys.executable, _TOOL, "adopt", str(ours.fileno()), "7"],
            pass_fds=[ours.fileno()], stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip

        assert said == "mark 7\nrouted here\n"
