"""Whatever the kernel is trusted with, and by either data path, real TCP and UDP arrive whole at real peers.

left                                        right
wg0   10.20.0.1/24 fd20::1/64               wg0   10.20.0.2/24 fd20::2/64
eth0  10.10.0.1/24 fd10::1/64  ───────────  eth0  10.10.0.2/24 fd10::2/64

Left is the daemon under test. Right is wireguard-go, reached over IPv4, which carries both; or the kernel,
over IPv6, which carries IPv6: its guest is slow, and IPv4 with everything is in test_interoperability.py.
"""

import pytest

from tests.integration.exchange import assert_tcp_arrives_whole, assert_udp_comes_back, complaints
from tests.integration.hosts import Lab, Machine, add_addresses, connect
from tests.integration.peers import Implementation, Userspace
from tests.integration.topologies import Pair

_TCP_BYTES = 4 << 20
_UDP_SIZES = (0, 1, 3, 4, 5, 15, 16, 17, 64, 576, 1371, 1372)  # the last fills IPv6's packet
_FRAGMENTED = (1373, 1400, 8000)
_GROUPS = ("none", "checksum", "tso", "uso", "gso", "gro", "all")
_SETTINGS = [*(f"WGPY_OFFLOAD={group}" for group in _GROUPS), "WGPY_DATAPATH=portable"]


@pytest.fixture(params=_SETTINGS)
def chosen(program: str, request: pytest.FixtureRequest) -> Implementation:
    """The daemon under test with each setting in turn."""
    return Userspace(program, (request.param,))


@pytest.mark.parametrize(
    ("peer", "outside", "inside"),
    [("wireguard_go", 4, [4, 6]), ("kernel", 6, [6])],
    ids=["wireguard-go", "kernel"],
    indirect=["peer"],
)
def test_it_arrives_whole_both_ways(
    lab: Lab, chosen: Implementation, peer: Implementation, outside: int, inside: list[int]
) -> None:
    pair = Pair.build(lab, chosen, peer)
    pair.introduce(outside)
    left, right = pair.left, pair.right

    sizes = (*_UDP_SIZES, *_FRAGMENTED)
    for family in inside:
        here, there = left.addresses[family == 6], right.addresses[family == 6]
        _exchange(left.machine, right.machine, here, there, sizes)

    assert _wrong_sums(left.machine) == _wrong_sums(right.machine) == []


@pytest.mark.parametrize(
    "chosen", ["WGPY_OFFLOAD=none", "WGPY_OFFLOAD=checksum", "WGPY_OFFLOAD=all"], indirect=True
)
def test_it_arrives_whole_from_a_host_behind(
    lab: Lab, chosen: Implementation, wireguard_go: Implementation
) -> None:
    """
    behind                                     left as above, a router ───────────  right as above
    eth0 10.30.0.2/24 fd30::2/64 ──────────── lan 10.30.0.1/24 fd30::1/64
    """
    pair = Pair.build(lab, chosen, wireguard_go)
    pair.introduce()
    behind, left, right = lab.host("behind"), pair.left, pair.right
    connect(behind, "eth0", left.machine, "lan")
    add_addresses(behind, "eth0", "10.30.0.2/24", "fd30::2/64")
    add_addresses(left.machine, "lan", "10.30.0.1/24", "fd30::1/64")
    left.machine.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    networks = "10.30.0.0/24", "fd30::/64"
    right.set("peer", left.public_key, "allowed-ips", ",".join((*left.addresses, *networks)))
    for network in networks:
        right.machine.run("ip", "route", "add", network, "dev", "wg0")
    behind.run("ip", "route", "add", "default", "via", "10.30.0.1")
    behind.run("ip", "-6", "route", "add", "default", "via", "fd30::1")

    for here, there in zip(("10.30.0.2", "fd30::2"), right.addresses, strict=True):
        _exchange(behind, right.machine, here, there, _UDP_SIZES)

    assert _wrong_sums(behind) == _wrong_sums(right.machine) == []


def _exchange(one: Machine, other: Machine, address: str, other_address: str, sizes: tuple[int, ...]) -> None:
    assert_tcp_arrives_whole(one, other, other_address, _TCP_BYTES)
    assert_tcp_arrives_whole(other, one, address, _TCP_BYTES)
    assert_udp_comes_back(one, other, other_address, sizes)
    assert_udp_comes_back(other, one, address, sizes)


def _wrong_sums(machine: Machine) -> list[str]:
    return [line for line in complaints(machine) if "Csum" in line]
