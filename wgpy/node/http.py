"""HTTP/1.1 on asyncio streams, by h11: client and server, a request at a time. RFC 9112"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import h11

from wgpy.contract.errors import WgpyError
from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.node.text import printable

_READ_SIZE: Final = 1 << 16
_EVENTS_PER_TURN: Final = 64  # of one connection, before others on the loop have a turn
_MAX_HEAD: Final = 1 << 14  # bytes
_MAX_REQUEST: Final = 1 << 16  # bytes of its body
_MAX_DIGITS: Final = 6  # of seconds
_SWITCHING: Final = 101
_MAX_REASON: Final = 1 << 13  # bytes of an answer that is no success: a sentence
_LONGEST_SENTENCE: Final = 1000  # characters: a host may have several obstacles, each with a remedy
_CLOSING_TIME: Final = 1.0  # seconds
REQUEST_TIMEOUT: Final = 10.0  # seconds, for a request to arrive and for its answer to be taken

BROKEN: Final = (OSError, h11.ProtocolError, EOFError)  # what ends an exchange


class HttpError(WgpyError):
    """An answer that is no success.

    reason: its sentence, "" if there is none; retry_after: seconds after which to try again, 0 if it tells
    none.
    """

    def __init__(self, status: int, reason: str, retry_after: int = 0) -> None:
        super().__init__(reason or f"the answer is {status}")
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class _Incoming:
    """What comes in: no more bytes than were allowed, and never many events without a pause for others."""

    def __init__(self, http: h11.Connection, reader: asyncio.StreamReader) -> None:
        self._http = http
        self._reader = reader
        self._events = 0
        self._left: int | None = 0

    def allow(self, size: int | None) -> None:
        """Set how many bytes may come from now on. None: any number."""
        self._left = size

    async def event(self) -> Any:
        """Raises BROKEN."""
        self._events += 1
        if self._events % _EVENTS_PER_TURN == 0:
            await asyncio.sleep(0)
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._read())
        return event

    async def _read(self) -> bytes:
        """Raises EOFError if all has come that may."""
        if self._left is None:
            return await self._reader.read(_READ_SIZE)
        if self._left <= 0:
            raise EOFError("more came than was to be expected")
        data = await self._reader.read(min(_READ_SIZE, self._left))
        self._left -= len(data)
        return data


class Client:
    """The asking end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str) -> None:
        self._writer = writer
        self._authority = authority
        self._http = h11.Connection(h11.CLIENT)
        self._incoming = _Incoming(self._http, reader)

    async def request(
        self, method: str, target: str, *, authorization: str = "", body: Any = None, limit: int | None = None
    ) -> AsyncIterator[bytes]:
        """Send a request and give the answer in pieces. body: as JSON has it.

        limit: bytes of the answer, as it comes in; None: any number. Raises HttpError, and BROKEN.
        """
        content = b"" if body is None else json.dumps(body).encode()
        headers = [("Host", self._authority), ("Content-Length", str(len(content)))]
        if authorization:
            headers.append(("Authorization", authorization))
        if content:
            headers.append(("Content-Type", "application/json"))
        self._send(h11.Request(method=method, target=target, headers=headers))
        if content:
            self._send(h11.Data(data=content))
        self._send(h11.EndOfMessage())
        # The answer may come, and the connection end, before all of a body is sent.
        self._incoming.allow(_MAX_HEAD)
        response = await self._response()
        if response.status_code != 200:
            self._incoming.allow(8 * _MAX_REASON)  # it may come in chunks
            reason = _reason(await self._rest())
            self._be_ready_again()
            raise HttpError(response.status_code, reason, _retry_after(response))
        self._incoming.allow(limit)
        while isinstance(event := await self._event(), h11.Data):
            yield bytes(event.data)
        self._be_ready_again()

    async def upgrade(self, target: str, protocol: str, *, authorization: str = "") -> bytes:
        """Have the connection carry something else than HTTP; return what came of that already.

        Raises HttpError, and BROKEN. RFC 9110 section 7.8
        """
        headers = [
            ("Host", self._authority),
            ("Connection", "upgrade"),
            ("Upgrade", protocol),
            ("Authorization", authorization),
        ]
        self._send(h11.Request(method="GET", target=target, headers=headers))
        self._send(h11.EndOfMessage())
        self._incoming.allow(_MAX_HEAD)
        answer = await self._event()
        while isinstance(answer, h11.InformationalResponse) and answer.status_code != _SWITCHING:
            answer = await self._event()
        if not isinstance(answer, h11.InformationalResponse):
            self._incoming.allow(8 * _MAX_REASON)
            raise HttpError(answer.status_code, _reason(await self._rest()))
        came, _ = self._http.trailing_data
        return bytes(came)

    @property
    def is_ready(self) -> bool:
        """Whether another request may follow on this connection."""
        return self._http.our_state is h11.IDLE

    def _be_ready_again(self) -> None:
        """Prepare for the next request, unless the server closes after this answer."""
        if self._http.our_state is self._http.their_state is h11.DONE:
            self._http.start_next_cycle()

    def _send(self, event: Any) -> None:
        self._writer.write(self._http.send(event) or b"")

    async def _response(self) -> h11.Response:
        while not isinstance(event := await self._event(), h11.Response):
            pass  # informational: 1xx
        return event

    async def _event(self) -> Any:
        event = await self._incoming.event()
        if isinstance(event, h11.ConnectionClosed):
            raise EOFError("the connection was closed")
        return event

    async def _rest(self) -> bytes:
        data = bytearray()
        while isinstance(event := await self._event(), h11.Data) and len(data) < _MAX_REASON:
            data += event.data
        return bytes(data)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was received. body: at most _MAX_REQUEST bytes; headers: by names in lower case."""

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """headers: beside those of the content's kind and length."""

    status: int
    content: bytes
    kind: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


class Connections:
    """Those of one server: so many at once, and each is answered by itself."""

    def __init__(self, answer: Callable[[Request], Awaitable[Answer]], limit: int) -> None:
        self._answer = answer
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= self._limit:
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            await serve(reader, writer, self._answer)
        finally:
            self._tasks.discard(task)

    async def end(self) -> None:
        """Wait a moment for answers under way to be taken."""
        if self._tasks:
            _, slow = await asyncio.wait(self._tasks, timeout=_CLOSING_TIME)
            for task in slow:
                task.cancel()


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[Request], Awaitable[Answer]],
) -> None:
    """Answer the one request of a connection, and close it; a slow client is disconnected."""
    http = h11.Connection(h11.SERVER)
    try:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = await _receive(http, reader)
        except BROKEN:
            return
        writer.write(_encode(http, await answer(request), has_body=request.method != "HEAD"))
        with suppress(*BROKEN):
            async with asyncio.timeout(REQUEST_TIMEOUT):
                writer.close()
                await writer.wait_closed()
    finally:
        writer.transport.abort()


def _encode(http: h11.Connection, answer: Answer, *, has_body: bool) -> bytes:
    headers = [
        ("Content-Type", answer.kind),
        ("Content-Length", str(len(answer.content))),
        ("Connection", "close"),
        *answer.headers,
    ]
    response = h11.Response(status_code=answer.status, headers=headers)
    body = (h11.Data(data=answer.content),) if has_body else ()
    events = (response, *body, h11.EndOfMessage())
    return b"".join(http.send(event) or b"" for event in events)


async def _receive(http: h11.Connection, reader: asyncio.StreamReader) -> Request:
    """Raises BROKEN."""
    head = h11.Request(method="GET", target="/", headers=[("Host", "-")])
    body = bytearray()
    incoming = _Incoming(http, reader)
    incoming.allow(_MAX_HEAD + 2 * _MAX_REQUEST)  # it may come in chunks
    while not isinstance(event := await incoming.event(), h11.EndOfMessage):
        match event:
            case h11.Request():
                head = event
            case h11.Data():
                body += event.data
            case _:
                raise EOFError("the connection was closed")
        if len(body) > _MAX_REQUEST:
            raise EOFError("the request is too large")
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    return Request(head.method.decode("ascii"), head.target.decode("ascii"), bytes(body), headers)


def _retry_after(response: h11.Response) -> int:
    """Return seconds; a date, which is the other form, counts as nothing. RFC 9110 section 10.2.3"""
    text = dict(response.headers).get(b"retry-after", b"")
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else 0


def _reason(body: bytes) -> str:
    with suppress(ValueError, KeyError, TypeError):
        return printable(str(json.loads(body)["detail"]), _LONGEST_SENTENCE)
    return ""
