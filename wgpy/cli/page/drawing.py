"""A network as a text, and as a graph in the language of Graphviz, out of what the page shows. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from wgpy.cli.colours import Colour, paint
from wgpy.cli.mesh.output import columns

# The state of an end, in the order in which they stand, the worst first: in words, and in colours.
_STATES: Final = {
    "silent": ("no answer", Colour.BAD, "#c11f2b"),
    "tls": ("by TLS", Colour.NOTICE, "#8a5300"),
    "relay": ("by a relay", Colour.NOTICE, "#8a5300"),
    "degraded": ("a gateway is away", Colour.NOTICE, "#8a5300"),
    "direct": ("direct", Colour.GOOD, "#1a7f37"),
    "idle": ("no session", None, "#636a75"),
}
_OTHER: Final = "#636a75"
_LOCAL: Final = "#0b57c2"
_STYLES: Final = {"relay": "dashed", "tls": "dotted", "silent": "dashed", "standby": "dotted"}
_SHAPES: Final = {"node": "ellipse", "site": "box", "client": "note"}
_BRANCH, _LAST, _LINE, _SPACE = "├─ ", "└─ ", "│  ", "   "

_End = Mapping[str, Any]


def text(view: Mapping[str, Any]) -> str:
    """Return a tree: this node, the others by their paths, and behind each node its sites and clients.

    view: as `view.view` returns it.
    """
    ends = {end["id"]: end for end in view["ends"] if end["kind"] != "former"}
    local = next(end for end in ends.values() if end["kind"] == "node" and end["state"] == "self")
    behind: dict[str, list[_End]] = {}
    for edge in view["edges"]:
        if ends[edge["target"]]["kind"] != "node":
            behind.setdefault(edge["source"], []).append(ends[edge["target"]])
    branches: list[tuple[str, Sequence[_End]]] = []
    for state, (words, colour, _) in _STATES.items():
        found = [end for end in ends.values() if end["kind"] == "node" and end["state"] == state]
        if found:
            branches.append((paint(words, colour) if colour else words, sorted(found, key=_by_name)))
    rows = [(f"{local['name']}, this node", local["address"], "", "")]
    own = behind.get(local["id"], [])
    rows += _rows(own, behind, "", is_last=not branches)
    for index, (words, nodes) in enumerate(branches):
        is_last = index == len(branches) - 1
        rows.append((f"{_LAST if is_last else _BRANCH}{words}", "", "", ""))
        rows += _rows(nodes, behind, _SPACE if is_last else _LINE, is_last=True)
    return columns(rows)


def _rows(
    ends: Sequence[_End], behind: Mapping[str, Sequence[_End]], before: str, *, is_last: bool
) -> Iterator[tuple[str, str, str, str]]:
    for index, end in enumerate(ends):
        ends_here = is_last and index == len(ends) - 1
        kind = "" if end["kind"] == "node" else f"{end['kind']} "
        trip = f"{end['round_trip'] / 1000:.1f} ms" if end.get("round_trip") else ""
        what = ", ".join([*(["relay"] if end.get("relay") else []), *end["tags"]])
        yield f"{before}{_LAST if ends_here else _BRANCH}{kind}{end['name']}", end["address"], trip, what
        yield from _rows(
            behind.get(end["id"], ()), behind, before + (_SPACE if ends_here else _LINE), is_last=True
        )


def _by_name(end: _End) -> str:
    return str(end["name"])


def dot(view: Mapping[str, Any]) -> str:
    """Return the graph, with this node as its root. view: as `view.view` returns it."""
    ends = [end for end in view["ends"] if end["kind"] != "former"]
    local = next(end for end in ends if end["kind"] == "node" and end["state"] == "self")
    lines = [
        f"graph {_quoted(view['network'])} {{",
        f"  graph [root={_quoted(local['id'])}, overlap=false, splines=true, ranksep=2.4];",
        '  node [style=filled, fontname="sans-serif", fontcolor=white];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    for end in ends:
        shape = "hexagon" if end.get("relay") else _SHAPES[end["kind"]]
        label = f"{end['name']}\n{end['address']}"
        about = f"label={_quoted(label)}, shape={shape}, fillcolor={_quoted(_colour(end['state']))}"
        lines.append(f"  {_quoted(end['id'])} [{about}];")
    for edge in view["edges"]:
        style, colour = _STYLES.get(edge["state"], "solid"), _quoted(_colour(edge["state"]))
        about = f"style={style}, color={colour}, label={_quoted(edge['text'])}"
        lines.append(f"  {_quoted(edge['source'])} -- {_quoted(edge['target'])} [{about}];")
    return "\n".join([*lines, "}"])


def _colour(state: str) -> str:
    if state == "self":
        return _LOCAL
    return _STATES[state][2] if state in _STATES else _OTHER


def _quoted(text: str) -> str:
    """Return a string of the language. https://graphviz.org/doc/info/lang.html"""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
