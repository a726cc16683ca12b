"""Where `wgpy.Tunnel` and `wgpy exec` are tested: an ordinary user, and the peer that he has a tunnel to.

left, where the user is                     right
(wg0  10.20.0.1/24 fd20::1/64, inside)      wg0   10.20.0.2/24 fd20::2/64: echoes, a page, dnsmasq
eth0  10.10.0.1/24  ──────────────────────  eth0  10.10.0.2/24
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, Result, add_addresses, connect, eventually
from tests.integration.ordinaryuser import AS_USER, admit, attempt_as_user, start_as_user, write_for_user
from tests.integration.peers import Implementation, Peer, key_pair
from tests.integration.topologies import LEFT_INSIDE, RIGHT_INSIDE

_PEER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("tunnelpeer.py")))
MANY_ADDRESSES = 60  # addresses, more than one datagram of DNS takes

_CONFIG = """\
[Interface]
PrivateKey = {private}
Address = {inside}
DNS = 10.20.0.2, example.test

[Peer]
PublicKey = {public}
AllowedIPs = 10.20.0.0/24, fd20::/64
Endpoint = 10.10.0.2:51820
"""


@dataclass
class World:
    left: Host
    right: Peer

    @classmethod
    def build(cls, lab: Lab, daemon: Implementation) -> "World":
        left, machine = lab.host("left"), daemon.machine(lab, "right")
        if _attempt_user_namespace(left).status:
            pytest.skip("this host forbids user namespaces: see the error of `wgpy exec`")
        connect(left, "eth0", machine, "eth0")
        add_addresses(left, "eth0", "10.10.0.1/24")
        add_addresses(machine, "eth0", "10.10.0.2/24")
        right = Peer(daemon, machine, RIGHT_INSIDE)
        right.up()
        private, public = key_pair()
        right.set("peer", public, "allowed-ips", "10.20.0.1,fd20::1")
        admit(left)
        write_for_user(
            left,
            "wg0.conf",
            _CONFIG.format(private=private, public=right.public_key, inside=", ".join(LEFT_INSIDE)),
        )
        serving = right.host.start(*_PEER)
        eventually(lambda: "ready" in serving.log.read_text(), "the peer serves", within=60)
        _serve_names(right.host)
        return cls(left, right)

    def attempt(self, program: str) -> Result:
        """Run Python as the user."""
        return attempt_as_user(self.left, sys.executable, "-W", "error", "-c", dedent(program))

    def run(self, program: str) -> str:
        done = self.attempt(program)
        assert done.status == 0, done.output
        return done.output

    def start(self, program: str) -> HostProcess:
        """Start it; return when it has written its first line."""
        started = start_as_user(self.left, sys.executable, "-u", "-c", dedent(program))
        eventually(lambda: started.log.read_text() != "", "the program has begun", within=60)
        return started

    def processes(self) -> list[int]:
        """Return those of Python on the left."""
        return self.left.processes("wgpy.tunnel.inside")


def _attempt_user_namespace(host: Host) -> Result:
    """Make one as the user, with a network."""
    return host.attempt(*AS_USER, "unshare", "--user", "--map-root-user", "--net", "true")


def _serve_names(host: Host) -> None:
    many = "".join(
        f"10.20.0.2 many.test\n10.99.0.{number} many.test\n" for number in range(1, MANY_ADDRESSES)
    )
    hosts = host.write("/run/hosts", f"10.20.0.2 web.example.test\nfd20::2 web.example.test\n{many}")
    host.run("chmod", "644", hosts)
    host.start(
        "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--local=/test/",
        f"--addn-hosts={hosts}", "--listen-address=10.20.0.2", "--bind-interfaces", "--user=root",
        "--pid-file=/run/dnsmasq.pid",
    )  # fmt: skip
