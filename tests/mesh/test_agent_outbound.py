"""What becomes of packets from a node's host that lead nowhere, or into the tunnel that they came from."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from struct import pack

from tests.datapath.packets import ipv4
from tests.mesh.test_agent import Scene, in_a_scene, until
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
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


@in_a_scene
async def test_status_tells_of_the_meshs_datagrams_that_the_host_routes_into_it(world: Scene) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as peer:
        peer.bind(("127.0.0.1", 0))
        to = Endpoint(*peer.getsockname())
        world.network.join(to)
        world.store()
        async with agent_and_host(world) as (agent, host):
            await agent.start()
            assert not [line for line in (await agent.control.status()).warnings if "back into" in line]
            initiation = await asyncio.get_running_loop().sock_recv(peer, 2048)
            udp = pack(">HHHH", agent.interface.listen_port, to.port, 8 + len(initiation), 0) + initiation
            address = str(world.network.nodes[-1].address)

            await asyncio.get_running_loop().sock_sendall(host, ipv4("100.80.0.1", address, udp))

            status = await until(agent, lambda status: any("back into" in line for line in status.warnings))
            assert any("routed 1 of" in line and "no-such-link" in line for line in status.warnings)
            await agent.stop()
