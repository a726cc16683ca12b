"""TLS connections to a coordinator, which keep to the underlay, by a proxy if there is one."""

import asyncio
import os
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from errno import ECONNREFUSED
from typing import Any, Final

from wgpy.address import HostPort
from wgpy.node.names import look_up
from wgpy.node.proxy import Proxy, connect_through, proxy_url
from wgpy.node.underlay import set_mark

TIMEOUT: Final = 10.0  # seconds, for a connection to be made
# The kernel notices by itself that the other host is gone, without waking this process. tcp(7)
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
_RESET: Final = struct.pack("ii", 1, 0)  # l_onoff, l_linger: close without a trace. socket(7)


async def connect(
    to: HostPort, tls: ssl.SSLContext, mark: int, proxy: str
) -> tuple[StreamReader, StreamWriter]:
    """Try all addresses of a name: several coordinators may be there. Raises OSError and TimeoutError.

    mark: of the socket; proxy: URL of an HTTP proxy where the environment names none, "" for none.
    """
    through = _proxy(to.host, proxy)
    host, port = through.address if through else to
    found = await look_up(host, port, mark)
    *others, last = found
    for family, address in others:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT / len(found)):
                return await _open(await _connected(family, address, mark), to, tls, through)
    return await _open(await _connected(*last, mark), to, tls, through)


def _proxy(host: str, default: str) -> Proxy | None:
    """Raises OSError for a proxy that is none."""
    try:
        return Proxy.parse(url) if (url := proxy_url(host, default)) else None
    except ValueError as error:
        raise OSError(str(error)) from None


async def _connected(family: int, address: tuple[Any, ...], mark: int) -> socket.socket:
    """Raises OSError.

    A coordinator's port may be one from which connections begin, and a connection to a port of this host at
    which nobody listens may then begin from that very port: it connects to itself, and for a minute after it
    no process could listen there, unless it let its port be used again. RFC 9293 section 3.5, tcp(7)
    """
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        set_mark(connection, mark)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _keep_alive(connection)
        # As asyncio does for sockets that name their protocol. A request would else wait until TLS's last
        # message is acknowledged, 40 ms.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, address)
        if connection.getsockname() == connection.getpeername():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            raise ConnectionRefusedError(ECONNREFUSED, os.strerror(ECONNREFUSED))
    except BaseException:
        connection.close()
        raise
    return connection


async def _open(
    connection: socket.socket, to: HostPort, tls: ssl.SSLContext, proxy: Proxy | None
) -> tuple[StreamReader, StreamWriter]:
    """Raises OSError."""
    # It closes the socket itself if it fails. TLS comes after it: if both were one call, whose caller is
    # cancelled before the loop has begun TLS, asyncio would leave the connection open.
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        if proxy is not None:
            await connect_through(proxy, to, reader, writer)
        await writer.start_tls(tls, server_hostname=to.host)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
