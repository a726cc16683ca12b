"""A connection of a proxy: a socket that does not block, and no buffer, so one that is idle costs little."""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from socket import socket as Socket  # noqa: N812 - a field is called so
from typing import Final

_CHUNK: Final = 1 << 16  # bytes
_MOST_UNREAD: Final = 16  # chunks
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # struct linger


@dataclass(frozen=True, slots=True)
class Stream:
    """TCP. What is written leaves at once."""

    socket: Socket

    def __post_init__(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def read(self, size: int) -> bytes:
        """Return what has come, at most so many bytes; b"" at the end. Raises OSError."""
        return await asyncio.get_running_loop().sock_recv(self.socket, size)

    async def readexactly(self, size: int) -> bytes:
        """Raises OSError, and EOFError if less comes."""
        data = b""
        while len(data) < size:
            chunk = await self.read(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    async def write(self, data: bytes) -> None:
        """Return when the kernel has all of it. Raises OSError."""
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def close(self) -> None:
        """End it in order; harmless when repeated. With something unread, the kernel would reset it."""
        with suppress(OSError):  # nothing more has come, or it is closed
            for _ in range(_MOST_UNREAD):
                if not self.socket.recv(_CHUNK):
                    break
        self.socket.close()

    def reset(self) -> None:
        """Close it so that the other end sees no end, but an error. socket(7), SO_LINGER"""
        if self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.socket.close()
