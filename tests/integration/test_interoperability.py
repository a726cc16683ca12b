"""The daemon under test (left) with itself, wireguard-go and the Linux kernel (right): what each must do.

Topology: topologies.Pair.
"""

import pytest

from tests.integration.exchange import assert_tcp_arrives_whole, assert_udp_comes_back, fragments_made
from tests.integration.hosts import CommandFailed, Lab, eventually
from tests.integration.peers import MTU, Implementation, on_both_data_paths, preshared_key
from tests.integration.topologies import Pair, endpoint, move

_TCP_BYTES = 2 << 20
_UDP_SIZES = (0, 1, 15, 16, 17, 512, 1372, 4000)  # the last one is fragmented


@pytest.mark.parametrize("outside", [4, 6], ids=["over IPv4", "over IPv6"])
@pytest.mark.parametrize("begins", ["left", "right"])
def test_data_passes_both_ways_under_a_preshared_key(
    lab: Lab, daemon: Implementation, peer: Implementation, outside: int, begins: str
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce(outside, preshared_key())
    first, second = (pair.left, pair.right) if begins == "left" else (pair.right, pair.left)

    first.ping(second)

    for sender, receiver in (first, second), (second, first):
        for family in 4, 6:
            sender.ping(receiver, family=family)
            address = receiver.addresses[family == 6]
            assert_tcp_arrives_whole(sender.machine, receiver.machine, address, _TCP_BYTES)
            assert_udp_comes_back(sender.machine, receiver.machine, address, _UDP_SIZES)


def test_the_counters_of_both_ends_agree(lab: Lab, daemon: Implementation, peer: Implementation) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    for sender, receiver in (pair.left, pair.right), (pair.right, pair.left):
        # Packets of 96 and 112 bytes: wireguard-go counts what it receives without the padding to 16.
        for _ in range(5):
            sender.ping(receiver, family=4, size=96 - 28)
            sender.ping(receiver, family=6, size=112 - 48)
    eventually(pair.counters_agree, "each side received exactly what the other sent")


@pytest.mark.parametrize("peer", ["daemon", "kernel"], indirect=True)
def test_the_counters_count_padding(lab: Lab, daemon: Implementation, peer: Implementation) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    for sender, receiver in (pair.left, pair.right), (pair.right, pair.left):
        for size in 0, 1, 69, 1391, 1392:
            sender.ping(receiver, size=size)
    eventually(pair.counters_agree, "each side received exactly what the other sent")


@on_both_data_paths
@pytest.mark.parametrize("outside", [4, 6], ids=["over IPv4", "over IPv6"])
def test_packets_of_exactly_the_mtu_pass_and_their_datagrams_are_not_fragmented(
    lab: Lab, daemon: Implementation, peer: Implementation, outside: int
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce(outside)
    for sender, receiver in (pair.left, pair.right), (pair.right, pair.left):
        for family, headers in (4, 28), (6, 48):
            sender.ping(receiver, family=family, size=MTU - headers)
            with pytest.raises(CommandFailed, match="(?i)message too long"):
                sender.ping(receiver, family=family, size=MTU - headers + 1)
    assert fragments_made(pair.left.machine) == 0


def test_a_wrong_preshared_key_gives_no_session(
    lab: Lab, daemon: Implementation, peer: Implementation
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.left.introduce(pair.right, endpoint("10.10.0.2"), preshared_key())
    pair.right.introduce(pair.left, endpoint("10.10.0.1"), preshared_key())

    assert not pair.left.reaches(pair.right)
    assert not pair.right.reaches(pair.left)

    assert pair.left.traffic(pair.right).sent > 0
    assert pair.left.traffic(pair.right).handshake == 0
    assert pair.right.traffic(pair.left).handshake == 0


@pytest.mark.parametrize("outside", [4, 6], ids=["over IPv4", "over IPv6"])
@pytest.mark.parametrize("roams", ["left", "right"])
def test_the_other_side_follows_a_new_address(
    lab: Lab,
    daemon: Implementation,
    peer: Implementation,
    wireguard_go: Implementation,
    outside: int,
    roams: str,
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce(outside)
    pair.left.ping(pair.right)
    roaming, staying = (pair.left, pair.right) if roams == "left" else (pair.right, pair.left)
    before = staying.traffic(roaming)
    network = "10.10.0.{}" if outside == 4 else "fd10::{}"
    old, new = network.format(1 if roams == "left" else 2), network.format(99)
    length = 24 if outside == 4 else 64

    move(roaming.machine, "eth0", f"{old}/{length}", f"{new}/{length}")
    if roaming.implementation == wireguard_go:
        # It sends from the lost address until the endpoint is set again.
        roaming.set("peer", staying.public_key, "endpoint", roaming.traffic(staying).endpoint)
    roaming.ping(staying)

    assert staying.traffic(roaming).endpoint == endpoint(new)
    assert staying.traffic(roaming).handshake == before.handshake, "the session itself goes on"
    staying.ping(roaming)


@on_both_data_paths
@pytest.mark.parametrize("roams", ["left", "right"])
def test_the_other_side_follows_a_new_port(
    lab: Lab, daemon: Implementation, peer: Implementation, roams: str
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    pair.left.ping(pair.right)
    roaming, staying = (pair.left, pair.right) if roams == "left" else (pair.right, pair.left)
    address = "10.10.0.1" if roams == "left" else "10.10.0.2"

    roaming.set("listen-port", "40000")
    roaming.ping(staying)

    assert staying.traffic(roaming).endpoint == endpoint(address, 40000)
    staying.ping(roaming)


@pytest.mark.parametrize("speaks", ["left", "right"])
@pytest.mark.parametrize("restarts", ["left", "right", "left right", "right left"])
def test_the_tunnel_works_again_after_a_restart(
    lab: Lab, daemon: Implementation, peer: Implementation, restarts: str, speaks: str
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    pair.left.ping(pair.right)
    sides = {"left": pair.left, "right": pair.right}
    speaker, listener = (pair.left, pair.right) if speaks == "left" else (pair.right, pair.left)

    for side in restarts.split():
        sides[side].restart()

    # Who kept the session notices after 15 s of silence (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT).
    eventually(lambda: speaker.reaches(listener), "the tunnel works again", within=25)
    listener.ping(speaker)


@pytest.mark.slow
@pytest.mark.parametrize("begins", ["left", "right"])
def test_a_session_older_than_two_minutes_is_renewed_without_loss(
    lab: Lab, daemon: Implementation, peer: Implementation, begins: str
) -> None:
    pair = Pair.build(lab, daemon, peer)
    pair.introduce()
    first, second = (pair.left, pair.right) if begins == "left" else (pair.right, pair.left)
    first.ping(second)
    session = first.traffic(second).handshake

    output = first.ping_steadily(second, count=250, interval=0.5)  # 125 s

    assert "250 packets transmitted, 250 received" in output
    assert 120 <= first.traffic(second).handshake - session <= 124  # REKEY_AFTER_TIME
