"""What peers tell each other about their paths, inside of their tunnel: datagrams to a node's own port.

Invariant: only who is a peer is heard, by its own address, within its budget. What is sent may be lost.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Final, cast

from wgpy.host.bootclock import boottime
from wgpy.mesh.wire import PATHS_PORT
from wgpy.paths.exchange import PathMessage
from wgpy.ratelimiter import RateLimiter

_LOG = logging.getLogger("wgpy")

_RATE: Final = 8  # messages a second of each peer
_BURST: Final = 32
_MAX_PEERS: Final = 1024
_IPV6_FREEBIND: Final = 78  # linux/in6.h; Python has no name for it

OnMessage = Callable[[IPv6Address, PathMessage], None]


class PathMessages(asyncio.DatagramProtocol):
    """Of one node, on the running loop."""

    def __init__(self, is_peer: Callable[[IPv6Address], bool], on_message: OnMessage) -> None:
        self._is_peer = is_peer
        self._on_message = on_message
        self._budget = RateLimiter(per_second=_RATE, burst=_BURST, max_sources=_MAX_PEERS, forged=False)
        self._udp: asyncio.DatagramTransport | None = None
        self._port = PATHS_PORT

    @property
    def is_listening(self) -> bool:
        return self._udp is not None

    async def listen(self, address: IPv6Address, port: int = PATHS_PORT) -> None:
        """Hear what comes to this node's address, which may come and go. Raises OSError."""
        listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            listener.bind((str(address), port))
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=listener)
        except BaseException:
            listener.close()
            raise
        self._port = port

    def send(self, message: PathMessage, to: IPv6Address) -> None:
        """Tell a peer, if the host has a way into the tunnel at this moment."""
        if self._udp is not None:
            with suppress(OSError):
                self._udp.sendto(message.encode(), (str(to), self._port))

    def close(self) -> None:
        if self._udp is not None:
            self._udp.abort()

    # -- Of the socket ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = cast(asyncio.DatagramTransport, transport)  # uvloop's is no subclass

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        source = IPv6Address(addr[0].partition("%")[0])
        if not self._is_peer(source) or not self._budget.allow(source.packed[8:], boottime()):
            return
        try:
            message = PathMessage.decode(data)
        except ValueError as error:
            _LOG.debug("%s sends what is no message about paths: %s", source, error)
            return
        self._on_message(source, message)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error: the peer does not listen, or is not reached."""
