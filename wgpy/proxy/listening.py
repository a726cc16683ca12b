"""Accepts the connections of a listener, each with a task of its own."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from socket import socket as Socket  # noqa: N812 - as elsewhere in this package
from typing import Final

from wgpy.tunnel.errors import TunnelError

from .poller import Poller
from .stream import Stream

Serve = Callable[[Stream], Awaitable[None]]

_AT_ONCE: Final = 64  # before others on the loop have a turn
_PAUSE: Final = 1.0  # seconds, while this host has no room for more
_NO_ROOM: Final = (EMFILE, ENFILE, ENOBUFS, ENOMEM)


class Acceptor:
    """Works from `start` on, and ends with `close`."""

    def __init__(self, listening: Socket, serve: Serve, poller: Poller) -> None:
        """listening: does not block; poller: waits for what is accepted."""
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._serve = serve
        self._poller = poller
        self._serving: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        # Those that are accepted have it, too. tcp(7)
        self._listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait()

    def _wait(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Stop listening, and end all connections."""
        self._loop.remove_reader(self._listening)
        self._listening.close()
        for task in self._serving:
            task.cancel()

    def _accept(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                accepted, _ = self._listening.accept()
                self._begin(accepted)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._loop.remove_reader(self._listening)
                self._loop.call_later(_PAUSE, self._wait)

    def _begin(self, accepted: Socket) -> None:
        accepted.setblocking(False)
        task = self._loop.create_task(self._attend(Stream(accepted, self._poller)))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _attend(self, client: Stream) -> None:
        with suppress(OSError, TunnelError):
            await self._serve(client)
