"""One Kubernetes cluster over three networks: the commands as its operator runs them, then a picture.

Its components are the real ones, on hosts made of namespaces. A process of its own runs them all, so that
nothing of them is left however that ends.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from tempfile import mkdtemp

from examples.cluster_tour import mesh, tour
from examples.output import announce, find_token
from examples.picture import Node
from examples.world import DemoError
from tests.integration import cgroups
from tests.integration.hosts import Lab, adopt_orphans, die_with_parent
from tests.integration.meshlab import NETWORK, PORT, World
from tests.kubernetes import components
from tests.kubernetes.client import ApiError
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.controlplane import Ranges

CLOUD = Node("cloud", "cloud", "198.51.100.10", role="API server")
OFFICE = Node("office", "office", "192.0.2.10", "192.168.1.10", role="kubelet", port=f"{PORT} mapped")
EDGE = Node("edge", "edge site", "192.0.2.140", "192.168.1.20", role="kubelet", port="none mapped")
NODES = (CLOUD, OFFICE, EDGE)
RANGES = Ranges()
NEXT = """
What to try next
  ./run bench kubernetes               what this cluster takes, beside one cluster for each of the networks
  ./run test tests/kubernetes          faults, upgrades and overlays; two clusters with the same ranges
  KUBERNETES.md                        on hosts of your own: kubeadm, k3s, or a DaemonSet
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./run demo kubernetes", description="One Kubernetes cluster over three networks."
    )
    # How the demo calls itself again, as the process that runs everything.
    parser.add_argument("--inside", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.inside:
            die_with_parent()
            demonstrate(options.inside)
            return 0
        return supervise()
    except (OSError, HTTPException, ApiError, AssertionError, DemoError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1


# -- Nothing is left -----------------------------------------------------------------------------


def supervise() -> int:
    """Run the demo as a process of its own, and return its status when nothing of it runs any more."""
    check_host()
    with folder() as place:
        adopt_orphans()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.kubernetes", "--inside", str(place)],
            env=os.environ | {"TMPDIR": str(place)}, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait()
        except KeyboardInterrupt:
            print("\nThe demo was interrupted: its hosts are switched off", file=sys.stderr)
            status = 128 + signal.SIGINT
        end(process)
        if status == 1:
            keep_logs(place)
        return status


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and with it, by the kernel, all of its hosts; return when everything has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    process.kill()
    process.wait()
    with suppress(ChildProcessError):
        while True:
            os.wait()
    cgroups.remove_old()


def keep_logs(place: Path) -> None:
    logs = mkdtemp(prefix="wgpy-demo-logs-")
    for log in place.glob("*.log"):
        shutil.copy(log, logs)
    print(f"What the components said is in {logs}", file=sys.stderr)


@contextmanager
def folder() -> Iterator[Path]:
    """Give a folder for everything, which is removed at the end."""
    place = Path(mkdtemp(prefix="wgpy-demo-"))
    try:
        yield place
    finally:
        shutil.rmtree(place)


def check_host() -> None:
    """Raises DemoError."""
    if os.geteuid() != 0:
        raise DemoError(
            "its nodes have cgroups and mounts, which only root may make: use ./run demo kubernetes"
        )
    if not os.access("/sys/fs/cgroup", os.W_OK):
        raise DemoError(
            "its nodes need cgroups, and /sys/fs/cgroup cannot be written here: use a host of its own"
        )
    if not components.are_built():
        raise DemoError("its components are not built: use ./run demo kubernetes")


# -- The story -----------------------------------------------------------------------------------


def demonstrate(place: Path) -> None:
    begin = time.monotonic()
    lab = Lab(place)
    try:
        announce("Three networks: two are behind NATs, with the same addresses; one of these maps a port")
        world = build(lab)
        make_mesh(world)
        announce(
            "Now etcd, API server, controllers, scheduler on cloud; containerd, kubelet, kube-proxy on all"
        )
        cluster = start(world, place)
        picture = tour(cluster, NODES)
        announce("The cluster")
        print(f"\n{picture}")
    finally:
        lab.power_off()
        cgroups.remove_own()
    announce(f"Done in {time.monotonic() - begin:.0f} s; all hosts are gone")
    print(NEXT, end="")


def build(lab: Lab) -> World:
    world = World.networks(lab)
    world.stand(CLOUD.name, "cloud-a", 10)
    world.stand(OFFICE.name, "office", 10).options = ("--endpoint", f"{OFFICE.public}:{PORT}")
    world.stand(EDGE.name, "edge", 20)
    for node in NODES:
        behind = f", behind a NAT as {node.inside}: {node.port}" if node.inside else ""
        print(f"  {node.name:7} {node.public}{behind}")
    return world


def make_mesh(world: World) -> None:
    announce(
        "One command on each makes the mesh; a node may announce the ranges that Kubernetes gives its pods"
    )
    mesh(world.hub, "init", NETWORK, "--public", CLOUD.public, "--name", CLOUD.name)
    mesh(world.hub, "approve", CLOUD.name, *RANGES.pods)
    token = find_token(mesh(world.hub, "token", "--uses", "2", "--routes", *RANGES.pods))
    for node in world.others:
        mesh(node, "join", token, "--name", node.name, *node.options)
    announce("These are the addresses for kubelet's --node-ip")
    for node in world.nodes:
        mesh(node, "node-ip")


def start(world: World, place: Path) -> Cluster:
    begin = time.monotonic()
    cluster = Cluster.start(world, world.nodes, place)
    print(f"  all nodes are ready after {time.monotonic() - begin:.1f} s")
    return cluster


if __name__ == "__main__":
    sys.exit(main())
