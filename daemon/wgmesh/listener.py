"""The listening socket, and the acceptance of connections within limits."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from errno import EADDRINUSE
from typing import Final

from starlette.types import ASGIApp

from wgpy.address import HostPort

from .connections import Connections
from .errors import MeshError
from .http import CLOSE_TIMEOUT, HttpConnection
from .limits import Limits

_LOG = logging.getLogger("wgmesh")

_BACKLOG: Final = 2048  # all nodes of a network may reconnect at once
_AT_ONCE: Final = 16  # connections that are accepted before those that are there get their turn
_HANDSHAKE: Final = 2  # requests that a TLS handshake counts as
_ACCEPT_PAUSE: Final = 1.0  # seconds, after the system refused a connection
# Accepted connections inherit it. One read of TLS is no more than that: of messages that change its keys, 32
# KiB take 40 ms, in which the loop does nothing else. A source may send 256 KiB a second.
_RECEIVE_BUFFER: Final = 1 << 14  # bytes, of which the kernel makes twice as many. socket(7)
_SHUTDOWN_TIMEOUT: Final = 2.0  # seconds, for answers in progress
# Accepted connections inherit these: the kernel closes connections of dead or stuck nodes without a timer
# of ours. tcp(7)
_TCP: Final = (
    (socket.TCP_KEEPIDLE, 60),  # seconds
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
    (socket.TCP_USER_TIMEOUT, 60_000),  # ms until sent data must be acknowledged
)


@asynccontextmanager
async def accepting(
    listener: socket.socket, tls: Callable[[], ssl.SSLContext], app: ASGIApp, limits: Limits
) -> AsyncIterator[None]:
    """Serve the connections of a bound socket while the context lasts; the socket is closed at the end.

    tls: gives the context for a new connection.
    """
    server = _Server(listener, tls, app, limits)
    server.begin()
    try:
        yield
    finally:
        await server.end()


class _Server:
    def __init__(
        self, listener: socket.socket, tls: Callable[[], ssl.SSLContext], app: ASGIApp, limits: Limits
    ) -> None:
        self._listener = listener
        self._tls = tls
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._connections = Connections(limits)
        self._pause: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(_BACKLOG)
        self._loop.add_reader(self._listener, self._accept)

    async def end(self) -> None:
        """Return when the answers in progress are given, or do not end."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        connections = self._connections.open()
        await _finish([answer for one in connections if (answer := one.end()) is not None])
        await _finish([self._loop.create_task(one.wait_closed()) for one in connections])

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                self._wait(error)
                return
            self._take(connection, address[:2])

    def _wait(self, error: OSError) -> None:
        """Accept nothing for a while: the system has no room for a connection."""
        _LOG.error("no connection can be accepted: %s", error.strerror)
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(
            _ACCEPT_PAUSE, self._loop.add_reader, self._listener, self._accept
        )

    def _take(self, accepted: socket.socket, address: tuple[str, int]) -> None:
        if not self._limits.requests.take(address[0], _HANDSHAKE, self._loop.time()):
            accepted.close()
            return
        connection = HttpConnection(self._app, address, self._connections)
        self._connections.add(connection)
        connection.task = self._loop.create_task(self._establish(accepted, connection))

    async def _establish(self, accepted: socket.socket, connection: HttpConnection) -> None:
        """Make the TLS handshake."""
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._tls(),
                ssl_handshake_timeout=self._limits.first_timeout,
                ssl_shutdown_timeout=CLOSE_TIMEOUT,
            )
        except (OSError, asyncio.CancelledError):
            connection.connection_lost(None)  # the loop, which has the socket, closes it
        finally:
            connection.task = None


async def _finish(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for tasks, but not for ever."""
    if tasks:
        _, unfinished = await asyncio.wait(tasks, timeout=_SHUTDOWN_TIMEOUT)
        for task in unfinished:
            task.cancel()


def open_socket(address: HostPort) -> socket.socket:
    """Return a socket that is bound to an address. Raises MeshError."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, resolved = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise MeshError(f"cannot listen at {address}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        for option, value in _TCP:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        if family == socket.AF_INET6:
            # `::` is for IPv4, too, also where the host's default is otherwise. ipv6(7)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(resolved)
    except OSError as error:
        listener.close()
        reason = (
            f"another process has the port; `ss -tanp 'sport = :{address.port}'` shows which"
            if error.errno == EADDRINUSE
            else error.strerror
        )
        raise MeshError(f"cannot listen at {address}: {reason}") from None
    return listener
