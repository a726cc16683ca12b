"""A request's head, and short answers, of an HTTP/1.1 proxy: read and written by h11. RFC 9112"""

import asyncio
from http import HTTPStatus
from typing import Final

import h11

from .joining import REQUEST_TIMEOUT
from .stream import Stream

_CHUNK: Final = 1 << 16
_TEXT: Final = "text/plain; charset=utf-8"


async def read_head(client: Stream) -> tuple[h11.Request, bytes]:
    """Return a request, and what has come behind its head. Raises h11.ProtocolError, ValueError, OSError."""
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT):
            return await _read_head(client)
    except TimeoutError:
        raise ValueError(f"no whole request has come within {REQUEST_TIMEOUT:.0f} s") from None


async def _read_head(client: Stream) -> tuple[h11.Request, bytes]:
    parser = h11.Connection(h11.SERVER)
    while True:
        event = parser.next_event()
        if isinstance(event, h11.Request):
            return event, parser.trailing_data[0]
        data = await client.read(_CHUNK)
        if not data:
            raise ValueError("the request is cut off")
        parser.receive_data(data)


def write_answer(status: int, body: bytes, *headers: tuple[str, str]) -> bytes:
    """Return an answer, after which the connection is closed."""
    head = h11.Response(
        status_code=status,
        reason=HTTPStatus(status).phrase,
        headers=[
            ("Content-Type", _TEXT),
            ("Content-Length", str(len(body))),
            *headers,
            ("Connection", "close"),
        ],
    )
    return (h11.Connection(h11.SERVER).send(head) or b"") + body
