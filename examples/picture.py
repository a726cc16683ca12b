"""A demo's network and what was measured in it, as a drawing of text at most 100 columns wide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LABEL = 14  # columns, on the left
_CELL = 17  # columns, for each node
_BOX = 13


@dataclass(frozen=True, slots=True)
class Node:
    """Where a node is.

    inside: its address behind a router that translates; "" if it has the public one; is_symmetric: whether
    that takes another port for each destination; port: what is said of its port outside instead.
    """

    name: str
    site: str
    public: str
    inside: str = ""
    is_symmetric: bool = False
    role: str = "node"
    port: str = ""


@dataclass(frozen=True, slots=True)
class PeerPath:
    """How one node reaches another. milliseconds: of a round trip; relay: by which it goes, "" for none."""

    milliseconds: float
    relay: str = ""


def draw(
    nodes: Sequence[Node],
    addresses: Mapping[str, str],
    sites: Mapping[str, tuple[str, str]],
    paths: Mapping[tuple[str, str], PeerPath],
    stream: tuple[str, str, float],
    removed: str,
) -> str:
    """Return the drawing.

    addresses: of the nodes in the mesh; sites: by gateway, the name and how it is reached; paths: by from
    and to; stream: from, to, Mbit/s; removed: the name of the node that was.
    """
    gone = [node.name == removed for node in nodes]
    roles = ["removed" if out else node.role for node, out in zip(nodes, gone, strict=True)]
    return "\n".join(
        [
            *network(nodes, [[node.name for node in nodes], roles], gone),
            row("mesh address", [addresses[node.name] for node in nodes]),
            row("is gateway of", [sites.get(node.name, ("", ""))[0] for node in nodes]),
            row("reached as", [sites.get(node.name, ("", ""))[1] for node in nodes]),
            "",
            *matrix(nodes, paths),
            "",
            _stream([node.name for node in nodes], stream, paths[stream[:2]]),
        ]
    )


def network(nodes: Sequence[Node], boxes: Sequence[Sequence[str]], gone: Sequence[bool]) -> list[str]:
    """Draw nodes between the internet and the mesh.

    boxes: rows of what stands in the box of each node; gone: whether it is in the mesh no more.
    """
    return [
        row("", [node.site for node in nodes]),
        "",
        _line("the internet", len(nodes)),
        row("public address", [node.public for node in nodes]),
        *_routers(nodes),
        row("port outside", [_port(node) for node in nodes]),
        row("own address", [node.inside or "│" for node in nodes]),
        row("", [_edge("┌", "┴", "┐")] * len(nodes)),
        *(row("", list(map(_boxed, texts))) for texts in boxes),
        row("", [_edge("└", "─" if out else "╥", "┘") for out in gone]),
        _mesh(gone),
    ]


def row(label: str, cells: Sequence[str]) -> str:
    """Draw a cell for each node."""
    return (label.ljust(_LABEL) + "".join(cell.center(_CELL) for cell in cells)).rstrip()


def _middle(index: int) -> int:
    """Return the column where the wire of a node is."""
    return _LABEL + index * _CELL + _CELL // 2


def _line(label: str, count: int) -> str:
    """Draw a wire that leads down to every node."""
    span = "─" * (_CELL - 1)
    return label.ljust(_middle(0)) + "┌" + (span + "┬") * (count - 2) + span + "┐"


def _routers(nodes: Sequence[Node]) -> list[str]:
    """Draw a router where there is one, else the wire."""
    pieces = ("┌──┴──┐", "│ NAT │", "└──┬──┘")
    return [row("", [piece if node.inside else "│" for node in nodes]) for piece in pieces]


def _port(node: Node) -> str:
    if not node.inside:
        return "│"
    return node.port or ("one for each" if node.is_symmetric else "one for all")


def _edge(left: str, middle: str, right: str) -> str:
    half = "─" * (_BOX // 2 - 1)
    return left + half + middle + half + right


def _boxed(text: str) -> str:
    return f"│{text.center(_BOX - 2)}│"


def _mesh(gone: Sequence[bool]) -> str:
    """Draw the mesh as one wire, which does not lead to who is gone."""
    cells = [(" " * _CELL) if out else "╩".center(_CELL, "═") for out in gone]
    return "the mesh".ljust(_LABEL) + "".join(cells)


def matrix(nodes: Sequence[Node], paths: Mapping[tuple[str, str], PeerPath]) -> list[str]:
    """Draw how each node reaches each other one. paths: by from and to."""
    rows = [row("round trip, ms", [f"to {node.name}" for node in nodes])]
    for source in nodes:
        cells = [_cell(paths.get((source.name, target.name))) for target in nodes]
        rows.append(row(f"  from {source.name}", cells))
    return rows


def _cell(path: PeerPath | None) -> str:
    return f"{path.milliseconds:.2f} {_way(path)}" if path else "·"


def _way(path: PeerPath) -> str:
    return f"by {path.relay}" if path.relay else "direct"


def _stream(names: Sequence[str], stream: tuple[str, str, float], path: PeerPath) -> str:
    """Draw an arrow from one node to another on its right, with the rate on it."""
    source, target, rate = stream
    start, end = _middle(names.index(source)), _middle(names.index(target))
    text = f" {rate:.0f} Mbit/s "
    return f"one TCP stream, {_way(path)}".ljust(start) + "├" + text.center(end - start - 1, "─") + "▶"
