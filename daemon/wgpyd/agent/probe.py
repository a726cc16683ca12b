"""Whether a peer answers through the tunnel: a connection to its gossip, whatever comes back."""

import asyncio
import socket
from contextlib import suppress

from wgpy.host.bootclock import boottime
from wgpy.mesh.wire import GOSSIP_PORT


async def probe(address: str, seconds: float) -> int:
    """Connect to a peer's IPv6 address in the network.

    Return the nanoseconds until it answered, 0 if it did not in so many seconds.
    """
    began = boottime()
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.setblocking(False)
        try:
            async with asyncio.timeout(seconds):
                with suppress(ConnectionRefusedError):  # nobody listens there, but the host answers
                    await asyncio.get_running_loop().sock_connect(connection, (address, GOSSIP_PORT))
        except OSError:  # it took too long, or an ICMP error came
            return 0
    return max(1, boottime() - began)
