"""A world of the mesh as a picture: what stands where, and how who reached whom."""

from collections.abc import Iterable, Iterator, Sequence

from tests.integration.meshlab import PORT, Node, Site, World

_WIDTH = 28  # characters of a column


def draw(world: World) -> str:
    return "\n\n".join(["\n".join(_picture(world)), _table(_addresses(world)), _results(world)])


def _picture(world: World) -> Iterator[str]:
    columns = [list(_column(world, site)) for site in world.sites]
    roof = "┬".join("─" * (_WIDTH - 1) for _ in columns[1:])
    yield "the internet".center(_WIDTH * len(columns)).rstrip()
    yield " " * ((_WIDTH - 1) // 2) + f"┌{roof}┐"
    for row in range(max(map(len, columns))):
        yield "".join((column[row : row + 1] or [" " * _WIDTH])[0] for column in columns).rstrip()


def _column(world: World, site: Site) -> Iterator[str]:
    yield _centred("│")
    yield _centred(site.name)
    if site.outside:
        yield from _box(f"NAT {site.outside}", f"UDP {PORT} → {site.address(10)}")
        yield _centred("│")
    yield _centred(site.prefix)
    for node in world.nodes:
        if world.places[node.name] == site.name:
            role = [f"coordinator, TCP {PORT}"] if node is world.hub else []
            yield from _box(node.name, *role, node.inside, f"mesh0 {node.address()}")


def _centred(text: str) -> str:
    return f"{text:^{_WIDTH}}"


def _box(*lines: str) -> Iterator[str]:
    width = _WIDTH - 4
    yield f" ┌{'─' * width}┐ "
    yield from (f" │{line:^{width}}│ " for line in lines)
    yield f" └{'─' * width}┘ "


def _addresses(world: World) -> Iterator[Sequence[str]]:
    yield "NODE", "OWN ADDRESS", "FROM OUTSIDE", "IN THE MESH", ""
    for node in world.nodes:
        yield node.name, node.inside, f"{node.outside}:{PORT}", node.address(4), node.address(6)


def _results(world: World) -> str:
    head = ["PING FROM, TO", *(node.name for node in world.nodes)]
    rows = [[one.name, *(_cell(world, one, other) for other in world.nodes)] for one in world.nodes]
    return (
        f"{_table([head, *rows])}\n(milliseconds by IPv4 / IPv6)\n"
        f"TCP of every pair, there by IPv4 and back by IPv6: {world.megabytes:.0f} MB, all of it whole."
    )


def _cell(world: World, one: Node, other: Node) -> str:
    reach = world.reached.get((one.name, other.name))
    return f"{reach.ping4:.1f} / {reach.ping6:.1f}" if reach else "-"


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = (
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
    return "\n".join(text.rstrip() for text in texts)
