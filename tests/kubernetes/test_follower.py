"""A node of a mesh follows a real API server, with the rights that daemon/deploy/kubernetes gives."""

from pathlib import Path

from tests.kubernetes.controlplane import ControlPlane
from tests.kubernetes.following import following, in_a_loop
from tests.mesh.followers import FollowingNode, told


@in_a_loop
async def test_ranges_that_kubernetes_chooses_are_announced_in_both_families(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with following(control_plane, tmp_path) as (node, other, name):
        await node.until(lambda: told(node, "has no Node"))

        ranges = await _registered(control_plane, name, other)

        assert len(ranges) == 2


@in_a_loop
async def test_a_node_that_is_deleted_and_registered_again_has_its_new_ranges(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with following(control_plane, tmp_path) as (_, other, name):
        before = await _registered(control_plane, name, other)

        control_plane.delete_node(name)
        after = await _registered(control_plane, name, other)

        assert set(after).isdisjoint(before)


@in_a_loop
async def test_a_restart_of_the_api_that_forgets_old_versions_changes_nothing_and_is_survived(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with following(control_plane, tmp_path) as (node, other, name):
        before = await _registered(control_plane, name, other)

        control_plane.compact()
        kept = node.routes
        control_plane.delete_node(name)
        after = await _registered(control_plane, name, other)

        assert set(after).isdisjoint(before)
        assert kept == before


@in_a_loop
async def test_a_site_has_the_service_ranges_and_what_holds_the_pods_of_a_real_cluster(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with following(control_plane, tmp_path, "gateway") as (node, other, name):
        control_plane.make_node(name)
        control_plane.wait_for_pod_ranges(name)

        await node.add_site("blue")

        await other.until(lambda: other.site("blue")[2] == 1)
        real, mapped, _ = other.site("blue")
        assert set(real) == {*control_plane.ranges.pods, *control_plane.ranges.services}
        assert mapped == real
        found = node.membership.topology.site("blue")
        assert found is not None
        assert ([*map(str, found.servers)], found.zones) == (["10.96.0.10"], ("cluster.local",))


async def _registered(plane: ControlPlane, name: str, other: FollowingNode) -> list[str]:
    """Register the Node; return its pod ranges once another node knows that they are announced."""
    plane.make_node(name)
    ranges = plane.wait_for_pod_ranges(name)
    await other.until(lambda: other.routes_of("n1") == ranges)
    return ranges
