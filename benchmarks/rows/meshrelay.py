"""What a mesh's relay carries, and what that costs its host.

left  ── left-nat  203.0.113.10 ──┐       ┌── relay 203.0.113.3
right ── right-nat 203.0.113.20 ──┴─ net ─┴── hub   203.0.113.2, which is a relay of wgpy as well

Each router drops what comes from the other one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.nat.mesh import Mesh
from benchmarks.nat.meshes import mesh_of
from benchmarks.nat.readings import relay_in_use
from benchmarks.nat.world import pinging, watching
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import STARTING, cpu_of, stream
from benchmarks.suite.values import Kind, Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import Node

INTERVAL: Final = 0.1  # seconds between pings
SIZE: Final = 1000  # bytes of data in each
ANSWERS: Final = 20  # until the path is in use
WITHIN: Final = 60  # seconds


@dataclass(frozen=True, slots=True)
class Relayed:
    """relays: all that may relay between the two ends."""

    mesh: Mesh
    ends: tuple[Node, Node]
    relays: Sequence[Node]

    def relay(self) -> Node:
        """Return the relay that the ends use once they talk. Raises AssertionError if they use none."""
        left, right = self.ends
        addresses = {relay.outside: relay for relay in self.relays}
        with watching(left) as wire, pinging(self.mesh, left, right, INTERVAL, SIZE) as pings:
            eventually(lambda: len(pings.answers) >= ANSWERS, "the ends talk", WITHIN)
            used = relay_in_use(wire.packets, SIZE, addresses)
        assert used, "the ends use no relay"
        return addresses[used]


def _relayed_ends(turn: Turn) -> Relayed:
    net, mesh = Internet.build(turn.lab), mesh_of(turn.implementation)
    hub, relay = net.public("hub", 2), net.public("relay", 3)
    (left, left_router), (right, right_router) = net.behind_nat("left", 10), net.behind_nat("right", 20)
    for router, other in ((left_router, right), (right_router, left)):
        rules = f"type filter hook prerouting priority -300; ip saddr {other.outside} drop;"
        router.run("nft", f"add table ip cut {{ chain in {{ {rules} }}; }}")
    mesh.found(hub, [relay])
    for node in (left, right):
        mesh.join(node)
    eventually(
        lambda: mesh.is_ready(left, [right]) and mesh.is_ready(right, [left]), "both are nodes", WITHIN
    )
    return Relayed(mesh, (left, right), (hub, relay))


def _measured(ends: Relayed, seconds: float) -> Samples:
    left, right = ends.ends
    relaying = ends.mesh.relaying(ends.relay())
    before = cpu_of(relaying)
    came = stream(left.host, right.host, ends.mesh.address(right), seconds)
    return {"meshrelay": came.gigabits, "meshrelay_cpu": (cpu_of(relaying) - before) / came.bytes * 1e9}


MESH_RELAY: Final = Setting(
    "meshrelay",
    _relayed_ends,
    (
        Row(
            "meshrelay",
            "TCP by a mesh's relay",
            (
                Measure("meshrelay", "TCP by a mesh's relay", "Gbit/s", more_is_better=True),
                Measure("meshrelay_cpu", "CPU of a mesh's relay", "s/GB", more_is_better=False),
            ),
            _measured,
            Plan.FULL,
            seconds=STARTING + ANSWERS * INTERVAL,
            kind=Kind.MESH,
        ),
    ),
    seconds=15,
)
