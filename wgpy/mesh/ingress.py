"""What clients add to the plan of a node: tunnels, addresses behind gateways, and permits. Pure.

Invariant: a client begins what its own destinations and the rules say, and its gateway enforces that; other
nodes let in what a client may begin by the client's own addresses alone. So its gateway gains nothing but to
ask for names, which it does for clients. Without rules nodes may begin to clients.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from itertools import chain, islice, product
from typing import Final

from wgpy.address import Prefix
from wgpy.contract.constants import MAX_PERMITS
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.orders import AllowedIP, Permit
from wgpy.keys import PublicKey
from wgpy.mesh.links import destinations_of, site_selector
from wgpy.mesh.member import Member
from wgpy.mesh.prefix_set import complement
from wgpy.mesh.records import Client, End, Ingress
from wgpy.mesh.rules import OTHERS, Rules, Target, allowed_ip, numbered, prefixes_of_end
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Site, own_sites, prefixes_of
from wgpy.mesh.topology import Topology

_ANY: Final = "any"  # a selector
_NAMES_PORT: Final = 53
_PROTOCOLS_OF_NAMES: Final = (6, 17)  # IANA's numbers: TCP and UDP

Permits = tuple[Permit, ...] | None  # None: everything
Reach = frozenset[Target]


@dataclass(frozen=True, slots=True)
class EnteringClient:
    """A client at one of its gateways."""

    client: Client
    ingress: Ingress

    @property
    def allowed_ips(self) -> frozenset[AllowedIP]:
        return frozenset(map(allowed_ip, self.prefixes))

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        return IPv4Network(self.ingress.address), IPv6Network(self.ingress.address6)


def entering_by_gateway(topology: Topology) -> Mapping[VerifyKey, list[EnteringClient]]:
    """Return the clients that enter by each node."""
    found: dict[VerifyKey, list[EnteringClient]] = {}
    for client in topology.clients:
        for ingress in client.ingresses:
            found.setdefault(ingress.gateway, []).append(EnteringClient(client, ingress))
    return found


@dataclass(frozen=True, slots=True)
class Passage:
    """What of an exit a node passes on for clients.

    exit: name of that of another node which they use, "" for none; ranges: of the network, which no exit is a
    way to.
    """

    exit: str = ""
    ranges: tuple[Prefix, ...] = ()


_NO_PASSAGE: Final = Passage()


def permits(topology: Topology, local: Member, passage: Passage = _NO_PASSAGE) -> dict[PublicKey, Permits]:
    """Return what each peer of a member, clients among them, may begin to it and by it."""
    by_rules = Rules(topology).permits(local)
    return _Filter(topology, local, passage).extended(by_rules) if topology.clients else dict(by_rules)


class _Filter:
    """Of one node, its clients and those of its peers."""

    def __init__(self, topology: Topology, local: Member, passage: Passage) -> None:
        self._topology = topology
        self._local = local
        self._passage = passage
        self._entries = entering_by_gateway(topology)
        self._own = self._entries.get(local.identity, [])
        self._sites = {site_selector(site.name): site for site in topology.sites}
        self._own_sites = {
            site_selector(site.name): site for site in own_sites(topology.sites, local.identity)
        }
        self._of_reach: dict[tuple[Reach, bool], tuple[Permit, ...]] = {}
        self._targets: dict[str, set[Target]] = {}  # by source
        for rule in numbered(topology):
            self._targets.setdefault(rule.source.selector, set()).add(rule.target)

    def extended(self, by_rules: Mapping[PublicKey, Permits]) -> dict[PublicKey, Permits]:
        """Return permits of nodes, with what clients add to them, and those of this node's own clients."""
        nodes = {member.key: member for member in self._topology.peers(self._local.identity)}
        found = {
            key: None if given is None else self._of_node(nodes[key], given)
            for key, given in by_rules.items()
        }
        return {**found, **{entry.client.key: self._of_client(entry) for entry in self._own}}

    def _of_node(self, node: Member, given: Iterable[Permit]) -> Permits:
        found = chain(
            (permit for one in given for permit in self._to_this_node(one)),
            self._to_own_clients(self._reach(node)),
            self._by_clients(self._entries.get(node.identity, ())),
        )
        return tuple(dict.fromkeys(islice(found, MAX_PERMITS)))

    def _by_clients(self, entries: Iterable[EnteringClient]) -> Iterator[Permit]:
        """Give what the clients that enter by a node begin here, and what it asks for them."""
        addresses: dict[Reach, list[Prefix]] = {}
        for entry in entries:
            addresses.setdefault(self._reach(entry.client), []).extend(entry.prefixes)
        for reach in addresses:
            yield from self._names_for(reach)
        for reach, prefixes in addresses.items():
            sources = list(map(allowed_ip, collapsed(prefixes)))
            for permit, source in product(self._from_behind(reach), sources):
                if permit.destination is None or len(permit.destination.address) == len(source.address):
                    yield permit._replace(source=source)

    def _names_for(self, reach: Reach) -> Iterator[Permit]:
        """Give the permits to ask for names on behalf of clients: of an exit, and of sites with zones."""
        for target in reach:
            site = self._own_sites.get(target.end.selector)
            if site is not None and site.is_exit:
                yield from self._of_names()
            elif site is not None and site.zones:
                yield from _asking(site.mapped)

    def _from_behind(self, reach: Reach) -> Iterator[Permit]:
        """Give what a client that enters elsewhere may begin here."""
        selectors = self._local.selectors
        for target in sorted(reach, key=_order):
            if target.end.selector in selectors:
                yield from chain.from_iterable(map(self._to_this_node, target.permits(None)))
            if (site := self._own_sites.get(target.end.selector)) is not None:
                yield from _permits_to(target, prefixes_of_end(site, target.end))
        yield from self._to_own_clients(reach)

    def _to_this_node(self, permit: Permit) -> Iterator[Permit]:
        """Narrow a permit for everything down to what is this node's, if clients are behind it, too."""
        if permit.destination is not None or not self._own:
            yield permit
        else:
            own = (*self._local.allowed_ips, *prefixes_of(self._own_sites.values()))
            yield from (permit._replace(destination=allowed_ip(one)) for one in own)

    def _to_own_clients(self, reach: Reach) -> Iterator[Permit]:
        for target in sorted(reach, key=_order):
            for entry in self._own_by_selector.get(target.end.selector, ()):
                yield from _permits_to(target, entry.prefixes)

    def _of_client(self, entry: EnteringClient) -> Permits:
        if not self._topology.rules and not entry.client.destinations:
            return None
        reach, asks = self._reach(entry.client), entry.ingress.names
        if (reach, asks) not in self._of_reach:  # most clients have the same
            self._of_reach[reach, asks] = tuple(islice(self._permits_of(reach, asks=asks), MAX_PERMITS))
        return self._of_reach[reach, asks]

    def _permits_of(self, reach: Reach, *, asks: bool) -> Iterable[Permit]:
        """asks: whether this node is asked for names."""
        found = [*(self._of_names() if asks else ())]
        for target in sorted(reach, key=_order):
            if target.end.selector == _ANY:
                found += target.permits(None)
            elif target.end.selector in self._sites:
                found += _permits_to(target, self._of_site(self._sites[target.end.selector], target.end))
            else:
                found += _permits_to(target, self._prefixes.get(target.end.selector, ()))
        return dict.fromkeys(found)

    def _of_site(self, site: Site, end: End) -> Iterable[Prefix]:
        """Return what of a site clients that enter here reach; of an exit what is not of the mesh itself."""
        if not site.is_exit:
            return prefixes_of_end(site, end)
        is_there = site.name == self._passage.exit or site.gateway(self._local.identity)
        return self._outside(site.mapped) if is_there else ()

    def _outside(self, exits: Iterable[Prefix]) -> Iterable[Prefix]:
        versions = {prefix.version for prefix in exits}
        return (prefix for prefix in self._not_of_mesh if prefix.version in versions)

    @cached_property
    def _not_of_mesh(self) -> list[Prefix]:
        routes = chain.from_iterable(member.routes for member in self._topology.members)
        own = (site.real for site in self._own_sites.values() if not site.is_exit)
        sites = prefixes_of(self._topology.sites)
        return list(complement((*self._passage.ranges, *routes, *sites, *chain.from_iterable(own))))

    def _of_names(self) -> Iterator[Permit]:
        """Give the permits to ask this node for names."""
        return _asking((IPv4Network(self._local.address), IPv6Network(self._local.address6)))

    def _reach(self, source: Member | Client) -> Reach:
        """Return what it may begin to; without rules, of a client, only its own destinations."""
        own = destinations_of(source, self._topology.ends) if isinstance(source, Client) else ()
        by_rules = (one for selector in source.selectors for one in self._targets.get(selector, ()))
        return frozenset((*(Target(OTHERS, end) for end in own), *by_rules))

    @cached_property
    def _own_by_selector(self) -> Mapping[str, list[EnteringClient]]:
        found: dict[str, list[EnteringClient]] = {}
        for entry in self._own:
            for selector in entry.client.selectors:
                found.setdefault(selector, []).append(entry)
        return found

    @cached_property
    def _prefixes(self) -> Mapping[str, list[Prefix]]:
        """Return what each selector that a client of this node may reach stands for."""
        reaches = map(self._reach, (entry.client for entry in self._own))
        return selected(self._topology, {target.end.selector for reach in reaches for target in reach})


def selected(topology: Topology, selectors: Iterable[str]) -> Mapping[str, list[Prefix]]:
    """Return the prefixes of the nodes, clients and sites that each selector selects."""
    sites = {site_selector(site.name): site.mapped for site in topology.sites}
    found: dict[str, list[Prefix]] = {selector: [*sites.get(selector, ())] for selector in selectors}
    for member in topology.members:
        for selector in found.keys() & member.selectors:
            found[selector] += member.allowed_ips
    for entry in (entry for entries in entering_by_gateway(topology).values() for entry in entries):
        for selector in found.keys() & entry.client.selectors:
            found[selector] += entry.prefixes
    return {selector: collapsed(prefixes) for selector, prefixes in found.items()}


def _asking(prefixes: Iterable[Prefix]) -> Iterator[Permit]:
    for to, protocol in product(map(allowed_ip, prefixes), _PROTOCOLS_OF_NAMES):
        yield Permit(OTHERS, protocol, to, _NAMES_PORT, _NAMES_PORT)


def _permits_to(target: Target, prefixes: Iterable[Prefix]) -> Iterator[Permit]:
    return (permit for prefix in prefixes for permit in target.permits(allowed_ip(prefix)))


def _order(target: Target) -> tuple[int, str]:
    """The first rule counts a packet."""
    return target.number, target.end.text


def collapsed(prefixes: Iterable[Prefix]) -> list[Prefix]:
    """Return as few prefixes as there can be of the same addresses."""
    prefixes = list(prefixes)
    return [
        *collapse_addresses(one for one in prefixes if isinstance(one, IPv4Network)),
        *collapse_addresses(one for one in prefixes if isinstance(one, IPv6Network)),
    ]
