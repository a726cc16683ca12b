"""Two sets of sockets on one port, between which the kernel divides datagrams. No root."""

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from wgpy.transport import port_sharing
from wgpy.transport.udp import UdpTransport, adopt_udp, inherit_udp, open_udp

BLOCK, OTHER_BLOCK = 0xABCD, 0xABCE
TIMEOUT = 10.0  # seconds


def message(kind: int, *words: int) -> bytes:
    """A message whose first words are its type and indices."""
    return struct.pack(f"<{1 + len(words)}I", kind, *words).ljust(64, b"\0")


def index(block: int) -> int:
    return block << 16 | 0x1234


OF_THE_NEXT = {
    "an initiation": message(1, index(OTHER_BLOCK)),
    "a response to its initiation": message(2, index(OTHER_BLOCK), index(BLOCK)),
    "a cookie reply for it": message(3, index(BLOCK)),
    "data of its session": message(4, index(BLOCK)),
    "what is not WireGuard's": b"a question of discovery",
}
OF_THE_FORMER = {
    "a response to its initiation": message(2, index(BLOCK), index(OTHER_BLOCK)),
    "a cookie reply for it": message(3, index(OTHER_BLOCK)),
    "data of its session": message(4, index(OTHER_BLOCK)),
    "what is too short": b"\4",
}


@pytest.fixture(params=[1, 3], ids=["one pair", "three pairs"])
def former(request: pytest.FixtureRequest) -> Iterator[UdpTransport]:
    with closing(open_udp(0, 0, pairs=request.param)) as transport:
        yield transport


@pytest.fixture
def following(former: UdpTransport) -> Iterator[UdpTransport]:
    with closing(inherit_udp(former.open_next())) as transport:
        yield transport


def filenos(transport: UdpTransport) -> list[int]:
    return [fileno for pair in transport.filenos() for fileno in pair]


def receiver(data: bytes, address: str, *transports: UdpTransport) -> UdpTransport:
    """Which of them a datagram comes to."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, (address, transports[0].port))
    fds = [fileno for transport in transports for fileno in filenos(transport)]
    (ready,), _, _ = select.select(fds, [], [], TIMEOUT)
    found = next(transport for transport in transports if ready in filenos(transport))
    assert [received.data for received in found.receive(ready, 2)] == [data]
    return found


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_former_ones_receive_everything_until_the_port_is_divided(
    former: UdpTransport, following: UdpTransport, address: str
) -> None:
    for data in (*OF_THE_NEXT.values(), *OF_THE_FORMER.values()):
        assert receiver(data, address, former, following) is former


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_tag_divides_what_is_of_a_session_and_the_next_ones_receive_what_begins(
    former: UdpTransport, following: UdpTransport, address: str
) -> None:
    former.divide(BLOCK)

    for data in OF_THE_NEXT.values():
        assert receiver(data, address, former, following) is following
    for data in OF_THE_FORMER.values():
        assert receiver(data, address, former, following) is former


@pytest.mark.parametrize("data", OF_THE_FORMER.values(), ids=OF_THE_FORMER)
def test_the_next_ones_receive_everything_once_they_are_alone(
    former: UdpTransport, following: UdpTransport, data: bytes
) -> None:
    former.divide(BLOCK)
    former.close()
    following.end_division()

    assert receiver(data, "127.0.0.1", following) is following


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nothing_comes_to_the_former_ones_while_they_are_closed(
    former: UdpTransport, following: UdpTransport, address: str
) -> None:
    former.divide(BLOCK)
    data, port = message(4, index(BLOCK)), former.port
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    senders = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(50)]
    closing_them = threading.Thread(target=former.close)

    closing_them.start()
    for _ in range(20):
        for sender in senders:
            sender.sendto(data, (address, port))
    closing_them.join()

    received = [len(list(following.receive(fileno, 2000))) for fileno in filenos(following)]
    assert sum(received) == 1000
    for sender in senders:
        sender.close()


def test_the_former_ones_receive_everything_if_the_next_ones_give_up(
    former: UdpTransport, following: UdpTransport
) -> None:
    former.divide(BLOCK)
    following.close()
    former.end_division()

    for data in (*OF_THE_NEXT.values(), *OF_THE_FORMER.values()):
        assert receiver(data, "127.0.0.1", former) is former


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nothing_comes_to_the_next_ones_while_they_give_up(
    former: UdpTransport, following: UdpTransport, address: str
) -> None:
    former.divide(BLOCK)
    former.keep_all()
    data, port = message(1, index(OTHER_BLOCK)), former.port
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    senders = [socket.socket(family, socket.SOCK_DGRAM) for _ in range(50)]

    for sender in senders:
        sender.sendto(data, (address, port))
    following.close()
    former.end_division()
    for sender in senders:
        sender.sendto(data, (address, port))

    received = [len(list(former.receive(fileno, 200))) for fileno in filenos(former)]
    assert sum(received) == 100
    for sender in senders:
        sender.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nothing_comes_to_the_former_ones_when_the_next_ones_hear_of_their_end_before_they_are_closed(
    former: UdpTransport, following: UdpTransport, address: str
) -> None:
    former.divide(BLOCK)

    following.end_division()
    send_by_many(50, address, former.port)
    former.close()
    send_by_many(50, address, following.port)

    assert received_by(following) == 100


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nothing_comes_to_the_next_ones_when_the_former_ones_hear_of_their_end_before_they_are_closed(
    former: UdpTransport, following: UdpTransport, address: str
) -> None:
    former.divide(BLOCK)
    former.keep_all()

    former.end_division()
    send_by_many(50, address, former.port)
    following.close()
    send_by_many(50, address, former.port)

    assert received_by(former) == 100


@pytest.mark.parametrize("step", [1, -1], ids=["first to last", "last to first"])
@pytest.mark.parametrize(
    "choose",
    [lambda udp: port_sharing.divide(udp, 3, BLOCK), lambda udp: port_sharing.pass_by(udp, 3)],
    ids=["divided", "passed by"],
)
def test_nothing_comes_to_sockets_that_the_kernel_closes_in_any_order_for_a_process_that_was_killed(
    choose: Callable[[socket.socket], None], step: int
) -> None:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(6)]
    port = 0
    for udp in sockets:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        udp.bind(("127.0.0.1", port))
        port = udp.getsockname()[1]
    old, new = sockets[:3], sockets[3:]
    choose(old[0])

    send_by_many(50, "127.0.0.1", port)
    for udp in old[::step]:
        udp.close()
        send_by_many(50, "127.0.0.1", port)

    with closing(adopt_udp([detached(udp) for udp in new])) as transport:
        assert received_by(transport) == 200


def send_by_many(count: int, address: str, port: int) -> None:
    """Send data of the next ones' block from so many ports."""
    for _ in range(count):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(message(4, index(BLOCK)), (address, port))


def received_by(transport: UdpTransport) -> int:
    return sum(len(list(transport.receive(fileno, 1000))) for fileno in filenos(transport) if fileno >= 0)


def detached(udp: socket.socket) -> int:
    udp.setblocking(False)
    return udp.detach()


def test_a_port_is_divided_again_and_again(former: UdpTransport) -> None:
    transport = former
    for _ in range(4):
        following = inherit_udp(transport.open_next())
        transport.divide(BLOCK)
        assert receiver(message(4, index(OTHER_BLOCK)), "127.0.0.1", transport, following) is transport
        assert receiver(message(4, index(BLOCK)), "127.0.0.1", transport, following) is following
        transport.close()
        following.end_division()
        transport = following
    transport.close()


@pytest.mark.parametrize("is_shared", [False, True])
def test_nobody_else_joins_a_port(is_shared: bool) -> None:
    with closing(open_udp(0, 0)) as transport, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(is_shared))

        with pytest.raises(OSError, match="in use"):
            other.bind(("", transport.port))


def test_sockets_that_were_handed_in_are_not_divided() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as given:
        given.bind(("127.0.0.1", 0))
        transport = adopt_udp([given.detach()])

    with closing(transport), pytest.raises(OSError, match="Invalid argument"):
        transport.open_next()
