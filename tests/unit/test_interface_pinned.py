"""A peer whose endpoint is pinned is sent to there, wherever it sends from. On loopback; no root."""

import asyncio
import socket

from wgpy.contract.endpoint import Endpoint
from wgpy.model import DeviceUpdate

from .interface_hosts import TIMEOUT, data_path, packet, pair

__all__ = ["data_path"]  # a fixture: all of this holds for both

TRANSPORT_DATA = b"\4\0\0\0"


def test_a_pinned_endpoint_stays_until_it_is_set_again() -> None:
    async def scenario() -> None:
        async with pair() as (one, two):
            await one.send(packet(one, two, 1))
            assert await two.received() == 1
            pinned = Endpoint("127.0.0.1", two.interface.listen_port)
            await one.interface.configure(DeviceUpdate(peers=[two.update("127.0.0.1", pinned=True)]))

            await two.interface.configure(DeviceUpdate(listen_port=0))
            await two.send(packet(two, one, 2))
            assert await one.received() == 2
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as left_behind:
                left_behind.bind((pinned.address, pinned.port))
                left_behind.setblocking(False)
                await one.send(packet(one, two, 3))
                async with asyncio.timeout(TIMEOUT):
                    data = await asyncio.get_running_loop().sock_recv(left_behind, 65535)
            assert data.startswith(TRANSPORT_DATA)
            assert (await one.peer(two)).endpoint == pinned

            await one.interface.configure(DeviceUpdate(peers=[two.update("127.0.0.1")]))
            await one.send(packet(one, two, 4))
            assert await two.received() == 4

    asyncio.run(scenario())
