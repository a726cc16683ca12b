"""The judgement of a submission before it waits for the writing lock, without a topology. Pure.

Anybody can make an identity and sign with it. So a record is refused by look-ups first and by its signature
next, and only what remains costs time that grows with the number of members.
"""

from collections.abc import Sequence

from wgpy.mesh.admission import Exclusion
from wgpy.mesh.endings import exclusion_text
from wgpy.mesh.ledger import Judged, Ledger, RecordRejected, Verdict
from wgpy.mesh.records import (
    Author,
    Departure,
    Node,
    Record,
    RecordInvalid,
    Removal,
    Revocation,
    Token,
    Unknown,
    decode,
    kind_of,
)
from wgpy.mesh.signing import Signed, VerifyKey

from .snapshot import Snapshot
from .transaction import NO_NODE, UNKNOWN_AUTHOR, Outcome


def is_administrators(records: Sequence[Signed], ledger: Ledger) -> bool:
    """Return whether a submission is the administrator's: all records claim it, the first one proves it.

    Who sends a record that is here already proves nothing: every member has it.
    """
    claim = f'"signer":"{ledger.key}"'.encode()
    return bool(records) and all(claim in signed.body for signed in records) and _is_new(records[0], ledger)


def _is_new(signed: Signed, ledger: Ledger) -> bool:
    try:
        return ledger.judge(signed).verdict is Verdict.NEW
    except RecordRejected:
        return False


def screen(snapshot: Snapshot, records: Sequence[Signed], now: int) -> list[Outcome | Judged]:
    """Return the outcomes of a submission, and the records that remain, verified. now: Unix seconds."""
    return list(map(_Screen(snapshot, now).judge, records))


class _Screen:
    """Judges one submission. A record may depend on one before it: on a token's, or on its node's."""

    def __init__(self, snapshot: Snapshot, now: int) -> None:
        self._snapshot = snapshot
        self._ledger = snapshot.ledger
        self._now = snapshot.ledger.judging_time(now)
        self._tokens: set[VerifyKey] = set()
        self._nodes: set[VerifyKey] = set()

    def judge(self, signed: Signed) -> Outcome | Judged:
        try:
            record = decode(signed.body)
            if record.network == self._ledger.network and (reason := self._refusal(record)):
                return Outcome("refused", reason)
            judged = self._ledger.judge(signed)
        except (RecordInvalid, RecordRejected) as error:
            return Outcome("refused", str(error))
        if judged.verdict is not Verdict.NEW:
            return Outcome(judged.verdict.value)
        self._note(record)
        return judged

    def _note(self, record: Record) -> None:
        if isinstance(record, Token):
            self._tokens.add(record.key)
        elif isinstance(record, Node):
            self._nodes.add(record.signer)

    def _refusal(self, record: Record) -> str:
        """Return why a record is refused, whatever its signature, or ""."""
        if isinstance(record, Node):
            return "" if self._ledger.node(record.signer) == record else self._refusal_of_node(record)
        if kind_of(record).author is Author.ADMINISTRATOR or self._is_node(record.signer):
            return ""
        if isinstance(record, Unknown):
            return "" if record.signer == self._ledger.key else UNKNOWN_AUTHOR
        return NO_NODE

    def _is_node(self, identity: VerifyKey) -> bool:
        return identity in self._nodes or self._ledger.node(identity) is not None

    def _refusal_of_node(self, node: Node) -> str:
        token = self._ledger.find(Token, bytes(node.token))
        if self._ledger.find(Removal, bytes(node.signer)) is not None:
            return Exclusion.REMOVED.value
        if self._ledger.find(Departure, bytes(node.signer)) is not None:
            return Exclusion.DEPARTED.value
        if token is None:
            return "" if node.token in self._tokens else Exclusion.NO_TOKEN.value
        return self._refusal_by_token(node, token)

    def _refusal_by_token(self, node: Node, token: Token) -> str:
        if node.admitted >= token.expires:
            return exclusion_text(self._ledger, node, Exclusion.TOKEN_EXPIRED, self._now)
        revocation = self._ledger.find(Revocation, bytes(node.token))
        if revocation is not None and node.signer not in revocation.keep:
            return Exclusion.TOKEN_REVOKED.value
        users = self._snapshot.admitted.get(node.token, frozenset())
        return self._snapshot.use_trouble(node, token, users, self._now)
