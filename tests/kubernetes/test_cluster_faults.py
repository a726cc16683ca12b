"""Faults of a cluster over three networks: what works meanwhile, and that nothing needs a hand afterwards."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from tests.integration.hosts import eventually
from tests.integration.ongoing import nothing_lost, nothing_lost_but_for, transfer
from tests.kubernetes.cluster import SERVICE_PORT, Cluster
from tests.kubernetes.paths import failures_between_pods

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(600)]
_WITHIN = 180  # seconds


def test_pods_talk_while_there_is_no_api_server(cluster: Cluster) -> None:
    cluster.plane.stop_api()
    try:
        assert failures_between_pods(cluster) == []
    finally:
        cluster.plane.start_api()
    cluster.wait_for_nodes()


def test_pods_talk_while_there_is_no_coordinator_of_the_mesh(cluster: Cluster) -> None:
    cluster.world.coordinator.kill()
    try:
        assert failures_between_pods(cluster) == []
    finally:
        cluster.world.coordinator.start()


@pytest.mark.parametrize("name", ["n1", "n3"])
def test_a_transfer_between_pods_goes_on_when_wgpyd_was_killed_and_started(
    cluster: Cluster, name: str
) -> None:
    finish_transfer = _transfer(cluster, name, "n2")
    node = cluster.worker(name).node
    node.kill()

    node.start()

    finish_transfer()
    assert failures_between_pods(cluster) == []


def test_a_transfer_between_pods_goes_on_while_wgpyd_is_upgraded(cluster: Cluster) -> None:
    finish_transfer = _transfer(cluster, "n1", "n3")

    for name in ("n1", "n3"):
        with nothing_lost_but_for(
            cluster.network_of_pod("n1"), cluster.pods["n3"].addresses[0], seconds=0.5
        ):  # a restart takes longer
            cluster.worker(name).node.replace()

    finish_transfer()
    assert failures_between_pods(cluster) == []


def test_a_node_that_lost_power_is_left_out_and_serves_again_after_its_boot(cluster: Cluster) -> None:
    lost = cluster.worker("n3")
    ranges = cluster.plane.pod_ranges("n3")
    others = [worker.name for worker in cluster.others("n3")]

    lost.cut_power()
    eventually(lambda: cluster.ready_nodes() == set(others), "n3 is not ready", _WITHIN)
    service = cluster.service_addresses()[0]
    assert cluster.failures_from_node("n1", [["service", service, SERVICE_PORT, others]]) == []

    lost.switch_on(cluster.plane)
    cluster.wait_for_nodes()
    eventually(lambda: _all_pods_talk(cluster), "the pods of all nodes talk", _WITHIN)  # n3's begins anew
    assert cluster.plane.pod_ranges("n3") == ranges


def test_a_node_that_is_deleted_and_registered_again_uses_its_new_ranges(cluster: Cluster) -> None:
    before = cluster.plane.pod_ranges("n3")

    _register_again(cluster, "n3")

    assert set(cluster.plane.pod_ranges("n3")).isdisjoint(before)
    assert _has_pod_in_its_ranges(cluster, "n3")
    assert failures_between_pods(cluster) == []


def test_pods_talk_while_etcd_is_restored_from_a_backup_in_which_a_node_has_other_ranges(
    cluster: Cluster,
) -> None:
    before = cluster.plane.pod_ranges("n3")
    backup = cluster.plane.snapshot()
    _register_again(cluster, "n3")

    with nothing_lost(cluster.network_of_pod("n1"), cluster.pods["n2"].addresses[0]):
        cluster.plane.restore(backup)
        for worker in cluster.workers:  # as Kubernetes asks for
            worker.stop("kubelet")
            worker.start_kubelet(cluster.plane)
        cluster.wait_for_nodes()
        eventually(lambda: _has_pod_in_its_ranges(cluster, "n3"), "n3 has its pod", _WITHIN)

    assert cluster.plane.pod_ranges("n3") == before
    assert failures_between_pods(cluster) == []


def _transfer(cluster: Cluster, source: str, target: str) -> Callable[[], None]:
    """Begin a transfer between the pods of two nodes, at a rate at which none of their packets is lost."""
    networks = cluster.network_of_pod(source), cluster.network_of_pod(target)
    return transfer(*networks, cluster.pods[target].addresses[0], "--bitrate", "20M")


def _register_again(cluster: Cluster, name: str) -> None:
    """Have a node be deleted, and come back with other ranges and another pod."""
    worker = cluster.worker(name)
    worker.stop("kubelet")
    cluster.plane.delete_node(name)
    cluster.plane.admin.delete(
        f"/api/v1/namespaces/default/pods/{cluster.pods[name].name}?gracePeriodSeconds=0"
    )
    worker.start_kubelet(cluster.plane)  # as Kubernetes asks for: a kubelet registers at its start only
    cluster.wait_for_nodes()
    cluster.plane.wait_for_pod_ranges(name)
    cluster.wait_for_pods()


def _all_pods_talk(cluster: Cluster) -> bool:
    """Say whether each node has its pod, as the API says, and these reach each other."""
    cluster.wait_for_pods()
    are_there = all(cluster.network_of_pod(name).is_there() for name in cluster.node_names)
    return are_there and failures_between_pods(cluster) == []


def _has_pod_in_its_ranges(cluster: Cluster, name: str) -> bool:
    """Say whether a node's pod is there, as the API says, with addresses of the node's ranges."""
    cluster.wait_for_pods()
    addresses = cluster.pods[name].addresses
    ranges = cluster.plane.pod_ranges(name)
    return cluster.network_of_pod(name).is_there() and all(
        ip_address(address) in ip_network(prefix) for address, prefix in zip(addresses, ranges, strict=True)
    )
