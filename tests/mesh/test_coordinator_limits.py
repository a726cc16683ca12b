"""Who reaches a coordinator's port and has no key: what it may hold, and that others are heard meanwhile."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from starlette.types import Receive, Scope, Send

from tests.mesh.coordinator import ALICE, Site, founded, in_a_loop
from tests.mesh.coordinator_port import (
    HALF_A_HEAD,
    HELLO,
    MIB,
    connect,
    connected,
    is_heard,
    post,
    rest_of,
    sent_until_the_end,
)
from tests.mesh.network import key_of
from wgmesh.limits import Allowance, Bodies, Limits
from wgmesh.listener import accepting, open_socket
from wgmesh.settings import Settings
from wgmesh.tls import Certificate
from wgpy.address import HostPort
from wgpy.node.coordinator_client import Address

QUICK = Limits(first_timeout=0.2, idle_timeout=0.3, body_timeout=0.2)


# -- Silence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("begun", [b"", HALF_A_HEAD[:1], HALF_A_HEAD])
@in_a_loop
async def test_who_does_not_ask_is_let_go(tmp_path: Path, tls: bool, begun: bytes) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=QUICK):
        reader, writer = await connect(site, tls=tls)
        writer.write(begun if tls else b"\x16\x03\x01\x02" * bool(begun))

        assert await rest_of(reader) == b""
        writer.close()


@in_a_loop
async def test_who_asks_once_and_then_half_is_let_go(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=QUICK):
        reader, writer = await connect(site)
        writer.write(HELLO + HALF_A_HEAD)

        assert (await rest_of(reader)).count(b"HTTP/1.1 200") == 1
        writer.close()


@in_a_loop
async def test_a_body_that_does_not_come_is_refused_in_time(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=QUICK):
        reader, writer = await connect(site)
        writer.write(post(10) + b"x")

        answer = await rest_of(reader)

        assert answer.startswith(b"HTTP/1.1 408")
        assert b"the request took too long" in answer
        writer.close()


@in_a_loop
async def test_who_takes_no_answer_is_let_go(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    limits = replace(QUICK, requests=Allowance(rate=1, burst=100_000))
    async with site.serve(limits=limits):
        _, writer = await connect(site)
        cast(asyncio.Transport, writer.transport).pause_reading()
        description = HELLO.replace(b"/v1/hello", b"/openapi.json")

        assert await sent_until_the_end(writer, description * 1000)


@in_a_loop
async def test_a_subscription_may_last(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, limits=QUICK) as (site, _), site.follow(ALICE) as alice:
        await alice.received()
        reader, writer = await connect(site)
        await rest_of(reader)  # as long as one that does not ask may last
        writer.close()
        await site.submit(site.administrator.invite(key_of(1009)))

        assert (await alice.received()).records


@in_a_loop
async def test_who_sends_tls_records_that_carry_next_to_nothing_is_let_go_and_pays_for_it(
    tmp_path: Path,
) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(requests=Allowance(rate=0, burst=4))):
        reader, writer = await connect(site)
        writer.write(post(20_000))
        for _ in range(2000):
            writer.write(b"x")  # a record each

        assert await rest_of(reader) == b""
        with pytest.raises(ConnectionError):
            await connect(site)


# -- Room ------------------------------------------------------------------------------------------


@in_a_loop
async def test_a_source_makes_room_for_itself_by_its_oldest_connection(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with (
        site.serve(limits=Limits(waiting_of_source=2)),
        connected(site, "127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.3") as opened,
    ):
        assert [await is_heard(one) for one in opened] == [True, False, True, True]


@in_a_loop
async def test_the_source_with_the_most_connections_makes_room_for_others(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with (
        site.serve(limits=Limits(waiting=3)),
        connected(site, "127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.4") as opened,
    ):
        assert [await is_heard(one) for one in opened] == [True, False, True, True]


@in_a_loop
async def test_before_descriptors_run_out_who_says_nothing_makes_room(tmp_path: Path) -> None:
    async with (
        founded(tmp_path, ALICE, limits=Limits(connections=3)) as (site, _),
        site.follow(ALICE) as alice,
        connected(site, "127.0.0.2", "127.0.0.2", "127.0.0.2"),
    ):
        await alice.received()
        await site.submit(site.administrator.invite(key_of(1009)))

        assert (await alice.received()).records


@in_a_loop
async def test_who_has_proven_a_key_makes_no_room(tmp_path: Path) -> None:
    async with (
        founded(tmp_path, ALICE, limits=Limits(waiting_of_source=1)) as (site, _),
        site.ask(site.administrator.key) as coordinator,
    ):
        await coordinator.records()
        async with connected(site, "127.0.0.1", "127.0.0.1"):
            assert await coordinator.records()


@in_a_loop
async def test_who_connects_too_often_waits_and_others_do_not(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with (
        site.serve(limits=Limits(requests=Allowance(rate=0, burst=6))),
        connected(site, "127.0.0.2", "127.0.0.2", "127.0.0.3") as opened,
    ):
        assert [await is_heard(one) for one in opened] == [True] * 3
        with pytest.raises(OSError):  # noqa: PT011 - the kernel or TLS says it
            await connect(site, "127.0.0.2")


# -- Bodies ----------------------------------------------------------------------------------------


@in_a_loop
async def test_all_unfinished_bodies_share_one_budget_and_the_largest_goes(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    limits = Limits(bodies=Bodies(2 * MIB))
    async with site.serve(limits=limits), connected(site, "127.0.0.2", "127.0.0.3", "127.0.0.4") as opened:
        for size, (_, writer) in zip((MIB // 2, MIB, MIB // 2 + 9), opened, strict=True):
            writer.write(post(2 * MIB) + b"x" * size)

        answer = await rest_of(opened[1][0])

        assert answer.startswith(b"HTTP/1.1 503")
        assert limits.bodies.total <= 2 * MIB
        await site.found(ALICE)
        assert all(not reader.at_eof() for reader, _ in (opened[0], opened[2]))
    assert limits.bodies.total == 0


def test_bodies_that_are_complete_take_a_quarter() -> None:
    refused: list[str] = []
    bodies = Bodies(40)
    one, other, more = (partial(refused.append, name) for name in ("one", "other", "more"))
    for body, size in ((one, 8), (other, 8), (more, 20)):
        bodies.grow(body, size)

    assert bodies.complete(one)
    assert not bodies.complete(other)
    assert refused == []
    bodies.grow(other, 5)
    assert refused == ["more"]  # of those that are incomplete, however large a complete one is
    bodies.remove(one)
    assert not bodies.complete(other)
    bodies.remove(other)
    assert bodies.total == 0


def test_of_bodies_the_largest_goes_whoever_adds_to_another() -> None:
    discarded: list[str] = []
    bodies = Bodies(10)

    def small() -> None:
        discarded.append("small")

    def large() -> None:
        discarded.append("large")

    bodies.grow(large, 8)
    bodies.grow(small, 2)
    assert discarded == []
    bodies.grow(small, 1)

    assert discarded == ["large"]
    assert bodies.total == 3
    bodies.remove(small)
    bodies.remove(small)
    assert bodies.total == 0


@in_a_loop
async def test_the_body_of_a_client_that_has_gone_counts_until_its_request_ends(tmp_path: Path) -> None:
    begun, may_end, limits = asyncio.Event(), asyncio.Event(), Limits()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await may_end.wait()

    site = Site.create(tmp_path)
    settings = Settings.load(tmp_path)
    certificate = Certificate(tmp_path / settings.certificate, tmp_path / settings.key)
    listener = open_socket(HostPort("127.0.0.1", 0))
    site.address = Address(f"https://127.0.0.1:{listener.getsockname()[1]}", site.address.key_hash)
    async with accepting(listener, certificate.context, app, limits):
        _, writer = await connect(site)
        writer.write(post(MIB) + bytes(MIB))
        await begun.wait()
        writer.transport.abort()
        async with connected(site, "127.0.0.1"):  # by now the other one is known to be gone
            pass
        assert limits.bodies.total == MIB

        may_end.set()
    assert limits.bodies.total == 0
