"""Two connections as one, each direction by itself: one that is half closed still gets its answer."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from errno import ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT
from typing import Final, NamedTuple

REQUEST_TIMEOUT: Final = 60.0  # seconds, in which a client is to say where it wants to be led
_CHUNK: Final = 1 << 16
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # struct linger


class Stream(NamedTuple):
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Connect = Callable[[str, int], Awaitable[Stream]]  # to a host and a port. Raises OSError


async def join(one: Stream, other: Stream) -> None:
    """Copy until both have ended; if one breaks, the other one ends, too."""
    copying = [
        asyncio.ensure_future(_copy(one.reader, other.writer)),
        asyncio.ensure_future(_copy(other.reader, one.writer)),
    ]
    try:
        await asyncio.gather(*copying)
    except OSError:
        for stream in (one, other):
            stream.writer.transport.abort()
    finally:
        for each in copying:
            each.cancel()
        for stream in (one, other):
            stream.writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Raises OSError."""
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def reason(error: OSError) -> str:
    """Return in words why there is no connection."""
    if isinstance(error, socket.gaierror):
        return "no such host"
    return _REASONS.get(error.errno or 0, error.strerror or "no connection")


_REASONS: Final = {
    ECONNREFUSED: "the connection is refused",
    ENETUNREACH: "no route leads there",
    EHOSTUNREACH: "no route leads there",
    ETIMEDOUT: "no answer",
}


async def forward(client: Stream, connect: Connect, host: str, port: int) -> None:
    """Join a client with where it is meant to lead; one that cannot be led there is reset."""
    try:
        there = await connect(host, port)
    except (OSError, UnicodeError):  # the latter for what is no host name
        _reset(client)
        return
    with suppress(OSError):
        await join(client, there)


def _reset(stream: Stream) -> None:
    """Close it as if nobody listened there. socket(7), SO_LINGER"""
    stream.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    stream.writer.transport.abort()
