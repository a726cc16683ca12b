"""What a snapshot says is new is the same whether it remembers what was asked of the one before or not."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mesh.network import NOW, Administrator
from tests.mesh.test_topology_growth import HOSTS, histories
from wgmesh.lines import Lines
from wgmesh.snapshot import Snapshot
from wgmesh.transaction import Transaction
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.wire import Delta, decode_line, deltas

IDENTITIES = [host.verify_key() for host in HOSTS]


@settings(deadline=None)
@given(administrator=histories(), data=st.data())
def test_what_is_new_to_a_node_is_what_a_snapshot_says_that_nobody_has_asked_before(
    administrator: Administrator, data: st.DataObject
) -> None:
    snapshot, records = Snapshot(Ledger(administrator.key.verify_key())), administrator.records
    while records:
        transaction, count = Transaction(snapshot, NOW), data.draw(st.integers(1, 4))
        for signed in records[:count]:
            transaction.submit(signed)
        records, snapshot = records[count:], transaction.finished(snapshot.revision + 1)
        told = Lines(snapshot)
        for since in data.draw(st.sets(st.integers(0, snapshot.revision), max_size=3)):
            for identity in IDENTITIES:
                expected = replace(snapshot).news(identity, since)

                assert snapshot.news(identity, since) == expected

                lines = map(decode_line, told.since(since, identity))
                signed_ones = [entry.signed for entry in expected]
                assert list(lines) == (
                    list(deltas(since, snapshot.revision, signed_ones)) if expected else list[Delta]()
                )
