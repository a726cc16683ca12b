"""The changes that a submission makes to a snapshot. Pure: they take effect when the store commits them.

Invariant: a rejected record changes nothing. A coordinator rejects more than nodes do: a node's record that
would exclude its signer or take a name, an address or a route from another member, one identity more than a
token has uses, a default route, and an admin record of the future or with the sequence number of another one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from wgpy.mesh.addressing import announcement_trouble, grant_trouble
from wgpy.mesh.clients import Clients
from wgpy.mesh.clock import compared, is_of_the_future
from wgpy.mesh.endings import exclusion_text
from wgpy.mesh.growth import only_endpoints_differ
from wgpy.mesh.ledger import Judged, RecordRejected, Verdict
from wgpy.mesh.records import (
    AdminRecord,
    Approval,
    Author,
    Client,
    Node,
    Paths,
    Record,
    RecordKey,
    Sites,
    Token,
    Unknown,
    kind_of,
    record_key,
)
from wgpy.mesh.selectors import naming_only_by_name
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.sites import lost_site
from wgpy.mesh.topology import Topology, derive

from .sites import site_trouble
from .snapshot import COORDINATORS_CLOCK, Entry, Snapshot

TOO_OFTEN: Final = "its node publishes changes too often: wait a minute"
NO_NETWORK: Final = "the network's record is not here: submit it first"
NO_NODE: Final = "no node of this identity is known"
UNKNOWN_AUTHOR: Final = "it is of an unknown type, and not of a member"


class Refused(Exception):
    """A record is authentic, but this coordinator does not store it; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """verdict: new, known, old or refused; reason: why refused."""

    verdict: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A new record. before: the record that it replaces."""

    key: RecordKey
    signed: Signed
    record: Record
    before: Record | None


class Transaction:
    """One turn of a submission. changes: new records, in order; admitted: changed entries of the snapshot."""

    def __init__(
        self, snapshot: Snapshot, now: int, may_change: Callable[[VerifyKey], bool] = lambda identity: True
    ) -> None:
        """now: Unix seconds; may_change: whether a node may change what it publishes once more."""
        self._snapshot = snapshot
        self._may_change = may_change
        self._now = now
        self._ledger = snapshot.ledger.copy()
        self._topology: Topology | None = snapshot.topology_at(now)  # None: to be derived anew
        # Members in which alone the topology differs from the snapshot's; None: any may differ.
        self._changed: frozenset[VerifyKey] | None = (
            frozenset() if self._topology is snapshot.topology else self._topology.changed
        )
        self._sequences: dict[int, bytes] | None = None  # digests of admin records; None: not yet needed
        self.changes: dict[RecordKey, Change] = {}
        self.admitted: dict[VerifyKey, frozenset[VerifyKey]] = {}

    def submit(self, signed: Signed) -> Outcome:
        """Add a record, or return why it is refused."""
        return self._submit(lambda: self._ledger.judge(signed))

    def submit_verified(self, screened: Judged) -> Outcome:
        """Do the same with a record that was verified when it was screened."""
        return self._submit(lambda: self._ledger.judge_verified(screened.signed, screened.record))

    def _submit(self, judge: Callable[[], Judged]) -> Outcome:
        try:
            judged = judge()
            if judged.verdict is Verdict.NEW:
                self._take(judged)
        except (RecordRejected, Refused) as error:
            return Outcome("refused", str(error))
        return Outcome(judged.verdict.value)

    def name_of(self, identity: VerifyKey) -> str:
        """Return the name in a node's record; its identity if there is none."""
        node = self._ledger.node(identity)
        return node.name if node else str(identity)

    def finished(self, revision: int) -> Snapshot:
        """Return the snapshot with the changes. revision: of all of them."""
        topology = replace(self._current_topology(), changed=self._changed)
        entries, replaced = self._snapshot.entries.copy(), 0
        for key, change in self.changes.items():
            before = entries.pop(key, None)
            viewed = before.viewed if before else 0
            replaced = max(replaced, before.revision if before else 0)
            if _changes_more_than_endpoints(change):
                viewed = revision
            entries[key] = Entry(change.signed, change.record, revision, viewed)
        snapshot = replace(
            self._snapshot,
            ledger=self._ledger,
            topology=topology,
            entries=entries,
            admitted={**self._snapshot.admitted, **self.admitted},
            revision=revision,
            visibility=revision if self._changes_visibility(topology) else self._snapshot.visibility,
        )
        if self._changed is not None:
            snapshot.grow_from(self._snapshot, [entries[key] for key in self.changes], replaced)
        return snapshot

    # -- Checks ----------------------------------------------------------------------------------

    def _take(self, judged: Judged) -> None:
        """Raises Refused."""
        signer = judged.record.signer
        if self._ledger.node(signer) is not None and not self._may_change(signer):
            raise Refused(TOO_OFTEN)
        if isinstance(judged.record, Node):
            self._take_node(judged.record, judged)
        elif isinstance(judged.record, Sites):
            self._take_sites(judged.record, judged)
        elif isinstance(judged.record, Paths):
            self._take_paths(judged.record, judged)
        else:
            self._check_author(judged.record)
            self._check_grant(judged.record)
            self._check_client(judged)
            if self._ledger.is_admin_record(judged):
                self._take_sequence(judged.record, judged.signed)
            self._ledger.keep(judged)
            self._topology = self._changed = None
        key = record_key(judged.record)
        before = self._snapshot.entries.get(key)
        self.changes[key] = Change(key, judged.signed, judged.record, before.record if before else None)

    def _check_author(self, record: Record) -> None:
        """Anybody can make an identity: only those of nodes are heard. Raises Refused."""
        if isinstance(record, Unknown):
            if record.signer != self._ledger.key and not self._is_member(record.signer):
                raise Refused(UNKNOWN_AUTHOR)
        elif kind_of(record).author is Author.NODE and self._ledger.node(record.signer) is None:
            raise Refused(NO_NODE)

    def _check_grant(self, record: Record) -> None:
        """Raises Refused for a large part of a default route."""
        if not isinstance(record, Token | Approval) or self._snapshot.may_lack(record):
            return
        if trouble := next(filter(None, map(grant_trouble, record.routes)), ""):
            raise Refused(trouble)

    def _check_client(self, judged: Judged) -> None:
        """Raises Refused for a client that would not be in force."""
        client = judged.record
        if not isinstance(client, Client) or client.removed or self._snapshot.may_lack(client):
            return
        trial = self._ledger.copy()
        trial.keep(judged)
        if (network := trial.charter()) is None:
            raise Refused(NO_NETWORK)
        records, now = trial.admin_records(Client).values(), trial.judging_time(self._now)
        if reason := Clients(network, self._current_topology().members, records, now).excluded.get(
            client.key
        ):
            raise Refused(f"{client.name} cannot be a client: {reason.value}")

    def _take_sequence(self, record: AdminRecord, signed: Signed) -> None:
        """Raises Refused. Records before the newest are those that nodes give back after a restore."""
        if not record.sequence:  # an unknown kind may have none
            return
        newest = self._ledger.newest
        if newest is None or record.sequence > newest.sequence:
            self._check_time(record)
        if self._used_sequences().setdefault(record.sequence, signed.digest) != signed.digest:
            raise Refused(
                f"another admin record has its sequence number {record.sequence}: sign with a higher one"
            )

    def _check_time(self, record: AdminRecord) -> None:
        """Raises Refused."""
        if is_of_the_future(record.time, self._now):
            raise Refused(
                f"it was signed at {compared(record.time, self._now, COORDINATORS_CLOCK)}: set the clock "
                "that is wrong"
            )

    def _used_sequences(self) -> dict[int, bytes]:
        if self._sequences is None:
            self._sequences = {
                sequence: signed.digest for sequence, signed in self._ledger.by_sequence().items()
            }
        return self._sequences

    def _take_node(self, node: Node, judged: Judged) -> None:
        """Raises Refused."""
        self._check_routes(node)
        replaced = self._ledger.node(node.signer)
        with self._trying(judged) as (before, after):
            self._check_membership(node, after)
            self._check_others(node, before, after)
            self._check_name(node, replaced, after)
            self._use_token(node)

    def _take_sites(self, record: Sites, judged: Judged) -> None:
        """Raises Refused."""
        self._check_author(record)
        replaced = self._ledger.find(Sites, bytes(record.signer))
        is_withdrawal = set(record.sites) <= set(replaced.sites if replaced else ())
        with self._trying(judged) as (before, after):
            if trouble := site_trouble(record, replaced, after, self._now, self._snapshot.restored):
                raise Refused(trouble)
            if not is_withdrawal and (name := lost_site(before.sites, after.sites, record.signer)):
                raise Refused(f"it is in the way of the site {name}")

    def _take_paths(self, record: Paths, judged: Judged) -> None:
        """Raises Refused."""
        self._check_author(record)
        with self._trying(judged):  # which changes nothing else
            pass

    @contextmanager
    def _trying(self, judged: Judged) -> Iterator[tuple[Topology, Topology]]:
        """Keep a record of a node unless Refused is raised; give the topologies before and after."""
        before, last = self._current_topology(), self._ledger.last_change
        self._ledger.keep(judged)
        after = derive(self._ledger, self._now, before)
        try:
            yield before, after
        except Refused:
            self._ledger.take_back(last)
            raise
        self._topology = after
        is_known = self._changed is not None and after.changed is not None
        self._changed = frozenset().union(self._changed or (), after.changed or ()) if is_known else None

    def _check_routes(self, node: Node) -> None:
        """Raises Refused for a new one that no node may announce."""
        if self._snapshot.may_lack(node):
            return
        before = self._ledger.node(node.signer)
        for route in frozenset(node.routes).difference(before.routes if before else ()):
            if trouble := announcement_trouble(route):
                raise Refused(trouble)

    def _check_membership(self, node: Node, after: Topology) -> None:
        """Raises Refused."""
        if self._ledger.charter() is None:
            raise Refused(NO_NETWORK)
        if (reason := after.excluded.get(node.signer)) is not None:
            raise Refused(exclusion_text(self._ledger, node, reason, self._now, COORDINATORS_CLOCK))
        member = after.member(node.signer)
        if member is None or not member.name:
            raise Refused(f"the name {node.name} is another node's")

    @staticmethod
    def _check_others(node: Node, before: Topology, after: Topology) -> None:
        """Raise Refused if another member would lose a name, an address or a route.

        Dates decide which node was first, and a node whose token admits several can antedate itself.
        """
        if after.changed is not None:
            return  # it was only added
        for other in before.members:
            now = after.member(other.identity)
            if other.identity == node.signer or now is other:
                continue
            if now is None:
                raise Refused(f"its address or key is that of {other.name or other.identity}")
            if now.name != other.name and other.name:
                raise Refused(f"the name {node.name} is another node's")
            if not (set(other.routes) <= set(now.routes) and set(other.announced) <= set(now.announced)):
                raise Refused(f"one of its routes is that of {other.name or other.identity}")
        kept = set(map(id, after.clients))
        for client in before.clients:
            if id(client) not in kept and client not in after.clients:
                raise Refused(f"its name, its address or its key is that of the client {client.name}")
        if name := lost_site(before.sites, after.sites, node.signer):
            raise Refused(
                f"a route of {node.name} overlaps what the mesh routes to the site {name}: leave it out, "
                "or have the site removed first"
            )

    def _check_name(self, node: Node, before: Node | None, after: Topology) -> None:
        """Raise Refused for a new name by which a rule of an older version lets whoever has it begin."""
        if (before is not None and before.name == node.name) or self._snapshot.may_lack(node):
            return
        if after.site(node.name):
            raise Refused(f"{node.name} is the name of a site: choose another name")
        if any(naming_only_by_name(after.rules, node.name)):
            raise Refused(
                f"a rule of an older version is for whoever has the name {node.name}: choose another name, "
                "or take the rule back with `wgpy mesh disallow`"
            )

    def _use_token(self, node: Node) -> None:
        """Raises Refused."""
        users = self.admitted.get(node.token) or self._snapshot.admitted.get(node.token, frozenset())
        if node.signer in users:
            return
        token = self._ledger.admin_records(Token)[bytes(node.token)]
        now = self._ledger.judging_time(self._now)
        if trouble := self._snapshot.use_trouble(node, token, users, now):
            raise Refused(trouble)
        self.admitted[node.token] = users | {node.signer}

    def _current_topology(self) -> Topology:
        if self._topology is None:
            self._topology = derive(self._ledger, self._now)
        return self._topology

    def _is_member(self, identity: VerifyKey) -> bool:
        return self._current_topology().member(identity) is not None

    # -- Visibility ------------------------------------------------------------------------------

    def _has_other_peers(self, identity: VerifyKey, after: Topology) -> bool:
        """Return whether the peers of a node may have changed."""
        now, then = after.member(identity), self._snapshot.topology.member(identity)
        if now is None or then is None:
            return True
        return bool(after.rules) and (now.name, now.tags) != (then.name, then.tags)

    def _changes_visibility(self, after: Topology) -> bool:
        """Return whether any node's peers changed for another reason than its record or an added rule."""
        if self._snapshot.topology.rules and not after.rules:
            return True
        if self._changed is not None:
            return False  # all others are the same but for endpoints and paths
        changed = {
            change.record.signer for change in self.changes.values() if isinstance(change.record, Node)
        }
        return any(
            self._has_other_peers(member.identity, after)
            for member in after.members
            if member.identity not in changed
        )


def _changes_more_than_endpoints(change: Change) -> bool:
    """Return whether a node's record changes anything but its endpoints."""
    match change.before, change.record:
        case Node() as old, Node() as new:
            return not only_endpoints_differ(old, new)
        case _:
            return False
