"""Packets from the TUN become data messages to the right peer. Whitepaper 5.4.6."""

import pytest

from tests.datapath.kinds import (
    PEER,
    DataPathUnderTest,
    MakeDataPath,
    drop_counts,
    prefix,
    sent,
    with_session,
)
from tests.datapath.packets import ipv4, ipv6
from tests.datapath.remote import (
    AWAY,
    HOME,
    LOCAL_HOST,
    LOCAL_HOST6,
    NOW,
    REJECT_AFTER_TIME,
    REMOTE_HOST,
    REMOTE_HOST6,
    SECOND,
    STRANGE_HOST,
    STRANGE_HOST6,
    Remote,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import KeyNeeded
from wgpy.contract.orders import AddPeer, ClearSource, SendKeepalive, SetEndpoint, SetRoute, UseKeypair

PACKET = ipv4(LOCAL_HOST, REMOTE_HOST, b"payload")


@pytest.mark.parametrize(
    "packet", [PACKET, ipv6(LOCAL_HOST6, REMOTE_HOST6, b"payload")], ids=["ipv4", "ipv6"]
)
def test_a_packet_leaves_sealed_for_the_peer_that_owns_its_destination(
    path: DataPathUnderTest, remote: Remote, packet: bytes
) -> None:
    path.send_packet(packet, NOW)

    [datagram] = path.take_datagrams()
    assert (datagram.endpoint, datagram.peer) == (HOME, PEER)
    assert remote.open(datagram).packet.startswith(packet)


def test_datagrams_are_given_once(path: DataPathUnderTest) -> None:
    path.send_packet(PACKET, NOW)

    assert len(path.take_datagrams()) == 1
    assert path.take_datagrams() == []


def test_counters_begin_at_zero_and_grow_by_one_keepalives_included(
    path: DataPathUnderTest, remote: Remote
) -> None:
    path.send_packet(PACKET, NOW)
    path.apply(SendKeepalive(PEER), NOW)
    path.send_packet(PACKET, NOW)

    assert [message.counter for message in sent(path, remote)] == [0, 1, 2]


def test_each_keypair_counts_for_itself(path: DataPathUnderTest, remote: Remote) -> None:
    second = Remote(local_index=0x33333333, remote_index=0x44444444, sending_key=b"other key, sends")
    path.send_packet(PACKET, NOW)
    assert [message.counter for message in sent(path, remote)] == [0]

    path.apply(second.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, second.local_index), NOW)
    path.send_packet(PACKET, NOW)
    assert [message.counter for message in sent(path, second)] == [0]

    path.apply(UseKeypair(PEER, remote.local_index), NOW)
    path.send_packet(PACKET, NOW)
    assert [message.counter for message in sent(path, remote)] == [1]


def test_a_keepalive_is_an_empty_message(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(SendKeepalive(PEER), NOW)

    [datagram] = path.take_datagrams()
    assert len(datagram.data) == 32
    assert remote.open(datagram).packet == b""
    assert (datagram.endpoint, datagram.tos, datagram.peer) == (HOME, 0, PEER)


# -- Padding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "mtu", "padded"),
    [
        (20, 1420, 32),
        (32, 1420, 32),
        (33, 1420, 48),
        (1407, 1420, 1408),
        (1409, 1420, 1420),  # not past the MTU
        (1420, 1420, 1420),
        (1421, 1420, 1436),  # a packet of the MTU of a moment ago: its last byte counts
        (2840, 1420, 2840),
        (1500, 65_535, 1504),
        (100, 90, 106),
    ],
)
def test_a_packet_is_padded_with_zeros_to_16_but_never_past_the_mtu(
    datapath: MakeDataPath, remote: Remote, size: int, mtu: int, padded: int
) -> None:
    path = with_session(datapath, remote, mtu=mtu)
    packet = ipv4(LOCAL_HOST, REMOTE_HOST, b"p" * (size - 20))

    path.send_packet(packet, NOW)

    [message] = sent(path, remote)
    assert message.packet == packet + bytes(padded - size)


def test_a_new_mtu_holds_from_the_next_packet_on(path: DataPathUnderTest, remote: Remote) -> None:
    packet = ipv4(LOCAL_HOST, REMOTE_HOST, bytes(1411 - 20))
    path.set_mtu(1412)
    path.send_packet(packet, NOW)
    path.set_mtu(1500)
    path.send_packet(packet, NOW)

    assert [len(message.packet) for message in sent(path, remote)] == [1412, 1424]


@pytest.mark.parametrize("mtu", [0, -1])
def test_an_impossible_mtu_is_the_callers_fault(path: DataPathUnderTest, mtu: int) -> None:
    with pytest.raises(ValueError, match="MTU"):
        path.set_mtu(mtu)


# -- Where to ------------------------------------------------------------------------------------


def test_the_longest_prefix_decides(path: DataPathUnderTest) -> None:
    path.apply(AddPeer(8), NOW)
    path.apply(SetEndpoint(8, AWAY), NOW)
    path.apply(SetRoute(8, prefix("10.0.0.0/24")), NOW)
    nearby = Remote(local_index=8, remote_index=9)
    path.apply(nearby.keypair(8), NOW)
    path.apply(UseKeypair(8, 8), NOW)

    path.send_packet(PACKET, NOW)
    path.send_packet(ipv4(LOCAL_HOST, "10.0.0.3"), NOW)

    assert [datagram.peer for datagram in path.take_datagrams()] == [PEER, 8]


@pytest.mark.parametrize(
    "packet",
    [ipv4(LOCAL_HOST, STRANGE_HOST), ipv6(LOCAL_HOST6, STRANGE_HOST6)],
    ids=["ipv4", "ipv6"],
)
def test_a_packet_for_nobody_is_dropped(path: DataPathUnderTest, packet: bytes) -> None:
    path.send_packet(packet, NOW)

    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.NO_PEER_FOR_DESTINATION: 1}


def test_a_packet_for_a_peer_without_an_endpoint_is_dropped(datapath: MakeDataPath) -> None:
    path = datapath()
    path.apply(AddPeer(PEER), NOW)
    path.apply(SetRoute(PEER, prefix(REMOTE_HOST)), NOW)

    path.send_packet(PACKET, NOW)

    assert drop_counts(path) == {DropReason.NO_ENDPOINT: 1}
    assert path.take_events() == []


def test_a_keepalive_to_a_peer_without_an_endpoint_is_dropped(datapath: MakeDataPath, remote: Remote) -> None:
    path = datapath()
    path.apply(AddPeer(PEER), NOW)
    path.apply(remote.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, remote.local_index), NOW)

    path.apply(SendKeepalive(PEER), NOW)

    assert drop_counts(path) == {DropReason.NO_ENDPOINT: 1}
    path.apply(SetEndpoint(PEER, HOME), NOW)
    path.apply(SendKeepalive(PEER), NOW)
    assert [message.counter for message in sent(path, remote)] == [0], "no counter was spent on it"


def test_a_new_endpoint_holds_from_the_next_packet_on(path: DataPathUnderTest) -> None:
    path.send_packet(PACKET, NOW)
    path.apply(SetEndpoint(PEER, AWAY), NOW)
    path.send_packet(PACKET, NOW)

    assert [datagram.endpoint for datagram in path.take_datagrams()] == [HOME, AWAY]


def test_a_source_is_kept_until_it_is_cleared(path: DataPathUnderTest, remote: Remote) -> None:
    sticky = Endpoint("192.0.2.2", 51820, local_address="192.0.2.1", local_interface=3)
    path.receive_datagram(remote.seal(), sticky, NOW)
    path.send_packet(PACKET, NOW)
    path.apply(ClearSource(PEER), NOW)
    path.send_packet(PACKET, NOW)

    endpoints = [datagram.endpoint for datagram in path.take_datagrams()]
    assert [endpoint.local_address for endpoint in endpoints] == ["192.0.2.1", ""]
    assert [endpoint.port for endpoint in endpoints] == [HOME.port] * 2


def test_clearing_the_source_of_a_peer_without_an_endpoint_is_nothing(datapath: MakeDataPath) -> None:
    path = datapath()
    path.apply(AddPeer(PEER), NOW)

    path.apply(ClearSource(PEER), NOW)

    assert path.take_events() == []


# -- What is no packet ---------------------------------------------------------------------------

JUMBOGRAM = ipv6(LOCAL_HOST6, REMOTE_HOST6, bytes(100))
JUMBOGRAM = JUMBOGRAM[:4] + bytes(2) + JUMBOGRAM[6:]


@pytest.mark.parametrize(
    "packet",
    [
        b"E",
        PACKET[:19],
        PACKET[:-1],
        PACKET + b"\0",
        b"\x55" + PACKET[1:],
        b"\x70" + ipv6(LOCAL_HOST6, REMOTE_HOST6)[1:],
        ipv6(LOCAL_HOST6, REMOTE_HOST6)[:39],
        ipv6(LOCAL_HOST6, REMOTE_HOST6, b"payload")[:-1],
        ipv6(LOCAL_HOST6, REMOTE_HOST6) + b"\0",
        PACKET[:2] + b"\0\x13" + PACKET[4:19],
        JUMBOGRAM,
    ],
    ids=[
        "one byte",
        "part of an IPv4 header",
        "IPv4 cut short",
        "IPv4 with a tail",
        "version 5",
        "version 7",
        "part of an IPv6 header",
        "IPv6 cut short",
        "IPv6 with a tail",
        "IPv4 shorter than its header",
        "a jumbogram",
    ],
)
def test_what_is_no_packet_is_dropped(path: DataPathUnderTest, packet: bytes) -> None:
    path.send_packet(packet, NOW)

    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.INVALID_OUTBOUND_PACKET: 1}


# -- An old keypair ------------------------------------------------------------------------------


def test_a_keypair_seals_until_its_last_nanosecond(path: DataPathUnderTest, remote: Remote) -> None:
    end = NOW + REJECT_AFTER_TIME
    path.send_packet(PACKET, end - 1)
    assert len(sent(path, remote)) == 1
    path.take_events()

    path.send_packet(PACKET, end)

    assert path.take_datagrams() == []
    assert path.take_events() == [KeyNeeded(PEER)]


def test_what_an_expired_keypair_left_goes_out_by_the_next_one(
    path: DataPathUnderTest, remote: Remote
) -> None:
    later = NOW + REJECT_AFTER_TIME + SECOND
    path.send_packet(PACKET, later)
    fresh = Remote(local_index=3, remote_index=4, sending_key=b"other key, sends")
    path.apply(fresh.keypair(PEER, reject_after_time=later + REJECT_AFTER_TIME), later)

    path.apply(UseKeypair(PEER, 3), later)

    assert [message.packet[: len(PACKET)] for message in sent(path, fresh)] == [PACKET]
