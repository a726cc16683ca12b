"""Three hosts in three networks, two of them behind NATs: as one cluster, or as one cluster each."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration import cgroups
from tests.integration.hosts import Lab, add_addresses
from tests.integration.meshlab import PORT, World
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.controlplane import Ranges

_ADDRESSES6 = {"cloud": "2001:db8::1", "office": "2001:db8::2", "edge": "2001:db8::3"}


@dataclass(frozen=True, slots=True)
class Running:
    """Clusters that run, with a pod on each node. ready: seconds from bare hosts to all nodes ready."""

    world: World
    clusters: Sequence[Cluster]
    ready: float

    def certificates(self) -> int:
        """Return how many certificates there are, the mesh's included."""
        folders = [cluster.plane.authority.folder for cluster in self.clusters]
        folders.append(self.world.coordinator.folder)
        files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        return sum(b"-----BEGIN CERTIFICATE-----" in file.read_bytes() for file in files)


def one_cluster(world: World, folder: Path) -> list[Cluster]:
    """Make a mesh of the hosts, and of that one cluster."""
    ranges = Ranges()
    world.found()
    world.hub.mesh("approve", world.hub.name, *ranges.pods)
    token = world.hub.token("--uses", "2", "--routes", *ranges.pods)
    cluster = Cluster.start(world, world.nodes, folder, lambda node: node is world.hub or node.join(token))
    return [cluster]


def three_clusters(world: World, folder: Path) -> list[Cluster]:
    """Make each host a cluster, with a control plane of its own and no mesh."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: _cluster_of(world, name, folder / name), _ADDRESSES6))


def _cluster_of(world: World, name: str, folder: Path) -> Cluster:
    folder.mkdir()
    node = world.node(name)
    return Cluster.start_alone(world, node, (node.inside, _ADDRESSES6[name]), folder)


ARRANGEMENTS: dict[str, Callable[[World, Path], list[Cluster]]] = {
    "one cluster over three sites": one_cluster,
    "three clusters": three_clusters,
}


@contextmanager
def running(arrangement: str) -> Iterator[Running]:
    """Give the clusters of an arrangement, with a service on each; nothing is left of them afterwards."""
    cgroups.remove_old()
    with TemporaryDirectory(prefix="wgpy-sites-") as place:
        lab = Lab(Path(place))
        try:
            world = _world(lab)
            begin = time.monotonic()
            clusters = ARRANGEMENTS[arrangement](world, Path(place))
            ready = time.monotonic() - begin
            for cluster in clusters:
                cluster.run_service()
            if world.coordinator.processes():  # as installed: what a test starts shares memory with others
                world.coordinator.kill()
                world.coordinator.start()
            yield Running(world, clusters, ready)
        finally:
            lab.power_off()
            cgroups.remove_own()


def _world(lab: Lab) -> World:
    world = World.networks(lab)
    world.stand("cloud", "cloud-a", 10)
    world.stand("office", "office", 10).options = ("--endpoint", f"192.0.2.10:{PORT}")
    world.stand("edge", "edge", 20)
    for name, address in _ADDRESSES6.items():
        add_addresses(world.node(name).host, "eth0", f"{address}/64")
    return world
