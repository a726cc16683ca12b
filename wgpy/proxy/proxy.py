"""The listeners of `wgpy proxy`: they lead connections from one side of a tunnel to the other."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from socket import socket as Socket  # noqa: N812 - as elsewhere in this package
from typing import Final, NamedTuple

from wgpy.address import HostPort
from wgpy.tunnel.asynchronous import AsyncTunnel
from wgpy.tunnel.connecting import connect_first
from wgpy.tunnel.errors import TunnelError
from wgpy.tunnel.resolver import AddressInfo, MakeSocket

from . import http_server, socks5_server, status_server
from .account import Account
from .joining import Connect, forward
from .listening import Acceptor, Serve
from .poller import Poller
from .status_server import Connections
from .stream import Stream
from .udp_forward import OpenEndpoint, UdpForward

_BACKLOG: Final = 1024


class PortForward(NamedTuple):
    """From a listener to the target of its connections, or of its datagrams."""

    listen: HostPort
    target: HostPort
    udp: bool = False


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
    connections, poller = Connections(), opened.enter_context(closing(Poller()))
    lines = []
    for name, listens, inside, serve, where in _listeners(tunnel, wanted, connections, poller):
        counted = _counted(serve, name.strip(":/ "), connections)
        listening = await _listen(name, listens, inside, tunnel)
        for each in listening:
            acceptor = Acceptor(each, counted, poller)
            acceptor.start()
            opened.callback(acceptor.close)
        lines.append(f"{name}{HostPort(listens.host, listening[0].getsockname()[1])}{where}")
    for name, lead, inside in _udp_forwards(wanted):
        port = lead.listen.port
        with _named(f"{name} udp:{lead.listen}"):
            for host in [lead.listen.host] if inside else await _addresses(*lead.listen):
                flows = UdpForward(_opens(tunnel, not inside), lead.target, _counting(name, connections))
                _, port = await flows.listen(_opens(tunnel, inside), HostPort(host, port))
                opened.callback(flows.close)
        lines.append(f"{name} udp:{HostPort(lead.listen.host, port)} to {lead.target}")
    return lines


def _udp_forwards(wanted: Listeners) -> list[tuple[str, PortForward, bool]]:
    """Give name, addresses, and whether the listener is inside."""
    return [
        *(("forward", each, False) for each in wanted.forward if each.udp),
        *(("expose", each, True) for each in wanted.expose if each.udp),
    ]


async def _addresses(host: str, port: int) -> list[str]:
    """Return all addresses of a host. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return [host] if len(found) == 1 else [str(address[0]) for *_, address in found]


def _opens(tunnel: AsyncTunnel, inside: bool) -> OpenEndpoint:
    return tunnel.create_datagram_endpoint if inside else asyncio.get_running_loop().create_datagram_endpoint


def _counting(name: str, connections: Connections) -> Callable[[int], None]:
    def count(change: int) -> None:
        connections.total[f"{name} udp"] += change > 0
        connections.open[f"{name} udp"] += change

    return count


@contextmanager
def _named(listener: str) -> Iterator[None]:
    """Raises TunnelError with the listener for an address that cannot be listened on."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no host name"
        raise TunnelError(f"{listener} cannot be listened on: {reason}") from None


def _counted(serve: Serve, name: str, connections: Connections) -> Serve:
    async def serve_and_count(client: Stream) -> None:
        connections.total[name] += 1
        connections.open[name] += 1
        try:
            await serve(client)
        finally:
            connections.open[name] -= 1

    return serve_and_count


def _listeners(
    tunnel: AsyncTunnel, wanted: Listeners, connections: Connections, poller: Poller
) -> Iterator[tuple[str, HostPort, bool, Serve, str]]:
    """Give name, address, whether it is inside, what serves its clients, and where it leads."""
    into, out = _inside(tunnel, poller), _outside(poller)
    status = partial(status_server.serve, tunnel=tunnel, connections=connections)
    socks5 = partial(socks5_server.serve, connect=into, tunnel=tunnel, account=wanted.account)
    http = partial(http_server.serve, connect=into, account=wanted.account)
    for address in wanted.socks5:
        yield "socks5h://", address, False, socks5, ""
    for address in wanted.http:
        yield "http://", address, False, http, ""
    for address in wanted.metrics:
        yield "metrics ", address, False, status, ""
    for listen, target, udp in wanted.forward:
        if not udp:
            yield "forward ", listen, False, _forward(into, target), f" to {target}"
    for listen, target, udp in wanted.expose:
        if not udp:
            yield "expose ", listen, True, _forward(out, target), f" to {target}"


def _forward(connect: Connect, target: HostPort) -> Serve:
    return lambda client: forward(client, connect, *target)


def _inside(tunnel: AsyncTunnel, poller: Poller) -> Connect:
    async def connect_inside(host: str, port: int) -> Stream:
        try:
            found = await tunnel.find(host, port)
            return await connect_first(
                found, partial(_connect, make_socket=tunnel.make_socket, poller=poller)
            )
        except TunnelError as error:
            raise ConnectionError(str(error)) from None

    return connect_inside


def _outside(poller: Poller) -> Connect:
    async def connect_outside(host: str, port: int) -> Stream:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return await connect_first(found, partial(_connect, make_socket=_make_socket, poller=poller))

    return connect_outside


def _connect(to: AddressInfo, make_socket: MakeSocket, poller: Poller) -> Awaitable[Stream]:
    family, kind, _, _, address = to
    return Stream.connect(make_socket(family, kind), address, poller)


def _make_socket(family: int, kind: int) -> Socket:
    return Socket(family, kind | socket.SOCK_NONBLOCK)


async def _listen(name: str, address: HostPort, inside: bool, tunnel: AsyncTunnel) -> list[Socket]:
    with _named(f"{name}{address}"):
        return [await tunnel.listen(*address)] if inside else await _listen_outside(*address)


async def _listen_outside(host: str, port: int) -> list[Socket]:
    """Listen on all addresses of a host. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    with ExitStack() as opened:
        listening: list[Socket] = []
        for family, _, _, _, (address, _, *rest) in found:
            made = socket.create_server((address, port, *rest), family=family, backlog=_BACKLOG)
            listening.append(opened.enter_context(made))
            made.setblocking(False)
            port = made.getsockname()[1]  # the same for all
        opened.pop_all()
    return listening
