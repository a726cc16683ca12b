"""Datagrams in a stream of bytes, each behind its length in two bytes, as in RFC 4571.

Invariant: whatever arrives, less than one datagram is kept; who does not read makes nobody wait.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

MAX_DATAGRAM: Final = 65_507  # bytes: the largest that UDP by IPv4 has
MAX_WAITING: Final = 1 << 17  # bytes that the other end has not taken yet, beyond which datagrams are lost
_LENGTH: Final = 2  # bytes
_READ_SIZE: Final = 1 << 16


def frame(datagram: bytes) -> bytes:
    """Return a datagram as it stands in a stream. Raises ValueError beyond MAX_DATAGRAM bytes."""
    if len(datagram) > MAX_DATAGRAM:
        raise ValueError(f"a datagram has at most {MAX_DATAGRAM} bytes, not {len(datagram)}")
    return len(datagram).to_bytes(_LENGTH) + datagram


def send(datagram: bytes, stream: asyncio.WriteTransport) -> None:
    """Send a datagram, or lose it as UDP would if too much waits already."""
    if not stream.is_closing() and stream.get_write_buffer_size() < MAX_WAITING:
        stream.write(frame(datagram))


class DatagramReader:
    """Of one stream."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give the datagrams that are complete. data: what came next; the iterator has to be exhausted."""
        data, begin = self._rest + data, 0
        while (begin_of_next := _end(data, begin)) <= len(data):
            yield data[begin + _LENGTH : begin_of_next]
            begin = begin_of_next
        self._rest = data[begin:]


def _end(data: bytes, begin: int) -> int:
    """Return where the datagram ends that begins there, or at least where its length does."""
    return begin + _LENGTH + int.from_bytes(data[begin : begin + _LENGTH].ljust(_LENGTH, b"\0"))


class DatagramStream:
    """The end of a stream that was begun by asking for it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, came: bytes) -> None:
        """came: of the stream, already."""
        self._stream = reader
        self._writer = writer
        self._came = came
        self._reader = DatagramReader()

    async def receive(self) -> list[bytes]:
        """Return what came next, perhaps no whole datagram. Raises EOFError at the end, and OSError."""
        data = self._came or await self._stream.read(_READ_SIZE)
        if not data:
            raise EOFError("the other end closed the connection")
        self._came = b""
        return list(self._reader.feed(data))

    def send(self, datagram: bytes) -> None:
        """As `send`."""
        send(datagram, self._writer.transport)
