"""httpx through a tunnel: `python -m examples.httpx_by_tunnel ./wg0.conf http://web.internal/`

httpx takes no sockets, but its transport, httpcore, takes what makes connections.
"""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import httpx

import wgpy


class Stream(httpcore.AsyncNetworkStream):
    """A connection of asyncio's, as httpcore wants it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._writer.write(buffer)
        async with asyncio.timeout(timeout):
            await self._writer.drain()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "Stream":
        await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        return self

    async def aclose(self) -> None:
        self._writer.close()

    def get_extra_info(self, info: str) -> Any:
        return self._writer.get_extra_info("ssl_object") if info == "ssl_object" else None


class TunnelBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, tunnel: wgpy.AsyncTunnel) -> None:
        self._tunnel = tunnel

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        try:
            async with asyncio.timeout(timeout):
                return Stream(*await self._tunnel.open_connection(host, port))
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error


class TunnelTransport(httpx.AsyncBaseTransport):
    """Give it to httpx.AsyncClient."""

    def __init__(self, tunnel: wgpy.AsyncTunnel) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=TunnelBackend(tunnel)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(str(request.url)),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except httpcore.NetworkError as error:
            raise httpx.NetworkError(str(error), request=request) from error
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer.aiter_stream():
            yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


async def main(config: str, url: str) -> None:
    async with (
        wgpy.Tunnel(config) as tunnel,
        httpx.AsyncClient(transport=TunnelTransport(tunnel)) as client,
    ):
        print((await client.get(url)).text)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
