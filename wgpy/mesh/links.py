"""Which nodes have to know each other: those that rules join, and gateways for what is behind them. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product
from typing import Final, Self

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import (
    ANY,
    Client,
    End,
    Rule,
    Scope,
    Sites,
    client_selector,
    identity_of,
    node_selector,
    scope_selector,
)
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Site

_SITE: Final = "site:"

Link = tuple[str, str]  # selectors: whom the one selects and whom the other selects know each other
Ends = Mapping[str, End]  # of scopes, by their selectors in rules
Gateways = Mapping[str, tuple[str, ...]]  # selectors of nodes, by that of the client or site behind them


@dataclass(frozen=True, slots=True)
class RulesInForce:
    """numbers: of each, from 1, which no other rule ever has in the same ledger; links: what they select."""

    rules: tuple[Rule, ...]
    numbers: tuple[int, ...]
    ends: Ends
    links: tuple[Link, ...]

    @classmethod
    def of(cls, ledger: Ledger) -> Self:
        records = enumerate(ledger.admin_records(Rule).values(), 1)
        found = [(rule, number) for number, rule in records if rule.allowed]
        rules, numbers = tuple(rule for rule, _ in found), tuple(number for _, number in found)
        scopes = ledger.admin_records(Scope)
        ends = {scope_selector(digest): scope.end for digest, scope in scopes.items()}
        return cls(rules, numbers, ends, tuple(selected_by(rules, ends)))


def selectors_of(identity: VerifyKey, name: str, tags: Iterable[str]) -> list[str]:
    """Return what selects a node in a rule; its name does only in one of an older version."""
    found = [ANY, node_selector(identity), *(f"tag:{tag}" for tag in tags)]
    by_name = f"node:{name}"
    return [*found, by_name] if identity_of(by_name) is None else found


def selector_of(selector: str, ends: Ends) -> str:
    """Return what a rule's selector selects, which may be that of a scope."""
    return ends[selector].selector if selector in ends else selector


def selected_by(rules: Iterable[Rule], ends: Ends) -> list[Link]:
    """Return what the source and the destination of each rule select."""
    return [(selector_of(rule.source, ends), selector_of(rule.destination, ends)) for rule in rules]


def joined(clients: Collection[Client], rules: Collection[Link], sites: Gateways, ends: Ends) -> list[Link]:
    """Return what rules join, for clients and sites too; nothing without a rule, as then everybody is joined.

    rules: what their sources and destinations select; ends: what the selectors of scopes stand for.
    """
    by_rules = (
        link for one, other in rules for link in product(sites.get(one, (one,)), sites.get(other, (other,)))
    )
    return [*by_rules, *links(clients, rules, sites, ends)] if rules else []


def destinations_of(client: Client, ends: Ends) -> Iterator[End]:
    """Give a client's own destinations; an end that nobody has for a scope that is not known."""
    return (ends.get(selector) or End(selector) for selector in client.destinations)


def links(clients: Collection[Client], rules: Iterable[Link], sites: Gateways, ends: Ends) -> Iterator[Link]:
    """Give whom the gateways of clients have to know: those that their clients may reach or be reached by."""
    gateways = {**sites, **{client_selector(client.key): tuple(_gateways(client)) for client in clients}}
    reach: dict[str, set[str]] = {
        client_selector(client.key): {end.selector for end in destinations_of(client, ends)}
        for client in clients
    }
    for source, destination in rules:
        for one, other in ((source, destination), (destination, source)):
            if one in reach:
                reach[one].add(other)
    for selector, others in reach.items():
        found = {end for other in others for end in gateways.get(other, (other,))}
        yield from product(gateways[selector], found)


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
