"""`wgpy doctor kubernetes` on nodes of a real cluster: what is right is good, what is wrong is found."""

from collections.abc import Mapping

import pytest

from tests.documents import checked
from tests.integration.commands import run_wgpy
from tests.kubernetes.cluster import Cluster

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(600)]

_CHECKS = (
    "node-ip",
    "kube-proxy's mark",
    "kube-proxy's clusterCIDR",
    "forwarding",
    "rp_filter",
    "MTU of pods",
    "connections",
)


@pytest.mark.parametrize("name", ["n1", "n3"])
def test_what_a_cluster_is_told_right_is_good(cluster: Cluster, name: str) -> None:
    found = verdicts(cluster, name)

    assert {check: found[check] for check in _CHECKS} == dict.fromkeys(_CHECKS, "good")


def test_an_mtu_that_does_not_fit_is_wrong(cluster: Cluster) -> None:
    worker = cluster.worker("n2")
    worker.host.run("ip", "link", "set", "cni0", "mtu", "1500")
    try:
        found = verdicts(cluster, "n2")
    finally:
        worker.host.run("ip", "link", "set", "cni0", "mtu", str(worker.mtu))

    assert found["MTU of pods"] == "wrong"
    assert found["node-ip"] == "good"


def verdicts(cluster: Cluster, name: str) -> Mapping[str, str]:
    done = run_wgpy(cluster.worker(name).host, "doctor", "kubernetes", "--json")
    return {
        one["check"]: one["verdict"]
        for one in checked(("wgpy", "doctor", "kubernetes"), done.output)["findings"]
    }
