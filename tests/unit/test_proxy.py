"""`wgpy proxy` to clients that speak for themselves. The tunnel's sockets are of loopback here."""

import asyncio
import re
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from ipaddress import IPv4Interface
from pathlib import Path

import dns.message
import dns.rrset
import pytest

import wgpy
from wgpy.address import HostPort
from wgpy.config import Config
from wgpy.driver.settings import read_settings
from wgpy.host.tun import PacketSocket
from wgpy.keys import PrivateKey
from wgpy.proxy import http_message, socks5_server, udp_forward
from wgpy.proxy.datagrams import Datagrams
from wgpy.proxy.proxy import Listeners, PortForward, start
from wgpy.proxy.socks5 import Reply, Target, read_target, write_datagram
from wgpy.tunnel.errors import TunnelError

TIMEOUT = 60.0  # seconds
ANY_PORT = HostPort("127.0.0.1", 0)
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger
_FILTERED = str(Path(__file__).parents[1] / "integration/filtered.py")
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


def test_a_server_is_left_if_its_client_has_gone_meanwhile() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as there:
            there.setblocking(False)
            number = there.getsockname()[1]
            request = f"CONNECT 127.0.0.1:{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            async with serving(Listeners(http=(ANY_PORT,))) as (port,):
                with socket.create_connection(("127.0.0.1", port)) as client:
                    client.sendall(request)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

                connected, _ = await asyncio.get_running_loop().sock_accept(there)
                with connected:
                    connected.setblocking(False)
                    assert await asyncio.get_running_loop().sock_recv(connected, 1) == b""

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


def test_an_address_of_an_interface_that_cannot_be_is_no_host() -> None:
    async def scenario() -> None:
        host = b"::1%" + b"x" * 70  # longer than a label of DNS
        request = bytes((5, 1, 0, 3, len(host))) + host + bytes((0, 80))
        async with serving(Listeners(socks5=(ANY_PORT,))) as (port,):
            answer = await ask(port, bytes((5, 1, 0)) + request)

            assert answer == bytes((5, 0)) + bytes((5, Reply.HOST_UNREACHABLE, 0, 1)) + bytes(6)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "name",
    [
        "test_datagrams_are_of_the_port_that_sent_the_first_one",
        "test_datagrams_lead_to_the_target_and_each_source_gets_its_answers",
        "test_a_server_without_a_host_is_reached_by_any_address",
    ],
)
def test_it_serves_where_the_kernel_has_no_ipv6(name: str) -> None:
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::{name}")

    done = subprocess.run((sys.executable, _FILTERED, "ipv6", *tests), capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_server_without_a_host_is_reached_by_any_address() -> None:
    async def scenario() -> None:
        async with tunnel_of(Config(private_key=PrivateKey.generate())) as tunnel:
            listening = await tunnel.listen(None, 0)
            with listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1]), TIMEOUT):
                pass

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


@pytest.mark.parametrize("side", ["forward", "expose"])
def test_datagrams_lead_to_the_target_and_each_source_gets_its_answers(side: str) -> None:
    async def scenario() -> None:
        with udp() as one, udp() as other, udp() as there:
            async with serving(udp_listeners(side, there)) as (port,):
                loop, listener = asyncio.get_running_loop(), ("127.0.0.1", port)
                await loop.sock_sendto(one, b"one", listener)
                data_of_one, flow_of_one = await receive(there)
                await loop.sock_sendto(other, b"other", listener)
                data_of_other, flow_of_other = await receive(there)
                await loop.sock_sendto(one, b"again", listener)

                assert (data_of_one, data_of_other) == (b"one", b"other")
                assert await receive(there) == (b"again", flow_of_one)
                there.sendto(b"to one", flow_of_one)
                there.sendto(b"to other", flow_of_other)
                assert await receive(one) == (b"to one", listener)
                assert await receive(other) == (b"to other", listener)

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_listener_at_a_name_has_all_of_its_addresses_and_one_port(
    kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = socket.getaddrinfo

    def find_both(host: str, *arguments: int, **wanted: int) -> list[object]:
        hosts = ("127.0.0.1", "::1") if host == "localhost" else (host,)
        return [each for host in hosts for each in find(host, *arguments, **wanted)]

    async def scenario() -> None:
        forward = PortForward(HostPort("localhost", 0), HostPort("127.0.0.1", 9), kind == socket.SOCK_DGRAM)
        async with serving(Listeners(forward=(forward,))) as (port,):
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family, kind) as other, pytest.raises(OSError, match="in use"):
                    other.bind((address, port))

    monkeypatch.setattr(socket, "getaddrinfo", find_both)
    asyncio.run(scenario())


def test_of_too_many_flows_the_one_that_was_silent_for_longest_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_forward, "MAX_FLOWS", 2)

    async def scenario() -> None:
        with udp() as first, udp() as second, udp() as third, udp() as there:
            async with serving(udp_listeners("forward", there)) as (port,):
                flows: dict[socket.socket, list[tuple[str, int]]] = {}
                for source in (first, second, first, third, first, second):
                    await asyncio.get_running_loop().sock_sendto(source, b"x", ("127.0.0.1", port))
                    _, flow = await receive(there)
                    flows.setdefault(source, []).append(flow)

                assert len(set(flows[first])) == 1
                assert len(set(flows[second])) == 2

    asyncio.run(scenario())


def test_a_flow_ends_when_nothing_has_passed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_forward, "IDLE_TIME", 0.05)

    async def scenario() -> None:
        ended = asyncio.Event()
        changes: list[int] = []

        def count(change: int) -> None:
            changes.append(change)
            if changes.count(-1) == 2:
                ended.set()

        loop = asyncio.get_running_loop()
        with udp() as one, udp() as other, udp() as there:
            forward = udp_forward.UdpForward(
                loop.create_datagram_endpoint, HostPort(*there.getsockname()), count
            )
            listener = await forward.listen(loop.create_datagram_endpoint, ANY_PORT)
            for source in (one, other):
                await loop.sock_sendto(source, b"x", listener)
                await receive(there)
            async with asyncio.timeout(TIMEOUT):
                await ended.wait()
            forward.close()

        assert sorted(changes) == [-1, -1, 1, 1]

    asyncio.run(scenario())


def test_datagrams_to_a_target_that_is_none_are_dropped() -> None:
    async def scenario() -> None:
        wanted = Listeners(
            forward=(PortForward(ANY_PORT, HostPort("a..b", 53), udp=True),), metrics=(ANY_PORT,)
        )
        with udp() as source:
            async with serving(wanted) as (status, port):
                await asyncio.get_running_loop().sock_sendto(source, b"x", ("127.0.0.1", port))

                answer = b""
                while b'wgpy_proxy_connections_total{listener="forward udp"} 1' not in answer:
                    answer = await ask(status, b"GET /metrics HTTP/1.0\r\n\r\n")

    asyncio.run(scenario())


def test_the_name_of_a_target_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        with udp() as name_server, udp() as there:
            monkeypatch.setattr("wgpy.tunnel.resolver._PORT", name_server.getsockname()[1])
            here = IPv4Interface("127.0.0.1/8")
            config = Config(PrivateKey.generate(), addresses=(here,), dns=("127.0.0.1",))
            answering = asyncio.create_task(answer_once(name_server, "127.0.0.1"))
            async with tunnel_of(config) as tunnel:
                target = "there.example.test", there.getsockname()[1]
                transport, _ = await tunnel.create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=target
                )

                transport.sendto(b"x")
                assert (await receive(there))[0] == b"x"

                transport.close()
            await answering

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
    config = Config(private_key=PrivateKey.generate())
    async with tunnel_of(config) as tunnel, AsyncExitStack() as opened:
        lines = await start(tunnel, wanted, opened)
        yield [int(re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)", line)[0]) for line in lines]
    assert failed == []


@asynccontextmanager
async def tunnel_of(config: Config) -> AsyncIterator[wgpy.AsyncTunnel]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        async with (
            asyncio.timeout(TIMEOUT),
            wgpy.Tunnel(config, packets=PacketSocket(ours), settings=_PORTABLE) as tunnel,
        ):
            yield tunnel


async def answer_once(name_server: socket.socket, address: str) -> None:
    """Answer a question with an address, and no other one."""
    loop = asyncio.get_running_loop()
    data, source = await loop.sock_recvfrom(name_server, 1 << 16)
    question = dns.message.from_wire(data)
    answer = dns.message.make_response(question)
    answer.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", "A", address))
    await loop.sock_sendto(name_server, answer.to_wire(), source)


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


def udp_listeners(side: str, there: socket.socket) -> Listeners:
    forward = (PortForward(ANY_PORT, HostPort(*there.getsockname()), udp=True),)
    return Listeners(forward=forward) if side == "forward" else Listeners(expose=forward)


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
