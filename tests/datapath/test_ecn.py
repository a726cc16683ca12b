"""Congestion marks survive the tunnel: RFC 6040, normal mode, for IPv4 and IPv6 inside."""

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, drop_counts
from tests.datapath.packets import checksum, ipv4, ipv6
from tests.datapath.remote import (
    HOME,
    LOCAL_HOST,
    LOCAL_HOST6,
    NOW,
    REMOTE_HOST,
    REMOTE_HOST6,
    Remote,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import SendKeepalive, UseKeypair

NOT_ECT, ECT_1, ECT_0, CE = 0b00, 0b01, 0b10, 0b11
DROP = None

# RFC 6040 section 4.2, figure 4: arriving inner field, then arriving outer field: outgoing field.
FIGURE_4 = {
    (NOT_ECT, NOT_ECT): NOT_ECT,
    (NOT_ECT, ECT_0): NOT_ECT,
    (NOT_ECT, ECT_1): NOT_ECT,
    (NOT_ECT, CE): DROP,
    (ECT_0, NOT_ECT): ECT_0,
    (ECT_0, ECT_0): ECT_0,
    (ECT_0, ECT_1): ECT_1,
    (ECT_0, CE): CE,
    (ECT_1, NOT_ECT): ECT_1,
    (ECT_1, ECT_0): ECT_1,
    (ECT_1, ECT_1): ECT_1,
    (ECT_1, CE): CE,
    (CE, NOT_ECT): CE,
    (CE, ECT_0): CE,
    (CE, ECT_1): CE,
    (CE, CE): CE,
}
DSCP = 0b101110 << 2  # expedited forwarding: must stay as it is, and inside


def inbound(ecn: int, ipv6_inside: bool) -> bytes:
    if ipv6_inside:
        return ipv6(REMOTE_HOST6, LOCAL_HOST6, b"payload", traffic_class=DSCP | ecn)
    return ipv4(REMOTE_HOST, LOCAL_HOST, b"payload", tos=DSCP | ecn)


def outbound(ecn: int, ipv6_inside: bool) -> bytes:
    if ipv6_inside:
        return ipv6(LOCAL_HOST6, REMOTE_HOST6, b"payload", traffic_class=DSCP | ecn)
    return ipv4(LOCAL_HOST, REMOTE_HOST, b"payload", tos=DSCP | ecn)


@pytest.mark.parametrize("ipv6_inside", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("ecn", [NOT_ECT, ECT_0, ECT_1, CE])
def test_the_inner_field_is_copied_out_without_the_dscp(
    path: DataPathUnderTest, ecn: int, ipv6_inside: bool
) -> None:
    path.send_packet(outbound(ecn, ipv6_inside), NOW)

    assert [datagram.tos for datagram in path.take_datagrams()] == [ecn]


def test_a_staged_packet_keeps_its_field(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(UseKeypair(PEER, None), NOW)
    path.send_packet(outbound(CE, False), NOW)
    path.apply(UseKeypair(PEER, remote.local_index), NOW)

    assert [datagram.tos for datagram in path.take_datagrams()] == [CE]


def test_a_keepalive_is_not_ect(path: DataPathUnderTest) -> None:
    path.apply(SendKeepalive(PEER), NOW)

    assert [datagram.tos for datagram in path.take_datagrams()] == [NOT_ECT]


@pytest.mark.parametrize("ipv6_inside", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("arriving", "outgoing"), FIGURE_4.items())
def test_the_fields_are_combined_as_figure_4_says(
    path: DataPathUnderTest,
    remote: Remote,
    arriving: tuple[int, int],
    outgoing: int | None,
    ipv6_inside: bool,
) -> None:
    inner, outer = arriving

    path.receive_datagram(remote.seal(inbound(inner, ipv6_inside) + bytes(5)), HOME, NOW, tos=outer)

    if outgoing is DROP:
        assert path.take_packets() == []
        assert drop_counts(path) == {DropReason.ECN_CONGESTION: 1}
    else:
        assert path.take_packets() == [inbound(outgoing, ipv6_inside)]
        assert drop_counts(path) == {}


def test_an_ipv4_checksum_stays_right(path: DataPathUnderTest, remote: Remote) -> None:
    """For every TOS byte, as the sum carries for some."""
    for tos in range(256):
        packet = ipv4(REMOTE_HOST, LOCAL_HOST, tos=tos)
        path.receive_datagram(remote.seal(packet), HOME, NOW, tos=CE)

    packets = path.take_packets()
    assert len(packets) == 192, "all but those that are Not-ECT"
    assert {checksum(packet[:20]) for packet in packets} == {0}


def test_a_wrong_ipv4_checksum_stays_wrong(path: DataPathUnderTest, remote: Remote) -> None:
    """The checksum is updated, not made anew: the tunnel must not launder a damaged packet."""
    packet = bytearray(ipv4(REMOTE_HOST, LOCAL_HOST, tos=ECT_0))
    packet[10] ^= 0x40

    path.receive_datagram(remote.seal(bytes(packet)), HOME, NOW, tos=CE)

    [received] = path.take_packets()
    assert received[1] == CE
    assert checksum(received[:20]) != 0


def test_a_keepalive_inside_ce_is_a_keepalive(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(), HOME, NOW, tos=CE)

    assert path.activity(PEER).last_received == NOW
    assert drop_counts(path) == {}


def test_a_packet_dropped_for_congestion_was_received(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(inbound(NOT_ECT, False)), HOME, NOW, tos=CE)

    assert path.activity(PEER).first_unacked_received == NOW
