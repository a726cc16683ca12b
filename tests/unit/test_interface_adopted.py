"""An interface whose sockets were handed in: it works by them, and refuses what they cannot do."""

import asyncio
import os
import socket

import pytest

from wgpy.contract.errors import StateError
from wgpy.driver.interface import Interface
from wgpy.driver.settings import Settings
from wgpy.host.tun import PacketSocket
from wgpy.model import DeviceUpdate
from wgpy.transport.udp import adopt_udp

from .interface_hosts import data_path, host, packet

__all__ = ["data_path"]  # a fixture: all of this holds for both


def udp_socket() -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    udp.bind(("127.0.0.1", 0))
    return udp


def test_packets_pass_by_sockets_that_were_handed_in() -> None:
    async def scenario() -> None:
        udp = udp_socket()
        port = udp.getsockname()[1]
        async with host(1) as one, host(2, adopt_udp([udp.detach()])) as two:
            assert two.interface.listen_port == port
            await one.interface.configure(DeviceUpdate(peers=[two.update("127.0.0.1")]))
            await two.interface.configure(DeviceUpdate(listen_port=port, peers=[one.update()]))
            await one.send(packet(one, two, 1))
            assert await two.received() == 1
            await two.send(packet(two, one, 2))
            assert await one.received() == 2

    asyncio.run(scenario())


def test_another_port_is_refused_and_nothing_of_the_update_is_done() -> None:
    async def scenario() -> None:
        async with host(1) as one, host(2, adopt_udp([udp_socket().detach()])) as two:
            before = await two.interface.status()

            with pytest.raises(StateError, match="for good"):
                await two.interface.configure(DeviceUpdate(listen_port=1, peers=[one.update()]))

            assert await two.interface.status() == before

    asyncio.run(scenario())


@pytest.mark.root
def test_a_mark_is_set_where_that_is_allowed() -> None:
    async def scenario() -> None:
        async with host(2, adopt_udp([udp_socket().detach()])) as two:
            await two.interface.configure(DeviceUpdate(fwmark=5))

            assert (await two.interface.status()).fwmark == 5

    asyncio.run(scenario())


def test_sockets_of_another_number_than_the_queues_are_an_error_and_stay_open() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    first = udp_socket()
    transport = adopt_udp([os.dup(first.fileno()), os.dup(first.fileno())])

    with ours, theirs, first, pytest.raises(ValueError, match="1 queues, and there are sockets for 2"):
        Interface(PacketSocket(ours), transport=transport, settings=Settings(native=False))

    assert transport.port
    transport.close()
