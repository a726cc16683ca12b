"""The UDP sockets on loopback: sources, ECN, ports. No root."""

import select
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.transport.udp import Received, UdpSockets, receive

PATIENCE = 10.0  # seconds
ECT_0, ECT_1, CE = 2, 1, 3
UDP_SEGMENT = 103


@pytest.fixture
def one() -> Iterator[UdpSockets]:
    with closing(UdpSockets(0, 0)) as sockets:
        yield sockets


@pytest.fixture
def two() -> Iterator[UdpSockets]:
    with closing(UdpSockets(0, 0)) as sockets:
        yield sockets


def received(sockets: UdpSockets) -> Received:
    readable, _, _ = select.select(sockets.all(), [], [], PATIENCE)
    (datagram,) = receive(readable[0], 1)
    return datagram


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_datagram_says_where_it_came_from_and_where_it_came_in(
    one: UdpSockets, two: UdpSockets, address: str
) -> None:
    assert one.send(b"hello", Endpoint(address, two.port), 0)

    datagram = received(two)
    assert datagram.data == b"hello"
    assert datagram.source == Endpoint(address, one.port, 0, address, socket.if_nametoindex("lo"))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ecn", [0, ECT_0, ECT_1, CE])
def test_the_ecn_field_passes_beside_any_dscp(
    one: UdpSockets, two: UdpSockets, address: str, ecn: int
) -> None:
    one.send(b"", Endpoint(address, two.port), 0x88 | ecn)

    assert received(two).ecn == ecn


def test_it_sends_from_the_local_address_of_the_endpoint(one: UdpSockets, two: UdpSockets) -> None:
    assert one.send(b"", Endpoint("127.0.0.1", two.port, local_address="127.0.0.9"), 0)

    assert received(two).source.address == "127.0.0.9"


@pytest.mark.parametrize(("address", "gone"), [("127.0.0.1", "192.0.2.9"), ("::1", "2001:db8::9")])
def test_when_the_local_address_is_gone_the_same_datagram_leaves_from_another(
    one: UdpSockets, two: UdpSockets, address: str, gone: str
) -> None:
    assert not one.send(b"still here", Endpoint(address, two.port, local_address=gone), 0)

    datagram = received(two)
    assert (datagram.data, datagram.source.address) == (b"still here", address)


def test_what_cannot_be_sent_at_all_is_an_error(one: UdpSockets) -> None:
    with pytest.raises(OSError, match="too long"):
        one.send(bytes(65536), Endpoint("127.0.0.1", 9), 0)


def test_both_families_share_one_port(one: UdpSockets) -> None:
    assert {each.getsockname()[1] for each in one.all()} == {one.port}


def test_a_port_in_use_is_an_error(one: UdpSockets) -> None:
    with pytest.raises(OSError, match="in use"):
        UdpSockets(one.port, 0)


def test_no_more_is_received_than_asked_for(one: UdpSockets, two: UdpSockets) -> None:
    for number in range(5):
        one.send(bytes([number]), Endpoint("127.0.0.1", two.port), 0)
    readable, _, _ = select.select(two.all(), [], [], PATIENCE)

    assert [datagram.data for datagram in receive(readable[0], 2)] == [b"\0", b"\1"]
    assert [datagram.data for datagram in receive(readable[0], 9)] == [b"\2", b"\3", b"\4"]


@pytest.mark.root
def test_a_mark_is_set_on_both_sockets() -> None:
    with closing(UdpSockets(0, 0xFFFFFFFF)) as sockets:
        marks = [each.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) & 0xFFFFFFFF for each in sockets.all()]

        assert set(marks) == {0xFFFFFFFF}


def test_several_pairs_share_what_comes_in_on_one_port() -> None:
    with closing(UdpSockets(0, 0, pairs=3)) as sockets:
        assert {each.getsockname()[1] for each in sockets.all()} == {sockets.port}
        for _ in range(100):  # ports to send from
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", ("127.0.0.1", sockets.port))

        ipv4 = {fds[0] for fds in sockets.filenos()}
        readable, _, _ = select.select(ipv4, [], [], PATIENCE)
        assert set(readable) == ipv4


def test_nobody_else_gets_the_port_of_several_pairs() -> None:
    with closing(UdpSockets(0, 0, pairs=2)) as sockets, pytest.raises(OSError, match="in use"):
        UdpSockets(sockets.port, 0, pairs=2)


def test_joined_datagrams_come_in_one_read() -> None:
    with closing(UdpSockets(0, 0)) as sockets, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sockets.join_datagrams()
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
        sender.sendto(bytes(250), ("127.0.0.1", sockets.port))
        readable, _, _ = select.select(sockets.all(), [], [], PATIENCE)

        assert len(readable[0].recv(65535)) == 250
