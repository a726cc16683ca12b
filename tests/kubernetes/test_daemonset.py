"""The DaemonSet takes over a node of the mesh: its pod is the node's daemon, without privileges."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.hosts import eventually
from tests.integration.meshlab import NETWORK, program
from tests.kubernetes.cluster import POD_PORT, Cluster, is_ready
from tests.kubernetes.images import IMAGE, host_folders
from tests.kubernetes.nodes import Worker
from tests.kubernetes.overlay import NAMESPACE, write_overlay
from wgpy.host.pod_masquerade import table_names

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(600)]

_CLONE = Path(__file__).parents[2]
_WITHIN = 180  # seconds
_CNI = "/var/lib/wgpyd/10-wgpy.conflist"


@pytest.fixture
def moved(cluster: Cluster, tmp_path: Path) -> Iterator[Worker]:
    """The node n3, whose daemon is the DaemonSet's; the others' go on as they are."""
    worker = cluster.worker("n3")
    ranges = cluster.plane.pod_ranges(worker.name)
    overlay = write_overlay(
        tmp_path / "overlay",
        network=NETWORK,
        api=cluster.plane.url,
        token="used up",
        image=IMAGE,
        patches=_patches(worker.name),
    )
    cluster.kubectl("apply", "-k", str(overlay))
    try:
        eventually(lambda: is_starting(cluster), "the pod is being started", _WITHIN)
        worker.node.kill()
        eventually(lambda: any(map(is_ready, daemon_pods(cluster))), "the daemon of the pod is up", _WITHIN)
        # What was announced by hand would stay so.
        worker.node.mesh("route", "remove", *ranges)
        yield worker
    finally:
        cluster.kubectl("delete", "-k", str(overlay), "--wait=false")
        eventually(lambda: not worker.node.is_ready(), "the daemon of the pod has ended", _WITHIN)
        worker.node.start()
        for table in table_names(worker.node.status().table):
            worker.host.attempt("nft", "delete", "table", *table.split())
        eventually(lambda: not _failures(cluster), "all is as before", _WITHIN)


def test_pods_are_reached_by_a_daemon_in_a_pod_and_its_ranges_come_from_kubernetes(
    cluster: Cluster, moved: Worker
) -> None:
    ranges = cluster.plane.pod_ranges(moved.name)

    eventually(lambda: followed(moved) == ranges, "it follows its Node", _WITHIN)
    eventually(lambda: not _failures(cluster), "its pod is reached", _WITHIN)
    eventually(moved.host.path(_CNI).exists, "there is a file for the CNI")
    (bridge, _) = json.loads(moved.host.path(_CNI).read_text())["plugins"]
    assert [one[0]["subnet"] for one in bridge["ipam"]["ranges"]] == ranges


def followed(worker: Worker) -> list[str]:
    """Return the ranges that the node announces for Kubernetes."""
    return list(map(str, worker.node.status().kubernetes.ranges))


def _failures(cluster: Cluster) -> list[str]:
    """Return what of the pod on n3 is not reached from n1."""
    addresses = cluster.pods["n3"].addresses
    return cluster.failures_from_node("n1", [["page", one, POD_PORT, "n3"] for one in addresses])


def _patches(name: str) -> list[dict[str, Any]]:
    """Return what has the pod run this clone's programs, on one node."""
    volumes, mounts = host_folders(_CLONE)
    pod = "/spec/template/spec"
    added = [
        *((f"{pod}/volumes/-", volume) for volume in volumes),
        *((f"{pod}/containers/0/volumeMounts/-", mount) for mount in mounts),
        *((f"{pod}/initContainers/0/volumeMounts/-", mount) for mount in mounts),
        (f"{pod}/containers/0/args/-", f"--cni={_CNI}"),
        (f"{pod}/nodeSelector", {"kubernetes.io/hostname": name}),
        (f"{pod}/terminationGracePeriodSeconds", 5),
        (f"{pod}/containers/0/command", [program("wgpyd")]),
        (f"{pod}/containers/0/imagePullPolicy", "Never"),
        (f"{pod}/initContainers/0/imagePullPolicy", "Never"),
    ]
    return [{"op": "add", "path": path, "value": value} for path, value in added]


def daemon_pods(cluster: Cluster) -> Any:
    return cluster.plane.admin.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]


def is_starting(cluster: Cluster) -> bool:
    """Whether its kubelet knows the pod, and goes on starting it, also while nobody reaches the API."""
    joins = [one for pod in daemon_pods(cluster) for one in pod["status"].get("initContainerStatuses", ())]
    return any("terminated" in one["state"] for one in joins)
