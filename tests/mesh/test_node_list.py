"""Which nodes `wgpy mesh node-list` lists."""

import time

import pytest

from tests.mesh.coordinator import ALICE, BOB
from tests.mesh.network import NOW, Administrator, key_of
from wgpy.cli.mesh.nodes import rows_of, table, without_old
from wgpy.cli.mesh.output import ENDED_SHOWN
from wgpy.mesh.clock import written
from wgpy.mesh.records import Removal


@pytest.mark.parametrize(("later", "names"), [(ENDED_SHOWN, {"n11", "n12"}), (ENDED_SHOWN + 1, {"n11"})])
def test_a_removed_node_is_listed_for_a_day(later: int, names: set[str]) -> None:
    administrator = Administrator()
    administrator.found()
    administrator.invite(key_of(2))
    administrator.join(ALICE, key_of(2))
    administrator.join(BOB, key_of(2))
    administrator.sign(Removal, identity=BOB.verify_key())
    ledger = administrator.ledger()

    rows = without_old(rows_of(ledger, []), ledger, NOW + later)

    assert {row.node.name for row in rows} == names


def test_a_membership_that_expired_is_listed_with_both_times() -> None:
    administrator = Administrator(now=int(time.time()))
    administrator.found()
    administrator.invite(key_of(2), lifetime=60)
    administrator.join(ALICE, key_of(2), admitted=administrator.now - 61)

    shown = table(list(rows_of(administrator.ledger(), []))).splitlines()

    assert "its membership has expired" in shown[1]
    expired = written(administrator.now - 1)
    assert shown[2].startswith(
        f"n11 is no member: its membership has expired: {expired}, and this host's clock says 20"
    )
