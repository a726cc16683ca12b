"""What reaches what in a cluster over several networks: the commands of its operator, and a drawing of it."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import permutations
from pathlib import Path

from examples import cluster_picture
from examples.output import announce, show_command, show_output
from examples.picture import Node, PeerPath
from examples.world import DemoError
from tests.integration import meshlab
from tests.integration.hosts import CommandFailed
from tests.kubernetes.cluster import POD_PORT, Cluster, Pod

HELLO = Path(__file__).with_name("hello.yaml")
PAGES = 24  # that each pod asks the service for
_COLUMNS = (
    "custom-columns=NAME:.metadata.name,"
    'ADDRESSES:.status.addresses[?(@.type=="InternalIP")].address,PODS:.spec.podCIDRs[*]'
)
_WITHIN = 180.0  # seconds

Pods = Mapping[str, Pod]  # by their nodes


def tour(cluster: Cluster, nodes: Sequence[Node]) -> str:
    """Show what reaches what in a cluster, and return a drawing of it. nodes: as they are drawn."""
    announce("Kubernetes knows each node by its address in the mesh, and has given it ranges for pods")
    kubectl(cluster, "get", "nodes")
    kubectl(cluster, "get", "nodes", "-o", _COLUMNS)

    announce("A pod on each node, and one service of all")
    kubectl(cluster, "apply", "-f", str(HELLO))
    kubectl(cluster, "rollout", "status", "daemonset/hello", f"--timeout={_WITHIN:.0f}s")
    kubectl(cluster, "get", "pods", "-l", "app=hello", "-o", "wide")
    pods = cluster.ready_pods("hello")

    announce("Each pod reaches each other one, by IPv4 and IPv6; `exec` reaches the kubelets behind the NATs")
    round_trips = ping_each(cluster, pods)
    get_page_of_each(cluster, pods)

    announce("Each pod reaches the service, and by it all pods")
    service = cluster.service_addresses("hello")[0]
    pages = get_pages(cluster, pods, service)

    announce("`logs` comes from the nodes behind the NATs")
    for node in nodes[1:]:
        kubectl(cluster, "logs", "--tail=2", pods[node.name].name)

    announce("How a node reaches the others")
    mesh(cluster.world.node(nodes[-1].name), "status")
    return draw(cluster, nodes, pods, service, pages, round_trips)


def mesh(node: meshlab.Node, *arguments: str) -> str:
    """Run `wgpy mesh …` on a node; print the command and its output, and return that."""
    show_command(node.name, "wgpy", "mesh", *arguments)
    output = node.mesh(*arguments)
    show_output(output)
    return output


def kubectl(cluster: Cluster, *arguments: str) -> str:
    """Run kubectl, print the command and its output, and return that.

    What has just been made known to Kubernetes takes moments to be in force: so a failure is no failure yet.
    """
    return next(kubectl_each(cluster, [arguments]))


def kubectl_each(cluster: Cluster, commands: Sequence[Sequence[str]]) -> Iterator[str]:
    """Run these at once, print them one after another, and give what each says."""
    with ThreadPoolExecutor(4) as pool:
        for command, output in zip(commands, pool.map(partial(in_the_end, cluster), commands), strict=True):
            show_command(cluster.workers[0].name, "kubectl", *command)
            show_output(output)
            yield output


def in_the_end(cluster: Cluster, arguments: Sequence[str]) -> str:
    """Run kubectl until it succeeds. Raises CommandFailed."""
    end = time.monotonic() + _WITHIN
    while True:
        try:
            return cluster.kubectl(*arguments)
        except CommandFailed:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def ping_each(cluster: Cluster, pods: Pods) -> dict[tuple[str, str], float]:
    """Return the round trips in milliseconds, by the nodes of both pods."""
    pairs = list(permutations(pods, 2))
    commands = [
        ("exec", pods[source].name, "--", "ping", "-A", "-q", "-c", "5", pods[target].addresses[0])
        for source, target in pairs
    ]
    said = kubectl_each(cluster, commands)
    return {
        pair: float(match(r"min/avg/max = ([\d.]+)", text)) for pair, text in zip(pairs, said, strict=True)
    }


def get_page_of_each(cluster: Cluster, pods: Pods) -> None:
    """Raises DemoError."""
    pairs = list(permutations(pods, 2))
    commands = [
        ("exec", pods[source].name, "--", "wget", "-qO-", f"http://[{pods[target].addresses[1]}]:{POD_PORT}/")
        for source, target in pairs
    ]
    for (source, target), page in zip(pairs, kubectl_each(cluster, commands), strict=True):
        if page.strip() != target:
            raise DemoError(f"the pod on {source} got the page {page!r} instead of that of {target}")


def get_pages(cluster: Cluster, pods: Pods, service: str) -> Counter[str]:
    """Return how many pages of the service came from the pod of each node. Raises DemoError."""
    script = f"for n in $(seq {PAGES}); do wget -qO- http://{service}/; done | sort | uniq -c"
    commands = [("exec", pod.name, "--", "sh", "-c", script) for pod in pods.values()]
    pages: Counter[str] = Counter()
    for said in kubectl_each(cluster, commands):
        pages.update({node: int(count) for count, node in re.findall(r"(\d+) (\S+)", said)})
    if set(pages) != set(pods) or pages.total() != PAGES * len(pods):
        raise DemoError(f"the service answered {pages}")
    return pages


def match(pattern: str, text: str) -> str:
    """Return the first group. Raises DemoError."""
    found = re.search(pattern, text)
    if found is None:
        raise DemoError(f"there is no {pattern} in: {text}")
    return found[1]


def draw(
    cluster: Cluster,
    nodes: Sequence[Node],
    pods: Pods,
    service: str,
    pages: Counter[str],
    round_trips: Mapping[tuple[str, str], float],
) -> str:
    relays = {
        (worker.name, peer.name): peer.relay
        for worker in cluster.workers
        for peer in worker.node.status().peers
    }
    return cluster_picture.draw(
        nodes,
        {worker.name: worker.addresses[0] for worker in cluster.workers},
        {
            name: cluster_picture.Pod(
                pod.name, pod.addresses[0], cluster.plane.pod_ranges(name)[0], pages[name]
            )
            for name, pod in pods.items()
        },
        service,
        {pair: PeerPath(milliseconds, relays[pair]) for pair, milliseconds in round_trips.items()},
    )
