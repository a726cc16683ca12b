"""A whole mesh by the number of its nodes: joins, what it costs at rest, and TCP.

hub 198.18.0.2 ── router ── node0 198.18.1.2, node1 198.18.2.2, ...

Each has a network of its own: the kernel has one table of neighbours for all namespaces, with 1,024 places,
and 100 hosts of one network that all ask for each other need ten times as many.

The hub is coordinator, control server or lighthouse, and relays. A mesh is at rest when all nodes know of
each other, and nothing was sent through it for as long as a mesh remembers that two nodes have talked.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from benchmarks.nat.contact import WITHIN, contact
from benchmarks.nat.mesh import Mesh
from benchmarks.nat.meshes import mesh_of
from benchmarks.nat.world import join_all
from benchmarks.rows.natlife import UNTIL_IDLE
from benchmarks.rows.rest import context_switches, switched
from benchmarks.suite import probe
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import STARTING, cpu_of, memory_of, stream
from benchmarks.suite.values import Kind, Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, eventually, put_behind
from tests.integration.meshlab import Node

SIZES: Final = (3, 100)
LATE: Final = 2  # nodes whose join is measured, one after another, the last of all
PACE: Final = 0.01  # seconds between pings while a node joins
JOINING: Final = 60.0  # seconds, for the first answer
READY: Final = 120.0  # seconds, until a node knows of all others
WINDOW: Final = 60.0  # seconds at rest


@dataclass(frozen=True, slots=True)
class Grown:
    """A mesh of some nodes beside the hub. joins: what `join_to_first_ping` returned of the last nodes."""

    mesh: Mesh
    hub: Node
    nodes: Sequence[Node]
    joins: Sequence[float]

    @property
    def relaying(self) -> set[str]:
        return {self.hub.outside}


# -- Joins ---------------------------------------------------------------------------------------------


def _grow(turn: Turn, size: int) -> Grown:
    mesh, router = mesh_of(turn.implementation), turn.host("router")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    hub, *nodes = [
        _stand(turn, router, name, number)
        for number, name in enumerate(["hub", *(f"node{number}" for number in range(size))])
    ]
    mesh.found(hub, [])
    early, late = nodes[:-LATE], nodes[-LATE:]
    join_all(mesh, early)
    _until_ready(mesh, early)
    turn.doing = "joining"
    joins = [join_to_first_ping(mesh, node, early[0]) for node in late]
    _until_ready(mesh, nodes)
    return Grown(mesh, hub, nodes, joins)


def _stand(turn: Turn, router: Host, name: str, number: int) -> Node:
    """Power on a host in a network of that number."""
    host, address = turn.host(name), f"198.18.{number}.2"
    put_behind(router, host, f"{address}/24")
    return Node(name, host, address, address)


def _until_ready(mesh: Mesh, nodes: Sequence[Node]) -> None:
    for node in nodes:
        others = [other for other in nodes if other is not node]
        eventually(lambda: mesh.is_ready(node, others), f"{node.name} knows of all others", READY, 0.2)  # noqa: B023


def join_to_first_ping(mesh: Mesh, node: Node, other: Node) -> float:
    """Return the seconds from the beginning of a host's join until another node answers it.

    Raises AssertionError, MeasureFailed.
    """
    program = (sys.executable, "-I", "-S", str(probe.__file__), mesh.address(other), str(PACE))
    pinging = node.host.start(*program)
    began = time.monotonic()
    mesh.join(node)
    said = pinging.wait(JOINING).output
    try:
        return float(said) - began
    except ValueError:
        raise MeasureFailed(f"the probe printed: {said.strip()}") from None


# -- At rest -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Processes:
    """All of a host."""

    pids: Sequence[int]

    @classmethod
    def of(cls, host: Host) -> "Processes":
        return cls([pid for pid in host.processes("") if pid != host.namespace()])

    def wakeups(self) -> dict[str, int]:
        """Return how often each thread left a processor."""
        return {thread: count for pid in self.pids for thread, count in context_switches(pid).items()}


def _rest(grown: Grown, name: str) -> Samples:
    time.sleep(UNTIL_IDLE)
    hosts = [Processes.of(node.host) for node in (grown.hub, *grown.nodes)]
    before = [(cpu_of(host.pids), host.wakeups()) for host in hosts]
    time.sleep(WINDOW)
    server, *nodes = [
        {
            "cpu": (cpu_of(host.pids) - cpu) * 1000 * 60 / WINDOW,
            "wakeups": switched(wakeups, host.wakeups()) * 60 / WINDOW,
            "memory": memory_of(host.pids),
        }
        for host, (cpu, wakeups) in zip(hosts, before, strict=True)
    ]
    return {
        **{f"{name} node {what}": fmean(node[what] for node in nodes) for what in server},
        **{f"{name} server {what}": figure for what, figure in server.items()},
    }


# -- The rows ------------------------------------------------------------------------------------------


def _measured(grown: Grown, seconds: float) -> Samples:
    name = f"mesh{len(grown.nodes)}"
    samples = {f"{name} join": median(grown.joins), **_rest(grown, name)}
    left, right = grown.nodes[:2]
    _, direct = contact(grown, left, right)
    if direct >= WITHIN:
        raise MeasureFailed("the path is not direct")
    samples[f"{name} tcp"] = stream(left.host, right.host, grown.mesh.address(right), seconds).gigabits
    return samples


def _setting(size: int) -> Setting[Grown]:
    name, title = f"mesh{size}", f"a mesh of {size} nodes"
    measures = (
        Measure.less(f"{name} join", f"{title}, join to first ping", "s"),
        *(
            Measure.less(f"{name} {who} {what}", f"{title}, {of} of a {who} at rest", unit)
            for who in ("node", "server")
            for what, of, unit in (
                ("cpu", "CPU", "ms/min"),
                ("wakeups", "wake-ups", "1/min"),
                ("memory", "PSS", "MiB"),
            )
        ),
        Measure.more(f"{name} tcp", f"{title}, TCP, 1 stream"),
    )
    row = Row(
        name,
        title,
        measures,
        _measured,
        Plan.FULL,
        seconds=UNTIL_IDLE + WINDOW + STARTING + 1,
        kind=Kind.MESH,
    )
    return Setting(name, lambda turn: _grow(turn, size), (row,), seconds=10 + 2 * size)


MESH_SIZES: Final = tuple(_setting(size) for size in SIZES)
