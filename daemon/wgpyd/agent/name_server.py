"""Answers questions about names at this node's addresses, by UDP and TCP. RFC 1035 4.2, RFC 7766

Invariant: whoever is no peer is refused, a peer is answered as often as its budget says, and others' servers
are asked for this host and its clients alone, so that nobody uses it as an open resolver.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, Protocol, cast

from wgpy.address import Address
from wgpy.dns.message import RD, Labels, Malformed, Query, Rcode, read_query
from wgpy.dns.responder import respond, without_answer
from wgpy.dns.zone import Zone
from wgpy.host.bootclock import boottime
from wgpy.ratelimiter import RateLimiter

PORT: Final = 53
_RATE: Final = 100  # questions a second of one peer, in the long run
_BURST: Final = 500
_MAX_PEERS: Final = 4096
_MAX_CONNECTIONS: Final = 64  # at once
_MAX_OF_ONE: Final = 8  # of one peer
_PATIENCE: Final = 10.0  # seconds until a connection that asks nothing is closed
_MAX_QUESTION: Final = 4096  # bytes, by TCP

ANSWERED: Final = "answered"
FORWARDED: Final = "forwarded"
REFUSED: Final = "refused"

_Reply = Callable[[bytes], None]
Forward = Callable[[bytes, Query, Address, bool], Awaitable[bytes]]  # a question, of whom, and whether by TCP


class Names(Protocol):
    """What is served."""

    def zone_for(self, asker: Address) -> Zone | None:
        """Return what somebody may know, None for nobody that is known."""

    def is_local(self, asker: Address) -> bool:
        """Return whether this host itself asks."""

    def may_ask_others(self, asker: Address, name: Labels) -> bool:
        """Return whether others' servers are asked for somebody."""


class NameServer:
    """On the running loop, from `listen` until it is closed.

    outcomes: how many questions were answered, forwarded to others' servers, and refused.
    """

    def __init__(self, names: Names, forward: Forward, port: int = PORT) -> None:
        """forward: asks others, and always has an answer; port: another one for tests."""
        self.outcomes: Counter[str] = Counter({ANSWERED: 0, FORWARDED: 0, REFUSED: 0})
        self._names = names
        self._forward = forward
        self._port = port
        self._addresses: frozenset[Address] = frozenset()
        self._transports: list[asyncio.DatagramTransport] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: Counter[Address] = Counter()
        self._limiter = RateLimiter(per_second=_RATE, burst=_BURST, max_sources=_MAX_PEERS)

    async def listen(self, addresses: Iterable[Address]) -> None:
        """Answer at these addresses, which may go and come again, and at no others.

        Raises OSError if one of them cannot be had, and then answers at none.
        """
        wanted = frozenset(addresses)
        if wanted == self._addresses:
            return
        await self.close()
        try:
            for address in wanted:
                await self._listen(address)
        except BaseException:
            await self.close()
            raise
        self._addresses = wanted

    async def close(self) -> None:
        for transport in self._transports:
            transport.close()
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, asyncio.sleep(0), return_exceptions=True)  # then they are closed
        self._transports, self._servers, self._addresses = [], [], frozenset()

    async def _listen(self, address: Address) -> None:
        """Raises OSError."""
        udp = _open(address, self._port, socket.SOCK_DGRAM)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self._on_datagram), sock=udp
        )
        self._transports.append(transport)
        tcp = _open(address, self._port, socket.SOCK_STREAM)
        self._servers.append(await asyncio.start_server(self._on_connection, sock=tcp))

    # -- UDP -----------------------------------------------------------------------------------------

    def _on_datagram(self, data: bytes, source: Address, reply: _Reply) -> None:
        if not self._names.is_local(source) and not self._limiter.allow(source.packed, boottime()):
            self.outcomes[REFUSED] += 1
            return
        answer = self._answer(data, source, by_tcp=False)
        if isinstance(answer, bytes):
            if answer:
                reply(answer)
            return
        task = asyncio.create_task(self._forward_datagram(data, answer, source, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward_datagram(self, data: bytes, query: Query, source: Address, reply: _Reply) -> None:
        reply(await self._forward(data, query, source, False))

    # -- TCP -----------------------------------------------------------------------------------------

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source, task = _address(writer.get_extra_info("peername")[0]), asyncio.current_task()
        if task is None or not self._may_connect(source):
            writer.transport.abort()
            return
        self._tasks.add(task)
        self._connections[source] += 1
        try:
            with suppress(OSError, EOFError, TimeoutError, asyncio.CancelledError):  # the last by `close`
                while await self._answer_next(reader, writer, source):
                    pass
        finally:
            self._connections -= Counter((source,))
            self._tasks.discard(task)
            writer.transport.abort()

    def _may_connect(self, source: Address) -> bool:
        is_one_too_many = self._connections[source] >= _MAX_OF_ONE and not self._names.is_local(source)
        return self._connections.total() < _MAX_CONNECTIONS and not is_one_too_many

    async def _answer_next(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: Address
    ) -> bool:
        """Return whether another question may follow. Raises OSError, EOFError, TimeoutError."""
        async with asyncio.timeout(_PATIENCE):
            length = int.from_bytes(await reader.readexactly(2))
            if length > _MAX_QUESTION:
                return False
            data = await reader.readexactly(length)
        answer = self._answer(data, source, by_tcp=True)
        if isinstance(answer, Query):
            answer = await self._forward(data, answer, source, True)
        writer.write(len(answer).to_bytes(2) + answer)
        async with asyncio.timeout(_PATIENCE):
            await writer.drain()
        return bool(answer)

    # -- Answers -------------------------------------------------------------------------------------

    def _answer(self, data: bytes, source: Address, *, by_tcp: bool) -> bytes | Query:
        """Return what is answered, or a question for others."""
        outcome, answer = self._judge(data, source, by_tcp=by_tcp)
        self.outcomes[outcome] += 1
        return answer

    def _judge(self, data: bytes, source: Address, *, by_tcp: bool) -> tuple[str, bytes | Query]:
        zone = self._names.zone_for(source)
        if zone is None:
            return REFUSED, _refusal(data)
        answer = respond(zone, data, by_tcp=by_tcp)
        if isinstance(answer, bytes):
            return ANSWERED, answer
        if answer.flags & RD and self._names.may_ask_others(source, answer.name):
            return FORWARDED, answer
        return REFUSED, without_answer(answer, Rcode.REFUSED)


class _Datagrams(asyncio.DatagramProtocol):
    """Those of one socket."""

    def __init__(self, receive: Callable[[bytes, Address, _Reply], None]) -> None:
        self._receive = receive

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's is no subclass

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._receive(data, _address(addr[0]), lambda answer: self._transport.sendto(answer, addr))


def _refusal(data: bytes) -> bytes:
    try:
        return without_answer(read_query(data), Rcode.REFUSED)
    except Malformed:
        return b""


def _address(text: str) -> Address:
    return ip_address(text.partition("%")[0])


def _open(address: Address, port: int, kind: socket.SocketKind) -> socket.socket:
    """Raises OSError."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    opened = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((str(address), port))
    except BaseException:
        opened.close()
        raise
    return opened
