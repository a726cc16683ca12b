"""What records of nodes add to a topology, where they take nothing from anybody. Pure.

Invariant: a topology that grew is the one that all records give. What would change more than it adds to, and
more than endpoints and paths, is not taken: all records are judged anew then.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from wgpy.contract.lazy_dataclass import dataclass, field
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.admission import Admissions, Exclusion, Seniority, seniority
from wgpy.mesh.grants import Grant
from wgpy.mesh.ledger import Change, Ledger
from wgpy.mesh.links import Link
from wgpy.mesh.member import Member
from wgpy.mesh.records import Client, Network, Node, Paths, Sites, Unknown, is_by_name
from wgpy.mesh.signing import VerifyKey

_MAX_NEWER: Final = 256


@dataclass(frozen=True, slots=True)
class Basis:
    """What a topology was derived from: while this is the same, records of nodes alone can change it.

    reachable: a node that the viewer sees has one of these identities and selectors; None: it sees all; last:
    the ledger's last change; since, until: Unix seconds, no membership ends between them; taken: names, keys
    and addresses that a node cannot take, and identities of clients' gateways.
    """

    network: Network
    admissions: Admissions
    viewer: VerifyKey | None
    reachable: frozenset[object] | None
    last: Change
    since: int
    until: float
    taken: "Taken"


@dataclass(frozen=True, slots=True)
class Taken:
    """What cannot be taken any more. newer: added to older, which is too large to be copied often."""

    older: dict[object, None]  # a set is copied more slowly
    newer: dict[object, None] = field(default_factory=dict)

    def __contains__(self, claim: object) -> bool:
        return claim in self.newer or claim in self.older

    def with_more(self, claims: dict[object, None]) -> "Taken":
        newer = {**self.newer, **claims}
        return Taken(self.older, newer) if len(newer) < _MAX_NEWER else Taken({**self.older, **newer})


@dataclass(frozen=True, slots=True)
class Index:
    """Look-ups that would cost a pass over all members or rules.

    members: by identity; selected: those that a selector selects, by seniority; reachable: for each selector
    those that a rule or a client joins with it, in either direction; is_by_name: whether one of these is a
    name, as rules of an older version have it. Without rules there are no selectors.
    """

    members: dict[VerifyKey, Member] = field(default_factory=dict)
    selected: dict[str, tuple[Member, ...]] = field(default_factory=dict)
    reachable: dict[str, set[str]] = field(default_factory=dict)
    is_by_name: bool = False


class Growth:
    """What was kept since a topology was derived.

    excluded: nodes that are no members; changed: members that are new, or have other endpoints or paths.
    """

    def __init__(self, basis: Basis, ledger: Ledger, now: int) -> None:
        """now: Unix seconds."""
        self._basis = basis
        self._ledger = ledger
        self._now = now
        self._since, self._until = basis.since, basis.until
        self._added: dict[VerifyKey, Seniority] = {}
        self._updated: set[VerifyKey] = set()
        self._taken: dict[object, None] = {}  # by the nodes that are added
        self.excluded: dict[VerifyKey, Exclusion] = {}

    @property
    def changed(self) -> frozenset[VerifyKey]:
        return frozenset((*self._added, *self._updated))

    @property
    def basis(self) -> Basis:
        """That of the topology with all of this."""
        last = self._ledger.last_change
        assert last is not None
        taken = self._basis.taken.with_more(self._taken) if self._taken else self._basis.taken
        return replace(self._basis, last=last, since=self._since, until=self._until, taken=taken)

    def take(self, change: Change) -> bool:
        """Return whether a change only adds to the topology, or changes endpoints and paths."""
        match change.judged.record:
            case Node() as node if change.replaced is None:
                return self._add(node)
            case Node() as node:
                self._updated.add(node.signer)
                return change.replaced is not None and only_endpoints_differ(change.replaced.record, node)
            case Paths() as paths:
                self._updated.add(paths.signer)
                return True
            case Unknown():
                return not self._ledger.is_for_everybody(change.judged)
        return False

    def _add(self, node: Node) -> bool:
        grant = self._basis.admissions.grants.of(node.token)
        reason = self._basis.admissions.exclusion(node, self._now)
        if node.routes or node.signer == self._basis.viewer:
            return False
        if grant is None or reason is not None:
            self.excluded[node.signer] = reason or Exclusion.NO_TOKEN
            if reason is Exclusion.MEMBERSHIP_EXPIRED:
                self._since = self._now  # it is a member if the clock is set back
            return True
        if grant.lifetime:
            self._until = min(self._until, node.admitted + grant.lifetime)
        claims = dict.fromkeys((node.name, node.key, node.address, node.signer))
        if self._is_special(node) or not self._are_free(claims):
            return False
        if self._basis.admissions.is_visible(node, grant, self._basis.reachable):
            self._taken.update(claims)
            self._added[node.signer] = seniority(node, grant)
        return True

    def _is_special(self, node: Node) -> bool:
        """Return whether a node is more than a host: a relay, or perhaps a gateway."""
        announced = self._ledger.find(Sites, bytes(node.signer))
        return announced is not None or self._basis.admissions.is_relay(node)

    def _are_free(self, claims: dict[object, None]) -> bool:
        taken = any(claim in self._taken or claim in self._basis.taken for claim in claims)
        return not taken and all(
            is_of_network(claim, self._basis.network) for claim in claims if isinstance(claim, IPv4Address)
        )

    # -- The members and their index ---------------------------------------------------------------

    def grow(self, members: Sequence[Member], index: Index) -> tuple[tuple[Member, ...], Index]:
        """Return the members with those that are added, and their index."""
        grown, by_identity, selected = list(members), index.members.copy(), index.selected.copy()
        for identity in self._updated - self._added.keys():
            if (old := by_identity.get(identity)) is not None:
                new = by_identity[identity] = self._updated_member(old)
                grown[self._place(grown, self._seniority_of(old))] = new
                for selector in index.reachable.keys() & old.selectors:
                    selected[selector] = tuple(new if one is old else one for one in selected[selector])
        for identity, rank in self._added.items():
            new = by_identity[identity] = self._member(identity)
            grown.insert(self._place(grown, rank), new)
            for selector in index.reachable.keys() & new.selectors:
                others = selected.get(selector, ())
                place = self._place(others, rank)
                selected[selector] = (*others[:place], new, *others[place:])
        return tuple(grown), replace(index, members=by_identity, selected=selected)

    def _place(self, members: Sequence[Member], rank: Seniority) -> int:
        """Return where a member of that rank is among others, or would be."""
        return bisect_left(members, rank, key=self._seniority_of)

    def _seniority_of(self, member: Member) -> Seniority:
        return seniority(*self._node(member.identity))

    def _updated_member(self, member: Member) -> Member:
        node, _ = self._node(member.identity)
        return replace(member, endpoints=node.endpoints, paths=self._paths(member.identity))

    def _member(self, identity: VerifyKey) -> Member:
        node, grant = self._node(identity)
        address6, paths = node_address6(self._basis.network.addresses6, identity), self._paths(identity)
        tags = self._basis.admissions.tags_of(node, grant)
        return Member(
            identity, node.name, node.key, node.address, address6, tags, (), (), node.endpoints, paths=paths
        )  # fmt: skip

    def _paths(self, identity: VerifyKey) -> Paths | None:
        return self._ledger.find(Paths, bytes(identity))

    def _node(self, identity: VerifyKey) -> tuple[Node, Grant]:
        """Return a member's record, and what its token grants."""
        node = self._ledger.node(identity)
        grant = self._basis.admissions.grants.of(node.token) if node else None
        assert node is not None
        assert grant is not None
        return node, grant


def taken_by(nodes: Iterable[Node], clients: Iterable[Client]) -> Taken:
    """Return what these have, and the gateways that the clients name. nodes: also those that got nothing."""
    found: dict[object, None] = {}
    for node in nodes:
        found[node.name] = found[node.key] = found[node.address] = None
    for client in clients:
        found[client.name] = found[client.key] = None
        for ingress in client.ingresses:
            found[ingress.gateway] = found[ingress.address] = None
    return Taken(found)


def is_of_network(address: IPv4Address, network: Network) -> bool:
    """Return whether a node may have an address."""
    addresses = network.addresses
    return address in addresses and address not in (addresses.network_address, addresses.broadcast_address)


def only_endpoints_differ(old: Node, new: Node) -> bool:
    """Return whether two records of a node differ in nothing but its endpoints."""
    return replace(old, sequence=new.sequence, endpoints=new.endpoints) == new


def index_of(members: Sequence[Member], joined: Iterable[Link]) -> Index:
    """joined: selectors; whom the one selects and whom the other selects are peers."""
    reachable: dict[str, set[str]] = {}
    for one, other in joined:
        reachable.setdefault(one, set()).add(other)
        reachable.setdefault(other, set()).add(one)
    by_identity = {member.identity: member for member in members}
    selected: dict[str, list[Member]] = {}
    for member in members if reachable else ():
        for selector in reachable.keys() & member.selectors:
            selected.setdefault(selector, []).append(member)
    by_selector = {selector: tuple(found) for selector, found in selected.items()}
    return Index(by_identity, by_selector, reachable, any(map(is_by_name, reachable)))
