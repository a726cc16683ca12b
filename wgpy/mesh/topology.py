"""From records to a node's own peers. Whitepaper section 2 says what allowed IPs then do.

Invariant: everybody who has the same records and nearly the same clock derives the same members, and no
record of a node can take a name, an address or a route from another that was admitted before it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from math import inf
from operator import itemgetter
from typing import Final

from wgpy.address import Prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.ledger import Ledger, StateDigest
from wgpy.mesh.prefixes import Prefixes
from wgpy.mesh.records import Approval, Network, Node, Removal, Revocation, Rule, Token
from wgpy.mesh.signing import VerifyKey

_ANYBODY: Final = "any"  # a selector

Seniority = tuple[int, int, bytes]


class Exclusion(Enum):
    """Why a node that speaks is no member."""

    NO_TOKEN = "its token is not of this network"
    TOKEN_EXPIRED = "its token had expired when it joined"
    TOKEN_REVOKED = "its token was revoked"
    MEMBERSHIP_EXPIRED = "its membership has expired"
    REMOVED = "it was removed"
    DEPARTED = "it left"
    ADDRESS_TAKEN = "its address is another node's, or not of the network"
    KEY_TAKEN = "its WireGuard key is another node's"


@dataclass(frozen=True, slots=True)
class Member:
    """A node that counts.

    name: "" if it is another's; routes: those it may announce and nobody before it does; requested: those
    that it announces and may not, or not alone.
    """

    identity: VerifyKey
    name: str
    key: PublicKey
    address: IPv4Address
    address6: IPv6Address
    tags: frozenset[str]
    routes: tuple[Prefix, ...]
    requested: tuple[Prefix, ...]
    endpoints: tuple[Endpoint, ...]

    @property
    def allowed_ips(self) -> tuple[Prefix, ...]:
        return IPv4Network(self.address), IPv6Network(self.address6), *self.routes

    @property
    def selectors(self) -> list[str]:
        """All that select it in a rule."""
        return [_ANYBODY, f"node:{self.name}", *(f"tag:{tag}" for tag in self.tags)]


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a topology was derived from: as long as this is so, only endpoints can change it.

    nodes: what each said, in the ledger's order; since, until: Unix seconds, no membership ends between them.
    """

    network: Network
    standing: StateDigest
    nodes: list[Node]
    since: int
    until: float


@dataclass(frozen=True, slots=True)
class _Index:
    """What is asked of a topology for each node.

    places: among the members, by identity; selected: places by selector; met: selectors by those with which a
    rule joins them, whoever of both may begin. Without any rule the last two are empty.
    """

    places: dict[VerifyKey, int] = field(default_factory=dict)
    selected: dict[str, list[int]] = field(default_factory=dict)
    met: dict[str, set[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topology:
    """Everybody of a network, in the order in which they were admitted, and who is not, and why.

    rule_numbers: of each rule, from 1 in the order in which the ledger first knew of one of its source and
    destination; no other rule ever has that number in this ledger.
    """

    members: tuple[Member, ...]
    excluded: dict[VerifyKey, Exclusion]
    rules: tuple[Rule, ...]
    rule_numbers: tuple[int, ...] = field(default=(), compare=False)
    _index: _Index = field(default_factory=_Index, repr=False, compare=False)
    _basis: _Basis | None = field(default=None, repr=False, compare=False)

    @property
    def until(self) -> float:
        """When the next membership ends, Unix seconds; infinity if none ever does."""
        return self._basis.until if self._basis else inf

    def member(self, identity: VerifyKey) -> Member | None:
        place = self._index.places.get(identity)
        return None if place is None else self.members[place]

    def peers(self, identity: VerifyKey) -> tuple[Member, ...]:
        """Return whom a node learns of: those that it may reach, and those that may reach it."""
        me = self.member(identity)
        if me is None:
            return ()
        met = self._met(me)
        if _ANYBODY in met:
            return tuple(member for member in self.members if member is not me)
        places = {place for selector in met for place in self._index.selected.get(selector, ())}
        return tuple(self.members[place] for place in sorted(places - {self._index.places[identity]}))

    def meet(self, one: Member, other: Member) -> bool:
        """Say whether one of two may reach the other."""
        return not self._met(one).isdisjoint(other.selectors)

    def joined(self, me: Member, rules: Iterable[Rule]) -> Iterator[Member]:
        """Give all whom some of the rules let meet a member, the same perhaps more than once."""
        selectors = me.selectors
        for rule in rules:
            for mine, other in ((rule.source, rule.destination), (rule.destination, rule.source)):
                if mine in selectors:
                    yield from (self.members[place] for place in self._index.selected.get(other, ()))

    def _met(self, me: Member) -> set[str]:
        """Return selectors of all whom one may reach or be reached by."""
        if not self.rules:
            return {_ANYBODY}
        return set().union(*(self._index.met.get(selector, ()) for selector in me.selectors))

    def moved(self, ledger: Ledger, now: int) -> "Topology | None":
        """Return what a ledger makes of this if only endpoints are other ones, else None. See `derive`."""
        basis, nodes = self._basis, ledger.nodes()
        if basis is None or basis.standing != ledger.state_digest() or len(basis.nodes) != len(nodes):
            return None
        changed = [(old, new) for old, new in zip(basis.nodes, nodes, strict=True) if old is not new]
        if not basis.since <= now < basis.until or not all(only_moved(*both) for both in changed):
            return None
        members = list(self.members)
        for _, node in changed:
            if (place := self._index.places.get(node.signer)) is not None:
                members[place] = replace(members[place], endpoints=node.endpoints)
        return replace(self, members=tuple(members), _basis=replace(basis, nodes=nodes))


def derive(ledger: Ledger, now: int, before: Topology | None = None) -> Topology:
    """Judge every node of a ledger.

    now: Unix seconds by the local clock. A host that boots in 1970 goes by the newest decree instead. before:
    what was derived last, which makes it faster and nothing else.
    """
    now = max(now, ledger.time())
    if before is not None and (moved := before.moved(ledger, now)) is not None:
        return moved
    network = ledger.charter()
    rules, numbers = _rules_in_force(ledger)
    if network is None:
        return Topology((), {}, rules, numbers)
    return _Judge(ledger, network, now, before or _NOTHING).topology(rules, numbers)


def _rules_in_force(ledger: Ledger) -> tuple[tuple[Rule, ...], tuple[int, ...]]:
    """Return the rules, and the number of each."""
    found = [
        (rule, number) for number, rule in enumerate(ledger.admin_records(Rule).values(), 1) if rule.allowed
    ]
    return tuple(rule for rule, _ in found), tuple(number for _, number in found)


_NOTHING: Final = Topology((), {}, ())


class _Grant:
    """What a token gives to those whom it admits."""

    def __init__(self, token: Token, revocation: Revocation | None) -> None:
        self.sequence = token.sequence
        self.expires = token.expires
        self.lifetime = token.lifetime
        self.tags = frozenset(token.tags)
        self.routes = Prefixes(token.routes)
        self.keep = None if revocation is None else frozenset(revocation.keep)  # None: everybody


class _Judge:
    """What judging a node needs."""

    def __init__(self, ledger: Ledger, network: Network, now: int, before: Topology) -> None:
        revocations = ledger.admin_records(Revocation)
        self._ledger = ledger
        self._network = network
        self._now = now
        self._before = before if before._basis and before._basis.network is network else _NOTHING
        self._departed = ledger.departed()
        self._removals = ledger.admin_records(Removal)
        self._grants = {
            token.key: _Grant(token, revocations.get(subject))
            for subject, token in ledger.admin_records(Token).items()
        }
        self._approved = {
            approval.identity: Prefixes(approval.routes)
            for approval in ledger.admin_records(Approval).values()
        }

    def topology(self, rules: tuple[Rule, ...], rule_numbers: tuple[int, ...]) -> Topology:
        nodes = self._ledger.nodes()
        excluded: dict[VerifyKey, Exclusion] = {}
        admitted: list[tuple[Seniority, Node, _Grant]] = []
        until: float = inf
        for node in nodes:
            grant = self._grants.get(node.token)
            reason = self._exclusion(node, grant)
            if grant is None or reason is not None:
                excluded[node.signer] = reason or Exclusion.NO_TOKEN
                continue
            admitted.append((_seniority(node, grant), node, grant))
            if grant.lifetime:
                until = min(until, node.admitted + grant.lifetime)
        admitted.sort(key=itemgetter(0))
        members = self._settle(((node, grant) for _, node, grant in admitted), excluded)
        basis = _Basis(self._network, self._ledger.state_digest(), nodes, self._now, until)
        return Topology(members, excluded, rules, rule_numbers, _index(members, rules), basis)

    def _exclusion(self, node: Node, grant: _Grant | None) -> Exclusion | None:
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

    def _settle(
        self, nodes: Iterable[tuple[Node, _Grant]], excluded: dict[VerifyKey, Exclusion]
    ) -> tuple[Member, ...]:
        """Give names, addresses and routes to who was first."""
        members: list[Member] = []
        names: set[str] = set()
        keys: set[PublicKey] = set()
        addresses: set[IPv4Address] = set()
        taken = Prefixes((self._network.addresses, self._network.addresses6))
        for node, grant in nodes:
            if node.key in keys:
                excluded[node.signer] = Exclusion.KEY_TAKEN
                continue
            if node.address in addresses or not self._is_of_network(node.address):
                excluded[node.signer] = Exclusion.ADDRESS_TAKEN
                continue
            members.append(self._member(node, "" if node.name in names else node.name, grant, taken))
            names.add(node.name)
            keys.add(node.key)
            addresses.add(node.address)
        return tuple(members)

    def _member(self, node: Node, name: str, grant: _Grant, taken: Prefixes) -> Member:
        """taken: the prefixes of others; the node's are added."""
        routes, requested = self._routes(node, grant, taken)
        before = self._before.member(node.signer)
        if before is not None and _is_made_of(before, node):
            derived = (before.name, before.tags, before.routes, before.requested)
            if derived == (name, grant.tags, routes, requested):
                return before
        return Member(
            node.signer,
            name,
            node.key,
            node.address,
            node_address6(self._network.addresses6, node.signer),
            grant.tags,
            routes,
            requested,
            node.endpoints,
        )

    def _routes(
        self, node: Node, grant: _Grant, taken: Prefixes
    ) -> tuple[tuple[Prefix, ...], tuple[Prefix, ...]]:
        """Return those that are the node's, and those that are not."""
        routes: list[Prefix] = []
        requested: list[Prefix] = []
        for route in node.routes:
            if self._may_announce(node, route, grant) and not taken.overlap(route):
                routes.append(route)
                taken.add(route)
            else:
                requested.append(route)
        return tuple(routes), tuple(requested)

    def _may_announce(self, node: Node, route: Prefix, grant: _Grant) -> bool:
        approved = self._approved.get(node.signer)
        return grant.routes.cover(route) or (approved is not None and approved.cover(route))

    def _is_of_network(self, address: IPv4Address) -> bool:
        network = self._network.addresses
        return address in network and address not in (network.network_address, network.broadcast_address)


def _seniority(node: Node, grant: _Grant) -> Seniority:
    """The lesser was first. The holder of a newer token cannot antedate itself before an older one's."""
    return grant.sequence, node.admitted, bytes(node.signer)


def _is_made_of(member: Member, node: Node) -> bool:
    """Say whether a member is of this very record: one that is read again has values of its own."""
    return member.key is node.key and member.address is node.address and member.endpoints is node.endpoints


def only_moved(old: Node, new: Node) -> bool:
    """Say whether a node said nothing new but where it may be reached."""
    return replace(old, sequence=new.sequence, endpoints=new.endpoints) == new


def _index(members: Sequence[Member], rules: Iterable[Rule]) -> _Index:
    index = _Index({member.identity: place for place, member in enumerate(members)})
    for rule in rules:
        index.met.setdefault(rule.source, set()).add(rule.destination)
        index.met.setdefault(rule.destination, set()).add(rule.source)
    if index.met:
        for place, member in enumerate(members):
            for selector in member.selectors:
                index.selected.setdefault(selector, []).append(place)
    return index
