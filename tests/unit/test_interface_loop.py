"""What an interface sends and its host routes back into it is told in the log, on loopback; no root."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.datapath.packets import ipv4, routed_back
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import RoutingLoop
from wgpy.contract.messages import TYPE_INITIATION, message_type
from wgpy.device import DeviceEvent
from wgpy.keys import PrivateKey, PublicKey
from wgpy.model import AllowedIPChange, DeviceUpdate, PeerUpdate

from .interface_hosts import TIMEOUT, Host, data_path, host, prefix

__all__ = ["data_path"]  # a fixture: all of this holds for both


@pytest.fixture
def wire() -> Iterator[socket.socket]:
    """Where peers seem to be that never answer."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as made:
        made.setblocking(False)
        made.bind(("127.0.0.1", 0))
        yield made


def endpoint_of(wire: socket.socket) -> Endpoint:
    return Endpoint(*wire.getsockname())


async def add_peer(one: Host, wire: socket.socket, allowed: str) -> None:
    peer = PeerUpdate(
        PrivateKey.generate().public_key(),
        endpoint=endpoint_of(wire),
        allowed_ips=(AllowedIPChange(prefix(allowed)),),
    )
    await one.interface.configure(DeviceUpdate(peers=[peer]))


async def route_initiation_back(one: Host, destination: str, wire: socket.socket) -> None:
    """Let a packet need a handshake, route the message of it back, and return when that was reported."""
    loop, reported = asyncio.get_running_loop(), asyncio.Event()

    def note(_: PublicKey, event: DeviceEvent) -> None:
        if isinstance(event, RoutingLoop):
            reported.set()

    cancel = one.interface.subscribe(note)
    async with asyncio.timeout(TIMEOUT):
        await loop.sock_sendall(one.packets, ipv4("10.0.0.1", destination, b"payload"))
        initiation = await loop.sock_recv(wire, 65535)
        assert message_type(initiation) == TYPE_INITIATION
        await loop.sock_sendall(one.packets, routed_back(initiation, endpoint_of(wire)))
        await reported.wait()
    cancel()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_handshake_message_that_comes_back_is_told_with_its_endpoint(
    wire: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with host(1) as one:
            await add_peer(one, wire, "0.0.0.0/0")

            await route_initiation_back(one, "10.1.0.1", wire)

            endpoint, name = endpoint_of(wire), one.interface.name
            assert warnings(caplog) == [
                f"the host routes datagrams for {endpoint} into {name} itself: dropped"
            ]
            assert one.interface.counters()[DropReason.ROUTING_LOOP] == 1

    asyncio.run(scenario())


def test_an_endpoint_is_told_once_however_many_messages_come_back(
    wire: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with host(1) as one:
            await add_peer(one, wire, "0.0.0.0/0")
            await add_peer(one, wire, "10.2.0.0/16")

            await route_initiation_back(one, "10.1.0.1", wire)
            await route_initiation_back(one, "10.2.0.1", wire)

            assert len(warnings(caplog)) == 1
            assert one.interface.counters()[DropReason.ROUTING_LOOP] == 2

    asyncio.run(scenario())
