"""One cluster over three networks, two of them behind NATs: every path of pods and nodes is in the mesh."""

from itertools import product

import pytest

from tests.kubernetes.cluster import NODE_PORT, POD_PORT, SERVICE_PORT, Cluster, failures_from, serving
from tests.kubernetes.paths import of_full_size, to_kubelets, to_services
from tests.kubernetes.phone import add_phone

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(600)]
_NODES = ["n1", "n2", "n3"]


def test_every_node_is_known_by_its_addresses_in_the_mesh(cluster: Cluster) -> None:
    for worker in cluster.workers:
        node = cluster.plane.admin.get(f"/api/v1/nodes/{worker.name}")
        found = [one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP"]
        assert found == list(worker.addresses)


@pytest.mark.parametrize("name", _NODES)
def test_a_pod_reaches_the_pods_of_other_nodes_with_packets_of_full_size(cluster: Cluster, name: str) -> None:
    mtu = cluster.worker(name).mtu
    checks = [*of_full_size(cluster, name, (mtu, mtu)), *cluster.pages_of_others(name)]

    assert cluster.failures_from_pod(name, checks) == []


@pytest.mark.parametrize("name", _NODES)
def test_a_pod_reaches_services_the_api_and_the_other_nodes(cluster: Cluster, name: str) -> None:
    checks = [*to_services(cluster), *to_kubelets(cluster, name)]

    assert cluster.failures_from_pod(name, checks) == []


@pytest.mark.parametrize("name", _NODES)
def test_a_node_reaches_pods_services_and_node_ports(cluster: Cluster, name: str) -> None:
    # Not that of IPv6: these hosts have no route to it, which is looked up before kube-proxy translates.
    service = ["service", cluster.service_addresses()[0], SERVICE_PORT, _NODES]
    node_ports = [
        ["service", worker.addresses[family], NODE_PORT, _NODES]
        for worker, family in product(cluster.workers, range(2))
    ]

    assert cluster.failures_from_node(name, [*cluster.pages_of_others(name), service, *node_ports]) == []


@pytest.mark.parametrize("name", ["n2", "n3"])
def test_logs_come_from_a_node_behind_a_nat(cluster: Cluster, name: str) -> None:
    said = cluster.kubectl("logs", cluster.pods[name].name)

    assert f"{name} serves" in said


def test_pods_and_a_host_of_the_mesh_that_is_no_node_of_the_cluster_reach_each_other(
    cluster: Cluster,
) -> None:
    hub = cluster.world.hub
    checks = [["page", hub.address(version), POD_PORT, "hub"] for version in (4, 6)]

    with serving(hub.host, "hub"):
        for name in _NODES:
            assert cluster.failures_from_pod(name, checks) == []
    assert failures_from(hub.host, _pods(cluster)) == []


def test_a_client_reaches_the_pods_of_every_node(cluster: Cluster) -> None:
    assert failures_from(add_phone(cluster.world), _pods(cluster)) == []


def _pods(cluster: Cluster) -> list[list[object]]:
    """Return checks of all of them."""
    return [["page", one, POD_PORT, name] for name in _NODES for one in cluster.pods[name].addresses]
