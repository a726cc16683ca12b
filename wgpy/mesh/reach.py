"""What the file of a client leads into its tunnel. Pure.

Invariant: it holds all that the client may begin to and that may begin to it, and is as wide as keeps it
right for long: nodes with a tag come and go, so for these it is the ranges of the network. The gateway
enforces what exactly the client may begin.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import chain
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.addressing import DEFAULT_ROUTES
from wgpy.mesh.ingress import collapsed, selected
from wgpy.mesh.links import Link, destinations_of, selected_by, site_selector
from wgpy.mesh.member import Member
from wgpy.mesh.records import Client, Network
from wgpy.mesh.rules import prefixes_of_end
from wgpy.mesh.sites import prefixes_of
from wgpy.mesh.topology import Topology

_ANY: Final = "any"  # a selector
_LASTING: Final = ("node", "site")  # kinds of selectors whose prefixes change hardly ever


def tunnelled(network: Network, topology: Topology, client: Client, gateway: Member | None) -> list[Prefix]:
    """Return prefixes without overlaps. gateway: which the client asks for names, if it does."""
    parts = _parts(topology, client)
    found = [*chain.from_iterable(parts.values())]
    found += _of(network, topology, ends(topology, client) - parts.keys())
    if gateway is not None:
        found.append(IPv4Network(gateway.address))
    return collapsed(found)


def _parts(topology: Topology, client: Client) -> dict[str, list[Prefix]]:
    """Return the prefixes of the sites of which the client reaches parts alone, by the sites' selectors."""
    own = list(destinations_of(client, topology.ends))
    more = {selector for link in _rules(topology) for selector in link}
    more.update(end.selector for end in own if not end.prefixes)
    found: dict[str, list[Prefix]] = {}
    for site in topology.sites:
        selector = site_selector(site.name)
        for end in own if selector not in more else ():
            if end.selector == selector:
                found.setdefault(selector, []).extend(prefixes_of_end(site, end))
    return found


def ends(topology: Topology, client: Client) -> set[str]:
    """Return selectors of what a client may begin to, and of what may begin to it."""
    sources = {source for source, to in _rules(topology) if to in client.selectors}
    return destinations(topology, client) | sources


def destinations(topology: Topology, client: Client) -> set[str]:
    """Return selectors of what a client may begin to."""
    if not topology.rules and not client.destinations:
        return {_ANY}
    by_rules = {to for source, to in _rules(topology) if source in client.selectors}
    return by_rules | {end.selector for end in destinations_of(client, topology.ends)}


def may_be_called(topology: Topology, client: Client) -> bool:
    """Return whether anybody may begin to a client, so that it has to stay reachable behind a NAT."""
    if not topology.rules:
        return not client.destinations
    return any(to in client.selectors for _, to in _rules(topology))


def _rules(topology: Topology) -> list[Link]:
    return selected_by(topology.rules, topology.ends)


def _of(network: Network, topology: Topology, selectors: set[str]) -> Iterator[Prefix]:
    of_each = selected(topology, selectors)
    for prefixes in of_each.values():
        yield from prefixes
    if not all(selector.partition(":")[0] in _LASTING for selector in selectors):
        yield from (network.addresses, network.addresses6, network.pool)
    if _ANY in selectors:
        yield from prefixes_of(topology.sites)
    if any(site.is_exit and site_selector(site.name) in selectors for site in topology.sites):
        yield from DEFAULT_ROUTES  # both: what the exit does not have must not leave beside the tunnel
