"""What passes between two connections of a proxy, and how their ends and breaks pass."""

import asyncio
import os
import resource
import select
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from wgpy.proxy.joining import forward, join
from wgpy.proxy.listening import Acceptor
from wgpy.proxy.poller import Poller
from wgpy.proxy.stream import Stream

TIMEOUT = 60.0  # seconds
BUFFER = 1 << 16  # bytes, of each socket
LARGE = 8 << 20  # bytes, more than all buffers on the way have room for
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger


def test_all_arrives_though_the_other_end_reads_late_and_who_has_closed_gets_the_answer() -> None:
    async def scenario() -> None:
        async with joined() as (client, server, joining):
            data = os.urandom(LARGE)
            sending = asyncio.ensure_future(send_all(client, data))
            await until(lambda: not room(client))  # the server reads nothing yet

            assert await receive_all(server) == data
            await sending
            await send_all(server, b"answer")
            assert await receive_all(client) == b"answer"
            await joining

    run(scenario)


def test_both_directions_at_once() -> None:
    async def scenario() -> None:
        async with joined() as (client, server, joining):
            there, back = os.urandom(LARGE), os.urandom(LARGE)

            _, _, got_there, got_back = await asyncio.gather(
                send_all(client, there), send_all(server, back), receive_all(server), receive_all(client)
            )

            assert (got_there, got_back) == (there, back)
            await joining

    run(scenario)


@pytest.mark.parametrize("unread", [False, True], ids=["idle", "while the client reads nothing"])
def test_what_breaks_at_one_end_is_reset_at_the_other(unread: bool) -> None:
    async def scenario() -> None:
        async with joined() as (client, server, joining):
            if unread:
                sending = asyncio.ensure_future(send_all(server, bytes(LARGE)))
                await until(lambda: not room(server))
                sending.cancel()
            reset(client)

            await joining
            with pytest.raises(OSError, match="reset|[Bb]roken"):
                await send_again_and_again(server)

    run(scenario)


def test_a_client_is_reset_when_the_proxy_ends_before_it_was_led_on() -> None:
    async def connect(host: str, port: int) -> Stream:
        await asyncio.Event().wait()  # for ever
        raise AssertionError

    async def scenario() -> None:
        client, accepted = await pair()
        with closing(client), closing(Poller()) as poller:
            forwarding = asyncio.create_task(forward(Stream(accepted, poller), connect, "192.0.2.1", 80))
            await asyncio.sleep(0)

            forwarding.cancel()

            with pytest.raises(ConnectionResetError):
                await receive_all(client)

    run(scenario)


def test_nothing_is_left_open() -> None:
    async def scenario() -> None:
        async with joined() as (client, server, joining):  # from now on a pipe is kept for all
            await asyncio.gather(send_all(client, b"x"), send_all(server, b"x"))
            await joining
        before = descriptors()

        for _ in range(20):
            async with joined() as (client, server, joining):
                sending = asyncio.ensure_future(send_all(client, bytes(LARGE)))
                await until(lambda: not room(client))
                sending.cancel()
                joining.cancel()
                await asyncio.wait([joining])

        assert descriptors() <= before

    run(scenario)


def test_a_listener_serves_again_when_there_are_descriptors_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wgpy.proxy.listening._PAUSE", 0.01)

    async def greet(client: Stream) -> None:
        with closing(client):
            await client.write(b"hello")

    async def scenario() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as listening,
            closing(new_socket()) as client,
            closing(Poller()) as poller,
        ):
            listening.setblocking(False)
            acceptor = Acceptor(listening, greet, poller)
            acceptor.start()
            with no_more_descriptors():
                await asyncio.get_running_loop().sock_connect(client, listening.getsockname())
                await asyncio.sleep(0)
                await asyncio.sleep(0)

            assert await receive_all(client) == b"hello"
            acceptor.close()

    run(scenario)


# -- Helpers -------------------------------------------------------------------------------------


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(TIMEOUT):
            await scenario()

    asyncio.run(limited())


@asynccontextmanager
async def joined() -> AsyncIterator[tuple[socket.socket, socket.socket, "asyncio.Task[None]"]]:
    """Give a client and a server, which are joined, and the task that joins them."""
    (client, one), (server, other) = await pair(), await pair()
    with closing(Poller()) as poller:
        joining = asyncio.create_task(join(Stream(one, poller), Stream(other, poller)))
        with closing(client), closing(server):
            yield client, server, joining
        joining.cancel()
        await asyncio.wait([joining])


async def pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection by loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connecting = new_socket()
        await asyncio.get_running_loop().sock_connect(connecting, listening.getsockname())
        accepted, _ = listening.accept()
        accepted.setblocking(False)
        for end in (connecting, accepted):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        return connecting, accepted


def new_socket() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    return made


async def send(sender: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sender, data)


async def send_again_and_again(sender: socket.socket) -> None:
    while True:
        await send(sender, b"more")


async def send_all(sender: socket.socket, data: bytes) -> None:
    await send(sender, data)
    sender.shutdown(socket.SHUT_WR)


async def receive_all(receiver: socket.socket) -> bytes:
    data = bytearray()
    while chunk := await asyncio.get_running_loop().sock_recv(receiver, 1 << 16):
        data += chunk
    return bytes(data)


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    client.close()


def room(sender: socket.socket) -> bool:
    """Whether a socket takes more."""
    asked = select.poll()
    asked.register(sender, select.POLLOUT)
    return bool(asked.poll(0))


async def until(holds: Callable[[], bool]) -> None:
    """Return once something holds in many turns of the loop in succession."""
    held = 0
    while held < 100:
        held = held + 1 if holds() else 0
        await asyncio.sleep(0)


def _numbers() -> list[int]:
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def descriptors() -> int:
    return len(_numbers())


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(_numbers())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
    with ExitStack() as taken:
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        with suppress(OSError):
            while True:
                taken.callback(os.close, os.dup(0))
        yield
