"""What a client may begin to, as it is typed and as it is shown."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator
from wgpy.cli.mesh.output import listed
from wgpy.cli.mesh.rules import check_prefixes
from wgpy.mesh.links import site_selector
from wgpy.mesh.records import ANY, End, node_selector
from wgpy.mesh.selectors import parse_end, shown
from wgpy.mesh.topology import Topology


def bound(admin: Administrator, given: Iterable[str]) -> tuple[End, ...]:
    """Return what is there now, each once, sorted. Raises CommandError."""
    found = {end.rule_selector: end for end in (_bound(admin, text) for text in given)}
    return tuple(end for _, end in sorted(found.items()))


def shown_destination(selector: str, admin: Administrator) -> str:
    return shown(selector, admin.names, admin.topology.ends).removeprefix("node:").removeprefix("site:")


def _bound(admin: Administrator, text: str) -> End:
    """Raises CommandError."""
    given = parse_end(text)
    if given.selector == ANY or given.selector.startswith("tag:"):
        return given
    name = shown(given.selector, {}).partition(":")[2]
    found = dict(_found(admin.topology, _kind(given, text), name))
    if len(found) > 1:
        raise CommandError(f"{name} is several things: say which, {listed(found)}")
    if not found:
        raise CommandError(f"there is no node and no site {name}; {_known(admin)}")
    end = replace(given, selector=next(iter(found.values())))
    check_prefixes(admin.topology, end)
    return end


def _kind(given: End, text: str) -> str:
    """Return the kind of thing that was asked for, "" for any."""
    kind = given.selector.partition(":")[0]
    return kind if given.prefixes or text.startswith(f"{kind}:") else ""


def _found(topology: Topology, kind: str, name: str) -> Iterator[tuple[str, str]]:
    """Give what a name may mean: how to say it without doubt, and its selector."""
    if kind in ("", "node"):
        for member in topology.members:
            if name in (member.name, str(member.identity)):
                yield f"node:{name}", node_selector(member.identity)
    if kind in ("", "site") and topology.site(name):
        yield f"site:{name}", site_selector(name)
    if not kind and any(name in member.tags for member in topology.members):
        yield f"tag:{name}", f"tag:{name}"


def _known(admin: Administrator) -> str:
    topology = admin.topology
    nodes = listed(sorted(member.name for member in topology.members if member.name), "none")
    sites = listed(sorted(site.name for site in topology.sites), "none")
    return f"the nodes are {nodes}, the sites {sites}"
