"""One change at a time: what it costs the coordinator, and each node that it concerns.

All of it happens in one process with what coordinator and nodes run in earnest, save sockets and disks.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.mesh.network import Model
from benchmarks.mesh.node import Node
from wgmesh.lines import Lines
from wgmesh.snapshot import Entry, Snapshot
from wgmesh.transaction import Transaction
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import record_key
from wgpy.mesh.signing import Signed
from wgpy.mesh.topology import derive
from wgpy.mesh.wire import write_signed

CHANGES: Final[dict[str, Callable[[Model], Signed]]] = {
    "a node joins": Model.join,
    "a node moves": lambda model: model.move(0),
    "a node is removed": lambda model: model.remove(1),
    "a rule": lambda model: model.rule("tag:office-0", "tag:office-1"),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one change.

    concerned: nodes that the change is sent to; sent: bytes, to all of them; coordinator, node: seconds of
    CPU, that of a node that is concerned; full: bytes, if all nodes were sent all records instead.
    """

    change: str
    nodes: int
    concerned: int
    sent: int
    coordinator: float
    node: float
    full: int


def open_snapshot(model: Model) -> Snapshot:
    """Return the snapshot of a coordinator that has just started."""
    ledger, entries = Ledger(model.key.verify_key()), {}
    for revision, signed in enumerate(model.records, 1):
        record = ledger.add(signed).record
        entries[record_key(record)] = Entry(signed, record, revision)
    return Snapshot(ledger, derive(ledger, model.now), entries, revision=len(model.records))


def costs(model: Model) -> Iterator[Cost]:
    """Yield the cost of every change in turn, each in the network after the changes before."""
    snapshot = open_snapshot(model)
    for change, make in CHANGES.items():
        identities = [identity.verify_key() for identity in model.identities]
        listener = identities[2]  # in the first group, where everything happens
        known = [entry.signed for entry in snapshot.news(listener, 0)]
        node = Node(model.key.verify_key(), listener, model.now, known)
        signed = make(model)
        begin = time.process_time()
        before, snapshot = snapshot, _accept(snapshot, signed, model.now)
        concerned = snapshot.concerned(before)
        told = Lines(snapshot)
        lines = [
            (identity, list(told.since(before.revision, identity)))
            for identity in (identities if concerned is None else concerned)
        ]
        spent = time.process_time() - begin
        sent = {identity: data for identity, found in lines if (data := b"".join(found))}
        yield Cost(
            change, len(identities), len(sent), sum(map(len, sent.values())), spent,
            sum(map(node.time_to_hear, sent.get(listener, b"").splitlines())),
            len(_everything(snapshot)) * len(identities),
        )  # fmt: skip


def _accept(snapshot: Snapshot, signed: Signed, now: int) -> Snapshot:
    transaction = Transaction(snapshot, now)
    outcome = transaction.submit(signed)
    if outcome.verdict != "new":
        raise ValueError(f"the record is {outcome.verdict}: {outcome.reason}")
    return transaction.finished(snapshot.revision + 1)


def _everything(snapshot: Snapshot) -> bytes:
    return json.dumps([write_signed(entry.signed) for entry in snapshot.entries.values()]).encode()
