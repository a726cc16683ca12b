"""Hosts of a mesh behind NATs of several kinds, and what they need in the public network.

hub     203.0.113.2       ──┐         ┌── two hosts behind a NAT of each kind
relays  203.0.113.3 and 4 ──┴── net ──┴── moved, behind a port-restricted NAT, which can forget all
"""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.nat import wire
from benchmarks.nat.mesh import Mesh
from benchmarks.nat.readings import Answer, read_answers
from benchmarks.nat.wire import Packet, read_packets
from tests.integration.access import stand
from tests.integration.hosts import HostProcess, Lab, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import Node
from tests.integration.topologies import put_nat

_AT_ONCE: Final = 2  # hosts that join, as a daemon that waits for a processor is given up
_READY: Final = 30.0  # seconds
_SETTLING: Final = 10.0  # seconds, from when all nodes are ready until the first packet


@dataclass(frozen=True, slots=True)
class World:
    """pairs: of hosts of each kind; moved: a host whose NAT, the process `box`, forgets all at SIGHUP."""

    mesh: Mesh
    hub: Node
    relays: Sequence[Node]
    pairs: dict[str, tuple[Node, Node]]
    moved: Node
    box: HostProcess

    @property
    def relaying(self) -> set[str]:
        """Addresses of all that may relay."""
        return {node.outside for node in (self.hub, *self.relays)}


def build(lab: Lab, mesh: Mesh, kinds: Sequence[str]) -> World:
    """Power on two hosts of each kind, and return when they know of each other. Raises AssertionError."""
    net = Internet.build(lab)
    hub, *relays = (net.public(name, number) for name, number in (("hub", 2), ("relay1", 3), ("relay2", 4)))
    pairs = {
        kind: (stand(net, kind, 10 + place), stand(net, kind, 30 + place, 1))
        for place, kind in enumerate(kinds)
    }
    moved, router = net.behind_router("moved", 50)
    box = put_nat(router, "wan", "192.168.50.0/24", "203.0.113.150", "PORT_RESTRICTED")
    mesh.found(hub, relays)
    nodes = [moved, *(node for pair in pairs.values() for node in pair)]
    join_all(mesh, nodes)
    _await(mesh, nodes)
    return World(mesh, hub, relays, pairs, moved, box)


def join_all(mesh: Mesh, nodes: Sequence[Node]) -> None:
    """Make hosts nodes, few at a time. Raises AssertionError."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(mesh.join, nodes))


def _await(mesh: Mesh, nodes: Sequence[Node]) -> None:
    """Return when all are ready, but for those that will never be, as a mesh has no way to them."""
    end = time.monotonic() + _READY
    for node in nodes:
        others = [other for other in nodes if other is not node]
        while not mesh.is_ready(node, others) and time.monotonic() < end:
            time.sleep(0.2)
    time.sleep(_SETTLING)


# -- What is seen in it --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pings:
    """Pings from one host to another, while they go on and when they have ended. interval: seconds."""

    process: HostProcess
    interval: float

    @property
    def printed(self) -> str:
        return self.process.log.read_text(errors="replace")

    @property
    def answers(self) -> list[Answer]:
        return read_answers(self.printed)


@contextmanager
def pinging(mesh: Mesh, one: Node, other: Node, interval: float, data: int = 56) -> Iterator[Pings]:
    """Ping until the end of the block. data: bytes in each."""
    ping = ("ping", "-n", "-D", "-i", f"{interval}", "-s", f"{data}", mesh.address(other))
    process = one.host.start("stdbuf", "-oL", *ping)
    yield Pings(process, interval)
    process.kill(signal.SIGINT)
    process.wait()


@dataclass(frozen=True, slots=True)
class Wire:
    process: HostProcess

    @property
    def packets(self) -> list[Packet]:
        return read_packets(self.process.log.read_text())


@contextmanager
def watching(node: Node) -> Iterator[Wire]:
    """Note what passes a host's card until the end of the block."""
    program = str(Path(wire.__file__))
    process = node.host.start(sys.executable, "-I", "-S", program, "eth0")
    eventually(lambda: wire.READY in process.log.read_text(), "the wire is watched")
    yield Wire(process)
    process.kill(signal.SIGKILL)
    process.wait()
