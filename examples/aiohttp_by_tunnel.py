"""aiohttp through a tunnel: `python -m examples.aiohttp_by_tunnel ./wg0.conf http://web.internal/`"""

import asyncio
import socket
import sys

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

import wgpy


class TunnelResolver(AbstractResolver):
    """Asks the tunnel's DNS servers."""

    def __init__(self, tunnel: wgpy.AsyncTunnel) -> None:
        self._tunnel = tunnel

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._tunnel.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        return [
            ResolveResult(hostname=host, host=address[0], port=port, family=kind, proto=proto, flags=0)
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        pass


def connector(tunnel: wgpy.AsyncTunnel) -> aiohttp.TCPConnector:
    """Return what an aiohttp.ClientSession connects by."""
    return aiohttp.TCPConnector(
        resolver=TunnelResolver(tunnel), socket_factory=lambda info: tunnel.socket(*info[:3])
    )


async def main(config: str, url: str) -> None:
    async with (
        wgpy.Tunnel(config) as tunnel,
        aiohttp.ClientSession(connector=connector(tunnel)) as session,
        session.get(url) as response,
    ):
        print(await response.text())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
