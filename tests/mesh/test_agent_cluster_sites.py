"""Gateways of clusters: sites whose prefixes are those of a cluster, and follow them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mesh.coordinator import in_a_loop
from tests.mesh.followers import Cluster, FollowingNode, a_cluster, told
from tests.mesh.kubernetes_api import NODES, FakeApi
from wgpy.node.agent_client import AgentError
from wgpyd.options import KubernetesOptions

RIGHTS = ("10.0.0.0/8", "fd77::/16")
PODS, WIDER, SERVICES = "10.244.0.0/16", "10.244.0.0/15", "10.96.0.0/16"


def options(api: FakeApi) -> KubernetesOptions:
    return KubernetesOptions(api.url, str(api.token_file), str(api.ca_file), role="gateway")


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[tuple[Cluster, FakeApi]]:
    """A cluster with a node and service ranges, and a network whose nodes may announce these."""
    (folder / "api").mkdir()
    api = FakeApi(folder / "api")
    api.set_node("worker-1", "10.244.2.0/24")
    api.set_service_ranges(SERVICES)
    async with api.serve(), a_cluster(folder, RIGHTS) as cluster:
        yield cluster, api


@asynccontextmanager
async def two_gateways(folder: Path) -> AsyncIterator[tuple[FakeApi, FollowingNode, FollowingNode]]:
    """Two nodes that follow the same cluster."""
    async with (
        scene(folder) as (cluster, api),
        cluster.node(1, options(api)) as first,
        cluster.node(2, options(api)) as second,
    ):
        yield api, first, second


@in_a_loop
async def test_a_site_has_the_ranges_of_its_cluster_and_follows_them(tmp_path: Path) -> None:
    async with two_gateways(tmp_path) as (api, gateway, other):
        answer = await gateway.add_site("blue")

        assert answer == ""
        assert gateway.routes == []  # a gateway's own pods are of the site
        await other.until(lambda: other.site("blue") == ([SERVICES, PODS], [SERVICES, PODS], 1))
        assert gateway.cluster.status.sites == ("blue",)

        api.set_node("worker-2", "10.244.3.0/24")
        api.set_node("worker-3", "10.245.9.0/24")

        await other.until(lambda: other.site("blue") == ([SERVICES, WIDER], [SERVICES, WIDER], 1))


@in_a_loop
async def test_a_second_cluster_with_the_same_ranges_is_mapped_and_what_stays_keeps_its_prefix(
    tmp_path: Path,
) -> None:
    async with two_gateways(tmp_path) as (api, blue, green):
        await blue.add_site("blue")
        answer = await green.add_site("green")
        assert "blue already is" in answer
        await green.until(lambda: green.site("green")[0] == [SERVICES, PODS])
        _, mapped, _ = green.site("green")
        assert all(prefix.startswith("100.") for prefix in mapped)

        api.set_node("worker-2", "10.3.0.0/24")

        wanted = ["10.3.0.0/16", SERVICES, PODS]
        await green.until(lambda: green.site("green")[0] == wanted)
        assert green.site("green")[1][1:] == mapped


@in_a_loop
async def test_two_gateways_of_a_site_both_have_its_new_ranges(tmp_path: Path) -> None:
    async with two_gateways(tmp_path) as (api, first, second):
        await first.add_site("blue", priority=7)
        await second.until(lambda: second.site("blue")[2] == 1)
        await second.add_site("blue", priority=9)
        await first.until(lambda: first.site("blue")[2] == 2)

        api.set_node("worker-3", "10.245.9.0/24")

        await first.until(lambda: first.site("blue") == ([SERVICES, WIDER], [SERVICES, WIDER], 2))
        found = first.membership.topology.site("blue")
        assert found is not None
        assert sorted(one.priority for one in found.gateways) == [7, 9]


@in_a_loop
async def test_a_site_stays_as_it_is_while_there_is_no_api_and_over_a_restart(tmp_path: Path) -> None:
    async with scene(tmp_path) as (cluster, api):
        async with cluster.node(1, options(api)) as gateway:
            await gateway.add_site("blue")
            await api.stop()
            await gateway.until(lambda: told(gateway, "the ranges of blue are not known anew"))
            assert gateway.site("blue")[0] == [SERVICES, PODS]
        async with cluster.node(1, options(api)) as gateway:
            await gateway.until(lambda: told(gateway, "the ranges of blue are not known anew"))
            assert gateway.site("blue")[0] == [SERVICES, PODS]
            api.set_node("worker-3", "10.245.9.0/24")
            await api.start()

            await gateway.until(lambda: gateway.site("blue")[0] == [SERVICES, WIDER])
            await gateway.until(lambda: not list(gateway.warnings))


@in_a_loop
async def test_a_site_that_is_removed_follows_no_more(tmp_path: Path) -> None:
    async with scene(tmp_path) as (cluster, api), cluster.node(1, options(api)) as gateway:
        await gateway.add_site("blue")
        gateway.cluster.follow_site("blue", is_followed=False)
        await gateway.sites.remove("blue")
        requests = len(api.targets)

        api.delete(NODES, "worker-1")
        api.set_node("worker-3", "10.245.9.0/24")
        api.hang_up()

        await gateway.until(lambda: len(api.targets) >= requests + 4)
        assert gateway.identity.node.sites == ()
        assert gateway.cluster.status.sites == ()


@in_a_loop
async def test_a_cluster_that_cannot_be_asked_makes_no_site_and_says_why(tmp_path: Path) -> None:
    async with scene(tmp_path) as (cluster, api):
        wrong = replace(options(api), token_file=str(tmp_path / "none"))
        async with cluster.node(1, wrong) as node:
            asking = asyncio.create_task(node.cluster.site_ranges())
            with pytest.raises(AgentError, match="none cannot be read"):
                await asking
