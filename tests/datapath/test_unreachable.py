"""Who sends a packet that leads nowhere gets an ICMP error. RFC 792, RFC 1122 3.2.2, RFC 4443 2.4 and 3.1."""

from ipaddress import ip_address
from struct import pack

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, drop_counts, prefix
from tests.datapath.packets import checksum, ipv4, ipv6
from tests.datapath.remote import (
    LOCAL_HOST,
    LOCAL_HOST6,
    NOW,
    REMOTE_HOST,
    REMOTE_HOST6,
    SECOND,
    STRANGE_HOST,
    STRANGE_HOST6,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.orders import AddPeer, SetRoute

BURST = 50  # Linux: icmp_msgs_burst
INTERVAL = SECOND // 1000  # Linux: icmp_msgs_per_sec
PACKET = ipv4(LOCAL_HOST, STRANGE_HOST, b"payload")
PACKET6 = ipv6(LOCAL_HOST6, STRANGE_HOST6, b"payload")


def checksum6(packet: bytes) -> int:
    """Of an ICMPv6 message with its pseudo-header: 0 if its own checksum is right."""
    message = packet[40:]
    return checksum(packet[8:40] + pack(">II", len(message), 58) + message + bytes(len(message) % 2))


def assert_host_unreachable(error: bytes, packet: bytes) -> None:
    assert error[:2] == b"\x45\xc0"
    assert int.from_bytes(error[2:4]) == len(error) <= 576
    assert error[9] == 1
    assert (error[12:16], error[16:20]) == (packet[16:20], packet[12:16])
    assert error[20:22] == b"\x03\x01"
    assert error[24:28] == bytes(4)
    assert error[28:] == packet[: 576 - 28]
    assert checksum(error[:20]) == 0
    assert checksum(error[20:] + bytes(len(error) % 2)) == 0


def assert_address_unreachable(error: bytes, packet: bytes) -> None:
    assert error[0] >> 4 == 6
    assert int.from_bytes(error[4:6]) == len(error) - 40
    assert len(error) <= 1280
    assert error[6] == 58
    assert (error[8:24], error[24:40]) == (packet[24:40], packet[8:24])
    assert error[40:42] == b"\x01\x03"
    assert error[44:48] == bytes(4)
    assert error[48:] == packet[: 1280 - 48]
    assert checksum6(error) == 0


@pytest.fixture
def without_endpoint(datapath: MakeDataPath) -> DataPathUnderTest:
    """A data path with a peer that has routes and no endpoint."""
    path = datapath()
    path.apply(AddPeer(PEER), NOW)
    path.apply(SetRoute(PEER, prefix(REMOTE_HOST)), NOW)
    path.apply(SetRoute(PEER, prefix(REMOTE_HOST6)), NOW)
    return path


@pytest.mark.parametrize("size", [0, 7, 100, 548 - 20, 549 - 20, 1400])
def test_ipv4_to_nobody_is_answered_by_host_unreachable(path: DataPathUnderTest, size: int) -> None:
    packet = ipv4(LOCAL_HOST, STRANGE_HOST, bytes(range(256)) * 5 + bytes(120))[: 20 + size]
    packet = ipv4(LOCAL_HOST, STRANGE_HOST, packet[20:])

    path.send_packet(packet, NOW)

    [error] = path.take_packets()
    assert_host_unreachable(error, packet)
    assert drop_counts(path) == {DropReason.NO_PEER_FOR_DESTINATION: 1}


@pytest.mark.parametrize("size", [0, 7, 100, 1232 - 40, 1233 - 40, 1380])
def test_ipv6_to_nobody_is_answered_by_address_unreachable(path: DataPathUnderTest, size: int) -> None:
    packet = ipv6(LOCAL_HOST6, STRANGE_HOST6, (bytes(range(256)) * 6)[:size])

    path.send_packet(packet, NOW)

    [error] = path.take_packets()
    assert_address_unreachable(error, packet)


def test_so_is_what_goes_to_a_peer_without_an_endpoint(without_endpoint: DataPathUnderTest) -> None:
    packet, packet6 = ipv4(LOCAL_HOST, REMOTE_HOST, b"one"), ipv6(LOCAL_HOST6, REMOTE_HOST6, b"two")

    without_endpoint.send_packet(packet, NOW)
    without_endpoint.send_packet(packet6, NOW)

    error, error6 = without_endpoint.take_packets()
    assert_host_unreachable(error, packet)
    assert_address_unreachable(error6, packet6)
    assert drop_counts(without_endpoint) == {DropReason.NO_ENDPOINT: 2}


def test_a_silent_data_path_drops_what_leads_nowhere(without_endpoint: DataPathUnderTest) -> None:
    path = without_endpoint
    nowhere = [
        ipv4(LOCAL_HOST, STRANGE_HOST, b"one"),
        ipv6(LOCAL_HOST6, STRANGE_HOST6, b"two"),
        ipv4(LOCAL_HOST, REMOTE_HOST, b"three"),
    ]
    path.set_silent(True)
    for packet in nowhere:
        path.send_packet(packet, NOW)

    assert path.take_packets() == []
    assert drop_counts(path) == {DropReason.NO_PEER_FOR_DESTINATION: 2, DropReason.NO_ENDPOINT: 1}

    path.set_silent(False)
    path.send_packet(nowhere[0], NOW)
    [error] = path.take_packets()
    assert_host_unreachable(error, nowhere[0])


def test_a_packet_that_leads_to_a_peer_gets_no_error(path: DataPathUnderTest) -> None:
    path.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST, b"payload"), NOW)

    assert path.take_packets() == []


ICMP_ERRORS = [3, 4, 5, 11, 12]


@pytest.mark.parametrize(
    "packet",
    [
        *(
            pytest.param(
                ipv4(LOCAL_HOST, STRANGE_HOST, bytes([kind]) + bytes(35), protocol=1), id=f"ICMP {kind}"
            )
            for kind in ICMP_ERRORS
        ),
        *(
            pytest.param(
                ipv6(LOCAL_HOST6, STRANGE_HOST6, bytes([kind]) + bytes(55), protocol=58), id=f"ICMPv6 {kind}"
            )
            for kind in (1, 2, 3, 4, 127, 137)
        ),
        pytest.param(ipv4(LOCAL_HOST, STRANGE_HOST, protocol=1), id="an ICMP message without a type"),
        pytest.param(ipv6(LOCAL_HOST6, STRANGE_HOST6, protocol=58), id="an ICMPv6 message without a type"),
        pytest.param(ipv4(LOCAL_HOST, STRANGE_HOST, b"x" * 8, fragment=1), id="a later fragment"),
        pytest.param(
            ipv6(LOCAL_HOST6, STRANGE_HOST6, pack(">BBHI", 17, 0, 8, 1) + b"x" * 8, protocol=44),
            id="a later fragment of IPv6",
        ),
        pytest.param(ipv4(LOCAL_HOST, "224.0.0.1", b"x"), id="to a group"),
        pytest.param(ipv4(LOCAL_HOST, "255.255.255.255", b"x"), id="to all"),
        pytest.param(ipv6(LOCAL_HOST6, "ff02::1", b"x"), id="to a group of IPv6"),
        pytest.param(ipv4("0.0.0.0", STRANGE_HOST, b"x"), id="from nobody"),
        pytest.param(ipv6("::", STRANGE_HOST6, b"x"), id="from nobody of IPv6"),
        pytest.param(ipv4("224.0.0.1", STRANGE_HOST, b"x"), id="from a group"),
        pytest.param(ipv6("ff02::1", STRANGE_HOST6, b"x"), id="from a group of IPv6"),
        pytest.param(PACKET[:-1], id="of another length than it says"),
        pytest.param(b"\x45", id="no packet"),
    ],
)
def test_what_deserves_no_error_gets_none(path: DataPathUnderTest, packet: bytes) -> None:
    path.send_packet(packet, NOW)

    assert path.take_packets() == []


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(ipv4(LOCAL_HOST, STRANGE_HOST, b"\x08" + bytes(7), protocol=1), id="a ping"),
        pytest.param(ipv6(LOCAL_HOST6, STRANGE_HOST6, b"\x80" + bytes(7), protocol=58), id="a ping of IPv6"),
        pytest.param(ipv4(LOCAL_HOST, STRANGE_HOST, b"x" * 8, fragment=0x2000), id="a first fragment"),
        pytest.param(ipv4(LOCAL_HOST, STRANGE_HOST, b"\x03", protocol=17), id="UDP that looks like an error"),
    ],
)
def test_what_deserves_an_error_gets_one(path: DataPathUnderTest, packet: bytes) -> None:
    path.send_packet(packet, NOW)

    assert [error[-len(packet) :] for error in path.take_packets()] == [packet]


def test_there_are_as_many_errors_as_the_kernel_allows(path: DataPathUnderTest) -> None:
    for _ in range(2 * BURST):
        path.send_packet(PACKET, NOW)
    assert len(path.take_packets()) == BURST

    for number in range(1, 11):
        path.send_packet(PACKET6, NOW + number * INTERVAL)
        path.send_packet(PACKET6, NOW + number * INTERVAL)
    assert len(path.take_packets()) == 10

    assert drop_counts(path) == {DropReason.NO_PEER_FOR_DESTINATION: 2 * BURST + 20}


def test_what_gets_no_error_is_not_counted_for_the_limit(path: DataPathUnderTest) -> None:
    for _ in range(2 * BURST):
        path.send_packet(ipv4("0.0.0.0", STRANGE_HOST), NOW)
    path.send_packet(PACKET, NOW)

    assert len(path.take_packets()) == 1


def test_the_error_comes_from_where_the_packet_went(path: DataPathUnderTest) -> None:
    """From one of the host's own addresses, the kernel would drop it as a martian."""
    path.send_packet(PACKET, NOW)

    [error] = path.take_packets()
    assert error[12:16] == ip_address(STRANGE_HOST).packed
