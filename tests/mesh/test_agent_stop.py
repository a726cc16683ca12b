"""A node that is stopped while it works."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.mesh.network import ADDRESSES6
from tests.mesh.test_agent import HOME, Scene, in_a_scene, until
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.wire import GOSSIP_PORT

IPV6_FREEBIND = 78
TIMES = 5  # as the order within the loop differs


@contextmanager
def in_use(address: tuple[str, int]) -> Iterator[None]:
    """Raises OSError if somebody else listens there."""
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        other.bind(address)
        other.listen()
        yield


@in_a_scene
async def test_a_node_that_is_stopped_while_it_works_listens_no_longer(world: Scene) -> None:
    address = str(node_address6(ADDRESSES6, world.node.identity.verify_key())), GOSSIP_PORT

    for _ in range(TIMES):
        with ExitStack() as others:
            others.enter_context(in_use(address))
            async with world.agent() as agent:
                await until(agent, lambda status: status.connected)
                before = len(agent.plan.peers)
                others.close()
                world.network.join(HOME)
                world.coordinator.send(world.network.records[-1])
                while len(agent.plan.peers) == before:  # noqa: ASYNC110 - as `until`
                    await asyncio.sleep(0)

        with in_use(address):
            pass
