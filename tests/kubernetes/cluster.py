"""A cluster of Kubernetes whose nodes stand in three networks and know each other by the mesh alone.

hub cloud                 public; the mesh's coordinator, and no node of Kubernetes
n1  cloud                 public; also the control plane
n2  office, behind a NAT  one UDP port is mapped to it
n3  edge, behind a NAT    nothing is mapped
"""

import ctypes
import json
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

from tests.integration.commands import import_programs, launcher
from tests.integration.hosts import Host, HostProcess, Lab, eventually
from tests.integration.meshlab import PORT, Node, World
from tests.kubernetes import clusterdns, components
from tests.kubernetes.controlplane import NODES, ControlPlane, Place, Ranges
from tests.kubernetes.images import IMAGE, PYTHON, host_folders, write_image
from tests.kubernetes.nodes import VXLAN_HEADERS, Worker
from tests.kubernetes.overlay import BASE, NAMESPACE, rbac_rules

_WEBPOD = Path(__file__).with_name("webpod.py")
_PODS = "/api/v1/namespaces/default/pods"
_TIMEOUT = 60  # seconds, for what takes few on a machine at rest
_EVERY = 0.1  # seconds: who asks the API more often keeps it from working
_API_PORTS = (6443, 2379, 2380)
_CARD_MTU = 1500
_AT_ONCE = 16  # steps of a start
_RIGHTS = ("namespace.yaml", "rbac.yaml", "coredns.yaml")  # as KUBERNETES.md has an operator apply them
POD_PORT, SERVICE_PORT, NODE_PORT = 8080, 80, 30080
SERVICE = "web"

_ENTER_NETWORK = """
for network in /run/netns/*; do
    ip -netns "${{network##*/}}" -o address | grep -qF ' {address}/' &&
        exec nsenter --net="$network" {command}
done
exit 1
"""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of the service, which says the name of its node to all who ask. addresses: IPv4 and IPv6."""

    name: str
    node: str
    addresses: tuple[str, str]


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """A pod's network, in which programs of its node run. address: by which it is found, IPv4."""

    host: Host
    address: str

    def run(self, *command: str) -> str:
        return self.host.run(*self._entering(command))

    def start(self, *command: str) -> HostProcess:
        return self.host.start(*self._entering(command))

    def is_there(self) -> bool:
        return self.host.attempt(*self._entering(("true",))).status == 0

    def _entering(self, command: Sequence[str]) -> tuple[str, ...]:
        return ("sh", "-c", _ENTER_NETWORK.format(address=self.address, command=shlex.join(command)))


@dataclass(slots=True)
class Cluster:
    """The nodes and the control plane; the mesh is `world`."""

    world: World
    plane: ControlPlane
    workers: list[Worker]
    folder: Path
    pods: dict[str, Pod] = field(default_factory=dict)  # of the service, by their nodes

    @classmethod
    def boot(cls, lab: Lab, folder: Path) -> "Cluster":
        """Start everything, and return when all nodes are ready."""
        with ThreadPoolExecutor(1) as pool:  # the mesh is made while hosts become ready for it
            pool.submit(import_programs)
            world = _networks(lab, "n")
            token = pool.submit(_found, world, "--routes", *Ranges().pods)
            return cls.start(
                world, world.others, folder, lambda node: node.join(token.result()), daemon=launcher("wgpyd")
            )

    @classmethod
    def boot_with_flannel(cls, lab: Lab, folder: Path) -> "Cluster":
        """As `boot`, but flannel joins pods by VXLAN, and the mesh knows none. Its nodes are f1 to f3."""
        world = _networks(lab, "f")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            token = pool.submit(_found, world)
            cluster = cls.start(
                world, world.others, folder, lambda node: node.join(token.result()), flannel=True
            )
            list(pool.map(lambda worker: worker.start_flannel(cluster.plane), cluster.workers))
        return cluster

    @classmethod
    def start(
        cls, world: World, nodes: Sequence[Node], folder: Path,
        join: Callable[[Node], object] = lambda _: None, *, flannel: bool = False, daemon: str = "",
    ) -> "Cluster":  # fmt: skip
        """Make hosts a cluster, whose control plane is on the first; return when all nodes are ready.

        join: has a host join the mesh, if it is no node of that yet; flannel: whether it will join the pods;
        daemon: as for `Node.serve`.
        """
        image = write_image(folder / "pod.tar")
        workers = [Worker(node, makes_network=flannel) for node in nodes]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            joining = [pool.submit(_join, worker, join) for worker in workers]
            starting = [pool.submit(worker.power_on, image) for worker in workers]
            plane = _start_etcd(workers[0], folder)
            joining[0].result()
            plane.boot_api(workers[0].addresses[0])
            others = [pool.submit(plane.complete)]
            token = plane.make_account(rbac_rules(), "wgpy").token
            for step in (*joining, *starting):
                step.result()
            others += [pool.submit(_make_node, worker, plane, token, daemon) for worker in workers]
            for step in others:
                step.result()
        cluster = cls(world, plane, workers, folder)
        cluster.wait_for_nodes()
        return cluster

    def worker(self, name: str) -> Worker:
        return next(worker for worker in self.workers if worker.name == name)

    @property
    def node_names(self) -> list[str]:
        return [worker.name for worker in self.workers]

    def others(self, name: str) -> list[Worker]:
        return [worker for worker in self.workers if worker.name != name]

    @classmethod
    def boot_site(cls, world: World, nodes: Sequence[Node], folder: Path) -> "Cluster":
        """Start a cluster in one network, whose nodes are gateways to the mesh; its own network knows none.

        The first node also has the control plane.
        """
        image = write_image(folder / "pod.tar")
        workers = [_worker_of_site(node) for node in nodes]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            starting = [pool.submit(worker.power_on, image) for worker in workers[1:]]
            cluster = cls(world, _start_plane(workers[0], folder, image), workers, folder)
            cluster.kubectl("apply", *(f"--filename={BASE / file}" for file in _RIGHTS))
            token = cluster.plane.new_token(NAMESPACE, "wgpy")
            for step in starting:
                step.result()
            list(pool.map(lambda worker: _make_gateway(worker, cluster.plane, token), workers))
        cluster.wait_for_nodes()
        cluster.route_pods()
        return cluster

    @classmethod
    def start_alone(cls, world: World, node: Node, addresses: tuple[str, str], folder: Path) -> "Cluster":
        """Make one host a cluster without a mesh. addresses: of its card, one a family."""
        worker = Worker(node, _CARD_MTU, addresses, makes_network=True)
        plane = _start_plane(worker, folder, write_image(folder / "pod.tar"))
        worker.start_kubelet(plane)
        worker.start_proxy(plane)
        cluster = cls(world, plane, [worker], folder)
        cluster.wait_for_nodes()
        return cluster

    def route_pods(self) -> None:
        """Have each node know where the pods of the others are, which are in its own network."""
        for worker, other in permutations(self.workers, 2):
            for pods, way in zip(self.plane.wait_for_pod_ranges(other.name), other.ways, strict=True):
                worker.host.run("ip", "route", "add", pods, "via", way)

    # -- What it runs ----------------------------------------------------------------------------

    def run_service(self) -> None:
        """Have a pod on each node serve, all of them as one service."""
        admin = self.plane.admin
        admin.create("/apis/apps/v1/namespaces/default/daemonsets", _daemon_set())
        admin.create("/api/v1/namespaces/default/services", _service())
        self.wait_for_pods()

    def wait_for_nodes(self) -> None:
        eventually(lambda: self.ready_nodes() == set(self.node_names), "all nodes are ready", every=_EVERY)

    def wait_for_pods(self) -> None:
        """Return when every node has a pod of the service that is ready, and know these."""
        eventually(self._know_pods, "all pods are ready", every=_EVERY)

    def _know_pods(self) -> bool:
        self.pods = self.ready_pods()
        return set(self.pods) == set(self.node_names)

    def ready_nodes(self) -> set[str]:
        return {node["metadata"]["name"] for node in self.plane.admin.get(NODES)["items"] if is_ready(node)}

    def service_addresses(self, name: str = SERVICE) -> list[str]:
        """Return the addresses of a service, one a family."""
        found = self.plane.admin.get(f"/api/v1/namespaces/default/services/{name}")
        return list(found["spec"]["clusterIPs"])

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl where the control plane is."""
        return self.workers[0].host.run(
            str(components.program()), "kubectl", f"--kubeconfig={self.plane.kubeconfig}",
            f"--cache-dir={self.folder / 'kubectl'}", *arguments,
        )  # fmt: skip

    def make_site(self, name: str) -> None:
        """Have each node be a gateway of the cluster, the first one before the others."""
        for priority, worker in enumerate(self.workers, 1):
            worker.node.mesh("site", "add", name, "--kubernetes", "--mapped", "--priority", str(priority))

    def run_dns(self, name: str) -> None:
        """Run CoreDNS, which knows the mesh by the gateways of a site of this cluster."""
        clusterdns.make_settings(self.plane.admin)
        self.workers[0].node.mesh("site", "coredns", name)
        clusterdns.start(self.plane.admin)
        eventually(lambda: clusterdns.is_ready(self.plane.admin), "CoreDNS is ready", _TIMEOUT)

    def execute(self, pod: Pod, *command: str) -> str:
        """Run a command in a pod, by the API server and the kubelet of its node."""
        return self.kubectl("exec", pod.name, "--", *command)

    def failures_from_pod(self, node: str, checks: Sequence[object]) -> list[str]:
        """Make checks in the pod of a node; see webpod.py."""
        said = self.execute(self.pods[node], *_python("check", json.dumps(checks)))
        return list(json.loads(said))

    def network_of_pod(self, node: str) -> "PodNetwork":
        return PodNetwork(self.worker(node).host, self.pods[node].addresses[0])

    def failures_in_network_of_pod(self, node: str, checks: Sequence[object]) -> list[str]:
        """Make checks in a pod's network, for which nobody is asked but its node."""
        said = self.network_of_pod(node).run(*_python("check", json.dumps(checks)))
        return list(json.loads(said))

    def failures_from_node(self, node: str, checks: Sequence[object]) -> list[str]:
        """Make checks on a node itself."""
        return failures_from(self.worker(node).host, checks)

    def pages_of_others(self, name: str) -> list[list[object]]:
        """Return checks of who answers at the addresses of all pods but the one on a node."""
        return [
            ["page", address, POD_PORT, other.name]
            for other in self.others(name)
            for address in self.pods[other.name].addresses
        ]

    def ready_pods(self, name: str = SERVICE) -> dict[str, Pod]:
        """Return the pods of a service that are ready, by their nodes."""
        found = self.plane.admin.get(f"{_PODS}?labelSelector=app={name}")["items"]
        return {pod["spec"]["nodeName"]: _pod(pod) for pod in found if is_ready(pod)}


@contextmanager
def running(boot: Callable[[Lab, Path], Cluster], folder: Path) -> Iterator[Cluster]:
    """Give a cluster with a service, whose hosts end with it. boot: starts it, its files in this folder."""
    lab = Lab(folder)
    try:
        cluster = boot(lab, folder)
        cluster.run_service()
        yield cluster
    finally:
        lab.power_off()


@contextmanager
def serving(host: Host, name: str) -> Iterator[None]:
    """Have a host that is in no cluster serve as the pods do."""
    server = host.start(*_python("serve", str(POD_PORT), name))
    try:
        eventually(lambda: "serves" in server.log.read_text(), f"{name} serves")
        yield
    finally:
        server.kill()


def failures_from(host: Host, checks: Sequence[object]) -> list[str]:
    """Make checks on any host; see webpod.py."""
    return list(json.loads(host.run(*_python("check", json.dumps(checks)))))


def connect_from(host: Host, address: tuple[str, int]) -> socket.socket:
    """Return a connection that a host has made; this process holds it. Raises OSError."""
    with ThreadPoolExecutor(1) as pool:  # whose thread stays in the host's network as long as it lives
        return pool.submit(_move_and_connect, host, address).result()


def _move_and_connect(host: Host, address: tuple[str, int]) -> socket.socket:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{host.namespace()}/ns/net").open() as network:
        if libc.setns(network.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    return socket.create_connection(address, _TIMEOUT)


# -- How it is started -------------------------------------------------------------------------------


def _networks(lab: Lab, prefix: str) -> World:
    """prefix: of the names of nodes, which no two clusters of a process share."""
    world = World.networks(lab)
    world.stand("hub", "cloud-a", 9)
    world.stand(f"{prefix}1", "cloud-a", 10)
    world.stand(f"{prefix}2", "office", 10).options = ("--endpoint", f"192.0.2.10:{PORT}")
    world.stand(f"{prefix}3", "edge", 20)
    return world


def _found(world: World, *options: str) -> str:
    """Make a mesh and return a token for all its nodes."""
    world.found()
    return world.hub.token("--uses", str(len(world.others)), *options)


def _join(worker: Worker, join: Callable[[Node], object]) -> None:
    join(worker.node)
    worker.read_addresses()
    if worker.makes_network:
        worker.mtu -= VXLAN_HEADERS


def _worker_of_site(node: Node) -> Worker:
    """Return one whose cluster knows it in its own network; that has an IPv6 address of this number, too."""
    worker = Worker(node, makes_network=True)
    worker.read_addresses()
    worker.addresses = (node.inside, worker.addresses[1])
    worker.ways = (node.inside, f"2001:db8::{node.inside.rpartition('.')[2]}")
    return worker


def _make_node(worker: Worker, plane: ControlPlane, token: str, daemon: str) -> None:
    if not worker.makes_network:
        worker.follow(plane, token, daemon)
    worker.start_kubelet(plane)
    worker.start_proxy(plane)


def _make_gateway(worker: Worker, plane: ControlPlane, token: str) -> None:
    worker.be_gateway(plane, token)
    worker.start_kubelet(plane)
    worker.start_proxy(plane)


def _start_plane(worker: Worker, folder: Path, image: Path) -> ControlPlane:
    """Start the control plane of a cluster on one node. image: of all pods."""
    worker.power_on(image)
    plane = _start_etcd(worker, folder)
    plane.boot_api(worker.addresses[0])
    plane.complete()
    return plane


def _start_etcd(worker: Worker, folder: Path) -> ControlPlane:
    """Start what is to be the control plane of a cluster on one node."""
    place = Place(
        lambda _name, *command: worker.host.start(*command),
        lambda target: connect_from(worker.host, target),
        nodes=True,
    )
    return ControlPlane.boot_etcd(folder, place, Ranges(), _API_PORTS)


# -- What the API says -------------------------------------------------------------------------------


def is_ready(thing: Any) -> bool:
    """Say whether a Node or a pod is."""
    conditions = thing["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _pod(document: Any) -> Pod:
    first, second = (found["ip"] for found in document["status"]["podIPs"])
    return Pod(document["metadata"]["name"], document["spec"]["nodeName"], (first, second))


def _daemon_set() -> object:
    volumes, mounts = host_folders(_WEBPOD.parent)
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", f'exec {shlex.join(_python("serve", str(POD_PORT)))} "$NODE"'],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "readinessProbe": {"tcpSocket": {"port": POD_PORT}, "periodSeconds": 1},
        "volumeMounts": mounts,
    }
    pod = {
        "terminationGracePeriodSeconds": 0,
        "tolerations": [{"operator": "Exists"}],
        "volumes": volumes,
        "containers": [container],
    }
    labels = {"app": SERVICE}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "metadata": {"name": SERVICE},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _service() -> object:
    port = {"port": SERVICE_PORT, "targetPort": POD_PORT, "nodePort": NODE_PORT}
    families = {"ipFamilyPolicy": "RequireDualStack", "type": "NodePort"}
    return {
        "metadata": {"name": SERVICE},
        "spec": {"selector": {"app": SERVICE}, "ports": [port], **families},
    }


def _python(*arguments: str) -> tuple[str, ...]:
    return (PYTHON, "-I", "-S", str(_WEBPOD), *arguments)
