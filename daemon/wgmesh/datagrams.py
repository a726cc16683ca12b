"""Datagrams of nodes whose network lets no UDP through: by their connection, to the relay on this host.

Each connection has a UDP socket of its own, so that the relay knows its nodes apart, as it does others.

Invariant: what a member sends is read no faster than its share, and what it does not take is lost, as UDP's
would be: no member makes this process wait, or keep more than a bounded amount for it.
"""

import asyncio
import logging
from typing import Final, cast

from wgpy.address import HostPort
from wgpy.mesh.signing import VerifyKey
from wgpy.node.datagram_stream import MAX_DATAGRAM, DatagramReader, send

from .errors import Denial

_LOG = logging.getLogger("wgmesh")

_RATE: Final = 4 << 20  # bytes a second of a node
_RATE_OF_ALL: Final = 16 << 20
_BURST: Final = 0.25  # seconds


class _Share:
    """What may be read: so many bytes a second."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._paid_until = 0.0  # by the loop's clock

    def pause_after(self, size: int, now: float) -> float:
        """Return for how many seconds nothing is to be read after so many bytes."""
        self._paid_until = max(self._paid_until, now) + size / self._rate
        return max(self._paid_until - now - _BURST, 0.0)


class DatagramStreams:
    """Of one coordinator. relay: the address of its UDP port, None if there is none."""

    def __init__(self, relay: HostPort | None) -> None:
        self._relay = relay
        self._streams: dict[VerifyKey, MemberStream] = {}
        self._share = _Share(_RATE_OF_ALL)

    async def open(self, key: VerifyKey) -> "MemberStream":
        """Return the stream of a member, in place of the one that it had. Raises Denial."""
        if self._relay is None:
            raise Denial(409, "this coordinator has no relay beside it")
        stream = MemberStream(self._share)
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: stream, remote_addr=(self._relay.host, self._relay.port)
            )
        except OSError as error:
            _LOG.error("the relay at %s cannot be used: %s", self._relay, error.strerror)
            raise Denial(503, f"the relay cannot be used: {error.strerror}") from None
        if (before := self._streams.pop(key, None)) is not None:
            before.end()
        self._streams[key] = stream
        return stream

    def __len__(self) -> int:
        """Return how many members use it."""
        return len(self._streams)

    def close(self, key: VerifyKey, stream: "MemberStream") -> None:
        """End the stream of a member. Harmless when repeated."""
        stream.end()
        if self._streams.get(key) is stream:
            del self._streams[key]


class MemberStream(asyncio.DatagramProtocol):
    """One member's, between its connection and the relay's UDP port."""

    def __init__(self, share_of_all: _Share) -> None:
        self._shares = (share_of_all, _Share(_RATE))
        self._reader = DatagramReader()
        self._loop = asyncio.get_running_loop()
        self._resumption: asyncio.TimerHandle | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._connection: asyncio.Transport | None = None

    # -- Of the member's connection ----------------------------------------------------------------

    def begin(self, connection: asyncio.Transport) -> None:
        """Send the relay's datagrams there from now on."""
        self._connection = connection

    def receive(self, data: bytes) -> None:
        """Send what is complete on to the relay."""
        for datagram in self._reader.feed(data):
            if self._udp is not None and 0 < len(datagram) <= MAX_DATAGRAM:
                self._udp.sendto(datagram)
        now = self._loop.time()
        if pause := max([share.pause_after(len(data), now) for share in self._shares]):
            self._pause(pause)

    def end(self) -> None:
        """Close both ends. Harmless when repeated."""
        if self._resumption is not None:
            self._resumption.cancel()
        if self._udp is not None:
            self._udp.abort()
        if self._connection is not None:
            self._connection.abort()

    def _pause(self, seconds: float) -> None:
        if self._connection is not None and not self._connection.is_closing():
            self._connection.pause_reading()
            if self._resumption is not None:
                self._resumption.cancel()
            self._resumption = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._connection is not None and not self._connection.is_closing():
            self._connection.resume_reading()

    # -- Of the UDP socket -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = cast(asyncio.DatagramTransport, transport)  # uvloop's is no subclass

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._connection is not None:
            send(data, self._connection)

    def error_received(self, exc: Exception) -> None:
        """The relay does not listen now: what was sent is lost, as UDP's would be."""
