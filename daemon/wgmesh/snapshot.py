"""The records of a network at one revision, and which of them concern a node. Pure values.

Invariant: a node is concerned by admin records, departures, its own record, and the records of its peers: the
members that it may reach or be reached by, and relays. A node that has all records up to a revision is sent
newer ones, and the records of peers that newer rules, clients and relays give it. If its peers changed for
another reason, it is sent the records of all its peers; so is a new relay, whose peers all members are. A
rule of an older version has a name: whom it joins is also sent the records of nodes that may have had the
name before, new ones and those that were new when there was no such rule.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from wgpy.mesh.clock import compared
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.member import Member
from wgpy.mesh.records import (
    KINDS,
    Approval,
    Audience,
    Client,
    Node,
    Record,
    RecordKey,
    Relay,
    Rule,
    Scope,
    Token,
    is_by_name,
    kind_of,
    node,
    record_key,
    relay,
)
from wgpy.mesh.signing import Signed, VerifyKey
from wgpy.mesh.topology import Topology, derive
from wgpy.mesh.wire import record_text

COORDINATORS_CLOCK: Final = "the coordinator's clock"
_MAX_REMEMBERED: Final = 64  # revisions of which a snapshot remembers what is newer
_OF_A_NODE: Final = tuple(kind.name for kind in KINDS if kind.audience is Audience.REACHABLE)


@dataclass(frozen=True, slots=True)
class Entry:
    """The newest record of its key.

    revision: at which it was stored; viewed: of a node's record, the revision at which anything but the
    node's endpoints changed.
    """

    signed: Signed
    record: Record
    revision: int
    viewed: int = 0
    _text: bytes = field(default=b"", init=False, repr=False, compare=False)  # once it was asked for

    @property
    def text(self) -> bytes:
        """The record as it stands in a line, encoded once for all nodes and snapshots."""
        if not self._text:
            object.__setattr__(self, "_text", record_text(self.signed))
        return self._text


@dataclass(frozen=True, slots=True)
class _Newer:
    """What is newer than a revision.

    entries: all, the oldest first; viewed: nodes of which more than endpoints changed; common: what every
    member is sent whose peers are the same, if there are no rules.
    """

    entries: list[Entry]
    viewed: frozenset[VerifyKey]
    common: list[Entry]


@dataclass(slots=True)
class _Memory:
    """What was found of a snapshot once, by revision; at most _MAX_REMEMBERED.

    before: the same of the snapshot before, if its members are members still; added: the entries since;
    replaced: the newest revision of what they replace.
    """

    newer: dict[int, _Newer] = field(default_factory=dict)
    before: Mapping[int, _Newer] = field(default_factory=dict)
    added: Sequence[Entry] = ()
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The records at one revision; immutable.

    entries: in the order of revisions; admitted: identities by the token that admitted them, also of nodes
    that are no longer members; visibility: the last revision at which the peers of any node changed for
    another reason than an added rule; restored: when the database was restored from a backup, Unix seconds,
    0 for never.
    """

    ledger: Ledger
    topology: Topology = field(default_factory=lambda: Topology((), {}, ()))
    entries: dict[RecordKey, Entry] = field(default_factory=dict)
    admitted: dict[VerifyKey, frozenset[VerifyKey]] = field(default_factory=dict)
    revision: int = 0
    visibility: int = 0
    restored: int = 0
    _memory: _Memory = field(default_factory=_Memory, init=False, repr=False, compare=False)

    def grow_from(self, before: "Snapshot", added: Sequence[Entry], replaced: int) -> None:
        """Use what was found of a snapshot whose members are members still. replaced: the newest revision."""
        self._memory.before, self._memory.added = before._memory.newer, added
        self._memory.replaced = replaced

    def node(self, identity: VerifyKey) -> Entry | None:
        """Return a node's record, if there is one."""
        return self.entries.get(RecordKey(node.KIND.name, bytes(identity)))

    def topology_at(self, now: int) -> Topology:
        """Return the topology at a time, as memberships expire. now: Unix seconds."""
        return derive(self.ledger, now, self.topology)

    def holds_at(self, now: int) -> bool:
        """Return whether the topology is still that of the records. now: Unix seconds."""
        return self.topology.holds_at(self.ledger.judging_time(now))

    def token_trouble(self, token: Token, now: int) -> str:
        """Return why a token admits no further node, or ""."""
        return trouble_of(token, len(self.admitted.get(token.key, ())), self.ledger.judging_time(now))

    def use_trouble(self, node: Node, token: Token, users: Collection[VerifyKey], now: int) -> str:
        """Return why a token does not admit a node, or "". users: whom it admitted; now: Unix seconds."""
        if node.signer in users:
            return ""
        return trouble_of(token, len(users), node.admitted if self.may_lack(node) else now)

    def may_lack(self, record: Node | Token | Approval | Client) -> bool:
        """Return whether a restored database may lack a record, which was made before it was restored."""
        made = record.admitted if isinstance(record, Node) else record.time
        return made < self.restored

    def concerned(self, before: "Snapshot") -> frozenset[VerifyKey] | None:
        """Return the nodes that have news, or are members no more, as this snapshot follows another.

        None: all that there are.
        """
        since, topology = before.revision, self.topology
        is_grown = topology is before.topology or topology.changed is not None
        if self.restored != before.restored or since < self.visibility or not is_grown:
            return None
        found: set[VerifyKey] = set()
        for entry in self._newer(since).entries:
            is_renamed = entry.viewed > since and topology.is_by_name
            if kind_of(entry.record).audience is Audience.EVERYBODY or is_renamed or not topology.rules:
                return None
            found.add(entry.record.signer)
            found.update(peer.identity for peer in topology.peers(entry.record.signer))
        return frozenset(found)

    def news(self, identity: VerifyKey, since: int) -> list[Entry]:
        """Return what a node is to be sent, the oldest first. since: the revision up to which it has all."""
        if self._may_have_other_peers(identity, since):
            return self._all_visible(identity, since)
        member = self.topology.member(identity)
        if member is not None and not self.topology.rules:
            return self._newer(since).common
        news = [
            entry for entry in self._newer(since).entries if self._concerns(entry, identity, member, since)
        ]
        return news if member is None else self._with_new_peers(member, news, since)

    def common_news(self, since: int) -> tuple[list[Entry], frozenset[VerifyKey]] | None:
        """Return what all members are sent, and nodes to which this does not apply; None if they differ."""
        if self.topology.rules or since < self.visibility:
            return None
        newer = self._newer(since)
        return newer.common, newer.viewed

    def most_news(self, identity: VerifyKey, since: int) -> int:
        """Return a number that `news` are not more than."""
        return len(
            self.entries if self._may_have_other_peers(identity, since) else self._newer(since).entries
        )

    def _may_have_other_peers(self, identity: VerifyKey, since: int) -> bool:
        is_older = since < self.visibility or identity in self._newer(since).viewed
        return is_older or self._is_relay_since(identity, since)

    def _is_relay_since(self, identity: VerifyKey, since: int) -> bool:
        """Return whether a member has other peers as it is a relay by a newer record; without rules never."""
        is_relay = bool(self.topology.rules) and identity in self.topology.relays
        node = self.ledger.node(identity) if is_relay else None
        keys = (RecordKey(relay.KIND.name, bytes(key)) for key in (node.signer, node.token)) if node else ()
        entries = (self.entries.get(key) for key in keys)
        return any(entry.revision > since for entry in entries if entry)

    def _newer(self, since: int) -> _Newer:
        memory = self._memory
        if (newer := memory.newer.get(since)) is None:
            before = memory.before.get(since) if memory.replaced <= since else None
            newer = self._read_newer(since) if before is None else self._with_added(before, since)
            if len(memory.newer) < _MAX_REMEMBERED:
                memory.newer[since] = newer
        return newer

    def _read_newer(self, since: int) -> _Newer:
        found = []
        for entry in reversed(self.entries.values()):
            if entry.revision <= since:
                break
            found.append(entry)
        found.reverse()
        return _Newer(found, _viewed_since(found, since), list(filter(self._concerns_all, found)))

    def _with_added(self, before: _Newer, since: int) -> _Newer:
        added = self._memory.added
        return _Newer(
            [*before.entries, *added],
            before.viewed | _viewed_since(added, since),
            [*before.common, *filter(self._concerns_all, added)],
        )

    def _concerns_all(self, entry: Entry) -> bool:
        is_of_all = kind_of(entry.record).audience is Audience.EVERYBODY
        return is_of_all or self.topology.member(entry.record.signer) is not None

    def _concerns(self, entry: Entry, identity: VerifyKey, member: Member | None, since: int) -> bool:
        if kind_of(entry.record).audience is Audience.EVERYBODY or entry.record.signer == identity:
            return True
        other = self.topology.member(entry.record.signer)
        if member is None or other is None:
            return False
        return self.topology.are_peers(member, other) or self._may_have_been_peer(entry, member, since)

    def _may_have_been_peer(self, entry: Entry, member: Member, since: int) -> bool:
        return entry.viewed > since > 0 and self.topology.are_peers_by_name(member)

    def _with_new_peers(self, member: Member, news: list[Entry], since: int) -> list[Entry]:
        """Return news with the records of peers that new rules, clients and relays give a member."""
        rules = self._new_rules([entry.record for entry in news])
        keys = {entry.record.key for entry in news if isinstance(entry.record, Client)}
        clients = [client for client in self.topology.clients if client.key in keys]
        peers = dict.fromkeys(peer.identity for peer in self.topology.peers_by(rules, clients, member))
        if any(isinstance(entry.record, Relay) for entry in news):
            peers |= dict.fromkeys(one for one in self.topology.relays if self._is_relay_since(one, since))
        if any(
            is_by_name(rule.source) or is_by_name(rule.destination) for rule in rules
        ) and self.topology.are_peers_by_name(member):
            peers |= dict.fromkeys(self._changed_nodes())
        known = {record_key(entry.record) for entry in news}
        older = [
            entry
            for identity in peers
            if identity != member.identity
            for entry in self._published(identity)
            if record_key(entry.record) not in known
        ]
        return sorted([*news, *older], key=attrgetter("revision")) if older else news

    def _changed_nodes(self) -> Iterator[VerifyKey]:
        """Give the nodes that may have had another name, by which whom they were no peers of knows them."""
        for entry in self.entries.values():
            if isinstance(entry.record, Node) and entry.record.sequence > 1:
                yield entry.record.signer

    def _new_rules(self, records: list[Record]) -> list[Rule]:
        """Return the rules among new records, and those whose scope is, which allowed nothing without it."""
        rules = [record for record in records if isinstance(record, Rule) and record.allowed]
        scopes = {record.end.rule_selector for record in records if isinstance(record, Scope)}
        if not scopes:
            return rules
        return [*rules, *(rule for rule in self.topology.rules if scopes & {rule.source, rule.destination})]

    def _all_visible(self, identity: VerifyKey, since: int) -> list[Entry]:
        visible = dict.fromkeys([identity, *(peer.identity for peer in self.topology.peers(identity))])
        published = [entry for other in visible for entry in self._published(other)]
        member = self.topology.member(identity)
        others = [
            entry
            for entry in self._newer(since).entries
            if kind_of(entry.record).audience is Audience.EVERYBODY
            or (
                entry.record.signer not in visible
                and member
                and self._may_have_been_peer(entry, member, since)
            )
        ]
        return sorted([*others, *published], key=attrgetter("revision"))

    def _published(self, identity: VerifyKey) -> list[Entry]:
        """Return the records of a node that only its peers are to know."""
        keys = (RecordKey(kind, bytes(identity)) for kind in _OF_A_NODE)
        return [entry for key in keys if (entry := self.entries.get(key)) is not None]


def _viewed_since(entries: Iterable[Entry], since: int) -> frozenset[VerifyKey]:
    return frozenset(entry.record.signer for entry in entries if entry.viewed > since)


def trouble_of(token: Token, users: int, now: int) -> str:
    """Return why a token admits no further node, or "". users: how many it admitted; now: Unix seconds."""
    if users >= token.uses:
        return f"the token is used up: it has admitted {users}"
    if now < token.expires:
        return ""
    return f"the token has expired: it admitted until {compared(token.expires, now, COORDINATORS_CLOCK)}"
