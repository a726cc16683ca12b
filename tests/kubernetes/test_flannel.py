"""The same cluster with flannel, whose VXLAN the mesh carries: the mesh knows nothing of pods."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.hosts import eventually
from tests.integration.ongoing import transfer
from tests.kubernetes.cluster import Cluster, running
from tests.kubernetes.paths import failures_between_pods, of_full_size, to_kubelets, to_services

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("own-clusters"), pytest.mark.timeout(600)]
_VXLAN6_HEADERS = 70  # bytes, over IPv6
_NODES = ["f1", "f2", "f3"]


@pytest.fixture(scope="module")
def overlaid(log_folder: Callable[[str], Path], cgroup: None) -> Iterator[Cluster]:
    with running(Cluster.boot_with_flannel, log_folder("flannel")) as cluster:
        eventually(lambda: failures_between_pods(cluster) == [], "each flannel knows the others", every=1)
        yield cluster


def test_flannel_leaves_room_for_its_headers(overlaid: Cluster) -> None:
    for worker in overlaid.workers:
        assert worker.flannel_subnet()["FLANNEL_MTU"] == str(worker.mtu)
        assert links(overlaid, worker.name) == {"flannel.1": worker.mtu, "flannel-v6.1": mtu6(overlaid)}


@pytest.mark.parametrize("name", _NODES)
def test_a_pod_reaches_pods_with_packets_of_full_size_services_the_api_and_nodes(
    overlaid: Cluster, name: str
) -> None:
    sizes = (overlaid.worker(name).mtu, mtu6(overlaid))
    checks = [*of_full_size(overlaid, name, sizes), *overlaid.pages_of_others(name)]
    checks += [*to_services(overlaid), *to_kubelets(overlaid, name)]

    assert overlaid.failures_from_pod(name, checks) == []


@pytest.mark.parametrize("name", ["f2", "f3"])
def test_logs_come_from_a_node_behind_a_nat(overlaid: Cluster, name: str) -> None:
    assert f"{name} serves" in overlaid.kubectl("logs", overlaid.pods[name].name)


@pytest.mark.parametrize("name", ["f1", "f3"])
def test_a_transfer_between_pods_goes_on_when_wgpyd_was_killed_and_started(
    overlaid: Cluster, name: str
) -> None:
    networks = overlaid.network_of_pod(name), overlaid.network_of_pod("f2")
    finish_transfer = transfer(*networks, overlaid.pods["f2"].addresses[0])
    node = overlaid.worker(name).node
    node.kill()

    node.start()

    finish_transfer()
    assert failures_between_pods(overlaid) == []


def mtu6(cluster: Cluster) -> int:
    """Return the largest packet that passes the second VXLAN."""
    (card,) = json.loads(cluster.workers[0].host.run("ip", "-json", "link", "show", "dev", "mesh0"))
    return int(card["mtu"]) - _VXLAN6_HEADERS


def links(cluster: Cluster, name: str) -> dict[str, int]:
    """Return the MTU of each VXLAN of a node."""
    found = json.loads(cluster.worker(name).host.run("ip", "-json", "link", "show", "type", "vxlan"))
    return {card["ifname"]: card["mtu"] for card in found}
