"""The members of a network and the peers of each, derived from records. Allowed IPs: whitepaper section 2.

Invariant: nodes with the same records and nearly the same clock derive the same members, and no record of a
node can take a name, an address or a route from a node that was admitted before it.
"""

from collections.abc import Collection, Iterable, Iterator, KeysView, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import chain
from math import inf
from operator import itemgetter
from typing import Final

from wgpy.address import Prefix
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import NEVER_ANNOUNCED, node_address6
from wgpy.mesh.admission import ENDED, Admissions, Exclusion, Seniority, seniority
from wgpy.mesh.clients import Clients
from wgpy.mesh.grants import Grant
from wgpy.mesh.growth import Basis, Growth, Index, index_of, is_of_network, taken_by
from wgpy.mesh.ledger import Change, Ledger
from wgpy.mesh.links import (
    Ends,
    Link,
    RulesInForce,
    announcers,
    gateways_of,
    joined,
    links,
    selected_by,
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
    Rule,
    Sites,
    client_key_of,
    is_by_name,
)
from wgpy.mesh.routes import Allotment, Routes
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Claim, ExcludedSite, Site, settle


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

    changed: the members in which alone it differs from the topology that it was made of; None: it was derived
    from all records.
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
    changed: frozenset[VerifyKey] | None = field(default=None, repr=False, compare=False)
    _index: Index = field(default_factory=Index, repr=False, compare=False)
    _basis: Basis | None = field(default=None, repr=False, compare=False)

    @property
    def until(self) -> float:
        """When the next membership or client ends, Unix seconds; infinity if none ever does."""
        return self._basis.until if self._basis else inf

    def holds_at(self, now: int) -> bool:
        """Return whether no membership ended or, as a clock was set back, began again. now: Unix seconds."""
        return self._basis is None or self._basis.since <= now < self._basis.until

    def member(self, identity: VerifyKey) -> Member | None:
        return self._index.members.get(identity)

    @property
    def identities(self) -> KeysView[VerifyKey]:
        """Those of the members."""
        return self._index.members.keys()

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
        groups = [found for selector in reachable if (found := self._index.selected.get(selector))]
        groups += [(self._index.members[relay],) for relay in relays]
        if len(groups) <= 1:
            return tuple(member for found in groups for member in found if member is not local)
        peers = {id(member) for found in groups for member in found}
        peers.discard(id(local))
        return tuple(member for member in self.members if id(member) in peers)

    @property
    def is_by_name(self) -> bool:
        """Whether a rule makes peers of any member and of whichever node has a name."""
        return self._index.is_by_name

    def destinations(self, local: Member) -> frozenset[VerifyKey]:
        """Return the identities of the members to which a member may begin."""
        if not self.rules:
            return frozenset(self.identities) - {local.identity}
        selectors, rules = local.selectors, selected_by(self.rules, self.ends)
        allowed = {destination for source, destination in rules if source in selectors}
        found = chain.from_iterable(map(self.selected, allowed))
        return frozenset(member.identity for member in found) - {local.identity}

    def selected(self, selector: str) -> tuple[Member, ...]:
        """Return the members that a selector of a rule in force selects."""
        return self._index.selected.get(selector, ())

    def with_rules(self, rules: tuple[Rule, ...], *ends: End) -> "Topology":
        """Return the topology with other rules, to see what they would change. ends: new ones of scopes."""
        numbers = tuple(range(1, len(rules) + 1))
        known = {**self.ends, **{end.rule_selector: end for end in ends}}
        links_of = joined(self.clients, selected_by(rules, known), gateways_of(self.sites), known)
        index = index_of(self.members, links_of)
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
                    yield from self._index.selected.get(there, ())

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

    def grown(self, ledger: Ledger, now: int, viewer: VerifyKey | None) -> "Topology | None":
        """Return the topology of a ledger if what was kept since then only adds to this one, else None."""
        basis = self._basis
        if basis is None or basis.viewer != viewer or not self.holds_at(now):
            return None
        changes = ledger.changes_since(basis.last)
        if not changes:
            return None if changes is None else self
        growth = Growth(basis, ledger, now)
        if not all(map(growth.take, changes)):
            return None
        members, index = growth.grow(self.members, self._index)
        excluded = {**self.excluded, **growth.excluded} if growth.excluded else self.excluded
        return replace(
            self, members=members, excluded=excluded, changed=growth.changed,
            _index=index, _basis=growth.basis,
        )  # fmt: skip


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
    if before is None or (topology := before.grown(ledger, now, viewer)) is None:
        topology = _derived(ledger, now, before or _NOTHING, viewer)
    ledger.forget_changes()
    return topology


def _derived(ledger: Ledger, now: int, before: Topology, viewer: VerifyKey | None) -> Topology:
    network, last, rules = ledger.charter(), ledger.last_change, RulesInForce.of(ledger)
    if network is None or last is None:
        return Topology((), {}, rules.rules, rules.numbers, rules.ends)
    return _Judge(ledger, network, now, before, viewer).topology(rules, last)


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
        self._admissions = Admissions(ledger)
        self._grants = self._admissions.grants

    def topology(self, rules: RulesInForce, last: Change) -> Topology:
        nodes = self._ledger.nodes()
        excluded: dict[VerifyKey, Exclusion] = {}
        admitted: list[tuple[Seniority, Node, Grant]] = []
        until: float = inf
        for node in nodes:
            grant = self._grants.of(node.token)
            reason = self._admissions.exclusion(node, self._now)
            if grant is None or reason is not None:
                excluded[node.signer] = reason or Exclusion.NO_TOKEN
                continue
            admitted.append((seniority(node, grant), node, grant))
            if grant.lifetime:
                until = min(until, node.admitted + grant.lifetime)
        admitted.sort(key=itemgetter(0))
        granted = [(node, grant) for _, node, grant in admitted]
        relays = frozenset(node.signer for node, _ in granted if self._admissions.is_relay(node))
        records = self._ledger.admin_records(Client).values()
        valid = [client for client in records if client.is_valid_at(self._now)]
        announcements = self._ledger.announcements()
        linked = joined(valid, rules.links, announcers(announcements), rules.ends)
        reachable = self._reachable(granted, linked, relays)
        visible = [one for one in granted if self._admissions.is_visible(*one, reachable)]
        members = self._settle(visible, excluded)
        sites, excluded_sites = self._sites(announcements, visible, members)
        clients = Clients(self._network, members, valid, self._now)
        until = min(until, clients.until)
        basis = Basis(
            self._network, self._admissions, self._viewer, reachable, last, self._now, until,
            taken_by((node for node, _ in visible), valid),
        )  # fmt: skip
        index = index_of(members, joined(clients.in_force, rules.links, gateways_of(sites), rules.ends))
        absent = [
            node
            for node in nodes
            if node.signer not in index.members and excluded.get(node.signer) in (None, *ENDED)
        ]
        reserved = self._reserved(absent).difference(*(member.routes for member in members))
        return Topology(
            members, excluded, rules.rules, rules.numbers, rules.ends, sites, excluded_sites,
            clients.in_force, reserved, relays.intersection(index.members), self._grants.routes(),
            _index=index, _basis=basis,
        )  # fmt: skip

    def _reachable(
        self, nodes: list[tuple[Node, Grant]], joined: Sequence[Link], relays: frozenset[VerifyKey]
    ) -> frozenset[object] | None:
        """Return the viewer, relays, and the selectors of whom a rule joins with it.

        None if it is a relay or no member, or there is no rule: then all nodes are visible.
        """
        if self._viewer is None or self._viewer in relays or not joined:
            return None
        own = next((one for one in nodes if one[0].signer == self._viewer), None)
        if own is None:
            return None
        others = index_of((), joined).reachable
        found = (others.get(selector, ()) for selector in self._admissions.selectors_of(*own))
        return frozenset((self._viewer, *relays, *chain.from_iterable(found)))

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
            if node.address in addresses or not is_of_network(node.address, self._network):
                excluded[node.signer] = Exclusion.ADDRESS_TAKEN
                continue
            name = "" if node.name in names else node.name
            members.append(self._member(node, name, grant, allotment.allot(node)))
            names.add(node.name)
            keys.add(node.key)
            addresses.add(node.address)
        return tuple(members)

    def _member(self, node: Node, name: str, grant: Grant, found: Allotment) -> Member:
        tags, paths = self._admissions.tags_of(node, grant), self._ledger.find(Paths, bytes(node.signer))
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


def _is_made_of(member: Member, node: Node) -> bool:
    """Return whether a member was made of this very record: another reading of it has other objects."""
    return member.key is node.key and member.address is node.address and member.endpoints is node.endpoints
