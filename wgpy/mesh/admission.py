"""Which nodes the administrator's records and departures admit, and with what. Pure."""

from enum import Enum
from operator import attrgetter
from typing import Final

from wgpy.mesh.grants import Grant, Grants
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.links import selectors_of
from wgpy.mesh.records import Node, Relay, Removal, Tags

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
ENDED: Final = (Exclusion.REMOVED, Exclusion.DEPARTED, Exclusion.MEMBERSHIP_EXPIRED)


class Admissions:
    """What records that every node is to have say of nodes: the same while none of these changes."""

    def __init__(self, ledger: Ledger) -> None:
        self.grants = Grants(ledger)
        self._departed = ledger.departed()
        self._removals = ledger.admin_records(Removal)
        self._tags = ledger.admin_records(Tags)
        self._relays = ledger.admin_records(Relay)

    def exclusion(self, node: Node, now: int) -> Exclusion | None:
        """Return why a node is not admitted; None if it is. now: Unix seconds."""
        grant = self.grants.of(node.token)
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
        if grant.lifetime and now >= node.admitted + grant.lifetime:
            return Exclusion.MEMBERSHIP_EXPIRED
        return None

    def is_relay(self, node: Node) -> bool:
        found = (self._relays.get(bytes(key)) for key in (node.signer, node.token) if self._relays)
        newest = max(filter(None, found), key=attrgetter("sequence"), default=None)
        return newest is not None and newest.allowed

    def tags_of(self, node: Node, grant: Grant) -> frozenset[str]:
        """Return those of the newest admin record that gives some: of the node, or of its token."""
        tags = self._tags.get(bytes(node.signer))
        return grant.tags if tags is None or tags.sequence < grant.sequence else frozenset(tags.tags)

    def selectors_of(self, node: Node, grant: Grant) -> list[str]:
        """Return what selects a node in a rule, if its name is no other node's."""
        return selectors_of(node.signer, node.name, self.tags_of(node, grant))

    def is_visible(self, node: Node, grant: Grant, reachable: frozenset[object] | None) -> bool:
        """reachable: identities and selectors of the nodes that are visible; None: all are."""
        return reachable is None or not reachable.isdisjoint((node.signer, *self.selectors_of(node, grant)))


def seniority(node: Node, grant: Grant) -> Seniority:
    """Return a rank; the lesser was admitted first. A newer token's nodes never precede an older one's."""
    return grant.sequence, node.admitted, bytes(node.signer)
