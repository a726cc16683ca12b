"""UDP sockets that were handed in: what is refused and then left open, and what they can do. No root."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import StateError
from wgpy.transport.udp import UdpTransport, adopt_udp, open_udp

from .test_udp import received

IPV4, IPV6 = socket.AF_INET, socket.AF_INET6
UDP_SEGMENT, UDP_GRO = 103, 104

Make = Callable[..., socket.socket]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes sockets as whoever hands them in should make them, unless told otherwise."""
    with ExitStack() as stack:

        def make(
            family: socket.AddressFamily = IPV4,
            *,
            kind: int = socket.SOCK_DGRAM,
            port: int | None = 0,
            blocking: bool = False,
            both_families: bool = False,
        ) -> socket.socket:
            made = stack.enter_context(socket.socket(family, kind))
            if family == IPV6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both_families)
            if port is not None:
                made.bind(("", port))
            made.setblocking(blocking)
            return made

        yield make


def adopt(*sockets: socket.socket) -> UdpTransport:
    """Hand in copies, which the transport closes."""
    return adopt_udp([os.dup(each.fileno()) for each in sockets])


def port_of(udp: socket.socket) -> int:
    return int(udp.getsockname()[1])


def connected(make: Make) -> socket.socket:
    udp = make()
    udp.connect(("127.0.0.1", 9))
    return udp


# -- What cannot be used -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda make: make(kind=socket.SOCK_STREAM), "no UDP socket"),
        (lambda make: make(socket.AF_UNIX, port=None), "no UDP socket"),
        (lambda make: make(port=None), "has no port"),
        (lambda make: make(blocking=True), "blocks"),
        (connected, "is connected"),
        (lambda make: make(IPV6, both_families=True), "IPV6_V6ONLY"),
    ],
    ids=["TCP", "neither IPv4 nor IPv6", "not bound", "blocking", "connected", "both families"],
)
def test_a_descriptor_that_cannot_be_used_is_an_error_and_all_stay_open(
    make: Make, wrong: Callable[[Make], socket.socket], why: str
) -> None:
    right, bad = make(), wrong(make)

    with pytest.raises(ValueError, match=f"descriptor {bad.fileno()} .*{why}"):
        adopt_udp([right.fileno(), bad.fileno()])

    assert right.getsockname()
    assert os.get_blocking(bad.fileno()) == (bad.gettimeout() != 0)


@pytest.mark.parametrize("fileno", [-1, 999_999])
def test_a_descriptor_that_is_closed_is_an_error(make: Make, fileno: int) -> None:
    right = make()

    with pytest.raises(ValueError, match=f"descriptor {fileno} is no UDP socket"):
        adopt_udp([right.fileno(), fileno])

    assert right.getsockname()


def test_a_file_is_no_socket() -> None:
    with Path(os.devnull).open("rb") as file, pytest.raises(ValueError, match="no UDP socket"):
        adopt_udp([file.fileno()])


def test_sockets_that_do_not_go_together_are_an_error(make: Make) -> None:
    one = make()
    with pytest.raises(ValueError, match="no descriptors"):
        adopt_udp([])
    with pytest.raises(ValueError, match="twice"):
        adopt_udp([one.fileno(), one.fileno()])
    with pytest.raises(ValueError, match="ports"):
        adopt_udp([one.fileno(), make(IPV6).fileno()])
    with pytest.raises(ValueError, match="2 sockets are for IPv4 and 1 for IPv6"):
        adopt(one, one, make(IPV6, port=port_of(one)))

    assert one.getsockname()


def test_what_is_refused_keeps_its_options(make: Make) -> None:
    right = make()
    right.set_inheritable(True)

    with pytest.raises(ValueError, match="no UDP socket"):
        adopt_udp([right.fileno(), make(kind=socket.SOCK_STREAM).fileno()])

    assert right.getsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS) == 0
    assert right.get_inheritable()


# -- What can be used --------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "address"), [(IPV4, "127.0.0.1"), (IPV6, "::1")])
def test_an_adopted_socket_is_as_good_as_one_of_our_own(
    make: Make, family: socket.AddressFamily, address: str
) -> None:
    udp = make(family)
    with closing(adopt(udp)) as adopted, closing(open_udp(0, 0)) as other:
        other.send(b"there", Endpoint(address, adopted.port), 3)
        there = received(adopted)
        adopted.send(b"back", there.source, 2)
        back = received(other)

    assert (there.data, there.tos, there.source.local_address) == (b"there", 3, address)
    assert (back.data, back.tos, back.source.port) == (b"back", 2, port_of(udp))


def test_a_family_that_was_not_handed_in_cannot_be_sent_to(make: Make) -> None:
    with closing(adopt(make(IPV6))) as adopted, pytest.raises(OSError, match="no such address family"):
        adopted.send(b"", Endpoint("127.0.0.1", 9), 0)


def test_both_families_are_one_pair_in_whichever_order_they_come(make: Make) -> None:
    ipv4 = make()
    ipv6 = make(IPV6, port=port_of(ipv4))

    with closing(adopt(ipv6, ipv4)) as adopted:
        ((of_ipv4, of_ipv6),) = adopted.filenos()
        with socket.socket(fileno=os.dup(of_ipv4)) as left, socket.socket(fileno=os.dup(of_ipv6)) as right:
            assert (left.family, right.family) == (IPV4, IPV6)
        assert adopted.port == port_of(ipv4)


def test_it_closes_what_it_took_over(make: Make) -> None:
    fileno = os.dup(make().fileno())
    adopt_udp([fileno]).close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fileno)


def test_datagrams_come_one_by_one_until_joined_ones_are_asked_for(make: Make) -> None:
    udp = make()
    udp.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    with closing(adopt(udp)) as adopted, socket.socket(IPV4, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 100)
        sender.sendto(bytes(150), ("127.0.0.1", adopted.port))

        assert [len(received(adopted).data) for _ in range(2)] == [100, 50]


# -- What is set -------------------------------------------------------------------------------------


def test_the_port_of_an_adopted_socket_cannot_be_changed(make: Make) -> None:
    with closing(adopt(make())) as adopted, pytest.raises(StateError, match=f"port {adopted.port} for good"):
        adopted.configured(adopted.port ^ 1, 0)


@pytest.mark.parametrize("port", [None, 0], ids=["the same", "any"])
def test_an_adopted_socket_has_any_port_that_is_asked_for_and_its_own(make: Make, port: int | None) -> None:
    with closing(adopt(make())) as adopted:
        assert adopted.configured(port, 0) is adopted
        assert adopted.configured(adopted.port, 0) is adopted


@pytest.mark.root
def test_the_mark_of_an_adopted_socket_is_set(make: Make) -> None:
    udp = make()
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
    with closing(adopt(udp)) as adopted:
        assert adopted.mark == 7

        adopted.set_mark(0x80000001)

        assert adopted.mark == 0x80000001
