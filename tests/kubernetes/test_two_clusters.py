"""Two clusters with the same ranges in one mesh: each is a site of it, by two gateways.

hub    cloud-a          the mesh's coordinator, and in no cluster
blue   b1, b2 cloud-a   a cluster of two nodes, which both are its gateways; b1 has the control plane
green  g1, g2 cloud-b   the same, with the very same ranges of pods and services
phone  office           no node: a client with wireguard-go, which enters by the hub
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, eventually
from tests.integration.meshlab import NETWORK, World
from tests.kubernetes.cluster import POD_PORT, SERVICE, SERVICE_PORT, Cluster, failures_from, serving
from tests.kubernetes.controlplane import Ranges
from tests.kubernetes.phone import add_phone
from wgpy.contract.orders import AllowedIP
from wgpy.datapath.translation import mapped_address

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("own-clusters"), pytest.mark.timeout(600)]
_NODES = {"blue": ["b1", "b2"], "green": ["g1", "g2"]}
_PLACES = {"blue": "cloud-a", "green": "cloud-b"}
each = pytest.mark.parametrize("name", _NODES)
both_ways = pytest.mark.parametrize(("here", "there"), [("blue", "green"), ("green", "blue")])


@dataclass(slots=True)
class Clusters:
    """Both, and the mesh."""

    world: World
    by_name: dict[str, Cluster]

    def mapped(self, name: str, address: str) -> str:
        """Return by which address the mesh reaches a cluster's own one."""
        (site,) = self.world.node(_NODES[name][0]).ask("site", "show", name)["sites"]
        for real, mapped in zip(site["real"], site["mapped"], strict=True):
            if ip_address(address) in ip_network(real):
                found = mapped_address(ip_address(address).packed, _prefix(real), _prefix(mapped))
                return str(ip_address(found or b""))
        raise AssertionError(f"{address} is not of {site}")

    def by_address(self, name: str) -> list[list[object]]:
        """Return checks of a cluster's service and of all of its pods."""
        cluster, nodes = self.by_name[name], _NODES[name]
        services = [self.mapped(name, one) for one in cluster.service_addresses()]
        pods = [(node, self.mapped(name, one)) for node in nodes for one in cluster.pods[node].addresses]
        return [
            *(["service", one, SERVICE_PORT, nodes] for one in services),
            *(["page", one, POD_PORT, node] for node, one in pods),
        ]


@pytest.fixture(scope="module")
def clusters(log_folder: Callable[[str], Path], cgroup: None) -> Iterator[Clusters]:
    folders = {name: log_folder(name) for name in _NODES}
    lab = Lab(folders["blue"])
    try:
        world = _world(lab)
        with ThreadPoolExecutor() as pool:
            booted = pool.map(lambda name: _boot(world, name, folders[name]), _NODES)
            yield Clusters(world, dict(zip(_NODES, booted, strict=True)))
    finally:
        lab.power_off()


@both_ways
def test_a_pod_of_any_node_calls_services_and_pods_of_the_other_cluster(
    clusters: Clusters, here: str, there: str
) -> None:
    checks = clusters.by_address(there)

    for node in _NODES[here]:
        assert clusters.by_name[here].failures_from_pod(node, checks) == []


@both_ways
def test_a_pod_calls_a_service_of_the_other_cluster_by_its_name(
    clusters: Clusters, here: str, there: str
) -> None:
    checks = [_named(there, version) for version in (4, 6)]
    checks += [["service", f"{SERVICE}.default", SERVICE_PORT, _NODES[here]]]

    for node in _NODES[here]:
        assert clusters.by_name[here].failures_from_pod(node, checks) == []


@each
def test_a_pod_and_a_host_of_the_mesh_that_is_in_no_cluster_reach_each_other(
    clusters: Clusters, name: str
) -> None:
    hub = clusters.world.hub
    checks = [["page", hub.address(version), POD_PORT, "hub"] for version in (4, 6)]

    with serving(hub.host, "hub"):
        for node in _NODES[name]:
            assert clusters.by_name[name].failures_from_pod(node, checks) == []
    assert failures_from(hub.host, clusters.by_address(name)) == []


@each
def test_a_client_reaches_services_by_name_and_pods_of_every_node(
    clusters: Clusters, phone: Host, name: str
) -> None:
    assert failures_from(phone, [*clusters.by_address(name), _named(name, 4), _named(name, 6)]) == []


def test_new_connections_go_by_the_other_gateway_when_one_is_killed_under_a_transfer(
    clusters: Clusters,
) -> None:
    blue, green, first = clusters.by_name["blue"], clusters.by_name["green"], clusters.world.node("g1")
    to_pod = [["page", clusters.mapped("green", one), POD_PORT, "g2"] for one in green.pods["g2"].addresses]
    transfer = ["slowly", *to_pod[0][1:3]]

    def is_under_way() -> bool:
        # What the server has closed and not sent yet counts, too. The gateway lends its address.
        return first.inside in green.network_of_pod("g2").run("ss", "-Htn")

    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(blue.failures_from_pod, "b2", [transfer])
        eventually(is_under_way, "the transfer is under way")
        first.kill()
        try:
            for node in _NODES["blue"]:
                assert blue.failures_from_pod(node, [*to_pod, _named("green", 4)]) == []
            assert green.failures_from_pod("g2", clusters.by_address("blue")) == []
            assert len(under_way.result()) == 1  # it fails: the other gateway has another address
        finally:
            first.start()


@pytest.fixture(scope="module")
def phone(clusters: Clusters) -> Host:
    return add_phone(clusters.world)


def _named(cluster: str, version: int) -> list[object]:
    name = f"{SERVICE}.default.svc.{cluster}.{NETWORK}.mesh"
    return ["named", name, version, SERVICE_PORT, _NODES[cluster]]


def _prefix(text: str) -> AllowedIP:
    network = ip_network(text)
    return AllowedIP(network.network_address.packed, network.prefixlen)


def _boot(world: World, name: str, folder: Path) -> Cluster:
    cluster = Cluster.boot_site(world, [world.node(node) for node in _NODES[name]], folder)
    cluster.run_service()
    cluster.make_site(name)
    cluster.run_dns(name)
    return cluster


def _world(lab: Lab) -> World:
    ranges = Ranges()
    world = World.networks(lab)
    world.stand("hub", "cloud-a", 9)
    for cluster, nodes in _NODES.items():
        for number, name in enumerate(nodes, 20):
            world.stand(name, _PLACES[cluster], number)
    world.found()
    world.populate("--routes", *ranges.pods, *ranges.services)
    for node in world.others:  # a gateway has a way to what is behind it, by IPv6, too
        add_addresses(node.host, "eth0", f"2001:db8::{node.inside.rpartition('.')[2]}/64")
        node.host.run("ip", "-6", "route", "add", "default", "via", "2001:db8::1")
    return world
