"""A node answers questions by UDP of those that have a key of the network, and is silent to others."""

import asyncio
import os
import socket

from tests.mesh.test_agent import HOME, Scene, in_a_scene
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.node.agent_client import RoundTrip, RoundTripWanted, UdpAnswer, UsedPath
from wgpy.paths.discovery import Discovery


@in_a_scene
async def test_only_who_has_a_key_of_the_network_is_answered(world: Scene) -> None:
    async with world.agent() as agent:
        own = bytes(world.node.key.public_key())
        there = Endpoint("127.0.0.1", agent.interface.listen_port)
        question = Discovery(bytes(world.network.nodes[1].key), os.urandom).ask(own, there, 0)
        other_question = Discovery(os.urandom(32), os.urandom).ask(own, there, 0)
        loop = asyncio.get_running_loop()
        with _udp(HOME.address) as unknown, _udp("127.0.0.77") as host:
            await loop.sock_sendto(unknown, other_question, (there.address, there.port))
            while not agent.interface.counters()[DropReason.UNKNOWN_PEER]:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0)
            await loop.sock_sendto(host, question, (there.address, there.port))

            answer = await loop.sock_recv(host, 2048)

            assert len(answer) == len(question)
            assert not _has_something(unknown)


@in_a_scene
async def test_a_peers_endpoints_are_asked_and_their_answers_told(world: Scene) -> None:
    peer = world.network.nodes[1]
    async with world.agent() as agent:
        (told,) = await agent.control.ask_by_udp(str(peer.identity.verify_key()))

    assert told == UdpAnswer(str(HOME), False, 0)


@in_a_scene
async def test_a_peer_that_does_not_answer_is_told_with_the_path_that_was_tried(world: Scene) -> None:
    peer = world.network.nodes[1].identity.verify_key()
    async with world.agent() as agent:
        told = await agent.control.measure(RoundTripWanted(peer, 1))
        path = await agent.control.measure(RoundTripWanted(peer, 0))

    assert told == path == RoundTrip(0, UsedPath(str(HOME), "", False))


def _udp(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind((address, 0))
    return made


def _has_something(udp: socket.socket) -> bool:
    try:
        udp.recv(2048)
    except BlockingIOError:
        return False
    return True
