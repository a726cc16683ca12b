"""Names, asked of a tunnel's own DNS servers through the tunnel. RFC 1035, RFC 7766

Answers are as socket.getaddrinfo's, and so are the errors, since libraries expect these.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dns.message import Message

from wgpy.address import is_address

MakeSocket = Callable[[int, int], socket.socket]
AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]

_PORT: Final = 53
_TRIES: Final = 3  # of each server
_TIMEOUT: Final = 5.0  # seconds, for an answer
_MAX_ANSWER: Final = 65535
_LOCALHOST: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_TYPES: Final = {socket.AF_INET: "A", socket.AF_INET6: "AAAA"}


class Resolver:
    """Asks servers in their order. Pure names get the search domains, as with resolv.conf(5) and ndots:1."""

    def __init__(self, make_socket: MakeSocket, servers: Sequence[str], search: Sequence[str]) -> None:
        """make_socket: of a family and a type, not blocking, inside of the tunnel."""
        self._make_socket = make_socket
        self._servers = servers
        self._search = search

    async def getaddrinfo(
        self, host: str, port: int | str | None, families: Sequence[socket.AddressFamily], **wanted: int
    ) -> list[AddressInfo]:
        """families: in the order of the answer; wanted: type, proto, flags. Raises socket.gaierror."""
        found: list[AddressInfo] = []
        for address in await self._addresses(host, families):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            if family in families:
                wanted["flags"] = wanted.get("flags", 0) | socket.AI_NUMERICHOST
                with suppress(UnicodeError):  # by what follows a `%`, which no interface is called
                    found += socket.getaddrinfo(address, port, family=family, **wanted)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"the tunnel's DNS servers know no address of {host}")
        return found

    async def _addresses(self, host: str, families: Sequence[socket.AddressFamily]) -> list[str]:
        name = host.rstrip(".").lower()
        if is_address(host.partition("%")[0]):
            return [host]
        if name == "localhost" or name.endswith(".localhost"):
            return [_LOCALHOST[family] for family in families]
        if not self._servers:
            raise socket.gaierror(
                socket.EAI_NONAME,
                f"{host} cannot be resolved, as the tunnel has no DNS server: add `DNS = …` to [Interface]",
            )
        for full_name in self._full_names(host):
            if found := await self._ask_for(full_name, families):
                return found
        return []

    def _full_names(self, host: str) -> Iterable[str]:
        if host.endswith("."):
            return [host]
        searched = [f"{host}.{domain}." for domain in self._search]
        return [f"{host}.", *searched] if "." in host else [*searched, f"{host}."]

    async def _ask_for(self, name: str, families: Sequence[socket.AddressFamily]) -> list[str]:
        """Return what is found of any family. Raises socket.gaierror if nothing is, and no server answers."""
        asked = (self._look_up(name, _TYPES[family]) for family in families)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        found = [answer for answer in answers if not isinstance(answer, BaseException)]
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if failed and not any(found):
            raise failed[0]
        return [address for answer in found for address in answer]

    async def _look_up(self, name: str, kind: str) -> list[str]:
        # Imported where it is needed: it is 14 MiB.
        from dns.exception import DNSException  # noqa: PLC0415
        from dns.message import make_query  # noqa: PLC0415

        try:
            question = make_query(name, kind)
        except DNSException as error:
            raise socket.gaierror(socket.EAI_NONAME, f"{name} is no name: {error}") from None
        for server in (*self._servers,) * _TRIES:
            with suppress(OSError, TimeoutError, DNSException):
                return _read_addresses(await self._exchange(question, server))
        raise socket.gaierror(
            socket.EAI_AGAIN, f"no DNS server of the tunnel answers: {', '.join(self._servers)}"
        )

    async def _exchange(self, question: "Message", server: str) -> "Message":
        """Raises OSError, TimeoutError, DNSException."""
        from dns.flags import TC  # noqa: PLC0415

        answer = await self._ask(question, server, socket.SOCK_DGRAM)
        return await self._ask(question, server, socket.SOCK_STREAM) if answer.flags & TC else answer

    async def _ask(self, question: "Message", server: str, kind: socket.SocketKind) -> "Message":
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with self._make_socket(family, kind) as asking:
            async with asyncio.timeout(_TIMEOUT):
                await asyncio.get_running_loop().sock_connect(asking, (server, _PORT))
                if kind == socket.SOCK_STREAM:
                    return await _ask_by_tcp(asking, question)
                return await _ask_by_udp(asking, question)


async def _ask_by_udp(asking: socket.socket, question: "Message") -> "Message":
    """Wait for the answer to this question; what else arrives is ignored. Raises OSError."""
    from dns.exception import DNSException  # noqa: PLC0415
    from dns.message import from_wire  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    await loop.sock_sendall(asking, question.to_wire())
    while True:
        data = await loop.sock_recv(asking, _MAX_ANSWER)
        with suppress(DNSException):
            answer = from_wire(data, ignore_trailing=True)
            if question.is_response(answer):
                return answer


async def _ask_by_tcp(asking: socket.socket, question: "Message") -> "Message":
    """Raises OSError, DNSException."""
    from dns.message import from_wire  # noqa: PLC0415

    wire = question.to_wire()
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(asking, len(wire).to_bytes(2, "big") + wire)
    size = int.from_bytes(await _receive_exactly(asking, 2), "big")
    return from_wire(await _receive_exactly(asking, size))


async def _receive_exactly(asking: socket.socket, size: int) -> bytes:
    """Raises OSError, ConnectionError if the other end stops before."""
    data = b""
    while len(data) < size:
        chunk = await asyncio.get_running_loop().sock_recv(asking, size - len(data))
        if not chunk:
            raise ConnectionError("the DNS server closed the connection")
        data += chunk
    return data


def _read_addresses(answer: "Message") -> list[str]:
    """Follow aliases. Raises DNSException or OSError if another server is to be asked."""
    from dns.message import QueryMessage  # noqa: PLC0415
    from dns.rcode import NOERROR, NXDOMAIN  # noqa: PLC0415

    if answer.rcode() not in (NOERROR, NXDOMAIN) or not isinstance(answer, QueryMessage):
        raise ConnectionError("the server does not know")
    found = answer.resolve_chaining().answer
    return [record.address for record in found] if found else []
