"""A node that follows Kubernetes: what it announces, keeps and gives up, beside the real coordinator.

The API server is scripted here; tests/kubernetes has the real one.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.coordinator import in_a_loop
from tests.mesh.followers import CLUSTER, Cluster, FollowingNode, a_cluster, told
from tests.mesh.kubernetes_api import NODES, TOKEN, FakeApi
from tests.mesh.network import prefixes
from wgpy.contract.endpoint import Endpoint
from wgpy.node.agent_client import RouteChange
from wgpy.node.files import NodeFile
from wgpyd.options import KubernetesOptions

RANGE, RANGE6, OTHER = "10.244.2.0/24", "fd77:244:0:2::/64", "10.244.4.0/24"


def options(api: FakeApi, node: str = "worker-1") -> KubernetesOptions:
    return KubernetesOptions(api.url, str(api.token_file), str(api.ca_file), node=node)


@asynccontextmanager
async def scene(folder: Path, *ranges: str) -> AsyncIterator[tuple[Cluster, FakeApi]]:
    """ranges: that the nodes may announce, those of the cluster if none are given."""
    (folder / "api").mkdir()
    api = FakeApi(folder / "api")
    async with api.serve(), a_cluster(folder, ranges or CLUSTER) as cluster:
        yield cluster, api


@asynccontextmanager
async def following(
    folder: Path, *ranges: str, **status: Any
) -> AsyncIterator[tuple[FakeApi, FollowingNode]]:
    """A node that follows its Node, which has these pod ranges and this status."""
    async with scene(folder) as (cluster, api):
        api.set_node("worker-1", *ranges, **status)
        async with cluster.node(1, options(api)) as node:
            yield api, node


def kubeconfig(cluster: object, user: object) -> dict[str, object]:
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }


def standby(node: FollowingNode, name: str) -> list[str]:
    """Return for what another node stands by, as this one knows it."""
    found = node.member(name)
    return list(map(str, found.standby)) if found else []


# -- What is announced -----------------------------------------------------------------------------


@in_a_loop
async def test_ranges_that_come_late_are_announced_live_in_both_families(tmp_path: Path) -> None:
    async with scene(tmp_path) as (cluster, api):
        api.set_node("worker-1")
        api.set_node("worker-2", OTHER)
        async with cluster.node(1, options(api)) as node, cluster.node(2, options(api, "worker-2")) as other:
            await node.until(lambda: api.is_watched)
            assert node.routes == []

            api.set_node("worker-1", RANGE, RANGE6)

            await other.until(lambda: other.routes_of("n1") == [RANGE, RANGE6])
            await node.until(lambda: node.routes_of("n2") == [OTHER])
            assert node.routes == [RANGE, RANGE6]
            assert node.cluster.status.trouble == ""


@in_a_loop
async def test_a_node_that_is_registered_again_announces_its_new_range_and_no_more_its_old_one(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as (cluster, api):
        api.set_node("worker-1", RANGE)
        async with cluster.node(1, options(api)) as node, cluster.node(2, options(api, "worker-2")) as other:
            await other.until(lambda: other.routes_of("n1") == [RANGE])

            api.delete(NODES, "worker-1")
            await node.until(lambda: told(node, "has no Node worker-1", "goes on announcing"))
            kept = node.routes
            api.set_node("worker-1")
            api.set_node("worker-1", OTHER)

            await other.until(lambda: other.routes_of("n1") == [OTHER])
            assert kept == [RANGE]
            await node.until(lambda: not told(node, "has no Node"))


@in_a_loop
async def test_routes_that_do_not_come_from_kubernetes_stay(tmp_path: Path) -> None:
    async with scene(tmp_path, *CLUSTER, "192.168.1.0/24") as (cluster, api):
        api.set_node("worker-1", RANGE)
        async with cluster.node(1, options(api)) as node:
            await node.until(lambda: node.routes == [RANGE])
            assert node.cluster.status.ranges == prefixes(RANGE)
            by_hand = RouteChange(prefixes("192.168.1.0/24", OTHER), ())
            await node.publisher.change_routes(by_hand)

            api.set_node("worker-1", OTHER)  # which the operator announces already

            await node.until(lambda: node.routes == ["192.168.1.0/24", OTHER])
            api.set_node("worker-1", RANGE)
            await node.until(lambda: node.routes == ["192.168.1.0/24", OTHER, RANGE])


@in_a_loop
async def test_last_known_ranges_are_announced_while_there_is_no_api(tmp_path: Path) -> None:
    async with scene(tmp_path) as (cluster, api):
        api.set_node("worker-1", RANGE)
        async with cluster.node(1, options(api)) as node:
            await node.until(lambda: node.routes == [RANGE] and api.is_watched)
            await api.stop()
            await node.until(lambda: told(node, "does not answer", f"goes on announcing {RANGE}"))
            assert node.routes == [RANGE]

        async with cluster.node(1, options(api)) as node:
            await node.until(lambda: told(node, "does not answer"))
            assert node.routes == [RANGE]
            api.set_node("worker-1", OTHER)
            await api.start()

            await node.until(lambda: node.routes == [OTHER])
            await node.until(lambda: not list(node.warnings))


@in_a_loop
async def test_a_restored_api_whose_revisions_are_lower_is_listed_anew(tmp_path: Path) -> None:
    async with following(tmp_path, RANGE) as (api, node):
        await node.until(lambda: node.routes == [RANGE] and api.is_watched)
        await api.stop()
        api.revision = 1
        api.set_node("worker-1", OTHER)

        await api.start()

        await node.until(lambda: node.routes == [OTHER])


# -- What is refused -------------------------------------------------------------------------------


@in_a_loop
async def test_a_range_that_another_node_holds_stays_there_and_is_told_on_both_sides_of_seniority(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as (cluster, api):
        api.set_node("worker-2", RANGE)
        async with cluster.node(2, options(api, "worker-2")) as holder:
            await holder.until(lambda: holder.routes == [RANGE])
            api.set_node("worker-1", RANGE, RANGE6)  # written by whoever may write there
            api.set_node("worker-3", "10.244.0.0/16")
            async with (
                cluster.node(1, options(api)) as senior,
                cluster.node(3, options(api, "worker-3")) as junior,
            ):
                await senior.until(lambda: told(senior, RANGE, "n2 announces", "wgpy mesh remove n2"))
                await junior.until(lambda: told(junior, "10.244.0.0/16", f"n2 announces {RANGE}"))
                await senior.until(lambda: senior.routes == [RANGE6])

                assert junior.routes == []
                for node in (senior, junior, holder):
                    assert node.routes_of("n2") == [RANGE]

                api.set_node("worker-2", OTHER)  # it gives the range up

                await senior.until(lambda: RANGE in senior.routes)


@pytest.mark.parametrize("text", ["100.80.0.0/24", "100.96.7.0/24", "169.254.0.0/24", "fd12:3456:7::/64"])
@in_a_loop
async def test_a_range_of_the_mesh_itself_or_of_no_network_is_refused_and_told(
    tmp_path: Path, text: str
) -> None:
    async with following(tmp_path, RANGE, text) as (_, node):
        await node.until(lambda: told(node, f"pod range {text} is not announced", "overlaps"))
        await node.until(lambda: node.routes == [RANGE])


@in_a_loop
async def test_a_range_that_holds_the_api_server_or_this_host_is_refused_and_told(tmp_path: Path) -> None:
    async with scene(tmp_path) as (cluster, api):
        path = cluster.folder / "n1"
        replace(NodeFile.load(path), endpoints=(Endpoint("10.244.2.9", 51820),)).save(path)
        api.set_node("worker-1", RANGE, RANGE6)
        async with cluster.node(1, options(api)) as node:
            await node.until(lambda: told(node, RANGE, "10.244.2.9", "an endpoint of this node"))
            await node.until(lambda: node.routes == [RANGE6])
            assert node.cluster.notice() == {ip_address("127.0.0.1"): "the API server of Kubernetes"}


@in_a_loop
async def test_a_range_that_no_token_allows_waits_for_an_approval_and_says_so(tmp_path: Path) -> None:
    async with scene(tmp_path, "10.9.0.0/16") as (cluster, api):
        api.set_node("worker-1", RANGE)
        async with cluster.node(1, options(api)) as node, cluster.node(2, options(api, "worker-2")) as other:
            await node.until(lambda: told(node, RANGE, "wgpy mesh approve n1", "--routes"))
            assert other.routes_of("n1") == []

            await cluster.site.submit(cluster.administrator.approve(cluster.nodes[0].identity, RANGE))

            await other.until(lambda: other.routes_of("n1") == [RANGE])
            await node.until(lambda: not told(node, "wgpy mesh approve"))


@in_a_loop
async def test_a_network_of_pods_with_its_own_pools_is_told(tmp_path: Path) -> None:
    condition = {"type": "NetworkUnavailable", "status": "False", "reason": "CalicoIsUp"}
    async with following(tmp_path, RANGE, conditions=[condition]) as (_, node):
        await node.until(lambda: told(node, "Calico", "--kubernetes"))


@in_a_loop
async def test_a_node_stands_by_for_an_earlier_one_with_the_very_same_range_until_that_gives_it_up(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as (cluster, api):
        api.set_node("worker-1", RANGE)
        async with (
            cluster.node(1, options(api)) as holder,
            cluster.node(2, options(api, "worker-2")) as later,
        ):
            await later.until(lambda: later.routes_of("n1") == [RANGE])

            api.set_node("worker-2", RANGE)

            await later.until(lambda: told(later, RANGE, "does not answer", "wgpy mesh remove n1"))
            await holder.until(lambda: standby(holder, "n2") == [RANGE])
            assert (holder.routes_of("n1"), holder.routes_of("n2")) == ([RANGE], [])

            api.delete(NODES, "worker-1")  # so the range is the other one's

            await holder.until(lambda: holder.routes_of("n2") == [RANGE])
            assert holder.routes == []
            await later.until(lambda: not list(later.warnings))


@in_a_loop
async def test_a_range_whose_node_is_gone_for_a_while_is_given_up_also_for_an_earlier_member(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as (cluster, api):
        api.set_node("worker-2", RANGE)
        second = options(api, "worker-2")
        async with cluster.node(1, options(api)) as earlier, cluster.node(2, second, 0.5) as holder:
            await earlier.until(lambda: earlier.routes_of("n2") == [RANGE])
            api.set_node("worker-1", RANGE)
            await earlier.until(lambda: told(earlier, RANGE, "n2 announces"))

            api.delete(NODES, "worker-2")

            await holder.until(lambda: holder.routes == [])
            await earlier.until(lambda: earlier.routes == [RANGE])


# -- How the API is asked --------------------------------------------------------------------------


@in_a_loop
async def test_the_token_is_read_anew_for_each_request(tmp_path: Path) -> None:
    async with following(tmp_path, RANGE) as (api, node):
        await node.until(lambda: node.routes == [RANGE])
        api.tokens = {"a newer one"}
        api.token_file.write_text("a newer one\n")
        api.set_node("worker-1", OTHER)
        api.hang_up()

        await node.until(lambda: "a newer one" in api.tokens_seen and node.routes == [OTHER])
        await node.until(lambda: node.cluster.status.trouble == "")


@in_a_loop
async def test_a_revision_that_is_gone_has_the_node_listed_again(tmp_path: Path) -> None:
    async with following(tmp_path, RANGE) as (api, node):
        await node.until(lambda: api.is_watched)
        gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}

        api.say(json.dumps(gone).encode() + b"\n")
        requests = len(api.targets)

        await node.until(lambda: len(api.targets) >= requests + 2 and api.is_watched)
        assert node.routes == [RANGE]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: https://192.0.2.1/\r\n\r\n", "sends elsewhere"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "rbac.yaml"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "does not know this token"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answers 500"),
        (b"SSH-2.0-x\r\n\r\n", "does not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", "is no JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "does not answer"),
    ],
)
@in_a_loop
async def test_an_answer_that_cannot_be_used_is_told_and_changes_nothing(
    tmp_path: Path, answer: bytes, words: str
) -> None:
    async with following(tmp_path, RANGE) as (api, node):
        await node.until(lambda: node.routes == [RANGE])
        api.instead = answer
        api.hang_up()
        await node.until(lambda: told(node, words))
        assert node.routes == [RANGE]

        api.instead = b""
        api.set_node("worker-1", OTHER)

        await node.until(lambda: node.routes == [OTHER])


@in_a_loop
async def test_another_server_by_the_same_address_is_not_believed(tmp_path: Path) -> None:
    async with scene(tmp_path) as (cluster, api):
        api.set_node("worker-1", RANGE)
        (tmp_path / "other").mkdir()
        other = FakeApi(tmp_path / "other")
        await other.start()
        await other.stop()
        wrong = replace(options(api), ca_file=str(other.ca_file))
        async with cluster.node(1, wrong) as node:
            await node.until(lambda: told(node, "does not answer", "certificate verify failed"))
            assert node.routes == []
            assert api.tokens_seen == []


@pytest.mark.parametrize("kind", ["token", "tokenFile"])
@in_a_loop
async def test_a_kubeconfig_says_the_same_in_one_file(tmp_path: Path, kind: str) -> None:
    async with scene(tmp_path) as (cluster, api):
        api.set_node("worker-1", RANGE)
        user = {"token": TOKEN} if kind == "token" else {"tokenFile": str(api.token_file)}
        where = {"server": api.url, "certificate-authority": str(api.ca_file)}
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(kubeconfig(where, user)))
        async with cluster.node(1, KubernetesOptions(kubeconfig=str(file), node="worker-1")) as node:
            await node.until(lambda: node.routes == [RANGE])


@in_a_loop
async def test_missing_credentials_are_told_with_what_to_give(tmp_path: Path) -> None:
    async with scene(tmp_path) as (cluster, api):
        wanted = replace(options(api), token_file=str(tmp_path / "none"))
        async with cluster.node(1, wanted) as node:
            await node.until(lambda: told(node, "none cannot be read", "--kube-token=FILE"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "x: y",
        "\xff",
        '{"current-context": "c"}',
        '{"current-context": "c", "contexts": 3}',
        json.dumps(kubeconfig({"server": "https://127.0.0.1:1"}, None)),
        json.dumps(kubeconfig({"server": "http://127.0.0.1:1"}, {"token": "t"})),
        json.dumps(kubeconfig({"server": "https://127.0.0.1:1"}, {"token": "\u1234"})),
        json.dumps(kubeconfig(3, {"token": "t"})),
    ],
)
@in_a_loop
async def test_a_kubeconfig_that_is_none_is_told_and_ends_nothing(tmp_path: Path, text: str) -> None:
    async with scene(tmp_path) as (cluster, _):
        file = tmp_path / "kubeconfig"
        file.write_text(text, encoding="latin-1")
        async with cluster.node(1, KubernetesOptions(kubeconfig=str(file), node="worker-1")) as node:
            await node.until(lambda: told(node, "pod ranges of worker-1 are not known anew"))
