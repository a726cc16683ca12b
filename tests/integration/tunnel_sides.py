"""Two hosts on which `wgpy up` is used, each with one file."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, Result, add_addresses, connect
from tests.integration.peers import key_pair

WGPY = str(Path(sys.executable).parent / "wgpy")
FILE = "/run/wg0.conf"


@dataclass(slots=True)
class Side:
    """A host on which `wgpy` is used with one file."""

    host: Host
    daemon: str
    address: int  # last part of all its addresses
    private_key: str
    public_key: str

    def write(
        self, *interface: str, peer: "Side | None" = None, allowed: str = "10.20.0.0/24, fd20::/64"
    ) -> None:
        """Write the file: its own key and addresses, more lines, and perhaps a peer."""
        lines = [
            "[Interface]",
            f"PrivateKey = {self.private_key}",
            "ListenPort = 51820",
            f"Address = 10.20.0.{self.address}/24, fd20::{self.address}/64",
            *interface,
        ]
        if peer:
            lines += ["[Peer]", f"PublicKey = {peer.public_key}", f"AllowedIPs = {allowed}"]
            lines += [f"Endpoint = 10.10.0.{peer.address}:51820"]
        self.host.write(FILE, "\n".join([*lines, ""]))

    def command(self, *arguments: str) -> list[str]:
        path = "PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return ["env", f"WG_QUICK_USERSPACE_IMPLEMENTATION={self.daemon}", path, WGPY, *arguments]

    def wgpy(self, *arguments: str) -> str:
        return self.host.run(*self.command(*arguments))

    def attempt(self, *arguments: str) -> Result:
        return self.host.attempt(*self.command(*arguments))

    def start(self, *arguments: str) -> HostProcess:
        return self.host.start(*self.command(*arguments))

    def network(self) -> list[str]:
        """All that `up` may change."""
        commands = (
            "ip -brief link show",
            "ip -4 rule",
            "ip -6 rule",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "nft list ruleset",
            "ls -A /run/wireguard",
            "sysctl net.ipv4.conf.all.src_valid_mark",
        )
        return [self.host.attempt("sh", "-c", f"{command} 2>/dev/null | sort").output for command in commands]

    def pings(self, address: str) -> bool:
        return self.host.attempt("ping", "-n", "-c", "1", "-W", "5", address).status == 0


@pytest.fixture
def left(lab: Lab, program: str) -> Side:
    return _side(lab, program, "left", 1)


@pytest.fixture
def right(lab: Lab, program: str, left: Side) -> Side:
    side = _side(lab, program, "right", 2)
    connect(left.host, "eth0", side.host, "eth0")
    for one in (left, side):
        add_addresses(one.host, "eth0", f"10.10.0.{one.address}/24", f"fd10::{one.address}/64")
    return side


def _side(lab: Lab, program: str, name: str, address: int) -> Side:
    return Side(lab.host(name), program, address, *key_pair())
