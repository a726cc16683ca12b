"""Who may begin to whom, as a table whose rows and columns are ends of which all rules say the same. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from wgpy.mesh.links import destinations_of, site_selector
from wgpy.mesh.records import End
from wgpy.mesh.rules import numbered
from wgpy.mesh.topology import Topology


@dataclass(frozen=True, slots=True)
class Group:
    """Ends that no rule tells apart: nodes, clients and sites, as rules name them; own: of a client's own."""

    names: tuple[str, ...]
    selectors: frozenset[str]
    own: tuple[End, ...] = ()


@dataclass(frozen=True, slots=True)
class Permission:
    """By which rule a group may begin to another, and to what of it.

    number: of the rule, 0 for what a client's own record lets it.
    """

    number: int
    end: End


@dataclass(frozen=True, slots=True)
class Matrix:
    """groups: rows and columns; permissions: by row and column; is_open: whether there is no rule at all."""

    groups: tuple[Group, ...]
    permissions: tuple[tuple[tuple[Permission, ...], ...], ...]
    is_open: bool


def matrix(topology: Topology) -> Matrix:
    """Return what the rules in force let each begin to each other."""
    groups = tuple(_groups(topology))
    rows = tuple(
        tuple(tuple(_permissions(topology, source, destination)) for destination in groups)
        for source in groups
    )
    return Matrix(groups, rows, not topology.rules)


def _permissions(topology: Topology, source: Group, destination: Group) -> Iterator[Permission]:
    for rule in numbered(topology):
        if rule.source.selector in source.selectors and rule.destination.selector in destination.selectors:
            yield Permission(rule.number, rule.destination)
    yield from (Permission(0, end) for end in source.own if end.selector in destination.selectors)


def _groups(topology: Topology) -> Iterator[Group]:
    rules = list(numbered(topology))
    own = [(client, tuple(destinations_of(client, topology.ends))) for client in topology.clients]
    ends = chain.from_iterable((rule.source, rule.destination) for rule in rules)
    used = frozenset(end.selector for end in chain(ends, *(found for _, found in own)))
    alike: dict[tuple[frozenset[str], tuple[End, ...]], list[str]] = {}
    for member in topology.members:
        name = member.name or str(member.identity)
        alike.setdefault((used.intersection(member.selectors), ()), []).append(name)
    for client, found in own:
        key = used.intersection(client.selectors), found
        alike.setdefault(key, []).append(f"client:{client.name}")
    for site in topology.sites:
        selector, gateways = site_selector(site.name), [one.identity for one in site.gateways]
        members = filter(None, map(topology.member, gateways))
        also = chain.from_iterable(
            member.selectors for member in members
        )  # a rule for a node is for its sites
        alike.setdefault((used.intersection([selector, *also]), ()), []).append(selector)
    for (selectors, found), names in alike.items():
        yield Group(tuple(sorted(names)), selectors, found)
