"""Which member has which of the routes that nodes announce, and who stands by for it. Pure.

Invariant: a route is of the member that was admitted first. Others that may announce the very same prefix
stand by for that member, and what overlaps a route otherwise waits.
"""

from collections.abc import Callable, Container

from wgpy.address import Prefix
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.prefix_set import Prefixes
from wgpy.mesh.records import Node


@dataclass(frozen=True, slots=True)
class Allotment:
    """Of a node's routes, those that it has, those that it stands by for, and those that it only requests."""

    routes: tuple[Prefix, ...]
    standby: tuple[Prefix, ...]
    requested: tuple[Prefix, ...]


class Routes:
    """Gives routes to nodes, in the order of their admission."""

    def __init__(self, never: Prefixes, allow: Callable[[Node, Prefix], bool]) -> None:
        """never: what nobody has, nor a part of it; allow: whether a node may announce a prefix."""
        self._taken = never
        self._allow = allow
        self._held: set[Prefix] = set()

    def allot(self, node: Node) -> Allotment:
        """Return what a node has, which no later one gets."""
        found: tuple[list[Prefix], list[Prefix], list[Prefix]] = ([], [], [])
        before = frozenset(self._held)
        for route in node.routes:
            found[self._place(node, route, before)].append(route)
        return Allotment(*map(tuple, found))

    def _place(self, node: Node, route: Prefix, before: Container[Prefix]) -> int:
        """Return 0 for a route that the node has, 1 if it stands by, 2 if it requests it."""
        if not self._allow(node, route):
            return 2
        if not self._taken.overlap(route):
            self._taken.add(route)
            self._held.add(route)
            return 0
        return 1 if route in before else 2
