"""A gateway's host passes packets to hosts without a route back, and is as it was when it is none any more.

member                gateway                   office
eth0 10.10.0.1/24 ─── eth0 10.10.0.2/24
wg0  10.20.0.1/24     wg0  10.20.0.2/24
                      lan  192.168.1.1/24 ───── eth0 192.168.1.10/24
                      lan2 192.168.1.2/24

Of IPv6 the office is fd40::/64, and the mesh fd20::/64. The office has no other route; its MTU is 1280.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.exchange import TRAFFIC
from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.peers import PORT, key_pair

_HERE = Path(__file__).parent
_REAL = ("192.168.1.0/24", "fd40::/64")
_MAPPED = {"100.96.4.0/24": "192.168.1.0/24", "fd12:3456:3:7::/64": "fd40::/64"}
_OFFICE = {"100.96.4.10": "192.168.1.10", "fd12:3456:3:7:cbcd::10": "fd40::10"}
_BEHIND = ("100.96.4.77", "fd12:3456:3:7:cbcd::77")
_FLOWS = (sys.executable, str(_HERE / "flows.py"))
_NOTE = "/run/wgpy.note"
_MSS = "import socket, sys; s = socket.create_connection((sys.argv[1], 5001), 10); print(s.getsockopt(6, 2))"


@dataclass(frozen=True, slots=True)
class World:
    member: Host
    gateway: Host
    office: Host

    def change(self, verb: str, *options: str) -> list[str]:
        """Run a verb of gatewayhost.py on the gateway."""
        said = self.gateway.run(sys.executable, str(_HERE / "gatewayhost.py"), verb, _NOTE, *_REAL, *options)
        found: list[str] = json.loads(said or "[]")
        return found

    def state(self) -> str:
        """All that may be changed of the gateway."""
        settings = self.gateway.run(
            "sh", "-c", "sysctl -a 2>/dev/null | grep -E 'forwarding|rp_filter|accept_ra '"
        )
        return settings + self.gateway.run("nft", "list", "ruleset")

    def reaches(self, address: str) -> bool:
        return self.member.attempt("ping", "-n", "-c", "1", "-W", "1", address).status == 0


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    world = World(*(module_lab.host(name) for name in ("member", "gateway", "office")))
    connect(world.member, "eth0", world.gateway, "eth0")
    connect(world.gateway, "lan", world.office, "eth0")
    add_addresses(world.member, "eth0", "10.10.0.1/24")
    add_addresses(world.gateway, "eth0", "10.10.0.2/24")
    add_addresses(world.gateway, "lan", "192.168.1.1/24", "fd40::1/64")
    add_addresses(world.office, "eth0", "192.168.1.10/24", "fd40::10/64")
    for host, card in ((world.gateway, "lan"), (world.office, "eth0")):
        host.run("ip", "link", "set", card, "mtu", "1280")
    keys = key_pair(), key_pair()
    pairs = map("=".join, _MAPPED.items())
    tunnel(world.member, keys[0][0], keys[1][1], "10.10.0.2", "10.20.0.2", "fd20::2", *_MAPPED)
    tunnel(world.gateway, keys[1][0], keys[0][1], "10.10.0.1", "10.20.0.1", "fd20::1", "--", *pairs)
    add_addresses(world.member, "wg0", "10.20.0.1/24", "fd20::1/64")
    add_addresses(world.gateway, "wg0", "10.20.0.2/24", "fd20::2/64")
    for prefix in _MAPPED:
        world.member.run("ip", "route", "add", prefix, "dev", "wg0")
    return world


def tunnel(host: Host, key: str, peer: str, endpoint: str, *allowed: str) -> None:
    process = host.start(
        sys.executable, str(_HERE / "sitehost.py"), "wg0", key, str(PORT), peer, endpoint, *allowed
    )
    eventually(lambda: "ready" in process.log.read_text(), f"{host.name} is ready")
    host.run("ip", "link", "set", "wg0", "up")


@pytest.fixture
def gateway(world: World) -> Iterator[World]:
    before = world.state()
    yield world
    world.change("undo")
    assert world.state() == before
    assert not world.gateway.path(_NOTE).exists()


def test_hosts_without_a_route_back_are_reached(gateway: World) -> None:
    assert not gateway.reaches("100.96.4.10")

    assert gateway.change("apply", "--open") == []

    for address, real in _OFFICE.items():
        gateway.member.run("ping", "-c", "2", "-i", "0.1", "-W", "5", address)
        gateway.member.run("ping", "-c", "3", "-i", "0.1", "-s", "4000", "-W", "5", address)
        assert_stream_arrives(gateway, address, real)
    assert gateway.change("obstacles") == []


def assert_stream_arrives(world: World, address: str, real: str) -> None:
    sink = world.office.start(*TRAFFIC, "tcp-sink", real, "5001")
    sent = world.member.run(*TRAFFIC, "tcp-send", address, "5001", "5000000")
    received = sink.wait(30)
    assert (received.status, received.output) == (0, sent)


@pytest.mark.parametrize(("address", "mss"), [*zip(_OFFICE, (1280 - 52, 1280 - 72), strict=True)])
def test_the_segments_of_a_member_pass_the_narrower_side(gateway: World, address: str, mss: int) -> None:
    gateway.change("apply", "--open")
    gateway.office.start(*TRAFFIC, "tcp-sink", _OFFICE[address], "5001")

    def size() -> int:
        asked = gateway.member.attempt(sys.executable, "-c", _MSS, address)
        return int(asked.output) if asked.status == 0 else 0

    eventually(lambda: size() == mss, "the member sends segments that pass")


def test_the_gateway_itself_is_reached_as_its_site_knows_it(gateway: World) -> None:
    gateway.change("apply")

    gateway.member.run("ping", "-c", "1", "-W", "5", "100.96.4.1")
    gateway.gateway.start(*TRAFFIC, "tcp-sink", "192.168.1.1", "5001")
    eventually(
        lambda: gateway.member.attempt(*TRAFFIC, "tcp-send", "100.96.4.1", "5001", "1000").status == 0,
        "the gateway's own service is reached",
    )


@pytest.mark.parametrize(("address", "own"), [*zip(_BEHIND, ("10.20.0.2", "fd20::2"), strict=True)])
def test_errors_of_a_router_without_an_address_of_the_site_come_by_the_gateways(
    gateway: World, address: str, own: str
) -> None:
    stand_behind_a_foreign_router(gateway)

    gateway.change("apply", "--open")

    found = json.loads(gateway.member.run(*_FLOWS, "trace", address))
    assert found[:2] == [own, own], "the gateway, and the router by its address"


def stand_behind_a_foreign_router(world: World) -> None:
    """Let hosts be behind the office, which calls itself by addresses that the mesh does not know."""
    world.office.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    for foreign, gateway, behind in (
        ("172.31.0.10", "192.168.1.1", "192.168.1.77"),
        ("fd99::10", "fd40::1", "fd40::77"),
    ):
        length = 128 if ":" in foreign else 32
        world.office.attempt("ip", "address", "add", f"{foreign}/{length}", "dev", "eth0", "nodad")
        world.office.run("ip", "route", "replace", f"{gateway}/{length}", "dev", "eth0", "src", foreign)
        via = "fd40::10" if ":" in foreign else "192.168.1.10"
        world.gateway.run("ip", "route", "replace", f"{behind}/{length}", "via", via)


def test_a_table_that_somebody_flushed_is_made_again(gateway: World) -> None:
    gateway.change("apply", "--open")
    gateway.gateway.run("nft", "flush", "ruleset")
    assert not gateway.reaches("100.96.4.10")

    gateway.change("apply", "--open")

    assert gateway.reaches("100.96.4.10")


def test_a_host_that_does_not_forward_is_told_of(gateway: World) -> None:
    first, second = gateway.change("obstacles")

    assert first == (
        "this node announces 192.168.1.0/24, but its host does not forward IPv4: "
        "`sysctl -w net.ipv4.ip_forward=1`, and a file in /etc/sysctl.d, let packets through"
    )
    assert "fd40::/64" in second


def test_a_strict_filter_is_told_of_and_made_loose(gateway: World) -> None:
    gateway.gateway.run("ip", "link", "add", "lan2", "type", "veth", "peer", "name", "neighbour")
    gateway.gateway.run("ip", "link", "set", "lan2", "up")
    add_addresses(gateway.gateway, "lan2", "192.168.1.2/24")
    gateway.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.lan2.rp_filter=1")

    (sentence,) = [sentence for sentence in gateway.change("obstacles") if "filter" in sentence]
    assert sentence == (
        "this host drops what comes by lan2 for the mesh, as its reverse path filter is strict: "
        "`sysctl -w net.ipv4.conf.lan2.rp_filter=2` lets it in"
    )
    for _ in range(2):
        assert gateway.change("apply", "--open") == []
        assert gateway.change("obstacles") == []

    gateway.change("undo")
    assert gateway.gateway.run("sysctl", "-n", "net.ipv4.conf.lan2.rp_filter").strip() == "1"
    gateway.gateway.run("ip", "link", "delete", "lan2")
    gateway.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=0")


@pytest.mark.parametrize(
    "rules",
    ["policy drop; }", "}; add rule inet wall zone reject with icmpx admin-prohibited"],
    ids=["policy", "zone"],
)
def test_a_firewall_of_nft_is_told_of_and_passed(gateway: World, rules: str) -> None:
    gateway.gateway.run(
        "nft",
        "add table inet wall; add chain inet wall zone;"
        f"add chain inet wall pass {{ type filter hook forward priority 0; {rules};"
        "add rule inet wall pass ct state established,related accept; add rule inet wall pass jump zone",
    )
    before = gateway.gateway.run("nft", "list", "table", "inet", "wall")
    gateway.change("apply")
    told = [sentence for sentence in gateway.change("obstacles") if "drops" in sentence]

    assert len(told) == 1
    assert told[0].endswith(
        "drops what this host forwards from wg0 to lan: "
        '`nft \'insert rule inet wall pass iifname "wg0" oifname "lan" accept\'` lets it pass'
    )
    assert gateway.change("apply", "--open") == []
    assert gateway.change("obstacles") == []
    assert all(map(gateway.reaches, _OFFICE))
    assert gateway.change("apply") == []
    assert gateway.gateway.run("nft", "list", "table", "inet", "wall") == before
    gateway.gateway.run("nft", "delete", "table", "inet", "wall")


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_a_firewall_of_iptables_is_told_of_and_passed(gateway: World, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing")
    iptables = (program, "-w")
    gateway.gateway.run(*iptables, "-P", "FORWARD", "DROP")
    gateway.gateway.run(*iptables, "-N", "DOCKER-USER")
    gateway.gateway.run(*iptables, "-A", "FORWARD", "-j", "DOCKER-USER")
    before = gateway.gateway.run(*iptables, "-S")
    gateway.change("apply")
    told = [sentence for sentence in gateway.change("obstacles") if "drops" in sentence]

    assert told == [policy_of(program, "wg0", "lan"), policy_of(program, "lan", "wg0")]
    assert gateway.change("apply", "--open") == []
    assert gateway.change("obstacles") == []
    assert gateway.reaches("100.96.4.10")
    assert gateway.change("apply") == []
    assert gateway.gateway.run(*iptables, "-S") == before
    for option in (("-P", "FORWARD", "ACCEPT"), ("-F",), ("-X",)):
        gateway.gateway.run(*iptables, *option)
    if program == "iptables-nft":
        gateway.gateway.run("nft", "delete", "table", "ip", "filter")


def policy_of(program: str, arrives_by: str, leaves_by: str) -> str:
    return (
        f"the policy of chain FORWARD in {program} drops what this host forwards from {arrives_by} to "
        f"{leaves_by}: `{program} -w -I DOCKER-USER -i {arrives_by} -o {leaves_by} -j ACCEPT` lets it pass"
    )
