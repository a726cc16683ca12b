"""What a mesh has to do for a comparison, whoever makes it."""

from collections.abc import Sequence
from typing import Protocol

from tests.integration.meshlab import Node


class Mesh(Protocol):
    """A mesh that nodes join one after another. Its methods raise AssertionError if a command fails."""

    def found(self, hub: Node, relays: Sequence[Node]) -> None:
        """Start what all nodes need, on hosts with public addresses. relays: none if the hub is to do all."""

    def join(self, node: Node) -> None:
        """Make a host a node by the installed programs; it need not be one yet when this returns."""

    def is_ready(self, node: Node, others: Sequence[Node]) -> bool:
        """Whether a node is one, and knows what it can know of all the others."""

    def address(self, node: Node) -> str:
        """Return a node's IPv4 address in the mesh."""

    def relaying(self, relay: Node) -> list[int]:
        """Return the processes that relay on one of the hosts that it was founded with."""
