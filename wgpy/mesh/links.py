"""Which nodes have to know each other: those that rules join, and gateways for what is behind them. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product
from typing import Final

from wgpy.mesh.records import Client, Rule, Sites, client_selector, node_selector
from wgpy.mesh.sites import Site

_SITE: Final = "site:"

Link = tuple[str, str]  # selectors: whom the one selects and whom the other selects know each other
Gateways = Mapping[str, tuple[str, ...]]  # selectors of nodes, by that of the client or site behind them


def joined(clients: Collection[Client], rules: Iterable[Rule], sites: Gateways) -> list[Link]:
    """Return what rules join, for clients too; nothing without a rule, as then everybody is joined."""
    rules = tuple(rules)
    by_rules = [(rule.source, rule.destination) for rule in rules]
    return [*by_rules, *links(clients, rules, sites)] if rules else []


def links(clients: Collection[Client], rules: Iterable[Rule], sites: Gateways) -> Iterator[Link]:
    """Give whom the gateways of clients have to know: those that their clients may reach or be reached by."""
    gateways = {**sites, **{client_selector(client.key): tuple(_gateways(client)) for client in clients}}
    reach: dict[str, set[str]] = {client_selector(client.key): {*client.destinations} for client in clients}
    for rule in rules:
        for one, other in ((rule.source, rule.destination), (rule.destination, rule.source)):
            if one in reach:
                reach[one].add(other)
    for selector, others in reach.items():
        ends = {end for other in others for end in gateways.get(other, (other,))}
        yield from product(gateways[selector], ends)


def gateways_of(sites: Iterable[Site]) -> Gateways:
    return {
        site_selector(site.name): tuple(node_selector(gateway.identity) for gateway in site.gateways)
        for site in sites
    }


def announcers(announcements: Iterable[Sites]) -> Gateways:
    """Return the nodes that announce a site, rightly or not."""
    found: dict[str, tuple[str, ...]] = {}
    for record in announcements:
        for site in record.sites:
            selector = site_selector(site.name)
            found[selector] = (*found.get(selector, ()), node_selector(record.signer))
    return found


def site_selector(name: str) -> str:
    """Return the selector of a site."""
    return f"{_SITE}{name}"


def _gateways(client: Client) -> Iterator[str]:
    return (node_selector(ingress.gateway) for ingress in client.ingresses)
