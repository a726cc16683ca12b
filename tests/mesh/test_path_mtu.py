"""How large packets to a peer may be, found out by questions of that size. The path is a socket of a test."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network

from tests.mesh.coordinator import in_a_loop
from tests.mesh.test_remote_paths import planned
from wgpy.contract.constants import TRANSPORT_OVERHEAD
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerId
from wgpy.contract.orders import AllowedIP
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.bootclock import boottime
from wgpy.host.tun import PacketSocket
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.paths.discovery import Discovery
from wgpyd.agent.path_mtu import PathMtus
from wgpyd.agent.pings import Pings


@dataclass(slots=True)
class Scene:
    """This node, and a peer at the other end of a path that passes questions of so many bytes."""

    interface: Interface
    mtus: PathMtus
    plan: NodePlan
    key: PublicKey
    there: socket.socket
    other: Discovery
    changed: asyncio.Event
    asked: list[int]
    was_asked: asyncio.Event

    async def until_asked(self, is_enough: Callable[[list[int]], bool]) -> None:
        while not is_enough(self.asked):
            self.was_asked.clear()
            await self.was_asked.wait()

    async def answer(self, passes: int) -> None:
        """Be the peer: answer what passes."""
        loop = asyncio.get_running_loop()
        while True:
            data, source = await loop.sock_recvfrom(self.there, 4096)
            self.asked.append(len(data))
            self.was_asked.set()
            reply = self.other.receive(data, Endpoint(*source), boottime()) if len(data) <= passes else None
            if reply:
                await loop.sock_sendto(self.there, reply, source)

    def begin(self) -> None:
        self.mtus.planned(self.plan)
        self.mtus.on_event(self.key, HandshakeCompleted(PeerId(1), initiator=True))


@asynccontextmanager
async def a_scene(passes: int) -> AsyncIterator[Scene]:
    """passes: bytes of a packet in the tunnel."""
    found, peer, network = planned(hidden=False)
    us, them = network.nodes[0].key, network.nodes[1].key
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interface, changed = Interface(PacketSocket(ours, name="no-such-link")), asyncio.Event()
    interface.start()
    pings = Pings(interface, us)
    mtus = PathMtus(interface, pings, lambda _: None, changed.set)
    pings.observe(mtus)
    pings.answer_peers_of(found)
    other = Discovery(bytes(them), os.urandom)
    other.set_peers([bytes(us.public_key())])
    with theirs, socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as there:
        there.bind(("127.0.0.1", 0))
        update = PeerUpdate(peer.member.key, endpoint=Endpoint(*there.getsockname()))
        await interface.configure(DeviceUpdate(us, peers=[update]))
        scene = Scene(interface, mtus, found, peer.member.key, there, other, changed, [], asyncio.Event())
        answering = asyncio.create_task(scene.answer(passes + TRANSPORT_OVERHEAD))
        try:
            yield scene
        finally:
            answering.cancel()
            mtus.close()
            interface.close()


@in_a_loop
async def test_where_all_passes_one_large_question_is_asked_and_the_plan_stays() -> None:
    async with a_scene(9000) as scene:
        scene.begin()
        full = scene.plan.link.mtu + TRANSPORT_OVERHEAD
        await scene.until_asked(lambda asked: full in asked)
        scene.mtus.on_event(scene.key, HandshakeCompleted(PeerId(1), initiator=False))

        assert scene.mtus.planned(scene.plan) is scene.plan
        assert scene.mtus.smaller(scene.key) == 0
        assert scene.mtus.sentences == []
        assert scene.asked.count(full) == 1


@in_a_loop
async def test_where_large_packets_are_dropped_all_that_is_behind_the_peer_has_smaller_ones() -> None:
    async with a_scene(1300) as scene:
        scene.begin()
        while not scene.mtus.sentences:
            await scene.changed.wait()
            scene.changed.clear()

        planned = scene.mtus.planned(scene.plan)

        mtu = scene.mtus.smaller(scene.key)
        assert mtu in (1280, 1296)  # what passes, to eight bytes, and is not padded any more
        member = scene.plan.by_key[scene.key].member
        assert planned.mtus == {
            ip_network(member.address): mtu,
            ip_network(member.address6): mtu,
        }
        assert scene.mtus.sentences == [
            f"packets to {member.name} have at most {mtu} bytes, as its path drops larger ones"
        ]
        assert replace(planned, mtus={}) == scene.plan


@in_a_loop
async def test_what_leaves_by_an_exit_has_packets_as_small_as_the_way_to_it() -> None:
    async with a_scene(1300) as scene:
        tunnel = scene.plan.tunnels[scene.key]
        of_exit = replace(tunnel, allowed_ips=tunnel.allowed_ips | {AllowedIP(bytes(4), 0)})
        scene.plan = replace(scene.plan, tunnels={scene.key: of_exit})
        scene.begin()
        while not scene.mtus.sentences:
            await scene.changed.wait()
            scene.changed.clear()

        planned = scene.mtus.planned(scene.plan)

        assert planned.mtus[ip_network("0.0.0.0/0")] == scene.mtus.smaller(scene.key) > 0


@in_a_loop
async def test_a_peer_that_does_not_answer_makes_nothing_smaller() -> None:
    async with a_scene(0) as scene:
        scene.begin()
        await scene.until_asked(lambda asked: len(asked) == 6)  # both sizes, three times

        assert scene.mtus.planned(scene.plan) is scene.plan
