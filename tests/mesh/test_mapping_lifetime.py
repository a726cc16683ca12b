"""What a node learns of how long its NAT keeps a mapping, and for which NAT that counts.

The relay is a socket whose answers after a silence come at once, as if the time had passed.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

import pytest

from tests.mesh.coordinator import in_a_loop
from tests.mesh.test_keepalives import identity
from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.driver.interface import Interface
from wgpy.host.bootclock import boottime
from wgpy.host.tun import PacketSocket
from wgpy.keys import PrivateKey
from wgpy.paths.discovery import MAX_DELAY, Discovery
from wgpy.paths.lifetime import ASSUMED, INTERVALS
from wgpyd.agent.mapping_lifetime import MappingLifetime
from wgpyd.agent.pings import Pings
from wgpyd.agent.registration import Found

RELAY = PrivateKey(bytes([9]) * 32)
KEY = RELAY.public_key()


@dataclass(slots=True)
class Scene:
    """A node, and a relay with a socket. changed: whether the interval is; asked: how often the relay was."""

    lifetime: MappingLifetime
    relay: Discovery
    udp: socket.socket
    changed: asyncio.Event
    asked: int = 0

    def found(self) -> Found:
        return Found(by_udp={KEY: Endpoint(*self.udp.getsockname())})

    def configure(self, nat: str, relays: Found) -> None:
        self.lifetime.configure(nat, relays, (KEY,))

    async def learnt(self, interval: int) -> None:
        """Return once the interval is this."""
        while self.lifetime.interval != interval:
            self.changed.clear()
            await self.changed.wait()

    async def answer(self) -> None:
        """Be the relay of a host whose NAT forgets nothing."""
        loop, later = asyncio.get_running_loop(), (MAX_DELAY + 1) * SECOND
        while True:
            data, source = await loop.sock_recvfrom(self.udp, 2048)
            self.asked += 1
            at, now = Endpoint(*source[:2]), boottime()
            if answer := self.relay.receive(data, at, now):
                await loop.sock_sendto(self.udp, answer, source)
            for one in self.relay.postponed.take_due(now + later):
                await loop.sock_sendto(self.udp, one.data, source)


@asynccontextmanager
async def a_scene() -> AsyncIterator[Scene]:
    node, changed = identity("auto"), asyncio.Event()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interface = Interface(PacketSocket(ours, name="no-such-link"))
    interface.start()
    pings, relay = Pings(interface, node.node.key), Discovery(bytes(RELAY), os.urandom)
    relay.set_peers([bytes(node.node.key.public_key())])
    lifetime = MappingLifetime(interface, node, pings, lambda: None, changed.set)
    with theirs, socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as udp:
        udp.bind(("127.0.0.1", 0))
        scene = Scene(lifetime, relay, udp, changed)
        tasks = [asyncio.create_task(scene.answer()), asyncio.create_task(lifetime.run())]
        with closing(interface), closing(lifetime):
            yield scene
        for task in tasks:
            task.cancel()


@in_a_loop
async def test_the_longest_interval_is_learnt_where_a_mapping_lasts() -> None:
    async with a_scene() as scene:
        assert scene.lifetime.interval == ASSUMED

        scene.configure("203.0.113.1", scene.found())

        await scene.learnt(max(INTERVALS))
        assert scene.lifetime.lasts >= max(INTERVALS)


@in_a_loop
async def test_another_nat_is_tried_anew_and_the_first_one_is_remembered() -> None:
    async with a_scene() as scene:
        scene.configure("203.0.113.1", scene.found())
        await scene.learnt(max(INTERVALS))

        scene.configure("203.0.113.2", Found())
        assert (scene.lifetime.interval, scene.lifetime.lasts) == (ASSUMED, 0)
        asked = scene.asked
        scene.configure("203.0.113.1", scene.found())

        assert scene.lifetime.interval == max(INTERVALS)
        assert scene.asked == asked


@in_a_loop
@pytest.mark.parametrize("nats", [8, 9])
async def test_so_many_nats_are_remembered_and_no_more(nats: int) -> None:
    async with a_scene() as scene:
        scene.configure("203.0.113.0", scene.found())
        await scene.learnt(max(INTERVALS))
        for number in range(1, nats):
            scene.configure(f"203.0.113.{number}", Found())

        scene.configure("203.0.113.0", Found())

        assert scene.lifetime.interval == (max(INTERVALS) if nats <= 8 else ASSUMED)
