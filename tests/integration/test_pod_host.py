"""A host whose pods the mesh knows: who sees which address of a pod.

pod                    node                          outside, which has no way to pods
eth0 10.42.2.9/24 ──── cni0 10.42.2.1/24
                       eth0 10.10.0.1/24 ─────────── eth0 10.10.0.2/24
                       wg0  10.20.0.1/24 ─────────── wg0  10.20.0.2/24
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect

pytestmark = pytest.mark.xdist_group("pod_host")

_FILE = "/run/net.d/10-wgpy.conflist"
_RANGES = ("10.42.2.0/24", "fd00:42:2::/64")
_ADDRESSES = {
    "eth0": ("10.10.0.{}/24", "fd00:10::{}/64"),
    "wg0": ("10.20.0.{}/24", "fd00:20::{}/64"),
}


@dataclass(frozen=True, slots=True)
class Net:
    pod: Host
    node: Host
    outside: Host

    def apply(self, *ranges: str) -> list[str]:
        program = str(Path(__file__).with_name("podhost.py"))
        return list(json.loads(self.node.run(sys.executable, program, _FILE, "1380", *ranges)))

    def reaches(self, address: str) -> bool:
        return self.pod.attempt("ping", "-n", "-c", "1", "-W", "2", address).status == 0


@pytest.fixture(scope="module")
def net(module_lab: Lab) -> Net:
    net = Net(*map(module_lab.host, ("pod", "node", "outside")))
    connect(net.pod, "eth0", net.node, "cni0")
    add_addresses(net.pod, "eth0", "10.42.2.9/24", "fd00:42:2::9/64")
    add_addresses(net.node, "cni0", "10.42.2.1/24", "fd00:42:2::1/64")
    for card, (version4, version6) in _ADDRESSES.items():
        connect(net.node, card, net.outside, card)
        for number, host in enumerate((net.node, net.outside), start=1):
            add_addresses(host, card, version4.format(number), version6.format(number))
    net.pod.run("ip", "route", "add", "default", "via", "10.42.2.1")
    net.pod.run("ip", "route", "add", "default", "via", "fd00:42:2::1")
    net.node.run("sysctl", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    return net


def test_pods_reach_who_has_no_way_to_them_and_keep_their_address_in_the_mesh(net: Net) -> None:
    before = [net.reaches(address) for address in ("10.10.0.2", "fd00:10::2")]

    assert net.apply(*_RANGES) == []

    assert before == [False, False]
    assert net.reaches("10.10.0.2")
    assert net.reaches("fd00:10::2")
    assert not net.reaches("10.20.0.2")
    assert not net.reaches("fd00:20::2")
    for prefix, gateway in zip(_RANGES, ("10.20.0.1", "fd00:20::1"), strict=True):
        net.outside.run("ip", "route", "add", prefix, "via", gateway)
    assert net.reaches("10.20.0.2")
    assert net.reaches("fd00:20::2")


def test_without_ranges_nothing_is_left(net: Net) -> None:
    net.apply(*_RANGES)
    made = net.node.path(_FILE).exists(), "wgpy-pods-7" in net.node.run("nft", "list", "tables")

    assert net.apply() == []

    assert made == (True, True)
    assert not net.node.path(_FILE).exists()
    assert "wgpy-pods-7" not in net.node.run("nft", "list", "tables")


def test_another_ones_file_is_a_warning_and_pods_are_masqueraded_all_the_same(net: Net) -> None:
    net.node.run("mkdir", "-p", str(Path(_FILE).parent))
    net.node.write(_FILE, '{"name": "cbr0"}')

    (warning,) = net.apply(_RANGES[0])

    assert "is not of wgpy" in warning
    assert "wgpy-pods-7" in net.node.run("nft", "list", "tables")
    net.node.run("rm", _FILE)
    net.apply()
