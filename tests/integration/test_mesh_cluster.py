"""A cluster whose nodes are in different networks: its pods and services do not know.

World: meshlab.World. The cluster's nodes are beta in a cloud, desk and sensor each behind a NAT.
"""

from collections.abc import Sequence

import pytest

from tests.integration.clusters import (
    Cluster,
    Worker,
    ask_service,
    seen_on_wire,
    throughput,
    watch_for_fragments,
)
from tests.integration.exchange import fragments_made
from tests.integration.hosts import Lab, eventually
from tests.integration.meshlab import Node, World

_MTU = 1380  # of the mesh
_CARD = "eth0"


@pytest.fixture
def world(lab: Lab) -> World:
    """A network of one node, the coordinator's; the cluster's nodes are not in it yet."""
    world = World.build(lab)
    world.found()
    return world


def members(world: World) -> list[Node]:
    """Return who is to be in the cluster."""
    return [world.node(name) for name in ("beta", "desk", "sensor")]


def workers(nodes: Sequence[Node]) -> list[Worker]:
    """Return nodes as the cluster knows them, by their addresses in the mesh, and watch their wires."""
    for node in nodes:
        watch_for_fragments(node.host, _CARD)
    return [Worker(node.host, number, node.address(), "mesh0") for number, node in enumerate(nodes, 1)]


def assert_pods_and_services_are_reached(world: World, cluster: Cluster) -> None:
    """By packets of full size, of which none is fragmented, neither in the mesh nor below it."""
    unreached = [(one, other) for one, other in cluster.pairs() if not one.reaches(other, cluster.mtu)]
    assert not unreached
    names = cluster.serve()
    for pod in cluster.pods:
        assert ask_service(pod.host, len(names)) == names
    for worker in cluster.workers:
        assert ask_service(worker.host, len(names)) == names
    _, desk, sensor = cluster.workers
    rate = throughput(desk.pods[0], sensor.pods[0])
    print(f"TCP between pods of desk and sensor, packets of {cluster.mtu} bytes: {rate:.0f} Mbit/s")

    for worker in cluster.workers:
        passed, fragments = seen_on_wire(worker.host, _CARD)
        assert passed > 0
        assert fragments == 0
    hosts = [worker.host for worker in cluster.workers] + [pod.host for pod in cluster.pods]
    hosts += [site.router for site in world.sites]
    assert not [host.name for host in hosts if fragments_made(host)]


def assert_no_packet_may_be_larger(cluster: Cluster) -> None:
    """The node says so to a pod that thinks otherwise; and a fragment on the wire would have been seen."""
    one, other = next(cluster.pairs())
    one.host.run("ip", "link", "set", _CARD, "mtu", str(cluster.mtu + 1))
    assert f"Frag needed and DF set (mtu = {cluster.mtu})" in one.ping(other, cluster.mtu + 1).output

    worker = cluster.workers[0]
    worker.host.run("ping", "-c", "1", "-s", "3000", "198.51.100.1")
    assert seen_on_wire(worker.host, _CARD)[1] > 0


def test_pods_reach_each_other_by_vxlan_over_the_mesh(lab: Lab, world: World) -> None:
    token = world.hub.token("--uses", "3")
    for node in members(world):
        node.join(token)

    cluster = Cluster.encapsulated(lab, workers(members(world)))

    assert cluster.mtu == _MTU - 50
    assert_pods_and_services_are_reached(world, cluster)
    assert_no_packet_may_be_larger(cluster)


def test_pods_reach_each_other_without_encapsulation_where_their_routes_are_allowed(
    lab: Lab, world: World
) -> None:
    beta, desk, sensor = members(world)
    may_announce = world.hub.token("--uses", "2", "--routes", "10.42.0.0/16")
    beta.join(may_announce, "--routes", "10.42.1.0/24")
    desk.join(may_announce, "--routes", "10.42.2.0/24")
    sensor.join(world.hub.token(), "--routes", "10.42.3.0/24")

    cluster = Cluster.routed(lab, workers(members(world)))

    assert cluster.mtu == _MTU
    pod = cluster.workers[0].pods[0]
    assert pod.reaches(cluster.workers[1].pods[0], cluster.mtu)
    assert not pod.reaches(cluster.workers[2].pods[0], cluster.mtu, within=1)
    assert list(map(str, sensor.status().requested)) == ["10.42.3.0/24"]
    assert not [node for node in (world.hub, beta, desk) if routes(node, "10.42.3.0/24")]

    world.hub.mesh("approve", "sensor")

    eventually(lambda: routes(desk, "10.42.3.0/24") and routes(beta, "10.42.3.0/24"), "the route is there")
    assert_pods_and_services_are_reached(world, cluster)
    assert_no_packet_may_be_larger(cluster)


def routes(node: Node, prefix: str) -> bool:
    """Say whether a node has a route of its own for a prefix."""
    return node.host.run("ip", "route", "show", "table", "all", "exact", prefix) != ""
