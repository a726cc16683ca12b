"""A node that learns who else is a gateway, as `wgpy.mesh.failover` judges them."""

from ipaddress import ip_network

from tests.mesh.test_agent import HOME, Scene, in_a_scene, until
from wgpy.node.files import NodeFile

PODS = ip_network("10.42.5.0/24")


def join(world: Scene) -> NodeFile:
    """Have a node join that nobody hears, and that has the route or stands by for it."""
    node = world.network.join(HOME, routes=(PODS,))
    approval = world.network.administrator.approve(node.identity, str(PODS))
    world.coordinator.send(world.network.records[-2], approval)
    return node


@in_a_scene
async def test_a_silent_one_to_which_this_node_sent_before_another_one_stood_by_is_left(world: Scene) -> None:
    async with world.agent() as agent:
        await until(agent, lambda status: status.connected)
        silent = join(world)
        await until(agent, lambda status: len(status.peers) == 3)
        agent.interface.send_keepalive(silent.key.public_key())

        join(world)

        left = f"{PODS} is reached by n5, as n4 did not answer"
        await until(agent, lambda status: left in status.warnings)
