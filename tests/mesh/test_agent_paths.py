"""What a node publishes of the paths to it, and gives back to a coordinator that lost it."""

from tests.mesh.network import key_of
from tests.mesh.test_agent import Scene, in_a_scene
from wgpy.mesh.records import Paths, decode


@in_a_scene
async def test_a_coordinator_that_lost_the_paths_to_a_node_is_given_them_back(world: Scene) -> None:
    paths = world.network.administrator.register(world.node.identity, (key_of(7), 10))
    world.store()

    async with world.agent():
        await world.coordinator.until_given(paths)


@in_a_scene
async def test_a_node_that_others_can_dial_takes_back_what_it_published_before(world: Scene) -> None:
    paths = world.network.administrator.register(world.node.identity, (key_of(7), 10))
    world.store()

    async with world.agent():
        await world.coordinator.until_given(paths)
        while (found := _paths(world)) is None or found.relays:
            await world.coordinator.changed()

    assert found.sequence == 2
    assert (found.endpoints, found.relays, found.nat) == ((), (), "")


@in_a_scene
async def test_a_node_without_anything_to_say_publishes_no_paths(world: Scene) -> None:
    async with world.agent() as agent:
        await world.coordinator.until(1)
        await agent.control.status()

    assert _paths(world) is None


def _paths(world: Scene) -> Paths | None:
    """Return what the coordinator has of our node."""
    identity = world.node.identity.verify_key()
    found = (decode(signed.body) for signed in world.coordinator.ledger)
    return next((one for one in found if isinstance(one, Paths) and one.signer == identity), None)
