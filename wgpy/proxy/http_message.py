"""A request's head, and short answers, of HTTP/1.1: read and written by h11. RFC 9112"""

import asyncio
from http import HTTPStatus
from typing import Final

import h11

_CHUNK: Final = 1 << 16
TEXT: Final = "text/plain; charset=utf-8"


async def read_head(reader: asyncio.StreamReader) -> tuple[h11.Request, bytes]:
    """Return a request, and what has come behind its head. Raises h11.ProtocolError, ValueError, OSError."""
    parser = h11.Connection(h11.SERVER)
    while True:
        event = parser.next_event()
        if isinstance(event, h11.Request):
            return event, parser.trailing_data[0]
        data = await reader.read(_CHUNK)
        if not data:
            raise ValueError("the request is cut off")
        parser.receive_data(data)


def write_answer(
    status: int, body: bytes, content_type: str = TEXT, *headers: tuple[str, str], has_body: bool = True
) -> bytes:
    """Return an answer, after which the connection is closed. has_body: not in the answer to a HEAD."""
    head = h11.Response(
        status_code=status,
        reason=HTTPStatus(status).phrase,
        headers=[
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            *headers,
            ("Connection", "close"),
        ],
    )
    written = h11.Connection(h11.SERVER).send(head) or b""
    return written + body if has_body else written
