"""A coordinator that refuses what comes too fast says for how long, and who asks waits for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, NEW, TOKEN, founded, in_a_loop
from tests.mesh.network import key_of
from wgmesh.limits import Allowance, Limits, Lists
from wgpy.mesh.signing import Signed
from wgpy.node.coordinator_client import Busy, Coordinator
from wgpy.node.http import Client, HttpError

BURST, RATE = 100_000, 1000  # bytes of bodies, and of these a second


@asynccontextmanager
async def busy(folder: Path, patience: float) -> AsyncIterator[tuple[Coordinator, Signed]]:
    """A connection to a coordinator that has read too much of this source, and a record to submit."""
    limits = Limits(received=Allowance(RATE, BURST))
    async with founded(folder, ALICE, limits=limits) as (site, _):
        network = site.administrator.key.verify_key()
        async with Coordinator(site.address, network, patience=patience) as coordinator:
            limits.received.charge("127.0.0.1", BURST, asyncio.get_running_loop().time())
            yield coordinator, site.administrator.invite(key_of(900))


@in_a_loop
async def test_who_is_refused_at_once_asks_again_when_it_may_and_loses_nothing(tmp_path: Path) -> None:
    async with busy(tmp_path, patience=60) as (coordinator, record):
        assert await coordinator.submit([record]) == [NEW]


@in_a_loop
async def test_who_has_no_patience_is_told_how_many_seconds_to_wait(tmp_path: Path) -> None:
    async with busy(tmp_path, patience=0) as (coordinator, record):
        with pytest.raises(Busy, match="too much comes from this address") as refused:
            await coordinator.submit([record])

    assert 1 <= refused.value.seconds <= 4


@in_a_loop
async def test_who_has_patience_waits_for_a_coordinator_that_is_too_busy_to_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wgpy.node.coordinator_client._TIMEOUT", 3)
    async with founded(tmp_path, ALICE) as (site, served):
        catch_up = served.service.catch_up

        async def slowly() -> None:
            await asyncio.sleep(4)
            await catch_up()

        monkeypatch.setattr(served.service, "catch_up", slowly)

        assert await site.submit(site.administrator.invite(key_of(900))) == [NEW]


@in_a_loop
async def test_a_key_that_asks_for_too_much_waits_on_its_connection(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        served.service.lists = Lists(rate=3, burst=3)
        async with site.ask(TOKEN) as coordinator:
            first, second = await coordinator.welcome(), await coordinator.welcome()

    assert first == second


def test_the_wait_is_until_there_is_room_and_none_is_told_where_there_never_will_be() -> None:
    allowance = Allowance(rate=10, burst=100)
    allowance.charge("192.0.2.1", 100, 0.0)

    assert [allowance.wait("192.0.2.1", size, 0.0) for size in (1, 10, 55, 100, 101)] == [1, 1, 6, 10, 0]
    assert allowance.wait("192.0.2.1", 100, 9.5) == 1
    assert Allowance(rate=0, burst=1).wait("192.0.2.1", 1, 0.0) == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Retry-After: 7\r\n", 7),
        ("", 0),
        ("Retry-After: -7\r\n", 0),
        ("Retry-After: 7777777\r\n", 0),
        ("Retry-After: Sun, 29 Nov 2026 07:00:00 GMT\r\n", 0),
    ],
)
@in_a_loop
async def test_only_seconds_are_understood_as_a_time_to_wait(header: str, seconds: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 429 x\r\n{header}Content-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    with pytest.raises(HttpError) as refused:
        async for _ in Client(reader, writer, "x").request("GET", "/"):
            pass
    writer.close()
    server.close()

    assert refused.value.retry_after == seconds
