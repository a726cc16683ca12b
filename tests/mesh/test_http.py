"""Both ends of HTTP here: in pieces, at their limits, and before whoever speaks something else."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wgpy.node import http
from wgpy.node.http import BROKEN, Answer, Client, HttpError, Request, serve

TIMEOUT = 60.0  # seconds
MAX_REQUEST = 1 << 16
SIZE = 1 << 25  # more than the system takes for a connection
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(connected: Connected) -> AsyncIterator[Callable[[], Awaitable[Streams]]]:
    """Listen on loopback; what is given connects to it."""
    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield lambda: asyncio.open_connection("127.0.0.1", port)
    finally:
        listening.close()


async def echo(request: Request) -> Answer:
    """Answer with what was asked."""
    said = [request.method, request.target, request.body.decode()]
    return Answer(200, json.dumps(said).encode())


async def ours(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await serve(reader, writer, echo)


def saying(*pieces: bytes) -> Connected:
    """A server that reads a request's first piece and then says this, whatever it was."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1 << 16)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            pass
        finally:
            writer.close()

    return connected


async def ask(streams: Streams, method: str, target: str, **what: Any) -> bytes:
    """One request on a new connection."""
    try:
        async with asyncio.timeout(TIMEOUT):
            client = Client(*streams, "host")
            return b"".join([data async for data in client.request(method, target, **what)])
    finally:
        streams[1].transport.abort()


async def say(connect: Callable[[], Awaitable[Streams]], *pieces: bytes) -> bytes:
    """Say something to a server and be done; all that it answers until it closes."""
    reader, writer = await connect()
    async with asyncio.timeout(TIMEOUT):
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if writer.can_write_eof():
                writer.write_eof()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


def answered(data: bytes) -> tuple[int, bytes]:
    """Status and content of an answer, read by h11's own end."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    response = connection.next_event()
    assert isinstance(response, h11.Response)
    content = b""
    while isinstance(event := connection.next_event(), h11.Data):
        content += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return response.status_code, content


# -- Both ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, {"name": "n3"}, {"name": "x" * 60_000}])
def test_what_is_asked_arrives_and_the_answer_comes_back(body: Any) -> None:
    async def scenario() -> None:
        async with server(ours) as connect:
            method = "GET" if body is None else "POST"

            answer = json.loads(await ask(await connect(), method, "/a?b=c", body=body))

            assert answer == [method, "/a?b=c", "" if body is None else json.dumps(body)]

    asyncio.run(scenario())


def test_an_answer_that_is_no_success_is_raised_with_its_sentence() -> None:
    async def refuse(request: Request) -> Answer:
        return Answer(409, b'{"detail": "the name is taken"}')

    async def scenario() -> None:
        async with server(lambda reader, writer: serve(reader, writer, refuse)) as connect:
            with pytest.raises(HttpError, match="the name is taken") as raised:
                await ask(await connect(), "GET", "/")

            assert raised.value.status == 409

    asyncio.run(scenario())


def test_the_answer_to_a_head_has_no_body() -> None:
    async def scenario() -> None:
        async with server(ours) as connect:
            said = await say(connect, b"HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")

            head, _, body = said.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"Content-Length: 18" in head
            assert body == b""

    asyncio.run(scenario())


# -- The asking end ------------------------------------------------------------------------------

GREETING = b'{"greeting":1}\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def test_one_connection_carries_one_request_after_another_also_after_a_refusal() -> None:
    async def two_by_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (HEAD % 2 + b"ab", b"HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno!", HEAD % 1 + b"c"):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async def scenario() -> None:
        async with server(two_by_two) as connect, asyncio.timeout(TIMEOUT):
            reader, writer = await connect()
            client = Client(reader, writer, "host")

            assert [data async for data in client.request("GET", "/1")] == [b"ab"]
            with pytest.raises(HttpError, match="the answer is 403"):
                await anext(aiter(client.request("GET", "/2")))
            assert [data async for data in client.request("GET", "/3")] == [b"c"]
            writer.close()

    asyncio.run(scenario())


@given(st.lists(st.integers(1, 40), max_size=6))
def test_an_answer_may_come_in_any_pieces(cuts: list[int]) -> None:
    async def scenario() -> None:
        whole = b"HTTP/1.1 100 Wait\r\n\r\n" + HEAD % (3 * len(GREETING)) + 3 * GREETING
        ends = [sum(cuts[: number + 1]) for number in range(len(cuts))]
        pieces = [whole[start:end] for start, end in zip([0, *ends], [*ends, len(whole)], strict=True)]
        async with server(saying(*pieces)) as connect:
            assert await ask(await connect(), "GET", "/") == 3 * GREETING

    asyncio.run(scenario())


def test_news_is_given_as_it_comes() -> None:
    first_was_read = asyncio.Event()

    async def news(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(GREETING))
        writer.write(GREETING + b"\r\n")
        await first_was_read.wait()
        writer.write(b"4\r\nnews\r\n0\r\n\r\n")
        writer.close()

    async def scenario() -> None:
        async with server(news) as connect, asyncio.timeout(TIMEOUT):
            reader, writer = await connect()
            answer = Client(reader, writer, "host").request("GET", "/follow")
            assert await anext(answer) == GREETING
            first_was_read.set()
            assert [data async for data in answer] == [b"news"]
            writer.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        HEAD % 5 + b"four",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfour",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * (1 << 17),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nfour",
    ],
    ids=["nothing", "half a head", "half a body", "no chunk", "SSH", "no end", "no length", "half a refusal"],
)
def test_a_server_that_breaks_off_or_speaks_something_else_is_told_from_one_that_answers(said: bytes) -> None:
    async def scenario() -> None:
        async with server(saying(said)) as connect:
            with pytest.raises(BROKEN):
                await ask(await connect(), "GET", "/")

    asyncio.run(scenario())


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"HTTP/1.1 200 OK\r\n" + data))
def test_any_bytes_are_an_answer_or_broken(said: bytes) -> None:
    async def scenario() -> None:
        async with server(saying(said)) as connect:
            try:
                await ask(await connect(), "GET", "/")
            except (HttpError, *BROKEN):
                pass

    asyncio.run(scenario())


def test_a_refusal_without_end_is_not_read_to_its_end() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()
        except ConnectionError:
            writer.close()

    async def scenario() -> None:
        async with server(endless) as connect:
            with pytest.raises(HttpError, match="the answer is 500"):
                await ask(await connect(), "GET", "/")

    asyncio.run(scenario())


# -- The answering end ---------------------------------------------------------------------------

REQUEST = b"POST /rename HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n" + b'{"name":"n3"}'


@given(st.lists(st.integers(1, 40), max_size=6))
def test_a_request_may_come_in_any_pieces(cuts: list[int]) -> None:
    async def scenario() -> None:
        ends = [sum(cuts[: number + 1]) for number in range(len(cuts))]
        pieces = [REQUEST[start:end] for start, end in zip([0, *ends], [*ends, len(REQUEST)], strict=True)]
        async with server(ours) as connect:
            status, content = answered(await say(connect, *pieces))

            assert (status, json.loads(content)) == (200, ["POST", "/rename", '{"name":"n3"}'])

    asyncio.run(scenario())


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: b"GET / HTTP/1.1\r\n" + data))
def test_any_bytes_are_answered_or_not_and_the_connection_ends(said: bytes) -> None:
    async def scenario() -> None:
        async with server(ours) as connect:
            answer = await say(connect, said)

            assert answer == b"" or answered(answer)[0] == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("length", [MAX_REQUEST, MAX_REQUEST + 1])
def test_a_body_has_a_limit(length: int) -> None:
    async def scenario() -> None:
        async with server(ours) as connect:
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length
            answer = await say(connect, head, b"x" * length)

            assert (answer != b"") == (length == MAX_REQUEST)

    asyncio.run(scenario())


def test_a_head_has_a_limit() -> None:
    async def scenario() -> None:
        async with server(ours) as connect:
            assert await say(connect, b"GET / HTTP/1.1\r\nA: " + b"x" * (1 << 20)) == b""

    asyncio.run(scenario())


def test_only_the_first_request_of_a_connection_is_answered() -> None:
    async def scenario() -> None:
        async with server(ours) as connect:
            status, content = answered(await say(connect, REQUEST + REQUEST))

            assert (status, json.loads(content)[0]) == (200, "POST")

    asyncio.run(scenario())


@pytest.mark.parametrize("said", [b"", REQUEST[:20], REQUEST[:-1]])
def test_who_does_not_finish_is_let_go(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_TIMEOUT", 0.05)

    async def scenario() -> None:
        async with server(ours) as connect, asyncio.timeout(TIMEOUT):
            reader, writer = await connect()
            writer.write(said)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(scenario())


def test_who_does_not_take_its_answer_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_TIMEOUT", 0.05)
    ended = asyncio.Event()

    async def much(request: Request) -> Answer:
        return Answer(200, b"x" * SIZE)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer, much)
        ended.set()

    async def scenario() -> None:
        async with server(connected) as connect, asyncio.timeout(TIMEOUT):
            reader, writer = await connect()
            writer.write(REQUEST)
            await ended.wait()
            assert len(await reader.read()) < SIZE
            writer.close()

    asyncio.run(scenario())


def test_a_server_that_fails_still_ends_the_connection() -> None:
    async def fail(request: Request) -> Answer:
        raise LookupError

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with pytest.raises(LookupError):
            await serve(reader, writer, fail)

    async def scenario() -> None:
        async with server(connected) as connect:
            assert await say(connect, REQUEST) == b""

    asyncio.run(scenario())
