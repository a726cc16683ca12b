"""A site whose addresses are somebody else's, too, behind a gateway that translates them.

member                gateway                   office                     archive
eth0 10.10.0.1/24 ─── eth0 10.10.0.2/24
wg0  10.20.0.1/24     wg0  10.20.0.2/24
home 192.168.1.20/24  lan  192.168.1.1/25 ───── eth0 192.168.1.10/25
                                                eth1 192.168.1.129/25 ──── eth0 192.168.1.130/25
                                                (MTU 1280)

Of IPv6 the site is fd40::/64, each LAN a half of it, and fd41::/112, which is the first LAN's, too.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.datapath.translation_model import Mapping
from tests.integration.exchange import TRAFFIC, complaints
from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.peers import PORT, key_pair

_TOOL = str(Path(__file__).with_name("sitehost.py"))
_FLOWS = (sys.executable, str(Path(__file__).with_name("flows.py")))
_STREAM = 5_000_000  # bytes
_PYTHON = (sys.executable, "-c")
_WHO_CONNECTS = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_server((sys.argv[1], 5003), family=family) as server:
    print("ready", flush=True)
    print(server.accept()[1][0])
"""
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[2], 5003), 5, (sys.argv[1], 0))"
_SITE = {  # mapped to real
    "100.96.4.0/24": "192.168.1.0/24",
    "fd12:3456:3:7::/64": "fd40::/64",
    "fd12:3456:4::/112": "fd41::/112",
}
_MEMBER = {4: "10.20.0.1", 6: "fd20::1"}
_GATEWAY = ("10.20.0.2", "fd20::2")
_OFFICE = ("192.168.1.10", "fd40::1:0:0:10", "fd41::10")
_ARCHIVE = ("192.168.1.130", "fd40::8000:0:0:2")


def mapped(real: str) -> str:
    """What the mesh calls a host of the site."""
    address = ip_address(real)
    (pair,) = ((one, other) for one, other in _SITE.items() if address in ip_network(other))
    found = Mapping(ip_network(pair[1]), ip_network(pair[0])).map(address.packed)
    assert found is not None
    return str(ip_address(found))


@dataclass(frozen=True, slots=True)
class World:
    member: Host
    gateway: Host
    office: Host
    archive: Host

    @classmethod
    def build(cls, lab: Lab, datapath: str) -> "World":
        world = cls(*(lab.host(name) for name in ("member", "gateway", "office", "archive")))
        world._wire()
        member, gateway = key_pair(), key_pair()
        pairs = map("=".join, _SITE.items())
        world._tunnel(world.member, datapath, member[0], gateway[1], "10.10.0.2", *_GATEWAY, *_SITE)
        world._tunnel(
            world.gateway, datapath, gateway[0], member[1], "10.10.0.1", *_MEMBER.values(), "--", *pairs
        )
        add_addresses(world.member, "wg0", "10.20.0.1/24", "fd20::1/64")
        add_addresses(world.gateway, "wg0", "10.20.0.2/24", "fd20::2/64")
        for prefix in _SITE:
            world.member.run("ip", "route", "add", prefix, "dev", "wg0")
        return world

    def _wire(self) -> None:
        connect(self.member, "eth0", self.gateway, "eth0")
        connect(self.gateway, "lan", self.office, "eth0")
        connect(self.office, "eth1", self.archive, "eth0")
        add_addresses(self.member, "eth0", "10.10.0.1/24")
        self.member.run("ip", "link", "add", "home", "type", "veth", "peer", "name", "neighbour")
        add_addresses(self.member, "home", "192.168.1.20/24")
        add_addresses(self.gateway, "eth0", "10.10.0.2/24")
        add_addresses(self.gateway, "lan", "192.168.1.1/25", "fd40::1/65", "fd41::1/112")
        add_addresses(self.office, "eth0", "192.168.1.10/25", "fd40::1:0:0:10/65", "fd41::10/112")
        add_addresses(self.office, "eth1", "192.168.1.129/25", "fd40::8000:0:0:1/65")
        add_addresses(self.archive, "eth0", "192.168.1.130/25", "fd40::8000:0:0:2/65")
        for host in (self.gateway, self.office):
            host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.office.run("ip", "link", "set", "eth1", "mtu", "1280")
        self.archive.run("ip", "link", "set", "eth0", "mtu", "1280")
        for host, card, via, via6 in (
            (self.gateway, "lan", "192.168.1.10", "fd40::1:0:0:10"),
            (self.office, "eth0", "192.168.1.1", "fd40::1"),
            (self.archive, "eth0", "192.168.1.129", "fd40::8000:0:0:1"),
        ):
            host.run("ip", "route", "add", "default", "via", via, "dev", card)
            host.run("ip", "route", "add", "default", "via", via6, "dev", card)

    def _tunnel(self, host: Host, datapath: str, *arguments: str) -> None:
        key, peer, endpoint, *more = arguments
        command = [sys.executable, _TOOL, "wg0", key, str(PORT), peer, endpoint, *more]
        process = host.start("env", f"WGPY_DATAPATH={datapath}", *command)
        eventually(lambda: "ready" in process.log.read_text(), f"{host.name} is ready")
        host.run("ip", "link", "set", "wg0", "up")


@pytest.fixture(params=["native", "portable"])
def world(lab: Lab, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World.build(lab, request.param)
    yield world
    for host in (world.member, world.office, world.archive):
        assert [line for line in complaints(host) if "TooBig" not in line] == []


def test_hosts_of_an_overlapping_site_are_reached(world: World) -> None:
    for host, addresses in ((world.office, _OFFICE), (world.archive, _ARCHIVE)):
        for real in addresses:
            world.member.run("ping", "-c", "2", "-i", "0.1", "-W", "2", mapped(real))
            # In fragments; the first answer of IPv6 finds the path MTU.
            world.member.run("ping", "-c", "3", "-i", "0.2", "-s", "4000", "-W", "2", mapped(real))
            assert_stream_arrives(world.member, mapped(real), host)
            assert_stream_arrives(host, _MEMBER[ip_address(real).version], world.member)


def test_datagrams_come_back_from_a_host_of_the_site(world: World) -> None:
    for real in _OFFICE:
        echo = world.office.start(*TRAFFIC, "udp-echo", real, "5002")
        world.member.run(*TRAFFIC, "udp-ask", mapped(real), "5002", "0", "1", "1200")
        echo.kill()


def test_a_member_knows_hosts_of_the_site_by_their_mapped_addresses(world: World) -> None:
    for real in _OFFICE:
        member = _MEMBER[ip_address(real).version]
        asked = world.member.start(*_PYTHON, _WHO_CONNECTS, member)
        eventually(lambda: "ready" in asked.log.read_text(), "the member listens")  # noqa: B023
        world.office.run(*_PYTHON, _CONNECT, real, member)
        assert asked.wait(10).output.split() == ["ready", mapped(real)]


def test_errors_reach_who_caused_them(world: World) -> None:
    for real, beyond in zip(_OFFICE, _ARCHIVE, strict=False):
        world.archive.start(*_FLOWS, "serve", beyond)
        arrived = world.member.run(*_FLOWS, "errors", mapped(real), mapped(beyond))
        assert json.loads(arrived) == ["port unreachable", "reset", "hops exceeded", "too big"]


def test_errors_of_a_member_reach_hosts_of_the_site(world: World) -> None:
    for real in _OFFICE[:2]:
        assert json.loads(world.office.run(*_FLOWS, "errors", _MEMBER[ip_address(real).version], real))[
            :2
        ] == ["port unreachable", "reset"]


def assert_stream_arrives(sender: Host, address: str, receiver: Host) -> None:
    """At the receiver, which the sender knows by this address."""
    anywhere = "::" if ":" in address else "0.0.0.0"
    sink = receiver.start(*TRAFFIC, "tcp-sink", anywhere, "5001")
    sent = sender.run(*TRAFFIC, "tcp-send", address, "5001", str(_STREAM))
    received = sink.wait(30)
    assert (received.status, received.output) == (0, sent)
