"""The direction of rules: which member may begin a flow to which, and the permits that a data path needs.

With `allow SOURCE DESTINATION`, SOURCE may begin, replies pass, and no other member may begin. Without any
rule every member may. Invariant: two members are joined exactly if one of them may begin to the other. A
relay is everybody's peer, which lets the two compare state digests, and begin nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from heapq import merge
from itertools import chain, islice, product
from operator import attrgetter
from typing import Final

from wgpy.address import Address, Prefix
from wgpy.contract.constants import MAX_PERMITS, MAX_RULES
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.orders import AllowedIP, Permit
from wgpy.keys import PublicKey
from wgpy.mesh.links import site_selector
from wgpy.mesh.member import Member
from wgpy.mesh.ports import ICMP, TCP, UDP, Ports, merged
from wgpy.mesh.records import End, Rule
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Site, sites_by_gateway, within
from wgpy.mesh.topology import Topology
from wgpy.mesh.wire import GOSSIP_PORT, PATHS_PORT

GOSSIP: Final = 0  # the number of the permits that every peer has
OTHERS: Final = MAX_RULES - 1  # the number that all rules have for which none is left
_ICMPV6: Final = 58
_REMEMBERED: Final = 16_384  # selectors


@dataclass(frozen=True, slots=True)
class NumberedRule:
    """A rule in force. number: from 1; source, destination: what its selectors stand for."""

    number: int
    rule: Rule
    source: End
    destination: End

    @property
    def target(self) -> "Target":
        return Target(min(self.number, OTHERS), self.destination)

    def allows(self, ports: Ports | None) -> bool:
        """Return whether it is for these ports; None: for any."""
        own = self.destination.ports
        return ports is None or not own or any(each.cover(ports) for each in own)


@dataclass(frozen=True, slots=True)
class Target:
    """What may be begun to. number: that a permit has, of the rule that says so."""

    number: int
    end: End

    def permits(self, destination: AllowedIP | None, source: AllowedIP | None = None) -> Iterator[Permit]:
        """Give what a data path lets in. destination, source: what of the ends is meant, None for all."""
        if not self.end.ports:
            yield Permit(self.number, destination=destination, source=source)
        for ports in self.end.ports:
            for protocol in (ICMP, _ICMPV6) if ports.protocol == ICMP else (ports.protocol,):
                yield Permit(self.number, protocol, destination, ports.first, ports.last, source)


class Rules:
    """The rules of a topology, by their selectors, and their numbers.

    Numbers begin with 1, in the order in which this process first had each rule. A rule that is taken back
    and allowed again keeps its number, so a count of packets by number is always of one rule. From OTHERS on,
    all rules have that one number.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._sites = {site_selector(site.name): site for site in topology.sites}
        self._sites_of = sites_by_gateway(topology.sites)
        self._rules: dict[tuple[str, str], list[NumberedRule]] = {}  # by what they select
        for one in numbered(topology):
            self._rules.setdefault((one.source.selector, one.destination.selector), []).append(one)

    def between(self, source: Member, destination: Member, ports: Ports | None = None) -> Rule | None:
        """Return the first rule that lets a member begin to another, or to what is behind that.

        ports: of the destination; None: any that there are.
        """
        return self._first(source.selectors, self._selectors(destination), ports)

    def allow(self, source: Member, destination: Member) -> bool:
        """Return whether a member, or what is behind it, may begin to another, or to what is behind that."""
        ends = self._selectors(source), self._selectors(destination)
        return not self._rules or self._first(*ends) is not None

    def to_address(self, source: Member, destination: Member, address: Address, ports: Ports) -> Rule | None:
        """Return the first rule that lets a member begin to ports of an address of, or behind, another."""
        clients = (
            client.selectors
            for client in self._topology.clients
            for ingress in client.ingresses
            if ingress.gateway == destination.identity and address in (ingress.address, ingress.address6)
        )
        pairs = product(source.selectors, next(clients, self._selectors(destination)))
        rules = chain.from_iterable(self._rules.get(pair, ()) for pair in pairs)
        return _first(one for one in rules if one.allows(ports) and self._has(one.destination, address))

    def to_site(self, source: Member, gateway: Member, name: str, ports: Ports) -> Rule | None:
        """Return the first rule that lets a member begin to ports of all of a site of a gateway."""
        pairs = product(source.selectors, (*gateway.selectors, site_selector(name)))
        rules = chain.from_iterable(self._rules.get(pair, ()) for pair in pairs)
        return _first(one for one in rules if one.allows(ports) and not one.destination.prefixes)

    def _has(self, end: End, address: Address) -> bool:
        """Return whether an address that a rule's destination may have is of it."""
        site = self._sites.get(end.selector)
        return site is None or any(address in prefix for prefix in prefixes_of_end(site, end))

    def _selectors(self, member: Member) -> list[str]:
        """Return what selects a member, and the sites that it is a gateway of."""
        sites = self._sites_of.get(member.identity, ())
        return [*member.selectors, *(site_selector(site.name) for site in sites)]

    def _first(
        self, sources: Iterable[str], destinations: Iterable[str], ports: Ports | None = None
    ) -> Rule | None:
        pairs = product(sources, destinations)
        rules = chain.from_iterable(self._rules.get(pair, ()) for pair in pairs)
        return _first(one for one in rules if one.allows(ports))

    def texts(self) -> dict[int, str]:
        """Return the text of each number that a permit may have."""
        rules = chain.from_iterable(self._rules.values())
        texts = {one.number: one.rule.text for one in rules if one.number < OTHERS}
        return {GOSSIP: "gossip", **texts, OTHERS: "others"}

    def permits(self, local: Member) -> dict[PublicKey, tuple[Permit, ...] | None]:
        """Return what each peer of a member may begin to it and to the routes behind it.

        None: everything, as there is no rule. A peer has at most MAX_PERMITS, those of the first rules.
        """
        peers = self._topology.peers(local.identity)
        if not self._rules:
            return {peer.key: None for peer in peers}
        always, by_source = _always(local), self._rules_to(local)
        permits: dict[tuple[str, ...], tuple[Permit, ...]] = {}  # the same for all that have the same
        found: dict[PublicKey, tuple[Permit, ...] | None] = {}
        for peer in peers:
            sources = tuple(filter(by_source.__contains__, self._selectors(peer)))
            if sources not in permits:
                rules = merge(*(by_source[source] for source in sources), key=attrgetter("number"))
                given = chain.from_iterable(self._permits_to(rule) for rule in rules)
                permits[sources] = *always, *islice(dict.fromkeys(given), MAX_PERMITS - len(always))
            found[peer.key] = permits[sources]
        return found

    def _rules_to(self, local: Member) -> dict[str, list[NumberedRule]]:
        """Return the rules for a member and what is behind it, by what their sources select, by number."""
        found: dict[str, list[NumberedRule]] = {}
        selectors = frozenset(self._selectors(local))
        for (source, destination), rules in self._rules.items():
            if destination in selectors:
                found.setdefault(source, []).extend(rules)
        return {source: sorted(rules, key=attrgetter("number")) for source, rules in found.items()}

    def _permits_to(self, rule: NumberedRule) -> Iterator[Permit]:
        """Give the permits by a rule, where its destination is, to a peer where its source is."""
        for source, destination in product(self._prefixes(rule.source), self._prefixes(rule.destination)):
            yield from rule.target.permits(destination, source)

    def _prefixes(self, end: End) -> list[AllowedIP | None]:
        """Return what the mesh routes of an end that is a site; everything of another one."""
        site = self._sites.get(end.selector)
        if site is None:
            return [None]
        return [allowed_ip(prefix) for prefix in prefixes_of_end(site, end)]


def _first(rules: Iterable[NumberedRule]) -> Rule | None:
    first = min(rules, key=attrgetter("number"), default=None)
    return first.rule if first else None


def prefixes_of_end(site: Site, end: End) -> Iterable[Prefix]:
    """Return what the mesh routes of a site, or of the prefixes of it that an end has."""
    return within(site, end.prefixes) if end.prefixes else site.mapped


def allowed_ip(prefix: Prefix) -> AllowedIP:
    return AllowedIP(prefix.network_address.packed, prefix.prefixlen)


def lost(before: Topology, after: Topology) -> dict[VerifyKey, frozenset[VerifyKey]]:
    """Return to whom each member may begin before and not after, of two topologies with the same members."""
    found = (
        (member.identity, before.destinations(member) - after.destinations(_same(after, member)))
        for member in before.members
    )
    return {identity: others for identity, others in found if others}


def narrowed(before: Topology, after: Topology) -> dict[VerifyKey, dict[VerifyKey, tuple[Ports, ...]]]:
    """Return the ports to which alone each member may begin after, and to more before, of whom."""
    found = (
        (member.identity, dict(_narrower(reach(before, member), reach(after, _same(after, member)))))
        for member in before.members
    )
    return {identity: others for identity, others in found if others}


@dataclass(frozen=True, slots=True)
class Reach:
    """What a member may begin to. whole: members, all of each; ports: the others, only these of each."""

    whole: frozenset[VerifyKey]
    ports: Mapping[VerifyKey, tuple[Ports, ...]]


def reach(topology: Topology, member: Member) -> Reach:
    """Return to what of others a member may begin."""
    if not topology.rules:
        return Reach(topology.destinations(member), {})
    selectors, whole, partly = member.selectors, set[VerifyKey](), dict[VerifyKey, list[Ports]]()
    ends = {one.destination for one in numbered(topology) if one.source.selector in selectors}
    for end in ends:
        identities = [other.identity for other in topology.selected(end.selector) if other is not member]
        if not end.ports:
            whole.update(identities)
        for identity in identities:
            partly.setdefault(identity, []).extend(end.ports)
    return Reach(frozenset(whole), {one: merged(ports) for one, ports in partly.items() if one not in whole})


def _same(topology: Topology, member: Member) -> Member:
    return topology.member(member.identity) or member


def _narrower(was: Reach, now: Reach) -> Iterator[tuple[VerifyKey, tuple[Ports, ...]]]:
    for identity, ports in now.ports.items():
        before = was.ports.get(identity, ())
        if identity in was.whole or not all(any(new.cover(old) for new in ports) for old in before):
            yield identity, ports


def numbered(topology: Topology) -> Iterator[NumberedRule]:
    """Give the rules in force."""
    ends = topology.ends
    for number, rule in zip(topology.rule_numbers, topology.rules, strict=True):
        yield NumberedRule(
            number, rule, *(ends.get(each) or _end(each) for each in (rule.source, rule.destination))
        )


@lru_cache(_REMEMBERED)
def _end(selector: str) -> End:
    """Return the end of a rule that needs no scope."""
    return End(selector)


def _always(local: Member) -> tuple[Permit, ...]:
    """Every peer may compare state digests and tell of its paths, whatever the rules are."""
    own = AllowedIP(local.address6.packed, 128)
    ports = (TCP, GOSSIP_PORT), (UDP, PATHS_PORT)
    return tuple(Permit(GOSSIP, protocol, own, port, port) for protocol, port in ports)
