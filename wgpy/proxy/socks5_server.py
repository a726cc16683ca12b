"""Serves a client of SOCKS5: connections and datagrams, each by the tunnel. RFC 1928"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from errno import EAFNOSUPPORT
from typing import Any, Final

from wgpy.tunnel.asynchronous import AsyncTunnel
from wgpy.tunnel.errors import TunnelError

from . import socks5
from .account import Account
from .datagrams import Address, Datagrams
from .joining import REQUEST_TIMEOUT, Connect, join
from .socks5 import Command, Malformed, Reply, Target
from .stream import Stream

_MAX_DATAGRAM: Final = 65535
_MAX_WAITING: Final = 64  # datagrams of a client whose names are being asked for


async def serve(client: Stream, connect: Connect, tunnel: AsyncTunnel, account: Account | None) -> None:
    """Serve one connection of a client until it ends. account: None for anybody.

    Raises OSError if the connection breaks.
    """
    with suppress(Malformed, EOFError), closing(client):
        async with asyncio.timeout(REQUEST_TIMEOUT):
            await _authenticate(client, account)
            try:
                command, target = await _read_request(client)
            except Malformed:
                await client.write(socks5.write_reply(Reply.ADDRESS_NOT_SUPPORTED))
                return
        if command == Command.CONNECT:
            await _connect(client, connect, target)
        elif command == Command.UDP_ASSOCIATE:
            await _associate(client, tunnel)
        else:
            await client.write(socks5.write_reply(Reply.COMMAND_NOT_SUPPORTED))


async def _authenticate(client: Stream, account: Account | None) -> None:
    """Raises Malformed also for a client that is not admitted, and EOFError."""
    version, count = await client.readexactly(2)
    if version != socks5.VERSION:
        raise Malformed("another version")
    wanted = socks5.PASSWORD if account else socks5.NO_AUTHENTICATION
    await client.write(socks5.choose_method(await client.readexactly(count), wanted))
    if account:
        admitted = account.admits(*await _read_password(client))
        await client.write(socks5.write_password_reply(admitted=admitted))
        if not admitted:
            raise Malformed("a wrong password")


async def _read_password(client: Stream) -> tuple[bytes, bytes]:
    """RFC 1929. Raises EOFError."""
    _, size = await client.readexactly(2)
    name = await client.readexactly(size)
    (size,) = await client.readexactly(1)
    return name, await client.readexactly(size)


async def _read_request(client: Stream) -> tuple[int, Target]:
    """Raises Malformed, EOFError."""
    head = await client.readexactly(5)
    rest = await client.readexactly(socks5.address_size(head[3], head[4]))
    target, _ = socks5.read_target(head[3:] + rest)
    return head[1], target


async def _connect(client: Stream, connect: Connect, target: Target) -> None:
    try:
        there = await connect(*target)
    except OSError as error:
        await client.write(socks5.write_reply(socks5.reply_to(error)))
        return
    with closing(there):
        bound = Target(*there.socket.getsockname()[:2])
        await client.write(socks5.write_reply(Reply.SUCCEEDED, bound))
        await join(client, there)


# -- Datagrams -------------------------------------------------------------------------------------


async def _associate(client: Stream, tunnel: AsyncTunnel) -> None:
    """Pass datagrams on as long as the client's connection is open."""
    here, there = client.socket.getsockname()[0], client.socket.getpeername()[0]
    with closing(_Association(tunnel, there)) as association:
        try:
            bound = await association.open(here)
        except (OSError, TunnelError):
            await client.write(socks5.write_reply(Reply.FAILURE))
            return
        await client.write(socks5.write_reply(Reply.SUCCEEDED, bound))
        while await client.read(_MAX_DATAGRAM):
            pass


class _Association:
    """The datagrams of one client: of its address and its first port, and by one socket of each family."""

    def __init__(self, tunnel: AsyncTunnel, client: str) -> None:
        self._tunnel = tunnel
        self._client = client
        self._answers_to: Target | None = None
        self._outside: Datagrams
        self._inside: dict[int, Datagrams] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._opened = ExitStack()

    async def open(self, here: str) -> Target:
        """Return where the client sends to. here: an address of this host. Raises OSError, TunnelError."""
        self._outside, bound = await self._endpoint(self.on_client, local_addr=(here, 0))
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                made = self._tunnel.socket(family, socket.SOCK_DGRAM)
            except OSError as error:
                if error.errno == EAFNOSUPPORT:  # this kernel has no IPv6
                    continue
                raise
            made.setblocking(False)
            made.bind(("", 0))
            self._inside[family], _ = await self._endpoint(self.on_answer, sock=made)
        return bound

    async def _endpoint(
        self, on_datagram: Callable[[bytes, Address], None], **options: Any
    ) -> tuple[Datagrams, Target]:
        """Return a socket, open as long as this is, and its address. options: as of the event loop."""
        loop = asyncio.get_running_loop()
        transport, made = await loop.create_datagram_endpoint(lambda: Datagrams(on_datagram), **options)
        self._opened.callback(made.close)
        return made, Target(*transport.get_extra_info("sockname")[:2])

    def close(self) -> None:
        self._opened.close()
        for task in self._waiting:
            task.cancel()

    def on_client(self, data: bytes, address: Address) -> None:
        """Pass a datagram on, unless it is another's, or too many wait."""
        source = Target(*address[:2])
        if not self._is_of_client(source) or len(self._waiting) >= _MAX_WAITING:
            return
        with suppress(Malformed):
            target, payload = socks5.read_datagram(data)
            self._answers_to = source
            task = asyncio.ensure_future(self._send(target, payload))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    def _is_of_client(self, source: Target) -> bool:
        return source == self._answers_to if self._answers_to else source.host == self._client

    async def _send(self, target: Target, payload: bytes) -> None:
        with suppress(OSError, TunnelError):
            found = await self._tunnel.getaddrinfo(*target, type=socket.SOCK_DGRAM)
            family, *_, address = found[0]
            if inside := self._inside.get(family):
                inside.send(payload, address)

    def on_answer(self, data: bytes, source: Address) -> None:
        """Tell the client what came, and from where."""
        if self._answers_to:
            self._outside.send(socks5.write_datagram(Target(*source[:2]), data), self._answers_to)
