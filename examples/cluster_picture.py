"""A cluster over several networks and what was found in it, as a drawing of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from examples.picture import Node, PeerPath, matrix, network, row

_BETWEEN = "┄" * 11


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, and what was found of it.

    address: its own; range: of its node; pages: how many of the service's pages came from it.
    """

    name: str
    address: str
    range: str
    pages: int


def draw(
    nodes: Sequence[Node],
    addresses: Mapping[str, str],
    pods: Mapping[str, Pod],
    service: str,
    paths: Mapping[tuple[str, str], PeerPath],
) -> str:
    """Return the drawing.

    addresses: of the nodes, by which Kubernetes knows them; pods: by their nodes; service: its address;
    paths: from the pod of a node to that of another.
    """
    names = [node.name for node in nodes]
    there = [pods[name] for name in names]
    boxes = [
        names,
        [node.role for node in nodes],
        [_BETWEEN] * len(nodes),
        [pod.name for pod in there],
        [pod.address for pod in there],
    ]
    return "\n".join(
        [
            *network(nodes, boxes, [False] * len(nodes)),
            row("node-ip", [addresses[name] for name in names]),
            row("pod range", [pod.range for pod in there]),
            "",
            f"service {service}, asked by every pod; pages by",
            row("", [f"{name}: {pod.pages}" for name, pod in zip(names, there, strict=True)]),
            "",
            *matrix(nodes, paths),
        ]
    )
