"""Two clusters with the same ranges in one mesh: each is a site of it, by one gateway.

blue   b1 in cloud-a  a cluster of one node, which is its gateway
green  g1 in cloud-b  the same, with the very same ranges of pods and services
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.integration.hosts import Lab, add_addresses
from tests.integration.meshlab import World
from tests.kubernetes.cluster import POD_PORT, SERVICE_PORT, Cluster
from tests.kubernetes.controlplane import Ranges
from wgpy.contract.orders import AllowedIP
from wgpy.datapath.translation import mapped_address

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(600)]
_GATEWAYS = {"blue": "b1", "green": "g1"}


@dataclass(slots=True)
class Clusters:
    """Both, and the mesh."""

    world: World
    by_name: dict[str, Cluster]

    def mapped(self, name: str, address: str) -> str:
        """Return by which address the mesh reaches a cluster's own one."""
        (site,) = self.world.node(_GATEWAYS[name]).ask("site", "show", name)
        for real, mapped in zip(site["real"], site["mapped"], strict=True):
            if ip_address(address) in ip_network(real):
                found = mapped_address(ip_address(address).packed, _prefix(real), _prefix(mapped))
                return str(ip_address(found or b""))
        raise AssertionError(f"{address} is not of {site}")


@pytest.fixture(scope="module")
def clusters(log_folder: Callable[[str], Path], cgroup: None) -> Iterator[Clusters]:
    folders = {name: log_folder(name) for name in _GATEWAYS}
    lab = Lab(folders["blue"])
    try:
        world = _world(lab)
        with ThreadPoolExecutor() as pool:
            booted = pool.map(
                lambda name: Cluster.boot_site(world, world.node(_GATEWAYS[name]), folders[name]), _GATEWAYS
            )
            clusters = dict(zip(_GATEWAYS, booted, strict=True))
        for name, cluster in clusters.items():
            cluster.run_service()
            world.node(_GATEWAYS[name]).mesh("site", "add", name, "--kubernetes", "--mapped")
        yield Clusters(world, clusters)
    finally:
        lab.power_off()


@pytest.mark.parametrize(("here", "there"), [("blue", "green"), ("green", "blue")])
def test_a_pod_calls_services_and_pods_of_the_other_cluster(
    clusters: Clusters, here: str, there: str
) -> None:
    other, answering = clusters.by_name[there], _GATEWAYS[there]
    service = [clusters.mapped(there, one) for one in other.service_addresses()]
    pods = [clusters.mapped(there, one) for one in other.pods[answering].addresses]

    checks = [["service", one, SERVICE_PORT, [answering]] for one in service]
    checks += [["page", one, POD_PORT, answering] for one in pods]
    assert clusters.by_name[here].failures_from_pod(_GATEWAYS[here], checks) == []


def _prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def _world(lab: Lab) -> World:
    ranges = Ranges()
    world = World.networks(lab)
    world.stand("hub", "cloud-a", 9)
    world.stand("b1", "cloud-a", 20)
    world.stand("g1", "cloud-b", 20)
    world.found()
    world.populate("--routes", *ranges.pods, *ranges.services)
    for node in world.others:  # a gateway has a way to what is behind it, by IPv6, too
        add_addresses(node.host, "eth0", "2001:db8::20/64")
        node.host.run("ip", "-6", "route", "add", "default", "via", "2001:db8::1")
    return world
