"""Datagrams by a connection to the coordinator, for nodes whose network lets no UDP through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from tests.mesh.coordinator import ALICE, BOB, TOKEN, Site, in_a_loop
from tests.mesh.test_coordinator_api import http
from wgpy.mesh.records import network_id
from wgpy.mesh.signing import SigningKey
from wgpy.mesh.wire import proof
from wgpy.node.coordinator_client import DATAGRAMS, Denied
from wgpy.node.datagram_stream import DatagramStream
from wgpy.node.http import HttpError

Address = tuple[str, int]


class Relay(asyncio.DatagramProtocol):
    """Sends back what it gets, in capitals; it remembers from whom it came."""

    def __init__(self) -> None:
        self.sources: list[Address] = []
        self._udp: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.sources.append(addr)
        self.send(data.upper(), addr)

    def send(self, data: bytes, to: Address) -> None:
        assert self._udp is not None
        self._udp.sendto(data, to)


@asynccontextmanager
async def relay() -> AsyncIterator[tuple[Relay, int]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        Relay, local_addr=("127.0.0.1", 0)
    )
    try:
        yield protocol, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@asynccontextmanager
async def network(folder: Path, relay_port: int) -> AsyncIterator[Site]:
    """A network of two nodes, whose coordinator has a relay beside it. relay_port: 0 for none."""
    site = Site.create(folder)
    if relay_port:
        site.have_relay(relay_port)
    async with site.serve():
        await site.found(ALICE, BOB)
        yield site


@asynccontextmanager
async def stream(site: Site, key: SigningKey) -> AsyncIterator[DatagramStream]:
    async with site.ask(key) as coordinator:
        yield await coordinator.datagrams()


@asynccontextmanager
async def two_streams(folder: Path) -> AsyncIterator[tuple[Relay, DatagramStream, DatagramStream]]:
    """Those of both nodes, and the relay."""
    async with (
        relay() as (by, port),
        network(folder, port) as site,
        stream(site, ALICE) as alice,
        stream(site, BOB) as bob,
    ):
        yield by, alice, bob


async def received(stream: DatagramStream, number: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < number:
        found += await stream.receive()
    return found


@in_a_loop
async def test_datagrams_go_to_the_relay_and_back(tmp_path: Path) -> None:
    sent = [b"a", b"b" * 1_500, b"c" * 60_000, *(b"d%d" % number for number in range(50))]
    async with relay() as (_, port), network(tmp_path, port) as site, stream(site, ALICE) as alice:
        for datagram in sent:
            alice.send(datagram)

        assert await received(alice, len(sent)) == [datagram.upper() for datagram in sent]


@in_a_loop
async def test_the_relay_knows_members_apart(tmp_path: Path) -> None:
    async with two_streams(tmp_path) as (by, alice, bob):
        alice.send(b"alice")
        assert await received(alice, 1) == [b"ALICE"]
        bob.send(b"bob")
        assert await received(bob, 1) == [b"BOB"]
        alice.send(b"alice")
        assert await received(alice, 1) == [b"ALICE"]

    first, second, third = by.sources
    assert first == third != second


@in_a_loop
async def test_a_member_has_one_stream_and_the_last_one_counts(tmp_path: Path) -> None:
    async with (
        relay() as (_, port),
        network(tmp_path, port) as site,
        stream(site, ALICE) as first,
        stream(site, ALICE) as second,
    ):
        with pytest.raises((EOFError, OSError)):
            await first.receive()
        second.send(b"second")
        assert await received(second, 1) == [b"SECOND"]


@in_a_loop
async def test_who_does_not_read_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with two_streams(tmp_path) as (by, alice, bob):
        alice.send(b"alice")
        await received(alice, 1)
        for _ in range(400):
            by.send(bytes(50_000), by.sources[0])
            await asyncio.sleep(0)
        bob.send(b"bob")

        assert await received(bob, 1) == [b"BOB"]


@in_a_loop
async def test_who_sends_too_much_is_read_later_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    async with two_streams(tmp_path) as (_, alice, bob):
        for _ in range(200):
            alice.send(bytes(50_000))
            await asyncio.sleep(0)
        bob.send(b"bob")

        assert await received(bob, 1) == [b"BOB"]
        assert await alice.receive()


@in_a_loop
async def test_a_relay_that_comes_later_gets_what_is_sent_then(tmp_path: Path) -> None:
    async with relay() as (_, port):
        pass
    async with network(tmp_path, port) as site, stream(site, ALICE) as alice:
        alice.send(b"lost")
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Relay, local_addr=("127.0.0.1", port)
        )
        try:
            answer = asyncio.create_task(received(alice, 1))
            while not answer.done():
                alice.send(b"here")
                await asyncio.wait([answer], timeout=0.05)
            assert (await answer)[0] in (b"HERE", b"LOST")
        finally:
            transport.close()


@in_a_loop
async def test_it_ends_with_the_coordinator(tmp_path: Path) -> None:
    async with relay() as (_, port), network(tmp_path, port) as site:
        coordinator = await site.ask(ALICE).__aenter__()
        alice = await coordinator.datagrams()

    with pytest.raises((EOFError, OSError)):
        await alice.receive()
    await coordinator.__aexit__(None, None, None)


@in_a_loop
async def test_without_a_relay_it_says_so(tmp_path: Path) -> None:
    async with network(tmp_path, 0) as site, site.ask(ALICE) as coordinator:
        with pytest.raises(Denied, match="this coordinator has no relay beside it"):
            await coordinator.datagrams()


@in_a_loop
async def test_it_is_for_members_alone(tmp_path: Path) -> None:
    async with relay() as (by, port), network(tmp_path, port) as site:
        async with site.ask(TOKEN) as coordinator:
            with pytest.raises(Denied, match="this request is for a member"):
                await coordinator.datagrams()
        async with site.ask() as coordinator:
            with pytest.raises(Denied, match="prove a key"):
                await coordinator.datagrams()

    assert by.sources == []


@in_a_loop
async def test_a_request_that_is_no_upgrade_is_told_what_it_is_for(tmp_path: Path) -> None:
    async with relay() as (_, port), network(tmp_path, port) as site:
        hello = await http(site, "GET", "/v1/hello")
        authorization = proof(ALICE, network_id(site.administrator.key.verify_key()), hello["challenge"])

        with pytest.raises(HttpError, match=f"this is for an upgrade to {DATAGRAMS}") as refused:
            await http(site, "GET", "/v1/datagrams", authorization)

    assert refused.value.status == 426
