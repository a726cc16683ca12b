"""The configuration socket's server: many connections, one operation at a time.

Invariant: a connection waits only for itself. Whoever writes slowly, reads slowly or never finishes holds
nobody up; when there are too many, the one that has been silent longest gives way.
"""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from wgpy.contract.errors import StateError
from wgpy.contract.lazy_dataclass import replace
from wgpy.driver.interface import Interface
from wgpy.lazy_log import LOG
from wgpy.loop.running import Task, running_loop
from wgpy.loop.waiting import readable, turn, writable
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

from .socketfile import SocketFile

MAX_CONNECTIONS: Final = 1024
_READ_SIZE: Final = 16384  # parsed in one go: a few milliseconds
_MAX_UNFINISHED_BYTES: Final = 64 * 2**20  # of requests, over all connections
_ACCEPT_PAUSE: Final = 1.0  # seconds, while the host has no descriptors or memory for another connection
_WRITE_TIMEOUT: Final = 30  # seconds, for a client to read what was written before


class UapiServer:
    """Serves an interface at its socket until it is closed."""

    def __init__(self, interface: Interface, max_connections: int = MAX_CONNECTIONS) -> None:
        self._interface = interface
        self._max_connections = max_connections
        # In the order of their last data; connections with a running operation are not closed.
        self._silent: dict[socket.socket, None] = {}
        self._tasks: dict[socket.socket, Task] = {}
        self._unfinished_bytes = 0
        self._listening: socket.socket | None = None
        self._listener: Callable[[], None] = lambda: None

    def watch(self, listener: Callable[[], None]) -> None:
        """Call the listener after each `set` that was carried out."""
        self._listener = listener

    def start(self, socket_file: SocketFile) -> None:
        self._listening = socket_file.listener
        self._listen()

    def _listen(self) -> None:
        if self._listening is not None:
            running_loop().add_reader(self._listening.fileno(), self._accept, self._listening)

    def retire(self) -> None:
        """Take no new connection; who has one may finish."""
        if self._listening is not None:
            running_loop().remove_reader(self._listening.fileno())
            self._listening = None

    def close(self) -> None:
        self.retire()
        for task in list(self._tasks.values()):
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionError):  # whoever it was has left
            return
        except OSError as error:
            LOG.error("cannot accept a connection at the configuration socket: %s", error.strerror)
            running_loop().remove_reader(listener.fileno())
            running_loop().call_later(_ACCEPT_PAUSE, self._listen)
            return
        connection.setblocking(False)
        self._tasks[connection] = running_loop().create_task(self._serve(connection))
        if len(self._tasks) > self._max_connections:
            self._drop_one()

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await self._converse(connection)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            self._tasks.pop(connection, None)
            self._silent.pop(connection, None)
            with suppress(OSError):  # what is left unread makes the end a reset
                connection.recv(_READ_SIZE)
            connection.close()

    def _drop_one(self) -> None:
        for connection in self._silent:
            del self._silent[connection]
            self._tasks[connection].cancel()
            return

    async def _converse(self, connection: socket.socket) -> None:
        parser = RequestParser()
        unfinished = 0
        try:
            while not parser.is_closed:
                self._silent[connection] = None
                data = await _read(connection)
                self._silent.pop(connection, None)
                requests = parser.feed(data) if data else parser.feed_eof()
                self._unfinished_bytes -= unfinished
                unfinished = 0 if requests else unfinished + len(data)
                self._unfinished_bytes += unfinished
                if self._unfinished_bytes > _MAX_UNFINISHED_BYTES:
                    LOG.error("refused a request: too much is being configured at once")
                    await _write(connection, encode_errno(-errno.EIO))
                    return
                while requests:
                    await self._answer(requests.pop(0), connection)
                # Reading data that has arrived does not yield, so yield to other connections.
                await turn()
        finally:
            self._unfinished_bytes -= unfinished

    async def _answer(self, request: Request, connection: socket.socket) -> None:
        match request:
            case GetRequest():
                for chunk in encode_status(await self._interface.status()):
                    await _write(connection, chunk)
            case CountersRequest():
                counters = self._interface.counters()
                await _write(connection, encode_counters({why.value: n for why, n in counters.items()}))
            case DeviceUpdate():
                update = replace(request, peers=list(request.peers))
                del request  # or it would keep what is taken apart
                await _write(connection, encode_errno(await self._configure(update)))
            case UapiError():
                LOG.error("refused a request: %s", request)
                await _write(connection, encode_errno(request.errno))

    async def _configure(self, update: DeviceUpdate) -> int:
        """Return the errno of the answer."""
        try:
            await self._interface.configure(update, take_apart=True)
        except StateError as error:
            LOG.error("refused a request: %s", error)
            return -errno.EINVAL
        except OSError as error:
            LOG.error("refused a request: listen_port or fwmark cannot be set: %s", error.strerror)
            return -errno.EADDRINUSE
        self._listener()
        return 0


async def _read(connection: socket.socket) -> bytes:
    """Return what has come, b"" at the end. Raises ConnectionError."""
    while True:
        try:
            return connection.recv(_READ_SIZE)
        except BlockingIOError:
            await readable(connection.fileno())


async def _write(connection: socket.socket, data: bytes) -> None:
    """Raises TimeoutError if the client does not read, ConnectionError if it has disconnected."""
    while data:
        try:
            data = data[connection.send(data) :]
        except BlockingIOError:
            await writable(connection.fileno(), _WRITE_TIMEOUT)
    await turn()
