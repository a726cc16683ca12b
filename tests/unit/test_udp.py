"""The UDP sockets on loopback: sources, ECN, ports. No root."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.transport import Received
from wgpy.transport.udp import UdpTransport, open_udp

TIMEOUT = 10.0  # seconds
ECT_0, ECT_1, CE = 2, 1, 3
UDP_SEGMENT = 103


@pytest.fixture
def one() -> Iterator[UdpTransport]:
    with closing(open_udp(0, 0)) as sockets:
        yield sockets


@pytest.fixture
def two() -> Iterator[UdpTransport]:
    with closing(open_udp(0, 0)) as sockets:
        yield sockets


def filenos(transport: UdpTransport) -> list[int]:
    return [fileno for pair in transport.filenos() for fileno in pair if fileno >= 0]


def readable(transport: UdpTransport) -> int:
    """The descriptor of a datagram that waits."""
    ready, _, _ = select.select(filenos(transport), [], [], TIMEOUT)
    return int(ready[0])


def received(transport: UdpTransport) -> Received:
    (datagram,) = transport.receive(readable(transport), 1)
    return datagram


def sockets(transport: UdpTransport) -> Iterator[socket.socket]:
    for fileno in filenos(transport):
        with socket.socket(fileno=os.dup(fileno)) as udp:
            yield udp


def ports(transport: UdpTransport) -> set[int]:
    return {udp.getsockname()[1] for udp in sockets(transport)}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_datagram_says_where_it_came_from_and_where_it_came_in(
    one: UdpTransport, two: UdpTransport, address: str
) -> None:
    assert one.send(b"hello", Endpoint(address, two.port), 0)

    datagram = received(two)
    assert datagram.data == b"hello"
    assert datagram.source == Endpoint(address, one.port, 0, address, socket.if_nametoindex("lo"))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ecn", [0, ECT_0, ECT_1, CE])
def test_the_ecn_field_passes_beside_any_dscp(
    one: UdpTransport, two: UdpTransport, address: str, ecn: int
) -> None:
    one.send(b"", Endpoint(address, two.port), 0x88 | ecn)

    assert received(two).tos == 0x88 | ecn


def test_it_sends_from_the_local_address_of_the_endpoint(one: UdpTransport, two: UdpTransport) -> None:
    assert one.send(b"", Endpoint("127.0.0.1", two.port, local_address="127.0.0.9"), 0)

    assert received(two).source.address == "127.0.0.9"


@pytest.mark.parametrize(("address", "gone"), [("127.0.0.1", "192.0.2.9"), ("::1", "2001:db8::9")])
def test_when_the_local_address_is_gone_the_same_datagram_leaves_from_another(
    one: UdpTransport, two: UdpTransport, address: str, gone: str
) -> None:
    assert not one.send(b"still here", Endpoint(address, two.port, local_address=gone), 0)

    datagram = received(two)
    assert (datagram.data, datagram.source.address) == (b"still here", address)


def test_what_cannot_be_sent_at_all_is_an_error(one: UdpTransport) -> None:
    with pytest.raises(OSError, match="too long"):
        one.send(bytes(65536), Endpoint("127.0.0.1", 9), 0)


def test_both_families_share_one_port(one: UdpTransport) -> None:
    assert len(filenos(one)) == 2
    assert ports(one) == {one.port}


def test_a_port_in_use_is_an_error(one: UdpTransport) -> None:
    with pytest.raises(OSError, match="in use"):
        open_udp(one.port, 0)


def test_no_more_is_received_than_asked_for(one: UdpTransport, two: UdpTransport) -> None:
    for number in range(5):
        one.send(bytes([number]), Endpoint("127.0.0.1", two.port), 0)
    fileno = readable(two)

    assert [datagram.data for datagram in two.receive(fileno, 2)] == [b"\0", b"\1"]
    assert [datagram.data for datagram in two.receive(fileno, 9)] == [b"\2", b"\3", b"\4"]


@pytest.mark.root
def test_a_mark_is_set_on_both_sockets() -> None:
    with closing(open_udp(0, 0xFFFFFFFF)) as transport:
        assert {
            udp.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) & 0xFFFFFFFF for udp in sockets(transport)
        } == {0xFFFFFFFF}
        assert transport.mark == 0xFFFFFFFF


def test_several_pairs_share_what_comes_in_on_one_port() -> None:
    with closing(open_udp(0, 0, pairs=3)) as transport:
        assert ports(transport) == {transport.port}
        for _ in range(100):  # ports to send from
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", ("127.0.0.1", transport.port))

        ipv4 = {fds[0] for fds in transport.filenos()}
        ready, _, _ = select.select(ipv4, [], [], TIMEOUT)
        assert set(ready) == ipv4


def test_nobody_else_gets_the_port_of_several_pairs() -> None:
    with closing(open_udp(0, 0, pairs=2)) as transport, pytest.raises(OSError, match="in use"):
        open_udp(transport.port, 0, pairs=2)


def test_another_transport_like_it_has_another_port_and_leaves_it_open(one: UdpTransport) -> None:
    with closing(open_udp(0, 0)) as free:
        port = free.port

    with closing(one.configured(port, 0)) as other:
        assert (other.port, len(other.filenos())) == (port, 1)
        one.send(b"", Endpoint("127.0.0.1", port), 0)
        assert received(other).source.port == one.port


def test_joined_datagrams_come_in_one_read() -> None:
    with closing(open_udp(0, 0)) as transport, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        transport.join_datagrams()
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
        sender.sendto(bytes(250), ("127.0.0.1", transport.port))

        assert len(os.read(readable(transport), 65535)) == 250
