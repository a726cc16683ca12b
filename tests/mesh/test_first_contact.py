"""What is sent to a peer for the first time waits for no verdict: it goes by a relay once there is one."""

import asyncio
import os
import socket

from tests.mesh.coordinator import in_a_loop
from tests.mesh.test_selection import (
    HERE,
    PEER_AT,
    Scene,
    a_scene,
    at,
    bound_udp,
    datagram,
    is_called,
    received,
)
from wgpy.contract.endpoint import Endpoint
from wgpy.datapath.relay import Mac1Key
from wgpy.host.bootclock import boottime
from wgpy.keys import PublicKey
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.paths.discovery import Discovery
from wgpy.paths.exchange import PathKind
from wgpyd.agent.broken_paths import BrokenPaths


@in_a_loop
async def test_a_peer_that_has_not_answered_where_it_is_published_is_called_by_a_relay_at_once() -> None:
    """It registered since it was called: nobody waits for an answer that a firewall drops."""
    with bound_udp() as hub:
        async with a_scene(PEER_AT, hub=at(hub)) as scene:
            await scene.know((scene.peer, PEER_AT))
            await scene.interface.configure(DeviceUpdate(peers=[PeerUpdate(scene.key, handshake=True)]))

            scene.begin(is_dialled=True)

            path = scene.selection.path(scene.key)
            assert path
            assert path.kind is PathKind.RELAYED
            assert await is_called(hub, scene.peer)


@in_a_loop
async def test_a_peer_that_was_sent_something_before_it_had_relays_is_given_up_as_the_others_are() -> None:
    async with a_scene(PEER_AT) as scene:
        await scene.know((scene.peer, PEER_AT))
        await scene.interface.configure(DeviceUpdate(peers=[PeerUpdate(scene.key, handshake=True)]))
        has_changed = asyncio.Event()
        broken = BrokenPaths(scene.interface, has_changed.set, patience=0)

        broken.configure([scene.key])
        await has_changed.wait()

        assert broken.keys == {scene.key}
        broken.close()


@in_a_loop
async def test_a_relay_that_is_reached_by_a_connection_from_now_on_is_called_once() -> None:
    """It drops a second initiation right behind the first one, whose answer would be for none by then."""
    with bound_udp() as stream:
        async with a_scene(PEER_AT) as scene:
            scene.network.administrator.register(scene.peer.identity)
            await scene.know((scene.peer, PEER_AT))
            await scene.interface.configure(DeviceUpdate(peers=[PeerUpdate(scene.key, handshake=True)]))
            scene.selection.planned(scene.plan(), {}, (), is_dialled=False)
            scene.selection.begin(HERE, ())
            hub = scene.hub.key.public_key()

            scene.selection.planned(scene.plan(), {hub: at(stream)}, [hub], is_dialled=False)
            scene.selection.begin(HERE, ())
            called: list[PublicKey] = []
            while not {hub, scene.key} <= {*called}:
                called.append(await _called(stream, scene))
            last = scene.spare.key.public_key()
            last_call = PeerUpdate(last, endpoint=at(stream), handshake=True)
            await scene.interface.configure(DeviceUpdate(peers=[last_call]))
            while last not in called:
                called.append(await _called(stream, scene))

            assert called.count(hub) == 1
            assert scene.at(scene.hub) == at(stream)


@in_a_loop
async def test_who_is_in_a_hurry_waits_for_no_more_once_one_has_answered() -> None:
    """The other one is asked only once, as a moment is over before it would be asked again."""
    with bound_udp() as hub, bound_udp() as silent:
        async with a_scene(PEER_AT, hub=at(hub), spare=at(silent)) as scene:
            await scene.know()
            relays = {
                node.key.public_key(): [at(udp)] for node, udp in ((scene.hub, hub), (scene.spare, silent))
            }
            measuring = asyncio.create_task(scene.pings.measure(relays, is_hurried=True))
            other = Discovery(bytes(scene.hub.key), os.urandom)
            other.set_peers([bytes(scene.network.nodes[0].key.public_key())])
            await _answer(other, hub, scene)

            answers = await measuring

            assert list(answers) == [scene.hub.key.public_key()]
            assert len(received(silent)) == 1


async def _called(udp: socket.socket, scene: Scene) -> PublicKey:
    """Return for whom the next initiation is."""
    nodes = (scene.hub, scene.peer, scene.spare)
    while True:
        data = await datagram(udp)
        for key in (node.key.public_key() for node in nodes):
            if Mac1Key(bytes(key)).fits(data):
                return key


async def _answer(other: Discovery, there: socket.socket, scene: Scene) -> None:
    """Have a node answer the next question."""
    loop, here = asyncio.get_running_loop(), ("127.0.0.1", scene.interface.listen_port)
    answer = other.receive(await loop.sock_recv(there, 2048), Endpoint(*here), boottime())
    assert answer
    await loop.sock_sendto(there, answer, here)
