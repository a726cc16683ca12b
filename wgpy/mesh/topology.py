"""The members of a network and the peers of each, derived from records. Allowed IPs: whitepaper section 2.

Invariant: nodes with the same records and nearly the same clock derive the same members, and no record of a
node can take a name, an address or a route from a node that was admitted before it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv4Address
from itertools import chain
from math import inf
from operator import attrgetter, itemgetter
from typing import Final

from wgpy.address import Prefix
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import NEVER_ANNOUNCED, node_address6
from wgpy.mesh.clients import Clients
from wgpy.mesh.grants import Grant, Grants
from wgpy.mesh.ledger import Ledger, StateDigest
from wgpy.mesh.links import (
    Ends,
    Link,
    RulesInForce,
    announcers,
    gateways_of,
    joined,
    links,
    selected_by,
    selectors_of,
)
from wgpy.mesh.member import Member
from wgpy.mesh.prefix_set import Prefixes
from wgpy.mesh.records import (
    ANY,
    AnnouncedSite,
    Client,
    End,
    Network,
    Node,
    Paths,
    Relay,
    Removal,
    Rule,
    Sites,
    Tags,
    client_key_of,
    is_by_name,
)
from wgpy.mesh.routes import Allotment, Routes
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Claim, ExcludedSite, Site, settle

Seniority = tuple[int, int, bytes]


class Exclusion(Enum):
    """Why a node with a record is no member."""

    NO_TOKEN = "its token is not of this network"
    TOKEN_EXPIRED = "its token had expired when it joined"
    TOKEN_REVOKED = "its token was revoked"
    MEMBERSHIP_EXPIRED = "its membership has expired"
    REMOVED = "it was removed"
    DEPARTED = "it left"
    ADDRESS_TAKEN = "its address is another node's, or not of the network"
    KEY_TAKEN = "its WireGuard key is another node's"


# Of nodes that were members before.
_ENDED: Final = (Exclusion.REMOVED, Exclusion.DEPARTED, Exclusion.MEMBERSHIP_EXPIRED)


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a topology was derived from: while it is the same, only endpoints and paths can change it.

    nodes, announcements: the ledger's, in its order; since, until: Unix seconds, no membership ends between
    them.
    """

    network: Network
    state_digest: StateDigest
    nodes: list[Node]
    announcements: list[Sites]
    since: int
    until: float


@dataclass(frozen=True, slots=True)
class _Index:
    """Look-ups that would cost a pass over all members or rules.

    positions: among the members, by identity; selected: positions by selector; reachable: for each selector
    those that a rule or a client joins with it, in either direction. Without rules the last two are empty.
    """

    positions: dict[VerifyKey, int] = field(default_factory=dict)
    selected: dict[str, list[int]] = field(default_factory=dict)
    reachable: dict[str, set[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topology:
    """The members of a network in the order of their admission, the excluded nodes, and the rules in force.

    rule_numbers: of each rule, from 1, in the order in which the ledger got the first record of its source
    and destination; no other rule ever has that number in this ledger. ends: what the selectors of scopes
    stand for. sites: those in force, the first one first; excluded_sites: what members announce in vain;
    clients: that are in force, with those of their gateways that are members.

    reserved: prefixes that former members, and members that the viewer does not see, announced last, as far
    as they were allowed to and no member has them; granted: prefixes that tokens and approvals let nodes
    announce, and parts of; relays: the members that pass on what others send each other.
    """

    members: tuple[Member, ...]
    excluded: dict[VerifyKey, Exclusion]
    rules: tuple[Rule, ...]
    rule_numbers: tuple[int, ...] = field(default=(), compare=False)
    ends: Ends = field(default_factory=dict, repr=False)
    sites: tuple[Site, ...] = ()
    excluded_sites: tuple[ExcludedSite, ...] = ()
    clients: tuple[Client, ...] = ()
    reserved: frozenset[Prefix] = frozenset()
    relays: frozenset[VerifyKey] = frozenset()
    granted: Prefixes = field(default_factory=Prefixes, repr=False, compare=False)
    _index: _Index = field(default_factory=_Index, repr=False, compare=False)
    _basis: _Basis | None = field(default=None, repr=False, compare=False)

    @property
    def until(self) -> float:
        """When the next membership or client ends, Unix seconds; infinity if none ever does."""
        return self._basis.until if self._basis else inf

    def holds_at(self, now: int) -> bool:
        """Return whether no membership ended or, as a clock was set back, began again. now: Unix seconds."""
        return self._basis is None or self._basis.since <= now < self._basis.until

    def member(self, identity: VerifyKey) -> Member | None:
        position = self._index.positions.get(identity)
        return None if position is None else self.members[position]

    def site(self, name: str) -> Site | None:
        return next((site for site in self.sites if site.name == name), None)

    def addresses(self) -> frozenset[IPv4Address]:
        """Return those that members and clients have."""
        of_clients = (ingress.address for client in self.clients for ingress in client.ingresses)
        return frozenset(chain((member.address for member in self.members), of_clients))

    def names(self) -> frozenset[str]:
        """Return those that members and clients have."""
        members = frozenset(member.name for member in self.members if member.name)
        return members | {client.name for client in self.clients}

    def peers(self, identity: VerifyKey) -> tuple[Member, ...]:
        """Return the members that a node may reach, those that may reach it, and relays; of a relay, all."""
        return self._peers(identity, self.relays)

    def joined_peers(self, identity: VerifyKey) -> tuple[Member, ...]:
        """Return the members that a node may reach, and those that may reach it."""
        return self._peers(identity, frozenset())

    def _peers(self, identity: VerifyKey, relays: frozenset[VerifyKey]) -> tuple[Member, ...]:
        local = self.member(identity)
        if local is None:
            return ()
        reachable = self._reachable(local)
        if ANY in reachable or identity in relays:
            return tuple(member for member in self.members if member is not local)
        selected, index = self._index.selected, self._index.positions
        positions = {position for selector in reachable for position in selected.get(selector, ())}
        positions.update(index[relay] for relay in relays)
        positions.discard(index[identity])
        return tuple(self.members[position] for position in sorted(positions))

    def destinations(self, local: Member) -> frozenset[VerifyKey]:
        """Return the identities of the members to which a member may begin."""
        if not self.rules:
            return frozenset(self._index.positions) - {local.identity}
        selectors, rules = local.selectors, selected_by(self.rules, self.ends)
        allowed = {destination for source, destination in rules if source in selectors}
        found = chain.from_iterable(map(self.selected, allowed))
        return frozenset(member.identity for member in found) - {local.identity}

    def selected(self, selector: str) -> list[Member]:
        """Return the members that a selector of a rule in force selects."""
        return [self.members[position] for position in self._index.selected.get(selector, ())]

    def with_rules(self, rules: tuple[Rule, ...], *ends: End) -> "Topology":
        """Return the topology with other rules, to see what they would change. ends: new ones of scopes."""
        numbers = tuple(range(1, len(rules) + 1))
        known = {**self.ends, **{end.rule_selector: end for end in ends}}
        links_of = joined(self.clients, selected_by(rules, known), gateways_of(self.sites), known)
        index = _index(self.members, links_of)
        return replace(self, rules=rules, rule_numbers=numbers, ends=known, _index=index)

    def are_peers(self, local: Member, remote: Member) -> bool:
        """Return whether either of two members may reach the other, or is a relay."""
        is_relay = not self.relays.isdisjoint((local.identity, remote.identity))
        return is_relay or self.are_joined(local, remote)

    def are_joined(self, local: Member, remote: Member) -> bool:
        """Return whether either of two members may reach the other."""
        return not self._reachable(local).isdisjoint(remote.selectors)

    def are_peers_by_name(self, local: Member) -> bool:
        """Return whether a rule makes peers of a member and of whichever node has a name."""
        return any(map(is_by_name, self._reachable(local)))

    def peers_by(self, rules: Iterable[Rule], clients: Collection[Client], local: Member) -> Iterator[Member]:
        """Give the peers that a member has by any of these, some perhaps more than once."""
        selectors = local.selectors
        for one, other in self._joined_by(selected_by(rules, self.ends), clients):
            for here, there in ((one, other), (other, one)):
                if here in selectors:
                    yield from map(self.members.__getitem__, self._index.selected.get(there, ()))

    def _joined_by(self, rules: Sequence[Link], clients: Collection[Client]) -> Iterator[Link]:
        named = set(map(client_key_of, chain.from_iterable(rules))) - {None}
        of_rules = [client for client in self.clients if client.key in named] if named else ()
        gateways = gateways_of(self.sites)
        yield from joined(of_rules, rules, gateways, self.ends)
        if self.rules and clients:
            yield from links(clients, selected_by(self.rules, self.ends), gateways, self.ends)

    def _reachable(self, local: Member) -> set[str]:
        """Return the selectors of a member's peers."""
        if not self.rules:
            return {ANY}
        return set().union(*(self._index.reachable.get(selector, ()) for selector in local.selectors))

    def with_endpoints(self, ledger: Ledger, now: int) -> "Topology | None":
        """Return the topology of a ledger if it differs in endpoints and paths alone, else None."""
        basis, nodes = self._basis, ledger.nodes()
        if basis is None or basis.state_digest != ledger.state_digest() or len(basis.nodes) != len(nodes):
            return None
        if basis.announcements != ledger.announcements():
            return None
        changed = [(old, new) for old, new in zip(basis.nodes, nodes, strict=True) if old is not new]
        if not self.holds_at(now) or not all(only_endpoints_differ(*both) for both in changed):
            return None
        members = list(self.members)
        for _, node in changed:
            if (position := self._index.positions.get(node.signer)) is not None:
                members[position] = replace(members[position], endpoints=node.endpoints)
        for paths in ledger.paths():
            position = self._index.positions.get(paths.signer)
            if position is not None and members[position].paths is not paths:
                members[position] = replace(members[position], paths=paths)
        return replace(self, members=tuple(members), _basis=replace(basis, nodes=nodes))


def derive(
    ledger: Ledger, now: int, before: Topology | None = None, viewer: VerifyKey | None = None
) -> Topology:
    """Return the topology of a ledger.

    now: Unix seconds by the local clock; if that was never set, the newest admin record's time counts
    instead. before: an earlier result for the same viewer, which makes it faster and nothing else.

    viewer: the node whose ledger it is. Nobody tells a node of changes of nodes that no rule joins with it:
    what it once knew of these is left out, lest an old name or route of theirs take that of a peer.
    """
    now = ledger.judging_time(now)
    if before is not None and (same := before.with_endpoints(ledger, now)) is not None:
        return same
    network = ledger.charter()
    rules = RulesInForce.of(ledger)
    if network is None:
        return Topology((), {}, rules.rules, rules.numbers, rules.ends)
    return _Judge(ledger, network, now, before or _NOTHING, viewer).topology(rules)


_NOTHING: Final = Topology((), {}, ())


class _Judge:
    """Decides which nodes are members."""

    def __init__(
        self, ledger: Ledger, network: Network, now: int, before: Topology, viewer: VerifyKey | None
    ) -> None:
        self._ledger = ledger
        self._network = network
        self._now = now
        self._viewer = viewer
        self._before = before if before._basis and before._basis.network is network else _NOTHING
        self._departed = ledger.departed()
        self._removals = ledger.admin_records(Removal)
        self._tags = ledger.admin_records(Tags)
        self._relays = ledger.admin_records(Relay)
        self._grants = Grants(ledger)

    def topology(self, rules: RulesInForce) -> Topology:
        nodes = self._ledger.nodes()
        excluded: dict[VerifyKey, Exclusion] = {}
        admitted: list[tuple[Seniority, Node, Grant]] = []
        until: float = inf
        for node in nodes:
            grant = self._grants.of(node.token)
            reason = self._exclusion(node, grant)
            if grant is None or reason is not None:
                excluded[node.signer] = reason or Exclusion.NO_TOKEN
                continue
            admitted.append((_seniority(node, grant), node, grant))
            if grant.lifetime:
                until = min(until, node.admitted + grant.lifetime)
        admitted.sort(key=itemgetter(0))
        granted = [(node, grant) for _, node, grant in admitted]
        relays = frozenset(node.signer for node, _ in granted if self._is_relay(node))
        records = self._ledger.admin_records(Client).values()
        valid = [client for client in records if client.is_valid_at(self._now)]
        announcements = self._ledger.announcements()
        linked = joined(valid, rules.links, announcers(announcements), rules.ends)
        visible = self._visible(granted, linked, relays)
        members = self._settle(visible, excluded)
        sites, excluded_sites = self._sites(announcements, visible, members)
        clients = Clients(self._network, members, valid, self._now)
        until = min(until, clients.until)
        basis = _Basis(self._network, self._ledger.state_digest(), nodes, announcements, self._now, until)
        index = _index(members, joined(clients.in_force, rules.links, gateways_of(sites), rules.ends))
        absent = [
            node
            for node in nodes
            if node.signer not in index.positions and excluded.get(node.signer) in (None, *_ENDED)
        ]
        reserved = self._reserved(absent).difference(*(member.routes for member in members))
        return Topology(
            members, excluded, rules.rules, rules.numbers, rules.ends, sites, excluded_sites,
            clients.in_force, reserved, relays.intersection(index.positions), self._grants.routes(), index,
            basis,
        )  # fmt: skip

    def _exclusion(self, node: Node, grant: Grant | None) -> Exclusion | None:
        if bytes(node.signer) in self._removals:
            return Exclusion.REMOVED
        if node.signer in self._departed:
            return Exclusion.DEPARTED
        if grant is None:
            return Exclusion.NO_TOKEN
        if node.admitted >= grant.expires:
            return Exclusion.TOKEN_EXPIRED
        if grant.keep is not None and node.signer not in grant.keep:
            return Exclusion.TOKEN_REVOKED
        if grant.lifetime and self._now >= node.admitted + grant.lifetime:
            return Exclusion.MEMBERSHIP_EXPIRED
        return None

    def _is_relay(self, node: Node) -> bool:
        found = (self._relays.get(bytes(key)) for key in (node.signer, node.token) if self._relays)
        newest = max(filter(None, found), key=attrgetter("sequence"), default=None)
        return newest is not None and newest.allowed

    def _visible(
        self, nodes: list[tuple[Node, Grant]], joined: Sequence[Link], relays: frozenset[VerifyKey]
    ) -> list[tuple[Node, Grant]]:
        """Return the viewer, whom a rule joins with it, and relays.

        All if it is a relay or none of them, or there is no rule.
        """
        if self._viewer is None or self._viewer in relays or not joined:
            return nodes
        selectors = {
            node.signer: selectors_of(node.signer, node.name, self._tags_of(node, grant))
            for node, grant in nodes
        }
        if (own := selectors.get(self._viewer)) is None:
            return nodes
        others = _index((), joined).reachable
        reachable = {
            self._viewer,
            *relays,
            *chain.from_iterable(others.get(selector, ()) for selector in own),
        }
        return [
            (node, grant)
            for node, grant in nodes
            if not reachable.isdisjoint((node.signer, *selectors[node.signer]))
        ]

    def _settle(
        self, nodes: Iterable[tuple[Node, Grant]], excluded: dict[VerifyKey, Exclusion]
    ) -> tuple[Member, ...]:
        """Give names, addresses and routes to the node that was admitted first."""
        members: list[Member] = []
        names: set[str] = set()
        keys: set[PublicKey] = set()
        addresses: set[IPv4Address] = set()
        allotment = Routes(self._not_announced(), self._grants.allow)
        for node, grant in nodes:
            if node.key in keys:
                excluded[node.signer] = Exclusion.KEY_TAKEN
                continue
            if node.address in addresses or not self._is_of_network(node.address):
                excluded[node.signer] = Exclusion.ADDRESS_TAKEN
                continue
            name = "" if node.name in names else node.name
            members.append(self._member(node, name, grant, allotment.allot(node)))
            names.add(node.name)
            keys.add(node.key)
            addresses.add(node.address)
        return tuple(members)

    def _member(self, node: Node, name: str, grant: Grant, found: Allotment) -> Member:
        tags, paths = self._tags_of(node, grant), self._ledger.find(Paths, bytes(node.signer))
        before = self._before.member(node.signer)
        if before is not None and _is_made_of(before, node):
            derived = (before.name, before.tags, before.routes, before.standby, before.requested)
            is_same = derived == (name, tags, found.routes, found.standby, found.requested)
            if is_same and before.paths is paths:
                return before
        return Member(
            node.signer,
            name,
            node.key,
            node.address,
            node_address6(self._network.addresses6, node.signer),
            tags,
            found.routes,
            found.requested,
            node.endpoints,
            found.standby,
            paths,
        )

    def _tags_of(self, node: Node, grant: Grant) -> frozenset[str]:
        """Return those of the newest admin record that gives some: of the node, or of its token."""
        tags = self._tags.get(bytes(node.signer))
        return grant.tags if tags is None or tags.sequence < grant.sequence else frozenset(tags.tags)

    def _sites(
        self, announcements: list[Sites], nodes: list[tuple[Node, Grant]], members: tuple[Member, ...]
    ) -> tuple[tuple[Site, ...], tuple[ExcludedSite, ...]]:
        """Return the sites of members that are in force, and the others. nodes: visible ones."""
        if not any(record.sites for record in announcements):
            return (), ()
        routes = {member.identity: member.routes for member in members}
        announced = {record.signer: record.sites for record in announcements if record.signer in routes}
        claims = (
            self._claim(node, site, grant) for node, grant in nodes for site in announced.get(node.signer, ())
        )
        return settle(self._network, claims, chain.from_iterable(routes.values()))

    def _claim(self, node: Node, site: AnnouncedSite, grant: Grant) -> Claim:
        is_allowed = all(self._grants.allow_of_site(node, prefix) for prefix in site.real)
        zones = self._grants.approved_zones(node, site.zones)
        return Claim(node.signer, site, max(site.since, grant.made), is_allowed, zones)

    def _reserved(self, nodes: Iterable[Node]) -> frozenset[Prefix]:
        """Return what nodes announced last, as far as they were allowed to."""
        never = self._not_announced()
        return frozenset(
            route
            for node in nodes
            for route in node.routes
            if self._grants.allow(node, route) and not never.overlap(route)
        )

    def _not_announced(self) -> Prefixes:
        """Return what no node may announce, nor a part of it."""
        return Prefixes((self._network.addresses, self._network.addresses6, *NEVER_ANNOUNCED))

    def _is_of_network(self, address: IPv4Address) -> bool:
        network = self._network.addresses
        return address in network and address not in (network.network_address, network.broadcast_address)


def _seniority(node: Node, grant: Grant) -> Seniority:
    """Return a rank; the lesser was admitted first. A newer token's nodes never precede an older one's."""
    return grant.sequence, node.admitted, bytes(node.signer)


def _is_made_of(member: Member, node: Node) -> bool:
    """Return whether a member was made of this very record: another reading of it has other objects."""
    return member.key is node.key and member.address is node.address and member.endpoints is node.endpoints


def only_endpoints_differ(old: Node, new: Node) -> bool:
    """Return whether two records of a node differ in nothing but its endpoints."""
    return replace(old, sequence=new.sequence, endpoints=new.endpoints) == new


def _index(members: Sequence[Member], joined: Iterable[Link]) -> _Index:
    index = _Index({member.identity: position for position, member in enumerate(members)})
    for one, other in joined:
        index.reachable.setdefault(one, set()).add(other)
        index.reachable.setdefault(other, set()).add(one)
    if index.reachable:
        for position, member in enumerate(members):
            for selector in index.reachable.keys() & member.selectors:
                index.selected.setdefault(selector, []).append(position)
    return index
