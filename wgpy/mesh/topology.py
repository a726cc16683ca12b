"""From records to a node's own peers. Whitepaper section 2 says what allowed IPs then do.

Law: everybody who has the same records and nearly the same clock derives the same members, and no record of a
node can take a name, an address or a route from another that was admitted before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from wgpy.engine.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.codec import Prefix
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.prefixes import Prefixes
from wgpy.mesh.records import Approval, Network, Node, Removal, Revocation, Rule, Token
from wgpy.mesh.signing import VerifyKey


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


@dataclass(frozen=True, slots=True)
class Topology:
    """Everybody of a network, in the order in which they were admitted, and who is not, and why."""

    members: tuple[Member, ...]
    excluded: dict[VerifyKey, Exclusion]
    rules: tuple[Rule, ...]

    def peers(self, identity: VerifyKey) -> tuple[Member, ...]:
        """Return whom a node learns of: those that it may reach, and those that may reach it."""
        me = next((member for member in self.members if member.identity == identity), None)
        if me is None:
            return ()
        others = (member for member in self.members if member is not me)
        return tuple(other for other in others if self.allows(me, other) or self.allows(other, me))

    def allows(self, source: Member, destination: Member) -> bool:
        """Say whether one may speak to the other. Without any rule everybody may."""
        return not self.rules or any(
            _selects(rule.source, source) and _selects(rule.destination, destination) for rule in self.rules
        )


def derive(ledger: Ledger, now: int) -> Topology:
    """Judge every node of a ledger.

    now: Unix seconds by the local clock. A host that boots in 1970 goes by the newest decree instead.
    """
    network = ledger.charter()
    rules = tuple(rule for rule in ledger.decrees(Rule).values() if rule.allowed)
    if network is None:
        return Topology((), {}, rules)
    judge = _Judge(ledger, network, max(now, ledger.time()))
    return Topology(*judge.members(), rules)


class _Judge:
    """What judging a node needs."""

    def __init__(self, ledger: Ledger, network: Network, now: int) -> None:
        self._network = network
        self._now = now
        self._nodes = ledger.nodes()
        self._departed = ledger.departed()
        self._tokens = ledger.decrees(Token)
        self._revocations = ledger.decrees(Revocation)
        self._removals = ledger.decrees(Removal)
        self._tags = {token.key: frozenset(token.tags) for token in self._tokens.values()}
        self._granted = {token.key: Prefixes(token.routes) for token in self._tokens.values()}
        approvals = ledger.decrees(Approval)
        self._approved = {identity: Prefixes(said.routes) for identity, said in approvals.items()}

    def members(self) -> tuple[tuple[Member, ...], dict[VerifyKey, Exclusion]]:
        excluded: dict[VerifyKey, Exclusion] = {}
        admitted = []
        for node in self._nodes:
            if (reason := self._exclusion(node)) is None:
                admitted.append(node)
            else:
                excluded[node.signer] = reason
        admitted.sort(key=self._seniority)
        return self._settle(admitted, excluded), excluded

    def _exclusion(self, node: Node) -> Exclusion | None:
        token = self._tokens.get(bytes(node.token))
        revocation = self._revocations.get(bytes(node.token))
        if bytes(node.signer) in self._removals:
            return Exclusion.REMOVED
        if node.signer in self._departed:
            return Exclusion.DEPARTED
        if token is None:
            return Exclusion.NO_TOKEN
        if node.admitted >= token.expires:
            return Exclusion.TOKEN_EXPIRED
        if revocation is not None and node.signer not in revocation.keep:
            return Exclusion.TOKEN_REVOKED
        if token.lifetime and self._now >= node.admitted + token.lifetime:
            return Exclusion.MEMBERSHIP_EXPIRED
        return None

    def _seniority(self, node: Node) -> tuple[int, int, bytes]:
        """The lesser was first. The holder of a newer token cannot antedate itself before an older one's."""
        return self._tokens[bytes(node.token)].sequence, node.admitted, bytes(node.signer)

    def _settle(self, nodes: Iterable[Node], excluded: dict[VerifyKey, Exclusion]) -> tuple[Member, ...]:
        """Give names, addresses and routes to who was first."""
        members: list[Member] = []
        names: set[str] = set()
        keys: set[PublicKey] = set()
        addresses: set[IPv4Address] = set()
        taken = Prefixes((self._network.addresses, self._network.addresses6))
        for node in nodes:
            if node.key in keys:
                excluded[node.signer] = Exclusion.KEY_TAKEN
                continue
            if node.address in addresses or not self._is_of_network(node.address):
                excluded[node.signer] = Exclusion.ADDRESS_TAKEN
                continue
            members.append(self._member(node, "" if node.name in names else node.name, taken))
            names.add(node.name)
            keys.add(node.key)
            addresses.add(node.address)
        return tuple(members)

    def _member(self, node: Node, name: str, taken: Prefixes) -> Member:
        """taken: the prefixes of others; the node's are added."""
        routes: list[Prefix] = []
        requested: list[Prefix] = []
        for route in node.routes:
            if self._may_announce(node, route) and not taken.overlap(route):
                routes.append(route)
                taken.add(route)
            else:
                requested.append(route)
        return Member(
            node.signer,
            name,
            node.key,
            node.address,
            node_address6(self._network.addresses6, node.signer),
            self._tags[node.token],
            tuple(routes),
            tuple(requested),
            node.endpoints,
        )

    def _may_announce(self, node: Node, route: Prefix) -> bool:
        approved = self._approved.get(bytes(node.signer))
        return self._granted[node.token].cover(route) or (approved is not None and approved.cover(route))

    def _is_of_network(self, address: IPv4Address) -> bool:
        network = self._network.addresses
        return address in network and address not in (network.network_address, network.broadcast_address)


def _selects(selector: str, member: Member) -> bool:
    kind, _, name = selector.partition(":")
    match kind:
        case "node":
            return name == member.name
        case "tag":
            return name in member.tags
        case _:
            return True
