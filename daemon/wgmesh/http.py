"""HTTP/1.1 on one connection, by h11, for an ASGI application: a request at a time. RFC 9112, ASGI 3.0

Invariant: a request is judged by its head before its body is read, the application sees only complete
requests, and nothing is read after a refusal. While a request is answered no further one is read.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote

import h11
from starlette.types import ASGIApp, Message

from .connections import Connections
from .limits import MAX_BODY, SMALL_BODY, source_of
from .tls import TooMuchOverhead

_LOG = logging.getLogger("wgmesh")

CLOSE_TIMEOUT: Final = 1.0  # seconds until a client has taken the last answer and closed its end
_OVERHEAD: Final = 256  # requests that TLS records which carry too little count as
_MAX_HEAD: Final = 8 << 10  # bytes


class Upgraded(Protocol):
    """What a connection carries once it is no longer HTTP's."""

    def begin(self, stream: asyncio.Transport) -> None:
        """Take the connection over."""

    def receive(self, data: bytes) -> None:
        """Take what came."""


class HttpConnection(asyncio.Protocol):
    """A connection whose TLS handshake is done or under way. task: of the handshake."""

    task: asyncio.Task[None] | None = None

    def __init__(self, app: ASGIApp, address: tuple[str, int], connections: Connections) -> None:
        self.source = source_of(address[0])
        self._app = app
        self._address = address
        self._limits = connections.limits
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._http = h11.Connection(h11.SERVER, _MAX_HEAD)
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._answer: asyncio.Task[None] | None = None
        self._upgraded: Upgraded | None = None
        self._is_large = False
        self._retry_after = 0  # seconds, of a refusal; 0 if it is not known
        self._slot: asyncio.Semaphore | None = None
        self._is_proven = False
        self._is_ending = False
        self._is_streaming = False
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # -- The transport -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        if self._upgraded is not None:
            self._upgraded.receive(data)
            return
        self._http.receive_data(data)
        if self._answer is None:
            self._advance()
        elif self._transport is not None:
            self._transport.pause_reading()  # until the answer is given

    def eof_received(self) -> None:
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if isinstance(error, TooMuchOverhead):
            self._limits.requests.charge(self._address[0], _OVERHEAD, self._loop.time())
        self._is_ending = True
        self._gone.set()
        self._writable.set()
        self._cancel_deadline()
        if self._answer is None:
            self._forget_body()  # else it is in memory until the answer ends
        elif self._is_streaming:
            self._answer.cancel()
        self._connections.remove(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        elif self.task is not None:
            # After its first step, which hands the socket to the loop: the loop closes it then.
            self._loop.call_soon(self._abort_handshake)

    def _abort_handshake(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        elif self.task is not None:
            self.task.cancel()

    def end(self) -> asyncio.Task[None] | None:
        """Close the connection, or return the task after whose answer it closes."""
        if self._answer is None or self._upgraded is not None:
            self._close()
        self._is_ending = True
        return self._answer

    async def wait_closed(self) -> None:
        """Return when the connection is closed."""
        await self._gone.wait()

    def _close(self) -> None:
        """Send what is written, and read nothing more."""
        self._is_ending = True
        self._cancel_deadline()
        self._forget_body()
        if self._transport is None:
            self.abort()
        elif not self._transport.is_closing():
            self._transport.pause_reading()
            self._transport.close()
            self._set_deadline(CLOSE_TIMEOUT, self._transport.abort)

    # -- A request ---------------------------------------------------------------------------------

    def _await_head(self) -> None:
        limits = self._limits
        self._set_deadline(limits.idle_timeout if self._is_proven else limits.first_timeout, self._close)

    def _advance(self) -> None:
        """Take what arrived, up to a complete request."""
        while not self._is_ending and self._answer is None:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, f"the request is malformed: {error}")
                return
            if event in (h11.NEED_DATA, h11.PAUSED):
                return
            self._take(event)

    def _take(self, event: Any) -> None:
        match event:
            case h11.Request():
                self._take_head(event)
            case h11.Data():
                self._body.append(bytes(event.data))
                if self._is_large:
                    self._limits.bodies.grow(self._discard, len(event.data))
            case h11.EndOfMessage():
                self._take_end()
            case _:
                self._close()

    def _take_head(self, head: h11.Request) -> None:
        self._request = head
        if refusal := self._judge(head):
            self._refuse(*refusal)
            return
        self._set_deadline(self._limits.body_timeout, self._give_up)
        if self._http.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[]))

    def _judge(self, head: h11.Request) -> tuple[int, str] | None:
        """Return the status and the sentence of a refusal, if the head suffices for one."""
        headers = dict(head.headers)
        if b"transfer-encoding" in headers:
            return HTTPStatus.LENGTH_REQUIRED, "a body in chunks is not read: send its Content-Length"
        size = int(headers.get(b"content-length", b"0"))
        self._is_large = size > SMALL_BODY
        if size > MAX_BODY:
            return (
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the request is too large: submit at most {MAX_BODY} bytes at once",
            )
        now, (address, _) = self._loop.time(), self._address
        for allowance, units in ((self._limits.requests, 1), (self._limits.received, size)):
            if not allowance.take(address, units, now):
                self._retry_after = allowance.wait(address, units, now)
                return HTTPStatus.TOO_MANY_REQUESTS, "too much comes from this address: try again in a minute"
        return None

    def _take_end(self) -> None:
        if self._is_large and not self._limits.bodies.complete(self._discard):
            self._discard()
        else:
            self._begin_answer()

    def _give_up(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request took too long")

    def _discard(self) -> None:
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests at once: try again in a minute")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer a request that the application does not see, and close."""
        if self._answer is None and self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            content = json.dumps({"detail": detail}).encode()
            headers = [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(content))),
                ("Connection", "close"),
            ]
            if self._retry_after:
                headers.append(("Retry-After", str(self._retry_after)))
            self._write(h11.Response(status_code=status, headers=headers))
            if not self._wants_head_only():
                self._write(h11.Data(data=content))
            self._write(h11.EndOfMessage())
        self._close()

    # -- The answer --------------------------------------------------------------------------------

    def _begin_answer(self) -> None:
        assert self._request is not None
        self._cancel_deadline()
        self._connections.release(self)
        self._answer = self._loop.create_task(self._run(self._request, b"".join(self._body)))
        self._body.clear()

    async def _run(self, head: h11.Request, body: bytes) -> None:
        try:
            await self._take_slot()
            if self._gone.is_set():
                return
            unread = [body]
            await self._app(self._scope(head), lambda: self._receive(unread), self._send)
        except Exception as error:  # noqa: BLE001 - what fails is this request alone
            _LOG.error("a request of %s failed: %s: %s", self._address[0], type(error).__name__, error)
        finally:
            self._end_answer()

    async def _take_slot(self) -> None:
        """Wait until few requests of the source are answered; who has proven a key does not wait."""
        if not self._is_proven:
            slot = self._limits.slots.of(self.source)
            await slot.acquire()
            self._slot = slot

    def _free_slot(self) -> None:
        """Free the slot in the next turn of the loop: most answers take less than one."""
        if self._slot is not None:
            self._loop.call_soon(self._slot.release)
        self._slot = None

    def _end_answer(self) -> None:
        self._answer = None
        self._free_slot()
        self._forget_body()
        if self._is_ending or not self._http.our_state is self._http.their_state is h11.DONE:
            self._close()
            return
        self._http.start_next_cycle()
        self._request = None
        if not self._is_proven:
            self._connections.wait(self)
        self._await_head()
        self._advance()
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self._answer is None and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _scope(self, head: h11.Request) -> dict[str, Any]:
        path, _, query = head.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.http_version.decode("ascii"),
            "method": head.method.decode("ascii"),
            "scheme": "https",
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": list(head.headers),
            "client": self._address,
            "server": None,
            "state": {"prove": self._prove, "switch": self._switch, "stream": self._stream},
        }

    async def _switch(self, protocol: str, upgraded: Upgraded) -> None:
        """Carry something else, as was asked, until the connection ends. RFC 9110 section 7.8"""
        if self._transport is None or self._gone.is_set():
            return
        headers = [("Connection", "upgrade"), ("Upgrade", protocol)]
        self._write(h11.InformationalResponse(status_code=HTTPStatus.SWITCHING_PROTOCOLS, headers=headers))
        self._upgraded = upgraded
        upgraded.begin(self._transport)
        came, _ = self._http.trailing_data
        if came:
            upgraded.receive(came)
        self._transport.resume_reading()
        await self._gone.wait()

    async def _stream(
        self, status: int, headers: list[tuple[bytes, bytes]], data: AsyncGenerator[bytes, None]
    ) -> None:
        """Answer with what comes as it comes; where the connection ends first, this is cancelled.

        Many connections are sent the same at once, so what ASGI has between is left out.
        """
        if self._gone.is_set() or self._transport is None:
            return
        self._write_head(status, headers)
        is_chunked = self._request is not None and self._request.http_version == b"1.1"
        self._is_streaming = True
        try:
            async with aclosing(data):
                async for piece in data:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
                    if not self._writable.is_set():
                        await self._until_writable()
        finally:
            self._is_streaming = False
        if not self._gone.is_set():
            self._write(h11.EndOfMessage())

    def _prove(self) -> None:
        """Note that the client has proven a key that is of the network."""
        self._is_proven = True
        self._free_slot()

    async def _receive(self, unread: list[bytes]) -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            return
        if message["type"] == "http.response.start":
            self._write_head(message["status"], list(message.get("headers", ())))
            return
        if (data := message.get("body", b"")) and not self._wants_head_only():
            self._write(h11.Data(data=data))
        if not message.get("more_body", False):
            self._write(h11.EndOfMessage())
        if not self._writable.is_set():
            await self._until_writable()

    async def _until_writable(self) -> None:
        """Wait until the client has taken more; one that has proven no key has only so long."""
        if not self._is_proven:
            self._connections.wait(self)
            self._set_deadline(self._limits.first_timeout, self.abort)
        await self._writable.wait()
        self._cancel_deadline()
        self._connections.release(self)

    def _wants_head_only(self) -> bool:
        return self._request is not None and self._request.method == b"HEAD"

    def _write_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if status >= HTTPStatus.BAD_REQUEST:
            headers.append((b"connection", b"close"))
        self._write(h11.Response(status_code=status, headers=headers))

    def _write(self, event: Any) -> None:
        data = self._http.send(event)
        if data and self._transport is not None:
            self._transport.write(data)

    # -- Limits ------------------------------------------------------------------------------------

    def _set_deadline(self, seconds: float, what: Callable[[], None]) -> None:
        self._cancel_deadline()
        self._deadline = self._loop.call_later(seconds, what)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None

    def _forget_body(self) -> None:
        self._body.clear()
        self._limits.bodies.remove(self._discard)
