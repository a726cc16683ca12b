"""A coordinator that answers with too much, without end, or in crumbs, over TLS.

What counts is how much is read of it, and that others on the loop, as handshakes are, have their turns.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Final

import pytest

from tests.mesh.network import key_of
from tests.mesh.scripted import tls_identity
from tests.mesh.test_agent import TIMEOUT, Scene, configured, in_a_scene, until
from wgpy.mesh.ledger import StateDigest
from wgpy.mesh.wire import Delta, Greeting, encode_line
from wgpy.node.coordinator_client import Address, Coordinator, CoordinatorError, Unreachable

NETWORK = key_of(1).verify_key()
MUCH = 250 << 20  # bytes
SYSTEM = 16 << 20  # bytes, that TLS and the buffers of two sockets may hold
OK = b"HTTP/1.1 200 OK\r\n"
REFUSED = b"HTTP/1.1 403 No\r\n"
CRUMB = b"1\r\nn\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = json.dumps({"network": str(NETWORK), "challenge": "c"}).encode()
RECORDS = b'{"revision":1,"records":['
RECORD = RECORDS + b'{"body":"'
GREETING = encode_line(Greeting(StateDigest(1, bytes(32)), b"", ""))


@dataclass(slots=True)
class Hostile:
    """A coordinator that answers the n-th request of a connection with the n-th answer. sent: bytes."""

    address: Address
    answers: tuple[Iterable[bytes], ...]
    sent: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            for answer in self.answers:
                await reader.readuntil(b"\r\n\r\n")
                for piece in answer:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)  # what a closed connection drops is not waited for
                    self.sent += len(piece)
        writer.transport.abort()


@asynccontextmanager
async def hostile(folder: Path, *answers: Iterable[bytes]) -> AsyncIterator[Hostile]:
    context, key_hash = tls_identity(folder)
    served = Hostile(Address("", key_hash), answers)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    served.address = Address(f"https://127.0.0.1:{port}", key_hash)
    try:
        yield served
    finally:
        server.close()


class Turns:
    """Counts the turns of the loop, each of which another task could have had."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)

    def stop(self) -> None:
        self._task.cancel()


def whole(content: bytes, *headers: bytes) -> list[bytes]:
    head = b"".join(header + b"\r\n" for header in headers)
    return [OK + head + b"Content-Length: %d\r\n\r\n" % len(content), content]


def crumbs(content: bytes) -> bytes:
    """Chunks of one byte."""
    return b"".join(b"1\r\n%c\r\n" % byte for byte in content)


def up_to(size: int, piece: bytes) -> Iterator[bytes]:
    return repeat(piece * (65536 // len(piece)), size // 65536)


async def refused(served: Hostile, ask: Callable[[Coordinator], Awaitable[object]]) -> CoordinatorError:
    """Return how a request fails, or the first that every connection makes."""
    with pytest.raises(CoordinatorError) as raised:
        async with asyncio.timeout(TIMEOUT), Coordinator(served.address, NETWORK, key_of(7)) as coordinator:
            await ask(coordinator)
    assert str(raised.value).isprintable()
    return raised.value


async def submit(coordinator: Coordinator) -> object:
    return await coordinator.submit([])


async def follow(coordinator: Coordinator) -> object:
    return [line async for line in coordinator.follow(0)]


ANSWERS: Final[dict[str, Callable[[], Iterable[bytes]]]] = {
    "a length": lambda: chain([OK, b"Content-Length: %d\r\n\r\n{" % MUCH], up_to(MUCH, b"[],")),
    "until it closes": lambda: chain([OK + b"\r\n{"], up_to(MUCH, b"{},")),
    "chunks": lambda: chain([CHUNKED], up_to(MUCH, b"1000\r\n" + b" " * 4096 + b"\r\n")),
    "headers": lambda: chain([OK], up_to(MUCH, b"A: b\r\n")),
    "one header": lambda: chain([OK, b"A: "], up_to(MUCH, b"b")),
    "a status line": lambda: up_to(MUCH, b"H"),
    "informational answers": lambda: up_to(MUCH, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a chunk's extension": lambda: chain([CHUNKED, b"1;"], up_to(MUCH, b"b")),
    "trailers": lambda: chain([CHUNKED, b"0\r\n"], up_to(MUCH, b"A: b\r\n")),
    "a refusal": lambda: chain([REFUSED + b"Content-Length: %d\r\n\r\n" % MUCH], up_to(MUCH, b"no ")),
    "a refusal in chunks": lambda: chain([CHUNKED.replace(OK, REFUSED)], up_to(MUCH, CRUMB)),
}  # fmt: skip


@pytest.mark.parametrize("number", range(3), ids=["hello", "submit", "follow"])
@pytest.mark.parametrize("what", ANSWERS)
def test_of_an_answer_without_end_little_is_read(what: str, number: int, tmp_path: Path) -> None:

    async def scenario() -> None:
        answers = [*[whole(HELLO)] * min(number, 1), ANSWERS[what]()]
        async with hostile(tmp_path, *answers) as served:
            await refused(served, follow if number == 2 else submit)

            assert served.sent < SYSTEM

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"", b" "),
        (b'{"standing":', b"["),
        (RECORDS, b" "),
        (RECORDS, b"[],"),
        (RECORDS + b'{"body":"', b"x"),
    ],
)
def test_of_a_line_without_end_little_is_read(beginning: bytes, piece: bytes, tmp_path: Path) -> None:
    async def scenario() -> None:
        answer = chain([OK + b"\r\n", GREETING, beginning], up_to(MUCH, piece))
        async with hostile(tmp_path, whole(HELLO), answer) as served:
            assert "cannot be understood" in str(await refused(served, follow))

            assert served.sent < SYSTEM

    asyncio.run(scenario())


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"br"])
def test_nothing_is_unpacked(encoding: bytes, tmp_path: Path) -> None:
    async def scenario() -> None:
        bomb = gzip.compress(b" " * (1 << 20))
        async with hostile(tmp_path, whole(bomb, b"Content-Encoding: " + encoding)) as served:
            assert isinstance(await refused(served, submit), Unreachable)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "challenge", ["\ud800", "a\r\nb", "ä", "x" * 201, "", 5, None, [[]], {"a": 1}], ids=ascii
)
def test_a_challenge_that_is_none_is_an_answer_that_cannot_be_understood(
    challenge: object, tmp_path: Path
) -> None:
    async def scenario() -> None:
        hello = json.dumps({"network": str(NETWORK), "challenge": challenge}).encode()
        async with hostile(tmp_path, whole(hello), whole(b'{"results":[]}')) as served:
            assert "is no coordinator, or not of this version" in str(await refused(served, submit))

    asyncio.run(scenario())


def test_a_reason_is_shown_as_one_line(tmp_path: Path) -> None:
    async def scenario() -> None:
        reason = "no\x1b[2J\n\ud800" + "x" * 9999
        results = json.dumps({"results": [{"verdict": "refused", "reason": reason}]}).encode()
        async with hostile(tmp_path, whole(HELLO), whole(results)) as served:
            async with Coordinator(served.address, NETWORK, key_of(7)) as coordinator:
                (outcome,) = await coordinator.submit([])

            assert outcome.reason.isprintable()
            assert len(outcome.reason) < 300

    asyncio.run(scenario())


@pytest.mark.parametrize("content", [b" " * 500 + HELLO, HELLO], ids=["padded", "as it is"])
def test_while_crumbs_are_put_together_others_have_their_turns(content: bytes, tmp_path: Path) -> None:
    """The padding with its chunks is nearly as long as an answer may be that comes apart from its head."""

    async def scenario() -> None:
        line = crumbs(GREETING + encode_line(Delta(1, ())) * 1000)
        answers = ([CHUNKED, crumbs(content), b"0\r\n\r\n"], [CHUNKED, line, b"0\r\n\r\n"])
        async with hostile(tmp_path, *answers) as served:
            turns = Turns()
            async with asyncio.timeout(TIMEOUT), Coordinator(served.address, NETWORK) as coordinator:
                before = turns.count
                with pytest.raises(Unreachable, match="ended the connection"):
                    await follow(coordinator)
                assert turns.count - before > 29_000 // 64 // 2
            turns.stop()

    asyncio.run(scenario())


@in_a_scene
async def test_an_agent_lives_with_a_coordinator_that_says_everything_without_end(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)

        world.coordinator.say(b'{"revision":9,"records":[' + b"[],[]," * 100_000)

        status = await until(agent, lambda status: not status.connected)
        assert "cannot be understood" in status.trouble
        assert await configured(agent) == world.others
        await until(agent, lambda status: status.connected)


def test_the_audit_log_is_shown_line_by_line_whatever_a_coordinator_writes(tmp_path: Path) -> None:
    async def scenario() -> None:
        entry = {"time": 1, "who": "a\x1b[2J", "what": "b\nnetwork key: removal", "from": "c" * 99_999}
        entries = json.dumps({"entries": [entry]}).encode()
        async with hostile(tmp_path, whole(HELLO), whole(entries)) as served:
            async with Coordinator(served.address, NETWORK, key_of(7)) as coordinator:
                (shown,) = await coordinator.audit()

            assert shown["time"] == 1
            assert all(str(text).isprintable() for text in shown.values())
            assert sum(len(str(text)) for text in shown.values()) < 20_000

    asyncio.run(scenario())
