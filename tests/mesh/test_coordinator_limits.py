"""Who reaches a coordinator's port and has no key: what it may hold, and that others are heard meanwhile."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from tests.mesh.coordinator import ALICE, NEW, TOKEN, Site, in_a_loop
from tests.mesh.network import key_of
from wgmesh.errors import Denial
from wgmesh.limits import MAX_BODY, Allowance, Bodies, Limits, Slots
from wgpy.mesh.signing import Signed
from wgpy.node.coordinator_client import Coordinator

MIB = 1 << 20
HALF_A_HEAD = b"GET /v1/hello HTTP/1.1\r\nHost: x\r\n"
HELLO = HALF_A_HEAD + b"\r\n"
QUICK = Limits(first_timeout=0.2, idle_timeout=0.3, body_timeout=0.2)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def post(length: object) -> bytes:
    kind = "Content-Type: application/json"
    return f"POST /v1/records HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {length}\r\n\r\n".encode()


def anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def connect(site: Site, source: str = "127.0.0.1", *, tls: bool = True) -> Streams:
    host, _, port = site.address.url.removeprefix("https://").rpartition(":")
    context = anybody() if tls else None
    return await asyncio.open_connection(host, int(port), ssl=context, local_addr=(source, 0))


@asynccontextmanager
async def connected(site: Site, *sources: str) -> AsyncIterator[list[Streams]]:
    """One connection after another, so that it is known which is the oldest."""
    opened = [await connect(site, source) for source in sources]
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other end closes."""
    data = b""
    with suppress(ConnectionError):
        while part := await reader.read(MIB):
            data += part
    return data


async def is_heard(streams: Streams) -> bool:
    """Whether a request on a connection is answered."""
    reader, writer = streams
    with suppress(ConnectionError):
        writer.write(HELLO)
        return (await reader.read(MIB)).startswith(b"HTTP/1.1 200")
    return False


async def sent_until_the_end(writer: asyncio.StreamWriter, data: bytes) -> int:
    """Send again and again; return how many bytes were sent when the other end closed."""
    sent = 0
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(data)
            await writer.drain()
            sent += len(data)
    return sent


# -- Silence -----------------------------------------------------------------------------------------


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
    site = Site.create(tmp_path)
    async with site.serve(limits=QUICK):
        await site.found(ALICE)
        async with site.follow(ALICE) as alice:
            await alice.received()
            reader, writer = await connect(site)
            await rest_of(reader)  # as long as one that does not ask may last
            writer.close()
            await site.submit(site.administrator.invite(key_of(1009)))

            assert (await alice.received()).records


# -- Room --------------------------------------------------------------------------------------------


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
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(connections=3)):
        await site.found(ALICE)
        async with site.follow(ALICE) as alice, connected(site, "127.0.0.2", "127.0.0.2", "127.0.0.2"):
            await alice.received()
            await site.submit(site.administrator.invite(key_of(1009)))

            assert (await alice.received()).records


@in_a_loop
async def test_who_has_proven_a_key_makes_no_room(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(waiting_of_source=1)):
        await site.found(ALICE)
        async with site.ask(site.administrator.key) as coordinator:
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


# -- Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (post(MAX_BODY + 1), 413),
        (post(1 << 60), 413),
        (b"POST /v1/records HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (HALF_A_HEAD + b"a:\r\n" * 4000, 431),
        (b"\x00\r\n\r\n", 400),
    ],
)
@in_a_loop
async def test_a_head_suffices_for_a_refusal_and_nothing_more_is_read(
    tmp_path: Path, head: bytes, status: int
) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        reader, writer = await connect(site)
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        sent = await sent_until_the_end(writer, b"1\r\nx\r\n" * 10_000)

        assert answer.startswith(f"HTTP/1.1 {status}".encode())
        assert b"connection: close" in answer.lower()
        assert sent < 16 * MIB  # what the buffers of both kernels take


@in_a_loop
async def test_nothing_is_read_after_the_applications_refusal(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        reader, writer = await connect(site)
        writer.write(b"GET /v1/follow HTTP/1.1\r\nHost: x\r\n\r\n")

        assert (await reader.read(MIB)).startswith(b"HTTP/1.1 401")
        assert await sent_until_the_end(writer, HELLO * 10_000) < 16 * MIB


@in_a_loop
async def test_more_than_the_allowance_is_refused_before_it_is_read(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(received=Allowance(rate=1, burst=100))):
        reader, writer = await connect(site)
        writer.write(post(101))

        assert (await reader.read(MIB)).startswith(b"HTTP/1.1 429")
        writer.close()


# -- Bodies ------------------------------------------------------------------------------------------


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


# -- Requests at once --------------------------------------------------------------------------------


@in_a_loop
async def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        reader, writer = await connect(site)
        body = json.dumps({"records": []}).encode()
        writer.write(HELLO + post(len(body)) + body + b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n" + HELLO)

        answers = (await rest_of(reader)).split(b"HTTP/1.1 ")[1:]

        assert [answer[:3] for answer in answers] == [b"200", b"200", b"404"]  # and nothing after a refusal
        writer.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("HEAD /v1/hello HTTP/1.1", 405),
        ("GET /v1/hello HTTP/1.0", 200),
        ("OPTIONS * HTTP/1.1", 404),
        ("CONNECT vpn.example.com:1 HTTP/1.1", 404),
        ("GET /%ff%00 HTTP/1.1", 404),
        ("PRI * HTTP/2.0", 404),
    ],
)
@in_a_loop
async def test_what_is_unusual_is_answered_without_a_word_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request_line: str, status: int
) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        reader, writer = await connect(site)
        writer.write(f"{request_line}\r\nHost: x\r\n\r\n".encode())

        assert (await rest_of(reader)).startswith(f"HTTP/1.1 {status}".encode())
        writer.close()
    assert caplog.text == ""


@in_a_loop
async def test_who_asks_before_it_sends_a_body_is_told_to_go_on(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    body = json.dumps({"records": []}).encode()
    async with site.serve():
        reader, writer = await connect(site)
        writer.write(post(len(body)).replace(b"Host: x\r\n", b"Host: x\r\nExpect: 100-continue\r\n"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(body)

        assert (await reader.read(MIB)).startswith(b"HTTP/1.1 200")
        writer.close()


@in_a_loop
async def test_a_source_that_asks_much_waits_for_itself_and_others_do_not(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with (
        site.serve(limits=Limits(slots=Slots(1))),
        connected(site, *["127.0.0.2"] * 20, "127.0.0.3") as opened,
    ):
        order: list[int] = []

        async def ask(number: int) -> None:
            assert await is_heard(opened[number])
            order.append(number)

        await asyncio.gather(*map(ask, range(21)))

    assert order.index(20) < 10
    assert len(order) == 21


@in_a_loop
async def test_who_follows_takes_no_slot_of_its_source(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(slots=Slots(1))):
        await site.found(ALICE)
        async with site.follow(ALICE) as alice:
            await alice.received()

            assert await site.submit() == []


@in_a_loop
async def test_the_administrator_is_served_before_all_that_wait(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    administrator = site.administrator
    async with site.serve() as served:
        await site.found(ALICE)
        order: list[str] = []
        begun = asyncio.Event()

        async def submit(name: str, *records: object) -> None:
            outcomes = await served.service.submit(records, "192.0.2.1")  # type: ignore[arg-type]
            assert {outcome.verdict for outcome in outcomes} == {"new"}
            order.append(name)
            begun.set()

        token = key_of(1002)
        await site.submit(administrator.invite(token, uses=200))
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                nodes = [administrator.join(key_of(100 + 10 * number + i), token) for i in range(10)]
                group.create_task(submit("nodes", *nodes))
            await begun.wait()
            group.create_task(submit("administrator", administrator.remove(ALICE)))

    assert order.index("administrator") <= 3  # one that writes and one whose turn had come


@in_a_loop
async def test_who_has_proven_a_key_is_served_before_who_has_not(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    administrator = site.administrator
    async with site.serve() as served:
        await site.found(ALICE)
        token = key_of(1002)
        await site.submit(administrator.invite(token, uses=200))
        order: list[str] = []

        async def unknown(*records: Signed) -> None:
            await served.service.submit(records, "192.0.2.1")
            order.append("unknown")

        async with site.ask(ALICE) as alice, asyncio.TaskGroup() as group:
            for number in range(60):
                nodes = [administrator.join(key_of(100 + 3 * number + i), token) for i in range(3)]
                group.create_task(unknown(*nodes))
            outcomes = await alice.submit([administrator.join(ALICE, TOKEN, sequence=2)])
            order.append("alice")

    assert outcomes == [NEW]
    assert order.index("alice") < len(order) - 1


@in_a_loop
async def test_a_long_submission_lets_the_administrator_in_between(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    administrator = site.administrator
    async with site.serve() as served:
        await site.found(ALICE)
        token = key_of(1002)
        await site.submit(administrator.invite(token, uses=200))
        nodes = [administrator.join(key_of(100 + number), token) for number in range(200)]

        async with site.follow(ALICE) as alice:
            await alice.received()
            long = asyncio.create_task(served.service.submit(nodes, "192.0.2.1"))
            await alice.received()  # of the first of them
            await served.service.submit([administrator.invite(key_of(1009))], "192.0.2.1")

        assert not long.done()
        assert {outcome.verdict for outcome in await long} == {"new"}


@in_a_loop
async def test_where_too_many_wait_the_administrator_does_not(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    administrator = site.administrator
    async with site.serve() as served:
        await site.found(ALICE)
        forged = [Signed(administrator.join(key_of(12), TOKEN).body, bytes(64))]
        submissions = [asyncio.create_task(served.service.submit(forged, "192.0.2.1")) for _ in range(1100)]
        await asyncio.sleep(0)

        outcomes = await served.service.submit([administrator.remove(ALICE)], "192.0.2.1")
        answers = await asyncio.gather(*submissions, return_exceptions=True)

    assert [outcome.verdict for outcome in outcomes] == ["new"]
    refused = [str(answer) for answer in answers if isinstance(answer, Denial)]
    assert 0 < len(refused) <= 100
    assert set(refused) == {"too many submissions wait: try again in a minute"}


@in_a_loop
async def test_who_claims_to_be_the_administrator_is_told_that_it_is_not(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(), Coordinator(site.address, site.administrator.key.verify_key()) as stranger:
        await site.found(ALICE)
        forged = [
            type(signed)(signed.body, bytes(64))
            for signed in (site.administrator.invite(key_of(2000 + number)) for number in range(3))
        ]

        outcomes = await stranger.submit(forged)

    assert [outcome.reason for outcome in outcomes] == ["not signed by the right key"] * 3


@in_a_loop
async def test_a_refusal_reaches_who_is_still_sending(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(limits=Limits(received=Allowance(rate=1, burst=100))):
        reader, writer = await connect(site)
        writer.write(post(MAX_BODY) + b"x" * MAX_BODY)

        assert b"too much comes from this address" in await rest_of(reader)
        writer.close()
