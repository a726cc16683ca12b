"""How one host of a mesh reaches another that it has never talked with, or not for long."""

import time
from typing import Final, Protocol

from benchmarks.nat.mesh import Mesh
from benchmarks.nat.readings import beginning, direct_since, first_answer
from benchmarks.nat.world import Wire, pinging, watching
from tests.integration.meshlab import Node

WITHIN: Final = 15.0  # seconds, for a pair to answer, and to be direct
SIZE: Final = 1000  # bytes of data, as no packet has that a mesh sends by itself
_INTERVAL: Final = 0.05  # seconds between pings
_POLL: Final = 0.25  # seconds


class Meshed(Protocol):
    """Hosts of a mesh."""

    @property
    def mesh(self) -> Mesh: ...

    @property
    def relaying(self) -> set[str]:
        """Addresses of all that may relay."""


def contact(world: Meshed, left: Node, right: Node) -> tuple[float, float]:
    """Return the seconds until the first answer and until the direct path, WITHIN if there was none."""
    with watching(left) as wire, pinging(world.mesh, left, right, _INTERVAL, SIZE) as pings:
        becomes_direct(world, wire)
        time.sleep(_POLL)
    first, began = first_answer(pings.answers, _INTERVAL), beginning(pings.answers, _INTERVAL)
    direct = direct_since(wire.packets, SIZE, world.relaying)
    if first is None or began is None:
        return WITHIN, WITHIN
    return min(first, WITHIN), WITHIN if direct is None else min(max(direct - began, 0), WITHIN)


def becomes_direct(world: Meshed, wire: Wire) -> bool:
    """Wait until the path of large packets is direct, at most WITHIN, and return whether it is."""
    end = time.monotonic() + WITHIN
    while not (is_direct := direct_since(wire.packets, SIZE, world.relaying) is not None):
        if time.monotonic() > end:
            break
        time.sleep(_POLL)
    return is_direct
