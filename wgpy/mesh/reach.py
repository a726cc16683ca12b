"""What the file of a client leads into its tunnel. Pure.

Invariant: it holds all that the client may begin to and that may begin to it, and is as wide as keeps it
right for long: nodes with a tag come and go, so for these it is the ranges of the network. The gateway
enforces what exactly the client may begin.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final

from wgpy.address import Prefix
from wgpy.mesh.addressing import DEFAULT_ROUTES
from wgpy.mesh.ingress import collapsed, selected
from wgpy.mesh.links import Link, selected_by, site_selector
from wgpy.mesh.records import Client, Network
from wgpy.mesh.sites import prefixes_of
from wgpy.mesh.topology import Member, Topology

_ANY: Final = "any"  # a selector
_LASTING: Final = ("node", "site")  # kinds of selectors whose prefixes change hardly ever


def tunnelled(network: Network, topology: Topology, client: Client, gateway: Member | None) -> list[Prefix]:
    """Return prefixes without overlaps. gateway: which the client asks for names, if it does."""
    selectors = ends(topology, client)
    found = list(_of(network, topology, selectors))
    if gateway is not None:
        found.append(IPv4Network(gateway.address))
    return collapsed(found)


def ends(topology: Topology, client: Client) -> set[str]:
    """Return selectors of what a client may begin to, and of what may begin to it."""
    sources = {source for source, to in _rules(topology) if to in client.selectors}
    return destinations(topology, client) | sources


def destinations(topology: Topology, client: Client) -> set[str]:
    """Return selectors of what a client may begin to."""
    if not topology.rules and not client.destinations:
        return {_ANY}
    by_rules = {to for source, to in _rules(topology) if source in client.selectors}
    return by_rules | set(client.destinations)


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
