"""The listeners of `wgpy proxy`: they lead connections from one side of a tunnel to the other."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from wgpy.address import HostPort
from wgpy.tunnel.asynchronous import AsyncTunnel
from wgpy.tunnel.errors import TunnelError

from . import http_server, socks5_server, status_server
from .account import Account
from .joining import Connect, Stream, forward
from .status_server import Connections

_Serve = Callable[[Stream], Awaitable[None]]


class PortForward(NamedTuple):
    """From a listener to the target of its connections."""

    listen: HostPort
    target: HostPort


@dataclass(frozen=True, slots=True)
class Listeners:
    """What to listen on. forward: from the host into the tunnel; expose: from the tunnel to the host.

    metrics: where the host asks how all that is; account: of socks5 and http, None for anybody.
    """

    socks5: Sequence[HostPort] = ()
    http: Sequence[HostPort] = ()
    forward: Sequence[PortForward] = ()
    expose: Sequence[PortForward] = ()
    metrics: Sequence[HostPort] = ()
    account: Account | None = None


async def start(tunnel: AsyncTunnel, wanted: Listeners, opened: AsyncExitStack) -> list[str]:
    """Listen until what is given as `opened` is closed; return a line for each listener.

    Raises TunnelError with the listener that cannot be.
    """
    connections = Connections()
    lines = []
    for name, listens, inside, serve, where in _listeners(tunnel, wanted, connections):
        counted = _counted(serve, name.strip(":/ "), connections)
        lines.append(f"{name}{await _listen(name, listens, inside, counted, tunnel, opened)}{where}")
    return lines


def _counted(serve: _Serve, name: str, connections: Connections) -> _Serve:
    async def serve_and_count(client: Stream) -> None:
        connections.total[name] += 1
        connections.open[name] += 1
        try:
            await serve(client)
        finally:
            connections.open[name] -= 1

    return serve_and_count


def _listeners(
    tunnel: AsyncTunnel, wanted: Listeners, connections: Connections
) -> Iterator[tuple[str, HostPort, bool, _Serve, str]]:
    """Give name, address, whether it is inside, what serves its clients, and where it leads."""
    status = partial(status_server.serve, tunnel=tunnel, connections=connections)
    socks5 = partial(socks5_server.serve, tunnel=tunnel, account=wanted.account)
    http = partial(http_server.serve, tunnel=tunnel, account=wanted.account)
    for address in wanted.socks5:
        yield "socks5h://", address, False, socks5, ""
    for address in wanted.http:
        yield "http://", address, False, http, ""
    for address in wanted.metrics:
        yield "metrics ", address, False, status, ""
    for listen, target in wanted.forward:
        yield "forward ", listen, False, _forward(_inside(tunnel), target), f" to {target}"
    for listen, target in wanted.expose:
        yield "expose ", listen, True, _forward(_outside, target), f" to {target}"


def _forward(connect: Connect, target: HostPort) -> _Serve:
    return lambda client: forward(client, connect, *target)


def _inside(tunnel: AsyncTunnel) -> Connect:
    async def connect(host: str, port: int) -> Stream:
        try:
            return Stream(*await tunnel.open_connection(host, port))
        except TunnelError as error:
            raise ConnectionError(str(error)) from None

    return connect


async def _outside(host: str, port: int) -> Stream:
    return Stream(*await asyncio.open_connection(host, port))


async def _listen(
    name: str,
    address: HostPort,
    inside: bool,
    serve: _Serve,
    tunnel: AsyncTunnel,
    opened: AsyncExitStack,
) -> HostPort:
    """Return the address with the port that it has."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TunnelError):
            await serve(Stream(reader, writer))

    listen = tunnel.start_server if inside else asyncio.start_server
    try:
        server = await listen(accepted, address.host, address.port)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no host name"
        raise TunnelError(f"{name}{address} cannot be listened on: {reason}") from None
    opened.callback(server.close)
    return HostPort(address.host, server.sockets[0].getsockname()[1])
