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
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.integration.hosts import Host, Lab, eventually
from tests.integration.meshlab import PORT, Node, World
from tests.kubernetes import components
from tests.kubernetes.controlplane import NODES, ControlPlane, Place, Ranges
from tests.kubernetes.images import IMAGE, PYTHON, host_folders, write_image
from tests.kubernetes.nodes import Worker
from tests.kubernetes.overlay import rbac_rules

_WEBPOD = Path(__file__).with_name("webpod.py")
_PODS = "/api/v1/namespaces/default/pods"
_TIMEOUT = 60  # seconds, for what takes few on a machine at rest
_API_PORTS = (6443, 2379, 2380)
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
        ranges = Ranges()
        world = _join(lab, ranges.pods)
        write_image(folder / "pod.tar")
        workers = [_worker(node) for node in world.others]
        with ThreadPoolExecutor() as pool:
            starting = [pool.submit(_power_on, worker, folder / "pod.tar") for worker in workers]
            plane = _control_plane(folder, workers[0].host, workers[0].addresses[0], ranges)
            for started in starting:
                started.result()
            token = plane.make_account(rbac_rules(), "wgpy").token
            list(pool.map(lambda worker: _make_node(worker, plane, token), workers))
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
    def boot_site(cls, world: World, node: Node, folder: Path) -> "Cluster":
        """Start a cluster of one node, which is its gateway to the mesh; its network knows none."""
        ranges = Ranges()
        write_image(folder / "pod.tar")
        worker = replace(_worker(node), addresses=(node.inside, node.address(6)), makes_network=True)
        _power_on(worker, folder / "pod.tar")
        plane = _control_plane(folder, node.host, node.inside, ranges)
        worker.be_gateway(plane, plane.make_account(rbac_rules(), "wgpy").token)
        worker.start_kubelet(plane)
        worker.start_proxy(plane)
        cluster = cls(world, plane, [worker], folder)
        cluster.wait_for_nodes()
        return cluster

    # -- What it runs ----------------------------------------------------------------------------

    def run_service(self) -> None:
        """Have a pod on each node serve, all of them as one service."""
        admin = self.plane.admin
        admin.create("/apis/apps/v1/namespaces/default/daemonsets", _daemon_set())
        admin.create("/api/v1/namespaces/default/services", _service())
        self.wait_for_pods()

    def wait_for_nodes(self) -> None:
        eventually(lambda: self.ready_nodes() == set(self.node_names), "all nodes are ready")

    def wait_for_pods(self) -> None:
        """Return when every node has a pod of the service that is ready, and know these."""
        eventually(lambda: set(self._ready_pods()) == set(self.node_names), "all pods are ready")
        self.pods = self._ready_pods()

    def ready_nodes(self) -> set[str]:
        return {node["metadata"]["name"] for node in self.plane.admin.get(NODES)["items"] if is_ready(node)}

    def service_addresses(self) -> list[str]:
        """Return the addresses of the service, one a family."""
        found = self.plane.admin.get(f"/api/v1/namespaces/default/services/{SERVICE}")
        return list(found["spec"]["clusterIPs"])

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl where the control plane is."""
        return self.workers[0].host.run(
            str(components.program()), "kubectl", f"--kubeconfig={self.plane.kubeconfig}",
            f"--cache-dir={self.folder / 'kubectl'}", *arguments,
        )  # fmt: skip

    def execute(self, pod: Pod, *command: str) -> str:
        """Run a command in a pod, by the API server and the kubelet of its node."""
        return self.kubectl("exec", pod.name, "--", *command)

    def failures_from_pod(self, node: str, checks: Sequence[object]) -> list[str]:
        """Make checks in the pod of a node; see webpod.py."""
        said = self.execute(self.pods[node], *_python("check", json.dumps(checks)))
        return list(json.loads(said))

    def failures_in_network_of_pod(self, node: str, checks: Sequence[object]) -> list[str]:
        """Make checks in a pod's network, for which nobody is asked but its node."""
        address = self.pods[node].addresses[0]
        enter = _ENTER_NETWORK.format(
            address=address, command=shlex.join(_python("check", json.dumps(checks)))
        )
        return list(json.loads(self.worker(node).host.run("sh", "-c", enter)))

    def failures_from_node(self, node: str, checks: Sequence[object]) -> list[str]:
        """Make checks on a node itself."""
        said = self.worker(node).host.run(*_python("check", json.dumps(checks)))
        return list(json.loads(said))

    def pages_of_others(self, name: str) -> list[list[object]]:
        """Return checks of who answers at the addresses of all pods but the one on a node."""
        return [
            ["page", address, POD_PORT, other.name]
            for other in self.others(name)
            for address in self.pods[other.name].addresses
        ]

    def _ready_pods(self) -> dict[str, Pod]:
        found = self.plane.admin.get(f"{_PODS}?labelSelector=app={SERVICE}")["items"]
        return {pod["spec"]["nodeName"]: _pod(pod) for pod in found if is_ready(pod)}


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


def _join(lab: Lab, pods: Sequence[str]) -> World:
    """Have the nodes join a mesh, each of which may announce any range of pods."""
    world = World.networks(lab)
    world.stand("hub", "cloud-a", 9)
    world.stand("n1", "cloud-a", 10)
    world.stand("n2", "office", 10).options = ("--endpoint", f"192.0.2.10:{PORT}")
    world.stand("n3", "edge", 20)
    world.found()
    world.populate("--routes", *pods)
    return world


def _worker(node: Node) -> Worker:
    (card,) = json.loads(node.host.run("ip", "-json", "link", "show", "dev", "mesh0"))
    return Worker(node, int(card["mtu"]), (node.address(4), node.address(6)))


def _power_on(worker: Worker, image: Path) -> None:
    worker.prepare()
    worker.start_containerd()
    worker.import_image(image)


def _make_node(worker: Worker, plane: ControlPlane, token: str) -> None:
    worker.follow(plane, token)
    worker.start_kubelet(plane)
    worker.start_proxy(plane)


def _control_plane(folder: Path, host: Host, address: str, ranges: Ranges) -> ControlPlane:
    place = Place(
        address,
        lambda _name, *command: host.start(*command),
        lambda target: connect_from(host, target),
        nodes=True,
    )
    plane = ControlPlane.boot(folder, place, ranges, _API_PORTS)
    plane.start_scheduler()
    return plane


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
