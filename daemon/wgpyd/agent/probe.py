"""Whether a peer answers through the tunnel: a connection to its gossip, whatever comes back."""

import asyncio
import socket
from contextlib import suppress

from wgpy.mesh.wire import GOSSIP_PORT


async def probe(address: str, seconds: float) -> None:
    """Connect to a peer's IPv6 address in the network; return after so many seconds at most."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.setblocking(False)
        with suppress(OSError):
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_connect(connection, (address, GOSSIP_PORT))
