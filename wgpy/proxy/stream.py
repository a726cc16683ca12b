"""A connection of a proxy: a socket that does not block, and no buffer, so one that is idle costs little."""

import asyncio
import os
import socket
import struct
from contextlib import suppress
from errno import EINPROGRESS
from socket import socket as Socket  # noqa: N812 - a field is called so
from typing import Any, Final, Self

from .poller import Listener, Poller

_CHUNK: Final = 1 << 16  # bytes
_MOST_UNREAD: Final = 16  # chunks
_FIRST: Final = 1 << 11  # bytes, more than a request of SOCKS5 has
_AT_ONCE: Final = struct.pack("ii", 1, 0)  # struct linger


class Stream:
    """TCP. One task waits for it at a time."""

    __slots__ = ("_fileno", "_poller", "_unread", "_waiter", "socket")

    def __init__(self, connected: Socket, poller: Poller) -> None:
        """connected: or about to be; it does not block. Raises OSError."""
        self.socket = connected
        self._fileno = connected.fileno()
        self._poller = poller
        self._unread = b""
        self._waiter: asyncio.Future[None] | None = None
        poller.add(self._fileno, self._on_event)

    @classmethod
    async def connect(cls, made: Socket, address: tuple[Any, ...], poller: Poller) -> Self:
        """Take a socket over, and connect it. Raises OSError; then it is closed."""
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            error = made.connect_ex(address)
            if error not in (0, EINPROGRESS):
                raise OSError(error, os.strerror(error))
            stream = cls(made, poller)
        except BaseException:
            made.close()
            raise
        try:
            if error:
                await stream._event()
            if error := made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))
        except BaseException:
            stream.close()
            raise
        return stream

    def _on_event(self, _events: int) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    async def _event(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def read(self, size: int) -> bytes:
        """Return what has come, at most so many bytes; b"" at the end. Raises OSError."""
        if self._unread:
            data, self._unread = self._unread[:size], self._unread[size:]
            return data
        while True:
            try:
                return self.socket.recv(size)
            except BlockingIOError:
                await self._event()

    async def readexactly(self, size: int) -> bytes:
        """Read what comes, and keep for later what is more. Raises OSError, and EOFError if less comes."""
        data, self._unread = self._unread, b""
        while len(data) < size:
            chunk = await self.read(_FIRST)
            if not chunk:
                raise EOFError
            data += chunk
        self._unread = data[size:]
        return data[:size]

    def take_unread(self) -> bytes:
        """Return what `readexactly` has kept."""
        data, self._unread = self._unread, b""
        return data

    async def write(self, data: bytes) -> None:
        """Return when the kernel has all of it. Raises OSError."""
        while data:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                await self._event()

    def listen(self, listener: Listener) -> None:
        """Have another one wait for it from now on."""
        self._poller.change(self._fileno, listener)

    def detach(self) -> Socket:
        """Return the socket, which is the caller's from now on."""
        self._forget()
        return self.socket

    def close(self) -> None:
        """End it in order; harmless when repeated. With something unread, the kernel would reset it."""
        with suppress(OSError):  # nothing more has come, or it is closed
            for _ in range(_MOST_UNREAD if self._fileno >= 0 else 0):
                if not self.socket.recv(_CHUNK):
                    break
        self.end()

    def end(self) -> None:
        """End it, of which everything was read; harmless when repeated."""
        self._forget()
        self.socket.close()

    def reset(self) -> None:
        """Close it so that the other end sees no end, but an error. socket(7), SO_LINGER"""
        if self._fileno >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.end()

    def _forget(self) -> None:
        if self._fileno >= 0:
            self._poller.remove(self._fileno)
            self._fileno = -1
