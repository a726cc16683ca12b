"""A node of a mesh follows a real API server, with the rights that daemon/deploy/kubernetes gives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import ParamSpec
from uuid import uuid4

from tests.kubernetes.controlplane import ControlPlane
from tests.kubernetes.overlay import rbac_rules
from tests.mesh.followers import FollowingNode, a_cluster, told
from wgpyd.options import KubernetesOptions

P = ParamSpec("P")


def _in_a_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test that is a coroutine, as long as a control plane on a busy machine takes."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def scenario() -> None:
            await test(*args, **kwargs)

        asyncio.run(scenario())

    return run


@_in_a_loop
async def test_ranges_that_kubernetes_chooses_are_announced_in_both_families(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with _following(control_plane, tmp_path) as (node, other, name):
        await node.until(lambda: told(node, "has no Node"))

        ranges = await _registered(control_plane, name, other)

        assert len(ranges) == 2


@_in_a_loop
async def test_a_node_that_is_deleted_and_registered_again_has_its_new_ranges(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with _following(control_plane, tmp_path) as (_, other, name):
        before = await _registered(control_plane, name, other)

        control_plane.delete_node(name)
        after = await _registered(control_plane, name, other)

        assert set(after).isdisjoint(before)


@_in_a_loop
async def test_a_restart_of_the_api_that_forgets_old_versions_changes_nothing_and_is_survived(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with _following(control_plane, tmp_path) as (node, other, name):
        before = await _registered(control_plane, name, other)

        control_plane.compact()
        kept = node.routes
        control_plane.delete_node(name)
        after = await _registered(control_plane, name, other)

        assert set(after).isdisjoint(before)
        assert kept == before


@_in_a_loop
async def test_a_site_has_the_service_ranges_and_what_holds_the_pods_of_a_real_cluster(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    async with _following(control_plane, tmp_path, "gateway") as (node, other, name):
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


@asynccontextmanager
async def _following(
    plane: ControlPlane, folder: Path, role: str = ""
) -> AsyncIterator[tuple[FollowingNode, FollowingNode, str]]:
    """Give a node that follows the Node of a name that nobody has yet, and another that follows another."""
    name = f"worker-{uuid4().hex[:8]}"
    token = folder / "token"
    token.write_text(plane.make_account(rbac_rules()).token)
    options = KubernetesOptions(plane.url, str(token), str(plane.ca_file), node=name, role=role)
    elsewhere = replace(options, node=f"{name}-other")
    async with (
        a_cluster(folder, (*plane.ranges.pods, *plane.ranges.services)) as cluster,
        cluster.node(1, options) as node,
        cluster.node(2, elsewhere) as other,
    ):
        yield node, other, name
