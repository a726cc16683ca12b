"""All that a coordinator knows, and whom it concerns. Pure values.

Law: what concerns a node is what everybody is to know, its own record, and those of the members that it may
reach or be reached by. A reader that knows all up to a revision is told only what is newer, unless who may
meet whom has changed since: then it is told of all whom it may meet.
"""

from dataclasses import dataclass, field
from operator import attrgetter

from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Node, Record, Token, Unknown
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.topology import Member, Topology, derive


@dataclass(frozen=True, slots=True)
class Place:
    """On what the newest record alone counts. kind: its type as written."""

    kind: str
    subject: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that counts.

    revision: since when; viewed: of a node's record, the revision since which that node may meet others than
    before by what it said of itself.
    """

    signed: Signed
    record: Record | Unknown
    revision: int
    viewed: int = 0


@dataclass(frozen=True, slots=True)
class Book:
    """What a coordinator knows at one revision; it does not change.

    entries: by revision; admitted: identities by the token that admitted them, whatever became of them;
    visibility: the revision since which anybody may meet others than before; restored: when this was taken
    from a backup, Unix seconds, 0 for never.
    """

    ledger: Ledger
    topology: Topology = field(default_factory=lambda: Topology((), {}, ()))
    entries: dict[Place, Entry] = field(default_factory=dict)
    admitted: dict[VerifyKey, frozenset[VerifyKey]] = field(default_factory=dict)
    revision: int = 0
    visibility: int = 0
    restored: int = 0

    def node(self, identity: VerifyKey) -> Entry | None:
        """Return a node's own record."""
        return self.entries.get(Place(Node.TYPE, bytes(identity)))

    def topology_at(self, now: int) -> Topology:
        """now: Unix seconds. Memberships end without anybody saying so."""
        return derive(self.ledger, now, self.topology)

    def token_trouble(self, token: Token, now: int) -> str:
        """Return why a token admits nobody new, or ""."""
        return trouble_of(token, len(self.admitted.get(token.key, ())), max(now, self.ledger.time()))

    def news(self, identity: VerifyKey, since: int) -> list[Entry]:
        """Return what a node does not know yet, the oldest first. since: what it knows up to."""
        own = self.node(identity)
        if since < max(self.visibility, own.viewed if own else 0):
            return self._all_visible(identity, since)
        me = self.topology.member(identity)
        return [entry for entry in self._newer(since) if self._concerns(entry, identity, me)]

    def _newer(self, since: int) -> list[Entry]:
        found = []
        for entry in reversed(self.entries.values()):
            if entry.revision <= since:
                break
            found.append(entry)
        found.reverse()
        return found

    def _concerns(self, entry: Entry, identity: VerifyKey, me: Member | None) -> bool:
        if not isinstance(entry.record, Node) or entry.record.signer == identity:
            return True
        other = self.topology.member(entry.record.signer)
        if me is None or other is None:
            return False
        return self.topology.meet(me, other)

    def _all_visible(self, identity: VerifyKey, since: int) -> list[Entry]:
        met = (identity, *(peer.identity for peer in self.topology.peers(identity)))
        nodes = [entry for one in met if (entry := self.node(one)) is not None]
        others = [entry for entry in self._newer(since) if not isinstance(entry.record, Node)]
        return sorted([*others, *nodes], key=attrgetter("revision"))


def trouble_of(token: Token, users: int, now: int) -> str:
    """Return why a token admits nobody new, or "". users: whom it has admitted; now: Unix seconds."""
    if users >= token.uses:
        return f"the token is used up: it has admitted {users}"
    return "the token has expired" if now >= token.expires else ""
