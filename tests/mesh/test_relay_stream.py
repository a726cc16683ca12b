"""A node's stream to the relay beside the coordinator, with a real coordinator."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.mesh.coordinator import ALICE, Site, in_a_loop
from tests.mesh.test_coordinator_datagrams import network, relay
from wgpyd.agent.relay_stream import RelayStream


class Daemon:
    """A UDP socket where wgpyd would have one. changes: counted."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("127.0.0.1", 0))
        self.changed = asyncio.Event()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    async def exchange(self, stream: RelayStream, data: bytes) -> bytes:
        assert stream.endpoint is not None
        self.socket.sendto(data, stream.endpoint[:2])
        return await asyncio.get_running_loop().sock_recv(self.socket, 2048)

    async def until_changed(self) -> None:
        await self.changed.wait()
        self.changed.clear()


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[tuple[RelayStream, Daemon]]:
    daemon = Daemon()
    stream = RelayStream(lambda: site.ask(ALICE), lambda: daemon.port, daemon.changed.set)
    task = asyncio.create_task(stream.run())
    try:
        yield stream, daemon
    finally:
        task.cancel()
        await asyncio.wait([task])
        daemon.socket.close()


@in_a_loop
async def test_a_local_endpoint_stands_for_the_relay_while_that_is_wanted(tmp_path: Path) -> None:
    async with relay() as (_, port), network(tmp_path, port) as site, running(site) as (stream, daemon):
        assert stream.endpoint is None

        stream.want(True)
        await daemon.until_changed()
        assert await daemon.exchange(stream, b"there") == b"THERE"

        stream.want(False)
        await daemon.until_changed()
        assert stream.endpoint is None


@in_a_loop
async def test_only_the_daemon_is_heard(tmp_path: Path) -> None:
    async with relay() as (by, port), network(tmp_path, port) as site, running(site) as (stream, daemon):
        stream.want(True)
        await daemon.until_changed()
        assert stream.endpoint is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"strange", stream.endpoint[:2])

        assert await daemon.exchange(stream, b"own") == b"OWN"

    assert len(by.sources) == 1


@in_a_loop
async def test_a_line_that_broke_is_made_anew(tmp_path: Path) -> None:
    async with relay() as (_, port), network(tmp_path, port) as site, running(site) as (stream, daemon):
        stream.want(True)
        await daemon.until_changed()
        async with site.ask(ALICE) as other:
            await other.datagrams()  # takes the place of the first
            await daemon.until_changed()
            assert stream.endpoint is None
            await daemon.until_changed()

        assert await daemon.exchange(stream, b"again") == b"AGAIN"


@in_a_loop
async def test_without_a_relay_beside_the_coordinator_it_says_why(tmp_path: Path) -> None:
    async with network(tmp_path, 0) as site, running(site) as (stream, daemon):
        stream.want(True)
        await daemon.until_changed()

    assert stream.trouble == "this coordinator has no relay beside it"
