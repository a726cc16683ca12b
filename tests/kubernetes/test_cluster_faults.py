"""Faults of a cluster over three networks: what works meanwhile, and that nothing needs a hand afterwards."""

from ipaddress import ip_address, ip_network

import pytest

from tests.integration.hosts import eventually
from tests.kubernetes.cluster import SERVICE_PORT, Cluster

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(600)]
_WITHIN = 180  # seconds


def test_pods_talk_while_there_is_no_api_server(cluster: Cluster) -> None:
    cluster.plane.stop_api()
    try:
        assert _failures_between_pods(cluster) == []
    finally:
        cluster.plane.start_api()
    cluster.wait_for_nodes()


def test_pods_talk_while_there_is_no_coordinator_of_the_mesh(cluster: Cluster) -> None:
    cluster.world.coordinator.kill()
    try:
        assert _failures_between_pods(cluster) == []
    finally:
        cluster.world.coordinator.start()


@pytest.mark.parametrize("name", ["n1", "n3"])
def test_pods_are_reached_again_when_wgpyd_was_killed_and_started(cluster: Cluster, name: str) -> None:
    node = cluster.worker(name).node
    node.kill()

    node.start()

    assert _failures_between_pods(cluster) == []


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
    cluster.wait_for_pods()
    assert cluster.plane.pod_ranges("n3") == ranges
    assert _failures_between_pods(cluster) == []


def test_a_node_that_is_deleted_and_registered_again_uses_its_new_ranges(cluster: Cluster) -> None:
    worker = cluster.worker("n3")
    before = cluster.plane.pod_ranges("n3")
    worker.stop("kubelet")
    cluster.plane.delete_node("n3")
    cluster.plane.admin.delete(
        f"/api/v1/namespaces/default/pods/{cluster.pods['n3'].name}?gracePeriodSeconds=0"
    )

    worker.start_kubelet(cluster.plane)  # as Kubernetes asks for: a kubelet registers at its start only
    cluster.wait_for_nodes()
    after = cluster.plane.wait_for_pod_ranges("n3")
    cluster.wait_for_pods()

    assert set(after).isdisjoint(before)
    for address, prefix in zip(cluster.pods["n3"].addresses, after, strict=True):
        assert ip_address(address) in ip_network(prefix)
    assert _failures_between_pods(cluster) == []


def _failures_between_pods(cluster: Cluster) -> list[str]:
    """Have the pod of every node ask those of all others, and return what failed; without the API server."""
    return [
        failure
        for name in cluster.node_names
        for failure in cluster.failures_in_network_of_pod(name, cluster.pages_of_others(name))
    ]
