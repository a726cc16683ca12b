"""What a client may begin to, as it is typed and as it is shown."""

from collections.abc import Iterable, Iterator

from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.administrator import Administrator
from wgpy.cli.mesh.output import listed
from wgpy.mesh.links import site_selector
from wgpy.mesh.records import identity_of, node_selector
from wgpy.mesh.selectors import shown


def bound(admin: Administrator, given: Iterable[str]) -> tuple[str, ...]:
    """Return the selectors of what is there now, sorted. Raises CommandError."""
    return tuple(sorted({_bound(admin, text) for text in given}))


def shown_destination(selector: str, admin: Administrator) -> str:
    identity = identity_of(selector)
    return (
        selector.removeprefix("site:") if identity is None else shown(selector, admin.names)[len("node:") :]
    )


def _bound(admin: Administrator, text: str) -> str:
    """Raises CommandError."""
    if text == "any" or text.startswith("tag:"):
        return text
    found = dict(_found(admin, text))
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise CommandError(f"{text.rpartition(':')[2]} is several things: say which, {listed(found)}")
    raise CommandError(f"there is no node and no site {text.rpartition(':')[2]}; {_known(admin)}")


def _found(admin: Administrator, text: str) -> Iterator[tuple[str, str]]:
    """Give what a text may mean: how to say it without doubt, and its selector."""
    kind, _, name = text.rpartition(":")
    topology = admin.topology
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
