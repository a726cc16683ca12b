"""What tokens and approvals let nodes do. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from wgpy.address import Prefix
from wgpy.mesh.addressing import MIN_ROUTE_LENGTH
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.prefix_set import Prefixes
from wgpy.mesh.records import Approval, Node, Revocation, Token, ZoneApproval
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.zones import unapproved


class Grant:
    """What the nodes that a token admits may do."""

    def __init__(self, token: Token, revocation: Revocation | None) -> None:
        self.sequence = token.sequence
        self.made = token.time
        self.expires = token.expires
        self.lifetime = token.lifetime
        self.tags = frozenset(token.tags)
        self.routes = Prefixes(_parts(token.routes))
        self.exits = _exits(token.routes)
        self.keep = None if revocation is None else frozenset(revocation.keep)  # None: all


class Grants:
    """Those of all tokens, and approvals."""

    def __init__(self, ledger: Ledger) -> None:
        revocations = ledger.admin_records(Revocation)
        self._tokens = ledger.admin_records(Token)
        self._grants = {
            token.key: Grant(token, revocations.get(subject)) for subject, token in self._tokens.items()
        }
        self._approvals = ledger.admin_records(Approval).values()
        self._approved = {
            approval.identity: Prefixes(_parts(approval.routes)) for approval in self._approvals
        }
        self._approved_exits = {approval.identity: _exits(approval.routes) for approval in self._approvals}
        self._approved_zones = {
            approval.identity: approval.zones for approval in ledger.admin_records(ZoneApproval).values()
        }

    def of(self, token: VerifyKey) -> Grant | None:
        return self._grants.get(token)

    def allow(self, node: Node, route: Prefix) -> bool:
        """Return whether a node may announce a prefix."""
        grant, approved = self.of(node.token), self._approved.get(node.signer)
        return route.prefixlen >= MIN_ROUTE_LENGTH and (
            (grant is not None and grant.routes.cover(route))
            or (approved is not None and approved.cover(route))
        )

    def allow_of_site(self, node: Node, prefix: Prefix) -> bool:
        """Return whether a node may announce a prefix of a site; a default route has to be named itself."""
        if prefix.prefixlen:
            return self.allow(node, prefix)
        grant = self.of(node.token)
        return (grant is not None and prefix in grant.exits) or prefix in self._approved_exits.get(
            node.signer, ()
        )

    def approved_zones(self, node: Node, zones: Sequence[str]) -> tuple[str, ...]:
        """Return those of zones that a site of a node may have: no token allows any."""
        refused = unapproved(zones, self._approved_zones.get(node.signer, ()))
        return tuple(zone for zone in zones if zone not in refused)

    def routes(self) -> Prefixes:
        """Return what some node may announce, and parts of."""
        tokens = (token for token in self._tokens.values() if self._grants[token.key].keep != frozenset())
        records: Iterable[Token | Approval] = chain(tokens, self._approvals)
        return Prefixes(chain.from_iterable(_parts(record.routes) for record in records))


def _parts(prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
    """Give those of which parts may be announced: a default route has none, as it means an exit alone."""
    return (prefix for prefix in prefixes if prefix.prefixlen)


def _exits(prefixes: Iterable[Prefix]) -> frozenset[Prefix]:
    return frozenset(prefix for prefix in prefixes if not prefix.prefixlen)
