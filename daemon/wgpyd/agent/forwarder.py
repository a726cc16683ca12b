"""Asks the host's own name servers what is no name of the mesh, where the host asks this node first.

Invariant: no loop. The servers of other meshes on this host are asked without RD, and so ask nobody; of one
question so many are under way at once and no more: a server that would ask this node again is refused.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, NamedTuple, cast

from wgpy.dns.message import QR, RA, RD, Query, Rcode
from wgpy.dns.responder import MAX_MESSAGE, without_answer

PATIENCE: Final = 2.0  # seconds, for each server
_AGAIN: Final = 0.5  # seconds until a question by UDP is sent once more
_MAX_SAME: Final = 4  # of one question
_MAX_QUESTIONS: Final = 256
_HEADER_SIZE: Final = 12
USELESS: Final = (Rcode.SERVFAIL, Rcode.NOTIMP, Rcode.REFUSED)


class UnderWay:
    """Bounds the questions that are under way at once, of all and of each."""

    def __init__(self) -> None:
        self._count: Counter[tuple[object, ...]] = Counter()

    async def bound(self, query: Query, asking: Coroutine[Any, Any, bytes]) -> bytes:
        """Return what comes of asking, or a refusal where there are too many."""
        key = query.name, query.type, query.rrclass
        if self._count[key] >= _MAX_SAME or self._count.total() >= _MAX_QUESTIONS:
            asking.close()
            return without_answer(query, Rcode.REFUSED, RA)
        self._count[key] += 1
        try:
            return await asking
        finally:
            self._count -= Counter((key,))


class Server(NamedTuple):
    """A name server. is_mesh: whether it is another node of this host, which knows its own names alone."""

    address: str
    is_mesh: bool = False
    port: int = 53


class Forwarder:
    """Of one node."""

    def __init__(self, servers: Callable[[], Iterable[Server]]) -> None:
        """servers: read for each question, as they may change at any time."""
        self._servers = servers
        self._under_way = UnderWay()

    async def ask(self, data: bytes, query: Query, by_tcp: bool) -> bytes:
        """Return the first answer that is of use, or one that says that there is none."""
        return await self._under_way.bound(query, self._ask(data, query, by_tcp=by_tcp))

    async def _ask(self, data: bytes, query: Query, *, by_tcp: bool) -> bytes:
        last = without_answer(query, Rcode.SERVFAIL, RA)
        for server in self._servers():
            question = _renumbered(data, os.urandom(2), without=RD if server.is_mesh else 0)
            try:
                async with asyncio.timeout(PATIENCE):
                    exchange = ask_by_tcp if by_tcp else ask_by_udp
                    answer = await exchange(server, question, query)
            except (OSError, EOFError, TimeoutError):
                continue
            answer = _renumbered(answer, data[:2])
            if answer[3] & 0xF not in USELESS:
                return answer
            last = last if server.is_mesh else answer
        return last


def _renumbered(message: bytes, number: bytes, without: int = 0) -> bytes:
    """Return a message with another id. without: flags."""
    flags = int.from_bytes(message[2:4]) & ~without
    return number + flags.to_bytes(2) + message[4:]


def _answers(message: bytes, question: bytes, query: Query) -> bool:
    """Return whether a message has the id and the question that were sent."""
    end = _HEADER_SIZE + len(query.text)
    return (
        message[:2] == question[:2]
        and len(message) >= end
        and bool(int.from_bytes(message[2:4]) & QR)
        and message[_HEADER_SIZE:end].lower() == query.text.lower()
    )


async def ask_by_udp(server: Server, question: bytes, query: Query) -> bytes:
    """Ask again and again until there is an answer. Raises OSError."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Exchange(question, query, answer), remote_addr=(server.address, server.port)
    )
    try:
        while not (await asyncio.wait((answer,), timeout=_AGAIN))[0]:
            transport.sendto(question)
        return answer.result()
    finally:
        transport.close()


class _Exchange(asyncio.DatagramProtocol):
    """One question by a socket of its own, so that nobody else guesses where its answer is awaited."""

    def __init__(self, question: bytes, query: Query, answer: asyncio.Future[bytes]) -> None:
        self._question = question
        self._query = query
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.DatagramTransport, transport).sendto(self._question)  # uvloop's is no subclass

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._answer.done() and _answers(data, self._question, self._query):
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


async def ask_by_tcp(server: Server, question: bytes, query: Query) -> bytes:
    """Raises OSError, EOFError."""
    reader, writer = await asyncio.open_connection(server.address, server.port, limit=MAX_MESSAGE)
    try:
        writer.write(len(question).to_bytes(2) + question)
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
    finally:
        writer.transport.abort()
    if not _answers(answer, question, query):
        raise EOFError("another answer")
    return answer
