"""What handing in records would make of a book. Pure; nothing counts before it is stored.

Invariant: a record that is refused leaves no trace. A coordinator refuses more than nodes do: what would shut
its speaker out, what takes anything from another, and one identity more than a token has uses.
"""

from dataclasses import dataclass, replace

from wgpy.mesh.ledger import Ledger, RecordRefused, Verdict, subject
from wgpy.mesh.records import Departure, Node, Record, RecordInvalid, Token, Unknown, decode
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.topology import Topology, derive, only_moved

from .snapshot import Entry, Place, Snapshot, trouble_of


class Refused(Exception):
    """A record is genuine and yet not taken; one sentence."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """verdict: new, known, old or refused; reason: why refused."""

    verdict: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A record that is new. before: what it takes the place of."""

    place: Place
    signed: Signed
    record: Record | Unknown
    before: Record | Unknown | None


class Transaction:
    """One submission to a book. changes: what is new, in order; admitted: the new uses of tokens."""

    def __init__(self, book: Snapshot, now: int) -> None:
        """now: Unix seconds."""
        self._book = book
        self._now = now
        self._ledger = book.ledger.copy()
        self._topology: Topology | None = book.topology_at(now)  # None: not known since it changed
        self.changes: dict[Place, Change] = {}
        self.admitted: dict[VerifyKey, frozenset[VerifyKey]] = {}

    def submit(self, signed: Signed) -> Outcome:
        """Take a record, or say why not."""
        try:
            record = decode(signed.body)
            verdict = self._add(record, signed)
        except (RecordInvalid, RecordRefused, Refused) as error:
            return Outcome("refused", str(error))
        if verdict is Verdict.NEW:
            place = place_of(record, signed)
            before = self._book.entries.get(place)
            self.changes[place] = Change(place, signed, record, before.record if before else None)
        return Outcome(verdict.value)

    def names(self) -> dict[VerifyKey, str]:
        """Return what nodes call themselves."""
        return {node.signer: node.name for node in self._ledger.nodes()}

    def finished(self, revision: int) -> Snapshot:
        """Return the book with the changes in it. revision: of all of them."""
        topology = self._current_topology()
        entries = self._book.entries.copy()
        for place, change in self.changes.items():
            before = entries.pop(place, None)
            viewed = before.viewed if before else 0
            if _is_another(change):
                viewed = revision
            entries[place] = Entry(change.signed, change.record, revision, viewed)
        return replace(
            self._book,
            ledger=self._ledger,
            topology=topology,
            entries=entries,
            admitted={**self._book.admitted, **self.admitted},
            revision=revision,
            visibility=revision if self._all_view_anew(topology) else self._book.visibility,
        )

    # -- Judging ---------------------------------------------------------------------------------

    def _add(self, record: Record | Unknown, signed: Signed) -> Verdict:
        """Raises RecordRefused and Refused."""
        match record:
            case Node():
                return self._add_node(record, signed)
            case Departure() if not self._knows(record.signer):
                raise Refused("no node of this identity is known")
            case Unknown() if record.signer != self._ledger.key and not self._is_member(record.signer):
                raise Refused("it is of an unknown type, and not of a member")
        verdict = self._ledger.add(signed)
        if verdict is Verdict.NEW:
            self._topology = None
        return verdict

    def _add_node(self, node: Node, signed: Signed) -> Verdict:
        """Raises RecordRefused and Refused."""
        trial = self._ledger.copy()
        verdict = trial.add(signed)
        if verdict is not Verdict.NEW:
            return verdict
        before = self._current_topology()
        after = derive(trial, self._now, before)
        self._check_membership(node, trial, after)
        self._check_others(node, before, after)
        self._use_token(node)
        self._ledger, self._topology = trial, after
        return verdict

    @staticmethod
    def _check_membership(node: Node, ledger: Ledger, after: Topology) -> None:
        """Raises Refused."""
        if ledger.charter() is None:
            raise Refused("what the network is has not been said here: hand in the network's record first")
        if (reason := after.excluded.get(node.signer)) is not None:
            raise Refused(reason.value)
        member = after.member(node.signer)
        if member is None or not member.name:
            raise Refused(f"the name {node.name} is another node's")

    @staticmethod
    def _check_others(node: Node, before: Topology, after: Topology) -> None:
        """Nobody is to lose a name, an address or a route, not even to whom it would belong. Raises Refused.

        Who was first is said by dates, and by a token that others hold, too, anybody can date itself back.
        """
        for other in before.members:
            now = after.member(other.identity)
            if other.identity == node.signer or now is other:
                continue
            if now is None:
                raise Refused(f"its address or key is that of {other.name or other.identity}")
            if now.name != other.name and other.name:
                raise Refused(f"the name {node.name} is another node's")
            if not set(other.routes) <= set(now.routes):
                raise Refused(f"a route of it is that of {other.name or other.identity}")

    def _use_token(self, node: Node) -> None:
        """Raises Refused."""
        users = self.admitted.get(node.token) or self._book.admitted.get(node.token, frozenset())
        if node.signer in users:
            return
        token = self._ledger.admin_records(Token)[bytes(node.token)]
        # A restored coordinator has forgotten who was admitted meanwhile, and those come back.
        forgotten = node.admitted < self._book.restored
        now = node.admitted if forgotten else max(self._now, self._ledger.time())
        if trouble := trouble_of(token, len(users), now):
            raise Refused(trouble)
        self.admitted[node.token] = users | {node.signer}

    def _current_topology(self) -> Topology:
        if self._topology is None:
            self._topology = derive(self._ledger, self._now)
        return self._topology

    def _knows(self, identity: VerifyKey) -> bool:
        place = Place(Node.TYPE, bytes(identity))
        return place in self._book.entries or place in self.changes

    def _is_member(self, identity: VerifyKey) -> bool:
        return self._current_topology().member(identity) is not None

    # -- Who sees whom ---------------------------------------------------------------------------

    def _views_anew(self, identity: VerifyKey, after: Topology) -> bool:
        """Say whether a node may meet others than before."""
        now, then = after.member(identity), self._book.topology.member(identity)
        if now is None or then is None:
            return True
        return bool(after.rules) and (now.name, now.tags) != (then.name, then.tags)

    def _all_view_anew(self, after: Topology) -> bool:
        """Say whether anybody may meet others, by what neither itself nor a new rule says."""
        if self._book.topology.rules and not after.rules:
            return True
        return any(
            self._views_anew(member.identity, after)
            for member in after.members
            if Place(Node.TYPE, bytes(member.identity)) not in self.changes
        )


def _is_another(change: Change) -> bool:
    """Say whether a node says something new of itself beside where it is."""
    match change.before, change.record:
        case Node() as old, Node() as new:
            return not only_moved(old, new)
        case _:
            return False


def place_of(record: Record | Unknown, signed: Signed) -> Place:
    """Return where a record belongs."""
    kind = "" if isinstance(record, Unknown) else record.TYPE
    return Place(kind, subject(record, signed))
