"""What becomes of packets from a node's host that lead nowhere."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.datapath.packets import ipv4
from tests.mesh.test_agent import Scene, in_a_scene
from wgpy.contract.drops import DropReason
from wgpy.driver.interface import Interface
from wgpy.host.tun import PacketSocket
from wgpy.node.files import NodeFile
from wgpyd.agent.agent import Agent

NOWHERE = ipv4("100.80.0.1", "100.80.77.77", b"to nobody")
ICMP_HOST_UNREACHABLE = bytes((3, 1))


@asynccontextmanager
async def agent_and_host(world: Scene) -> AsyncIterator[tuple[Agent, socket.socket]]:
    """Give a node that is not started yet, and the host's end of its interface, which works already."""
    ours, host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host.setblocking(False)
    async with Interface(PacketSocket(ours, name="no-such-link")) as interface:
        yield Agent("prod", world.folder, NodeFile.load(world.folder), interface), host
    host.close()


@in_a_scene
async def test_until_the_first_plan_nobody_is_told_that_a_host_is_unreachable(world: Scene) -> None:
    loop = asyncio.get_running_loop()
    async with agent_and_host(world) as (agent, host):
        await loop.sock_sendall(host, NOWHERE)
        while not agent.interface.counters()[DropReason.NO_PEER_FOR_DESTINATION]:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)
        await agent.start()
        await loop.sock_sendall(host, NOWHERE)

        answer = await loop.sock_recv(host, 2048)

        assert answer[20:22] == ICMP_HOST_UNREACHABLE
        assert agent.interface.counters()[DropReason.NO_PEER_FOR_DESTINATION] == 2
        await agent.stop()
