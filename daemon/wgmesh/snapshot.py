"""All that a coordinator knows, and whom it concerns. Pure values.

Invariant: what concerns a node is what everybody is to know, its own record, and those of the members that it
may reach or be reached by. A reader that knows all up to a revision is told only what is newer, and of whom a
rule since then lets it meet. If it may meet others for another reason, it is told of all whom it may meet.
"""

from dataclasses import dataclass, field
from operator import attrgetter

from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Node, Record, Rule, Token, Unknown
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

    revision: since when; viewed: of a node's record, that since which the node is what it says, save for
    where. It may meet others since then, and whoever met it as it was is to know, so everybody is told.
    """

    signed: Signed
    record: Record | Unknown
    revision: int
    viewed: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a coordinator knows at one revision; it does not change.

    entries: by revision; admitted: identities by the token that admitted them, whatever became of them;
    visibility: the revision since which anybody may meet others, save by rules that were added; restored:
    when this was taken from a backup, Unix seconds, 0 for never.
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
        me, newer = self.topology.member(identity), self._newer(since)
        told = [entry for entry in newer if self._concerns(entry, identity, me, since)]
        return told if me is None else self._with_those_met_by_new_rules(me, told)

    def _newer(self, since: int) -> list[Entry]:
        found = []
        for entry in reversed(self.entries.values()):
            if entry.revision <= since:
                break
            found.append(entry)
        found.reverse()
        return found

    def _concerns(self, entry: Entry, identity: VerifyKey, me: Member | None, since: int) -> bool:
        if not isinstance(entry.record, Node) or entry.record.signer == identity:
            return True
        other = self.topology.member(entry.record.signer)
        if me is None or other is None:
            return False
        return entry.viewed > since > 0 or self.topology.meet(me, other)

    def _with_those_met_by_new_rules(self, me: Member, told: list[Entry]) -> list[Entry]:
        rules = [entry.record for entry in told if isinstance(entry.record, Rule) and entry.record.allowed]
        met = dict.fromkeys(member.identity for member in self.topology.joined(me, rules))
        known = {entry.record.signer for entry in told if isinstance(entry.record, Node)} | {me.identity}
        older = [entry for one in met if one not in known and (entry := self.node(one)) is not None]
        return sorted([*told, *older], key=attrgetter("revision")) if older else told

    def _all_visible(self, identity: VerifyKey, since: int) -> list[Entry]:
        met = dict.fromkeys([identity, *(peer.identity for peer in self.topology.peers(identity))])
        nodes = [entry for one in met if (entry := self.node(one)) is not None]
        others = [
            entry
            for entry in self._newer(since)
            if not isinstance(entry.record, Node)
            or (entry.viewed > since > 0 and entry.record.signer not in met)
        ]
        return sorted([*others, *nodes], key=attrgetter("revision"))


def trouble_of(token: Token, users: int, now: int) -> str:
    """Return why a token admits nobody new, or "". users: whom it has admitted; now: Unix seconds."""
    if users >= token.uses:
        return f"the token is used up: it has admitted {users}"
    return "the token has expired" if now >= token.expires else ""
