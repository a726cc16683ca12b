"""`wgpy proxy` to clients that speak for themselves. The tunnel's sockets are of loopback here."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager

import pytest

import wgpy
from wgpy.address import HostPort
from wgpy.config import Config
from wgpy.driver.settings import read_settings
from wgpy.host.tun import PacketSocket
from wgpy.keys import PrivateKey
from wgpy.proxy import http_message, socks5_server
from wgpy.proxy.proxy import Listeners, PortForward, start
from wgpy.proxy.socks5 import Reply, Target, read_target, write_datagram
from wgpy.proxy.socks5_server import Datagrams
from wgpy.tunnel.errors import TunnelError

TIMEOUT = 60.0  # seconds
ANY_PORT = HostPort("127.0.0.1", 0)
_PORTABLE = read_settings({"WGPY_DATAPATH": "portable"})


@pytest.mark.parametrize(
    ("request_line", "status", "content"),
    [
        ("GET /health HTTP/1.0", b"200", b"\r\n\r\nok\n"),
        ("GET /metrics HTTP/1.0", b"200", b"wgpy_proxy_connections"),
        ("HEAD /health HTTP/1.0", b"200", b"\r\n\r\n"),
        ("GET / HTTP/1.0", b"404", b"there are /metrics and /health"),
    ],
)
def test_a_proxy_reports_its_state(request_line: str, status: bytes, content: bytes) -> None:
    async def scenario() -> None:
        async with serving(Listeners(metrics=(ANY_PORT,))) as (port,):
            answer = await ask(port, f"{request_line}\r\n\r\n".encode())

            assert answer.split()[1] == status
            assert content in answer

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("head", "forwarded"),
    [
        ("GET {} HTTP/1.0", "GET / HTTP/1.1\r\nHost: {}"),
        ("GET {}//a?b#c HTTP/1.1\r\nHost: elsewhere", "GET //a?b HTTP/1.1\r\nHost: {}"),
        ("GET {}?b HTTP/1.1\r\nHost: x\r\nCookie: y", "GET /?b HTTP/1.1\r\nHost: {}\r\ncookie: y"),
        (
            "GET {} HTTP/1.1\r\nHost: x\r\nConnection: X-Hop, upgrade\r\nX-Hop: y\r\nUpgrade: z",
            "GET / HTTP/1.1\r\nHost: {}",
        ),
    ],
    ids=["no host", "another host", "no path", "of the connection alone"],
)
def test_a_server_gets_the_host_of_the_url_and_what_is_meant_for_it(head: str, forwarded: str) -> None:
    async def scenario() -> None:
        async with serving(Listeners(http=(ANY_PORT,))) as (port,), echoing_heads() as there:
            request = head.format(f"http://127.0.0.1:{there}") + "\r\n\r\n"

            answer = await ask(port, request.encode())

            wanted = forwarded.format(f"127.0.0.1:{there}") + "\r\nConnection: close\r\n\r\n"
            assert answer.decode() == wanted

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["a..b", "127.0.0.1"], ids=["no host name", "refused"])
def test_a_connection_that_cannot_be_led_on_is_reset(host: str) -> None:
    async def scenario() -> None:
        listener = PortForward(ANY_PORT, HostPort(host, closed_port()))
        async with serving(Listeners(expose=(listener,))) as (port,):
            with pytest.raises(ConnectionResetError):
                await ask(port, b"hello")

    asyncio.run(scenario())


@pytest.mark.parametrize("data", [b"", b"GET http:", bytes((5, 1))])
def test_a_client_that_asks_for_nothing_is_not_waited_for(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (http_message, socks5_server):
        monkeypatch.setattr(module, "REQUEST_TIMEOUT", 0.05)

    async def scenario() -> None:
        async with serving(Listeners(socks5=(ANY_PORT,), http=(ANY_PORT,))) as (socks5, http):
            assert await ask(socks5, data) == b""
            assert b" 400 " in await ask(http, data)

    asyncio.run(scenario())


def test_a_listener_of_what_is_no_host_name_is_named() -> None:
    async def scenario() -> None:
        with pytest.raises(TunnelError, match="http://a..b:0 cannot be listened on: that is no host name"):
            async with serving(Listeners(http=(HostPort("a..b", 0),))):
                pass

    asyncio.run(scenario())


def test_a_kind_of_address_that_socks5_does_not_have_is_refused() -> None:
    async def scenario() -> None:
        async with serving(Listeners(socks5=(ANY_PORT,))) as (port,):
            answer = await ask(port, bytes((5, 1, 0)) + bytes((5, 1, 0, 9, 0)))

            assert answer == bytes((5, 0)) + bytes((5, 8, 0, 1)) + bytes(6)

    asyncio.run(scenario())


def test_datagrams_are_of_the_port_that_sent_the_first_one() -> None:
    async def scenario() -> None:
        with udp() as client, udp() as neighbour, udp() as there:
            async with serving(Listeners(socks5=(ANY_PORT,))) as (port,), associated(port) as relay:
                await send(client, relay, there, b"first")
                assert (await receive(there))[0] == b"first"
                await send(neighbour, relay, there, b"neighbour's")
                await send(client, relay, there, b"second")

                data, inside = await receive(there)
                there.sendto(b"answer", inside)
                answer, _ = await receive(client)

                assert data == b"second"
                assert answer.endswith(b"answer")

    asyncio.run(scenario())


def test_a_datagram_for_which_a_socket_has_no_room_is_dropped() -> None:
    async def scenario() -> None:
        with udp() as there:
            loop = asyncio.get_running_loop()
            _, sending = await loop.create_datagram_endpoint(
                lambda: Datagrams(lambda data, source: None), local_addr=("127.0.0.1", 0)
            )

            sending.pause_writing()
            sending.send(b"dropped", there.getsockname())
            sending.resume_writing()
            sending.send(b"sent", there.getsockname())

            assert (await receive(there))[0] == b"sent"
            sending.close()

    asyncio.run(scenario())


# -- Helpers -------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(wanted: Listeners) -> AsyncIterator[list[int]]:
    """Give the ports of the listeners; in the end no connection may have raised anything."""
    failed: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(str(context)))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    config = Config(private_key=PrivateKey.generate())
    with theirs:
        async with (
            asyncio.timeout(TIMEOUT),
            wgpy.Tunnel(config, packets=PacketSocket(ours), settings=_PORTABLE) as tunnel,
            AsyncExitStack() as opened,
        ):
            lines = await start(tunnel, wanted, opened)
            yield [int(re.findall(r"127\.0\.0\.1:(\d+)", line)[0]) for line in lines]
    assert failed == []


async def ask(port: int, data: bytes) -> bytes:
    """Send, and return all that comes until the other end closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    return answer


@asynccontextmanager
async def echoing_heads() -> AsyncIterator[int]:
    """Give the port of a server that answers with the head of what it is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        yield made


@asynccontextmanager
async def associated(port: int) -> AsyncIterator[tuple[str, int]]:
    """Give where a client of SOCKS5 sends its datagrams."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(bytes((5, 1, 0)) + bytes((5, 3, 0, 1)) + bytes(6))
        reply = await reader.readexactly(2 + 4 + 6)
        assert reply[2:4] == bytes((5, Reply.SUCCEEDED))
        target, _ = read_target(reply[5:])
        yield target


async def send(source: socket.socket, relay: tuple[str, int], to: socket.socket, data: bytes) -> None:
    datagram = write_datagram(Target(*to.getsockname()), data)
    await asyncio.get_running_loop().sock_sendto(source, datagram, relay)


async def receive(there: socket.socket) -> tuple[bytes, tuple[str, int]]:
    async with asyncio.timeout(TIMEOUT):
        return await asyncio.get_running_loop().sock_recvfrom(there, 1 << 16)


def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
