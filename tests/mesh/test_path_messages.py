"""Messages about paths between nodes, by real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address

from tests.mesh.coordinator import in_a_loop
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.exchange import Candidate, PathKind, PathMessage
from wgpyd.agent.path_messages import PathMessages

LOOPBACK = IPv6Address("::1")
MESSAGE = PathMessage(
    7, 3, proposal=1, candidates=(Candidate(Endpoint("192.0.2.1", 51820), PathKind.PUBLIC),)
)


def free_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind((str(LOOPBACK), 0))
        return int(probe.getsockname()[1])


class Node:
    """Hears, and remembers what."""

    def __init__(self, peers: frozenset[IPv6Address]) -> None:
        self.heard: list[tuple[IPv6Address, PathMessage]] = []
        self.arrived = asyncio.Event()
        self.messages = PathMessages(peers.__contains__, self._note)

    def _note(self, source: IPv6Address, message: PathMessage) -> None:
        self.heard.append((source, message))
        self.arrived.set()


@asynccontextmanager
async def node(*peers: IPv6Address) -> AsyncIterator[tuple[Node, int]]:
    made, port = Node(frozenset(peers)), free_port()
    await made.messages.listen(LOOPBACK, port)
    try:
        yield made, port
    finally:
        made.messages.close()


@in_a_loop
async def test_a_peer_is_heard_by_its_address() -> None:
    async with node(LOOPBACK) as (made, _):
        made.messages.send(MESSAGE, LOOPBACK)
        await made.arrived.wait()

    assert made.heard == [(LOOPBACK, MESSAGE)]


@in_a_loop
async def test_who_is_no_peer_and_what_is_no_message_is_not_heard() -> None:
    async with node() as (stranger, port), node(LOOPBACK) as (made, other):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(MESSAGE.encode(), (str(LOOPBACK), port))
            for data in (b"", b"wgpx", MESSAGE.encode()[:-1], MESSAGE.encode() + b"x", bytes(1000)):
                sender.sendto(data, (str(LOOPBACK), other))
        made.messages.send(MESSAGE, LOOPBACK)
        await made.arrived.wait()

    assert stranger.heard == []
    assert made.heard == [(LOOPBACK, MESSAGE)]


@in_a_loop
async def test_a_peer_that_tells_too_much_is_heard_within_its_budget() -> None:
    async with node(LOOPBACK) as (made, _):
        for _ in range(500):
            made.messages.datagram_received(MESSAGE.encode(), (str(LOOPBACK), 51821))

    assert 32 <= len(made.heard) < 60


@in_a_loop
async def test_to_tell_a_peer_that_is_not_reached_raises_nothing() -> None:
    async with node(LOOPBACK) as (made, _):
        made.messages.send(MESSAGE, IPv6Address("2001:db8::1"))
        made.messages.send(MESSAGE, LOOPBACK)
        await made.arrived.wait()

    made.messages.send(MESSAGE, LOOPBACK)
    assert len(made.heard) == 1
