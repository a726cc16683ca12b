"""The configuration socket's server: many connections, one operation at a time.

Invariant: a connection waits only for itself. Whoever writes slowly, reads slowly or never finishes holds
nobody up; when there are too many, the one that has been silent longest gives way.
"""

import asyncio
import errno
import logging
from collections.abc import Callable
from typing import Final

from wgpy.contract.errors import StateError
from wgpy.driver.interface import Interface
from wgpy.model import DeviceUpdate
from wgpy.uapi import (
    CountersRequest,
    GetRequest,
    Request,
    RequestParser,
    UapiError,
    encode_counters,
    encode_errno,
    encode_status,
)

from .socketfile import BACKLOG, SocketFile

_LOG = logging.getLogger("wgpy")

MAX_CONNECTIONS: Final = 1024
_READ_SIZE: Final = 16384  # parsed in one go: a few milliseconds
_MAX_UNFINISHED_BYTES: Final = 64 * 2**20  # of requests, over all connections
_WRITE_TIMEOUT: Final = 30  # seconds, for a client to read what was written before

_Writer = asyncio.StreamWriter
_Task = asyncio.Task[None]


class UapiServer:
    """Serves an interface at its socket until it is closed."""

    def __init__(self, interface: Interface, max_connections: int = MAX_CONNECTIONS) -> None:
        self._interface = interface
        self._max_connections = max_connections
        # In the order of their last data; connections with a running operation are not closed.
        self._silent: dict[_Task, None] = {}
        self._tasks: set[_Task] = set()
        self._unfinished_bytes = 0
        self._server: asyncio.Server | None = None
        self._listener: Callable[[], None] = lambda: None

    def watch(self, listener: Callable[[], None]) -> None:
        """Call the listener after each `set` that was carried out."""
        self._listener = listener

    async def start(self, socket_file: SocketFile) -> None:
        self._server = await asyncio.start_unix_server(
            self._serve, sock=socket_file.listener.dup(), limit=_READ_SIZE, backlog=BACKLOG
        )

    def retire(self) -> None:
        """Take no new connection; who has one may finish."""
        if self._server is not None:
            self._server.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: _Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        if len(self._tasks) > self._max_connections:
            self._drop_one()
        try:
            await self._converse(reader, writer, task)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):  # the last by ourselves
            pass
        finally:
            self._tasks.discard(task)
            self._silent.pop(task, None)
            writer.close()

    def _drop_one(self) -> None:
        for task in self._silent:
            task.cancel()
            del self._silent[task]
            return

    async def _converse(self, reader: asyncio.StreamReader, writer: _Writer, task: _Task) -> None:
        parser = RequestParser()
        unfinished = 0
        try:
            while not parser.is_closed:
                self._silent[task] = None
                data = await reader.read(_READ_SIZE)
                self._silent.pop(task, None)
                requests = parser.feed(data) if data else parser.feed_eof()
                self._unfinished_bytes -= unfinished
                unfinished = 0 if requests else unfinished + len(data)
                self._unfinished_bytes += unfinished
                if self._unfinished_bytes > _MAX_UNFINISHED_BYTES:
                    _LOG.error("refused a request: too much is being configured at once")
                    writer.write(encode_errno(-errno.EIO))
                    return
                for request in requests:
                    await self._answer(request, writer)
                # Reading data that has arrived does not yield, so yield to other connections.
                await asyncio.sleep(0)
        finally:
            self._unfinished_bytes -= unfinished

    async def _answer(self, request: Request, writer: _Writer) -> None:
        match request:
            case GetRequest():
                for chunk in encode_status(await self._interface.status()):
                    await _write(writer, chunk)
            case CountersRequest():
                counters = self._interface.counters()
                await _write(writer, encode_counters({why.value: n for why, n in counters.items()}))
            case DeviceUpdate():
                await _write(writer, encode_errno(await self._configure(request)))
            case UapiError():
                _LOG.error("refused a request: %s", request)
                await _write(writer, encode_errno(request.errno))

    async def _configure(self, update: DeviceUpdate) -> int:
        """Return the errno of the answer."""
        try:
            await self._interface.configure(update)
        except StateError as error:
            _LOG.error("refused a request: %s", error)
            return -errno.EINVAL
        except OSError as error:
            _LOG.error("refused a request: listen_port or fwmark cannot be set: %s", error.strerror)
            return -errno.EADDRINUSE
        self._listener()
        return 0


async def _write(writer: _Writer, data: bytes) -> None:
    """Raises TimeoutError if the client does not read, ConnectionError if it has disconnected."""
    writer.write(data)
    async with asyncio.timeout(_WRITE_TIMEOUT):
        await writer.drain()
    await asyncio.sleep(0)
