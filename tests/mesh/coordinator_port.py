"""A coordinator's port for whoever reaches it: connections without a key, requests written by hand."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.mesh.coordinator import Site
from wgpy.node.http import Client

MIB = 1 << 20
HALF_A_HEAD = b"GET /v1/hello HTTP/1.1\r\nHost: x\r\n"
HELLO = HALF_A_HEAD + b"\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def post(length: object) -> bytes:
    kind = "Content-Type: application/json"
    return f"POST /v1/records HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {length}\r\n\r\n".encode()


def anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def connect(site: Site, source: str = "127.0.0.1", *, tls: bool = True) -> Streams:
    host, _, port = site.address.url.removeprefix("https://").rpartition(":")
    context = anybody() if tls else None
    return await asyncio.open_connection(host, int(port), ssl=context, local_addr=(source, 0))


@asynccontextmanager
async def connected(site: Site, *sources: str) -> AsyncIterator[list[Streams]]:
    """One connection after another, so that it is known which is the oldest."""
    opened = [await connect(site, source) for source in sources]
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other end closes."""
    data = b""
    with suppress(ConnectionError):
        while part := await reader.read(MIB):
            data += part
    return data


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


async def scraped(port: int) -> list[str]:
    """The lines that a coordinator has for Prometheus."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        request = Client(reader, writer, "metrics").request("GET", "/metrics")
        return b"".join([data async for data in request]).decode().splitlines()
    finally:
        writer.close()


async def is_heard(streams: Streams) -> bool:
    """Whether a request on a connection is answered."""
    reader, writer = streams
    with suppress(ConnectionError):
        writer.write(HELLO)
        return (await reader.read(MIB)).startswith(b"HTTP/1.1 200")
    return False


async def sent_until_the_end(writer: asyncio.StreamWriter, data: bytes) -> int:
    """Send again and again; return how many bytes were sent when the other end closed."""
    sent = 0
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(data)
            await writer.drain()
            sent += len(data)
    return sent
