"""Two hosts behind NATs that let nobody in, and a relay between them that forwards no IP packet.

alice 192.168.1.2 ─── 192.168.1.1 router1 10.10.1.1 ─┐
                                                     ├─ 10.10.1.2, 10.10.2.2, 10.10.3.1 relay
bob   192.168.2.2 ─── 192.168.2.1 router2 10.10.2.1 ─┤
mallory                                   10.10.3.2 ─┘

All have wg0: alice 10.20.0.1, bob 10.20.0.2, the relay 10.20.0.9.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.exchange import assert_tcp_arrives_whole, assert_udp_comes_back, complaints
from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually, put_behind
from tests.integration.peers import PORT, key_pair

_TOOL = str(Path(__file__).with_name("relayhost.py"))
_RATE = 10**9
_INSIDE = {"alice": "10.20.0.1", "bob": "10.20.0.2", "relay": "10.20.0.9"}
_STREAM = 5_000_000  # bytes
_FLOOD = 3000
_STRANGER = "10.10.3.3"
_UNANSWERED = 4  # initiations that a relay forwards until there is an answer
_NAT = """
table ip nat {
    chain out { type nat hook postrouting priority 100; oifname "wan" masquerade random; }
    chain in { type filter hook input priority 0; iifname "wan" drop; }
}
"""


class World:
    def __init__(self, lab: Lab, datapath: str) -> None:
        self.alice, self.bob, self.relay, self.mallory = map(lab.host, ("alice", "bob", "relay", "mallory"))
        self.keys = {name: key_pair() for name in _INSIDE}
        self.datapath = datapath
        for number, host in enumerate((self.alice, self.bob), 1):
            self._put_behind_nat(lab, host, number)
        connect(self.relay, "eth3", self.mallory, "eth0")
        add_addresses(self.relay, "eth3", "10.10.3.1/24")
        add_addresses(self.mallory, "eth0", "10.10.3.2/24")
        self.mallory.run("ip", "route", "add", "default", "via", "10.10.3.1")
        self.daemon = self._start(self.relay, _RATE, self._peer("alice"), self._peer("bob"))
        for number, (host, other) in enumerate(((self.alice, "bob"), (self.bob, "alice")), 1):
            by = f"10.10.{number}.2:{PORT}"
            self._start(host, 0, self._peer("relay", by, 20), self._peer(other, by))

    def _put_behind_nat(self, lab: Lab, host: Host, number: int) -> None:
        router = lab.host(f"router{number}")
        put_behind(router, host, f"192.168.{number}.2/24")
        connect(router, "wan", self.relay, f"eth{number}")
        add_addresses(router, "wan", f"10.10.{number}.1/24")
        add_addresses(self.relay, f"eth{number}", f"10.10.{number}.2/24")
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        router.run("nft", "-f", router.write("/run/nat.nft", _NAT))

    def _peer(self, name: str, endpoint: str = "", keepalive: int = 0) -> str:
        return f"{self.keys[name][1]},{_INSIDE[name]},{endpoint},{keepalive}"

    def _start(self, host: Host, rate: int, *peers: str) -> HostProcess:
        command = [sys.executable, _TOOL, "run", "wg0", self.keys[host.name][0], str(PORT), str(rate), *peers]
        process = host.start("env", f"WGPY_DATAPATH={self.datapath}", *command)
        eventually(lambda: "ready" in process.log.read_text(), f"{host.name} is ready")
        host.run("ip", "link", "set", "wg0", "up")
        add_addresses(host, "wg0", f"{_INSIDE[host.name]}/24")
        return process

    def state(self) -> Any:
        """The relay's."""
        before = self.daemon.log.read_text()
        self.daemon.kill(signal.SIGUSR1)
        eventually(
            lambda: self.daemon.log.read_text().count("\n") > before.count("\n"), "it says its state", 60
        )
        return json.loads(self.daemon.log.read_text().splitlines()[-1])

    def wakes(self) -> int:
        """How often threads of the relay have waited."""
        tasks = Path(f"/proc/{self.daemon.pid}/task").iterdir()
        lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


@pytest.fixture(scope="module", params=["native", "portable"])
def world(module_lab: Lab, request: pytest.FixtureRequest) -> World:
    return World(module_lab, request.param)


@pytest.mark.xdist_group("relay")
def test_data_passes_both_ways_by_the_relay_alone(world: World) -> None:
    world.alice.run("ping", "-c", "1", "-W", "30", _INSIDE["relay"])
    world.bob.run("ping", "-c", "1", "-W", "30", _INSIDE["relay"])
    world.alice.run("ping", "-c", "1", "-W", "30", _INSIDE["bob"])
    before = world.state()["relayed"]["bytes"]

    assert_tcp_arrives_whole(world.alice, world.bob, _INSIDE["bob"], _STREAM)
    assert_tcp_arrives_whole(world.bob, world.alice, _INSIDE["alice"], _STREAM)
    assert_udp_comes_back(world.alice, world.bob, _INSIDE["bob"], (0, 1, 1392, 1400, 20_000))

    assert world.state()["relayed"]["bytes"] - before > 2 * _STREAM
    for host in (world.alice, world.bob):
        assert complaints(host) == []


@pytest.mark.xdist_group("relay")
def test_an_abuser_gets_nothing_forwarded_beyond_the_bound(world: World) -> None:
    world.alice.run("ping", "-c", "1", "-W", "30", _INSIDE["bob"])
    before = world.state()
    source = before["endpoints"][world.keys["alice"][1]]

    abuse = [sys.executable, _TOOL, "abuse", f"10.10.3.1:{PORT}", world.keys["bob"][1], source, str(_FLOOD)]
    world.mallory.run(*abuse)

    after = world.state()
    forwarded = after["relayed"]["datagrams"] - before["relayed"]["datagrams"]
    dropped = sum(after["drops"].values()) - sum(before["drops"].values())
    assert forwarded <= 2 * _UNANSWERED + 10  # as many of Alice and Bob themselves, at most
    assert dropped > _FLOOD
    world.alice.run("ping", "-c", "3", "-i", "0.2", "-W", "30", _INSIDE["bob"])


def test_a_flood_by_nobody_whom_it_knows_wakes_no_relay(world: World) -> None:
    if world.datapath != "native" or not may_filter():
        pytest.skip("the kernel takes no filter from here")
    world.alice.run("ping", "-c", "1", "-W", "30", _INSIDE["bob"])
    before, wakes = world.state(), world.wakes()

    source = f"{_STRANGER}:{PORT}"
    abuse = [sys.executable, _TOOL, "abuse", f"10.10.3.1:{PORT}", world.keys["bob"][1], source, str(_FLOOD)]
    world.mallory.run(*abuse)

    assert world.wakes() - wakes < _FLOOD / 10
    after = world.state()
    assert sum(after["drops"].values()) - sum(before["drops"].values()) >= 4 * _FLOOD
    assert after["relayed"]["datagrams"] - before["relayed"]["datagrams"] <= 10  # of Alice and Bob themselves
    world.alice.run("ping", "-c", "3", "-i", "0.2", "-W", "30", _INSIDE["bob"])


def may_filter() -> bool:
    """CAP_PERFMON and CAP_BPF."""
    status = Path("/proc/self/status").read_text()
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return int(effective, 16) >> 38 & 3 == 3
