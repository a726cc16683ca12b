"""What happens to the daemon's host while a session runs.

Topology: topologies.Pair.
"""

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually, hand_over
from tests.integration.peers import PORT, Implementation, Peer, on_both_data_paths
from tests.integration.topologies import LEFT_INSIDE, Pair, endpoint


def test_the_tunnel_works_in_another_namespace_than_its_sockets(lab: Lab, daemon: Implementation) -> None:
    """
    left                         cell                                 right
    wg0's sockets, UAPI          wg0 10.20.0.1/24 fd20::1/64 (moved)  wg0 10.20.0.2/24 fd20::2/64
    eth0 10.10.0.1/24 ────────────────────────────────────────────── eth0 10.10.0.2/24
    """
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    pair.left.ping(pair.right)
    cell = lab.host("cell")
    assert isinstance(pair.left.machine, Host)

    hand_over("wg0", pair.left.machine, cell)
    add_addresses(cell, "wg0", *LEFT_INSIDE)
    cell.run("ip", "link", "set", "wg0", "up")

    moved = Peer(daemon, cell, LEFT_INSIDE)
    for family in 4, 6:
        moved.ping(pair.right, family=family)
        pair.right.ping(moved, family=family)
    assert pair.left.show("listen-port") == [[str(PORT)]]


# 65455 fills the largest datagram. The kernel opens no packet that came in more than 25 fragments.
@pytest.mark.parametrize(
    ("peer", "mtu"),
    [
        ("daemon", 1280),
        ("daemon", 9000),
        ("daemon", 65455),
        ("wireguard_go", 65455),
        ("kernel", 1280),
        ("kernel", 30000),
    ],
    indirect=["peer"],
)
def test_a_new_mtu_holds_for_the_next_packet(
    lab: Lab, daemon: Implementation, peer: Implementation, mtu: int
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    pair.left.ping(pair.right)

    for side in pair.left, pair.right:
        side.machine.run("ip", "link", "set", "wg0", "mtu", str(mtu))

    for sender, receiver in (pair.left, pair.right), (pair.right, pair.left):
        for family, headers in (4, 28), (6, 48):
            sender.ping(receiver, family=family, size=mtu - headers)


@on_both_data_paths
@pytest.mark.parametrize("outside", [4, 6], ids=["over IPv4", "over IPv6"])
def test_the_very_next_packet_arrives_when_the_source_address_is_gone(
    lab: Lab, daemon: Implementation, outside: int
) -> None:
    pair = Pair.build(lab, daemon, daemon)
    network, length = ("10.10.0.{}", 24) if outside == 4 else ("fd10::{}", 64)
    contacted, remaining = network.format(11), network.format(1)
    add_addresses(pair.left.machine, "eth0", f"{contacted}/{length}")
    pair.left.introduce(pair.right)
    pair.right.introduce(pair.left, endpoint(contacted))
    pair.right.ping(pair.left)
    pair.left.ping(pair.right)
    assert pair.right.traffic(pair.left).endpoint == endpoint(contacted), "it answers from there"

    pair.left.machine.run("ip", "address", "delete", f"{contacted}/{length}", "dev", "eth0")

    pair.left.ping(pair.right, within=1)
    assert pair.right.traffic(pair.left).endpoint == endpoint(remaining)


@pytest.mark.parametrize(
    ("network", "far", "bits"),
    [("10.1{}.0.{}/24", "10.99.0.2", 32), ("fd1{}::{}/64", "fd99::2", 128)],
    ids=["over IPv4", "over IPv6"],
)
def test_the_source_address_follows_a_better_route(
    lab: Lab, daemon: Implementation, network: str, far: str, bits: int
) -> None:
    """
    left                                     right
    eth0 10.10.0.1/24 fd10::1/64 ────────── eth0 10.10.0.2/24 fd10::2/64     lo far, what left knows of right
    eth1 10.11.0.1/24 fd11::1/64 ────────── eth1 10.11.0.2/24 fd11::2/64
    """
    pair = Pair.build(lab, daemon, daemon)
    left, right = pair.left.machine, pair.right.machine
    connect(left, "eth1", right, "eth1")
    add_addresses(left, "eth1", network.format(1, 1))
    add_addresses(right, "eth1", network.format(1, 2))
    add_addresses(right, "lo", f"{far}/{bits}")

    def route_by(number: int, metric: int) -> None:
        via, _, _ = network.format(number, 2).partition("/")
        left.run("ip", "route", "add", far, "via", via, "dev", f"eth{number}", "metric", str(metric))

    def comes_by(number: int) -> bool:
        pair.left.ping(pair.right)
        near, _, _ = network.format(number, 1).partition("/")
        return pair.right.traffic(pair.left).endpoint == endpoint(near)

    route_by(0, metric=200)
    pair.left.introduce(pair.right, endpoint(far))
    pair.right.introduce(pair.left)
    assert comes_by(0)

    route_by(1, metric=100)

    # The kernel tells the daemon beside the packets: the very next one may still have the old source.
    eventually(lambda: comes_by(1), "the source address is that of the new route")


def test_it_works_where_ipv6_is_disabled(lab: Lab, daemon: Implementation) -> None:
    pair = Pair.build(lab, daemon, daemon)
    pair.left.down()
    disable = [f"net.ipv6.conf.{name}.disable_ipv6=1" for name in ("all", "default")]
    pair.left.machine.run("sysctl", "-qw", *disable)
    pair.left.inside = LEFT_INSIDE[:1]
    pair.left.up()
    pair.introduce()

    pair.left.ping(pair.right)
    pair.right.ping(pair.left)

    assert pair.left.show("listen-port") == [[str(PORT)]]


@on_both_data_paths
def test_the_tunnel_works_again_after_its_link_was_down(
    lab: Lab, daemon: Implementation, peer: Implementation
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    pair.left.ping(pair.right)

    pair.left.machine.run("ip", "link", "set", "wg0", "down")
    assert not pair.right.reaches(pair.left)
    pair.left.machine.run("ip", "link", "set", "wg0", "up")
    add_addresses(pair.left.machine, "wg0", LEFT_INSIDE[1])  # forgotten with the link

    for family in 4, 6:
        pair.left.ping(pair.right, family=family)
        pair.right.ping(pair.left, family=family)


def test_the_tunnel_works_again_after_the_wire_was_unplugged(lab: Lab, daemon: Implementation) -> None:
    pair = Pair.build(lab, daemon, daemon)
    pair.introduce()
    pair.left.ping(pair.right)
    machine = pair.left.machine

    machine.run("ip", "link", "set", "eth0", "down")
    assert not pair.left.reaches(pair.right)
    machine.run("ip", "link", "set", "eth0", "up")

    pair.left.ping(pair.right)
