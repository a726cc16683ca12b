"""What two processes of one user tell each other by a Unix socket: lines of JSON, with descriptors.

Invariant: who is at the other end is known: root, or the user of this process. unix(7), SO_PEERCRED
"""

import os
import select
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from wgpy.contract.errors import WgpyError
from wgpy.loop.waiting import readable

VERSION: Final = 1  # of what is said after the first message
TIMEOUT: Final = 60.0  # seconds, for an answer: a small host that is busy starts Python slowly
_MAX_MESSAGE: Final = 1 << 16
_MAX_DESCRIPTORS: Final = 128
_CREDENTIALS: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid


class HandoverError(WgpyError):
    """The other process ended, or said what was not expected; the message is a sentence."""


class Message:
    """An object of JSON, with the descriptors that came with it."""

    def __init__(self, fields: Mapping[str, Any], fds: Sequence[int]) -> None:
        self.fields = fields
        self.fds = fds

    def number(self, name: str) -> int:
        """Raises HandoverError."""
        return int(self._field(name, int))

    def text(self, name: str) -> str:
        """Raises HandoverError."""
        return str(self._field(name, str))

    def _field(self, name: str, kind: type) -> Any:
        if not isinstance(found := self.fields.get(name), kind):
            raise HandoverError(f"the other wgpyd did not say its `{name}`")
        return found


def path_of(directory: str, interface: str) -> str:
    """Return where the daemon of an interface is asked to hand over."""
    return f"{directory}/.{interface}.handover"


class Channel:
    """One end of a connection. pid: of the other end's process, as this namespace has it."""

    def __init__(self, connection: socket.socket) -> None:
        """Takes the connection over. Raises HandoverError if another user is at the other end."""
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid, uid, _ = _CREDENTIALS.unpack(credentials)
        self._connection = connection
        if uid not in (0, os.geteuid()):
            connection.close()
            raise HandoverError(f"process {self.pid} is of user {uid}: want root or the user of this one")
        connection.setblocking(False)
        self._heard = b""
        self._fds: list[int] = []

    def send(self, fds: Sequence[int] = (), **fields: Any) -> None:
        """Raises HandoverError."""
        import json  # noqa: PLC0415 - as below

        try:
            socket.send_fds(self._connection, [json.dumps(fields).encode() + b"\n"], list(fds))
        except OSError as error:
            raise HandoverError(f"the other wgpyd does not listen: {error.strerror}") from None

    async def receive(self) -> Message:
        """Raises HandoverError, also when the other end is closed."""
        try:
            return await self._receive(time.monotonic() + TIMEOUT)
        except TimeoutError:
            raise HandoverError("the other wgpyd does not answer") from None

    async def wait_closed(self) -> None:
        """Return when the other end is closed, however long that takes."""
        with suppress(HandoverError):
            while True:
                await self._receive()

    async def _receive(self, end: float | None = None) -> Message:
        """end: by the monotonic clock. Raises TimeoutError then."""
        while (message := self._next()) is None:
            await readable(self._connection.fileno(), None if end is None else max(end - time.monotonic(), 0))
        return message

    def receive_now(self) -> Message:
        """As `receive`, without a loop."""
        while (message := self._next()) is None:
            if not select.select([self._connection], [], [], TIMEOUT)[0]:
                raise HandoverError("the other wgpyd does not answer")
        return message

    def _next(self) -> Message | None:
        """Return what has come, None if no whole message has."""
        try:
            data, fds, *_ = socket.recv_fds(self._connection, _MAX_MESSAGE, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return None
        except OSError as error:
            raise HandoverError(f"the other wgpyd ended: {error.strerror}") from None
        self._fds += fds
        self._heard += data
        if not data:
            raise HandoverError("the other wgpyd ended")
        if not self._heard.endswith(b"\n"):
            return None
        line, self._heard, fds, self._fds = self._heard, b"", self._fds, []
        return Message(_fields(line), fds)

    def end(self) -> None:
        """Say nothing more: so the other process ends, and then its end is closed."""
        with suppress(OSError):  # it is closed already
            self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._connection.close()
        for fd in self._fds:
            os.close(fd)


def _fields(line: bytes) -> Mapping[str, Any]:
    import json  # noqa: PLC0415 - no cost until another process asks

    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise HandoverError("the other wgpyd said what makes no sense")
    return fields
