"""asyncpg through a tunnel: `python -m examples.asyncpg_by_tunnel ./wg0.conf postgresql://USER@db.internal/NAME`

asyncpg takes no sockets, but it takes an event loop, which it asks for its connections.
"""

import asyncio
import sys
from typing import Any

import asyncpg

import wgpy


class TunnelLoop:
    """The running loop, whose connections lead through a tunnel: for asyncpg.connect and create_pool."""

    def __init__(self, tunnel: wgpy.AsyncTunnel) -> None:
        self._tunnel = tunnel
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, protocol: Any, host: str, port: int, **options: Any) -> Any:
        """options: ssl, for a server that wants TLS at once."""
        if options.get("ssl"):
            options.setdefault("server_hostname", host)
        connected = await self._tunnel.connect(host, port)
        return await self._loop.create_connection(protocol, sock=connected, **options)


async def main(config: str, url: str) -> None:
    async with wgpy.Tunnel(config) as tunnel:
        connection = await asyncpg.connect(url, loop=TunnelLoop(tunnel))
        print(await connection.fetchval("SELECT 6 * 7"))
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
