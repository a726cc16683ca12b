"""What is refused before it waits for the writing lock, by look-ups or by its signature, and what is not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mesh.coordinator import Site, in_a_loop
from tests.mesh.network import Administrator, key_of
from wgmesh.screening import is_administrators, screen
from wgmesh.snapshot import Snapshot
from wgmesh.transaction import Outcome, Transaction
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.signing import Signed
from wgpy.node.coordinator_client import Coordinator

TOKEN, SINGLE, STRANGE = key_of(1001), key_of(1002), key_of(1003)
ALICE, BOB, CAROL = key_of(11), key_of(12), key_of(13)


def screened(snapshot: Snapshot, records: Sequence[Signed], now: int) -> list[Outcome | None]:
    """Return the outcomes of a submission, None for the records that remain."""
    return [found if isinstance(found, Outcome) else None for found in screen(snapshot, records, now)]


def refused(reason: str) -> Outcome:
    return Outcome("refused", reason)


def unsigned(signed: Signed) -> Signed:
    return Signed(signed.body, bytes(64))


@pytest.fixture
def administrator() -> Administrator:
    """Of a network with a token for nine nodes, one for one, and Alice, who used that one."""
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN)
    administrator.invite(SINGLE, uses=1)
    administrator.join(ALICE, SINGLE)
    return administrator


def snapshot_of(administrator: Administrator) -> Snapshot:
    transaction = Transaction(Snapshot(Ledger(administrator.key.verify_key())), administrator.now)
    assert {transaction.submit(signed).verdict for signed in administrator.records} == {"new"}
    return transaction.finished(1)


def test_a_token_that_nobody_knows_is_looked_up_before_a_signature_is_verified(
    administrator: Administrator,
) -> None:
    snapshot = snapshot_of(administrator)
    node = administrator.join(BOB, STRANGE)

    outcomes = screened(snapshot, [node, unsigned(node)], administrator.now)

    assert outcomes == [refused("its token is not of this network")] * 2


def test_a_token_in_the_same_submission_is_known(administrator: Administrator) -> None:
    snapshot = snapshot_of(administrator)
    records = [administrator.invite(STRANGE), administrator.join(BOB, STRANGE), administrator.depart(BOB)]

    assert screened(snapshot, records, administrator.now) == [None, None, None]
    assert screened(snapshot, records[1:], administrator.now)[0] == refused(
        "its token is not of this network"
    )


def test_what_a_token_no_longer_admits_is_refused(administrator: Administrator) -> None:
    administrator.invite(STRANGE, expires=administrator.now + 10)
    snapshot = snapshot_of(administrator)
    used_up, expired = administrator.join(BOB, SINGLE), administrator.join(CAROL, STRANGE)

    assert screened(snapshot, [used_up], administrator.now) == [
        refused("the token is used up: it has admitted 1")
    ]
    assert screened(snapshot, [expired], administrator.now) == [None]
    (outcome,) = screened(snapshot, [expired], administrator.now + 10)
    assert outcome is not None
    assert outcome == refused(outcome.reason)
    assert outcome.reason.startswith("the token has expired: it admitted until ")
    assert screened(
        replace(snapshot, restored=administrator.now + 99), [expired], administrator.now + 10
    ) == [None]


def test_a_revoked_token_admits_those_that_stay(administrator: Administrator) -> None:
    administrator.revoke(TOKEN, BOB.verify_key())
    snapshot = snapshot_of(administrator)

    outcomes = screened(
        snapshot, [administrator.join(BOB, TOKEN), administrator.join(CAROL, TOKEN)], administrator.now
    )

    assert outcomes == [None, refused("its token was revoked")]


def test_who_was_removed_or_left_is_refused(administrator: Administrator) -> None:
    administrator.join(BOB, TOKEN)
    administrator.remove(ALICE)
    administrator.depart(BOB)
    snapshot = snapshot_of(administrator)
    again = [administrator.join(ALICE, SINGLE, sequence=2), administrator.join(BOB, TOKEN, sequence=2)]

    assert screened(snapshot, again, administrator.now) == [refused("it was removed"), refused("it left")]


def test_who_is_no_node_signs_nothing_else(administrator: Administrator) -> None:
    snapshot = snapshot_of(administrator)

    outcomes = screened(snapshot, [administrator.depart(BOB), administrator.depart(ALICE)], administrator.now)

    assert outcomes == [refused("no node of this identity is known"), None]


def test_what_is_there_waits_for_no_lock(administrator: Administrator) -> None:
    newer = administrator.join(ALICE, SINGLE, sequence=2)
    snapshot = snapshot_of(administrator)
    older = administrator.join(ALICE, SINGLE, sequence=1)

    assert screened(snapshot, [newer, older], administrator.now) == [Outcome("known"), Outcome("old")]


def test_what_is_forged_foreign_or_damaged_is_refused(administrator: Administrator) -> None:
    snapshot = snapshot_of(administrator)
    forged = [unsigned(administrator.invite(STRANGE)), unsigned(administrator.join(BOB, TOKEN))]
    foreign = Administrator(key=key_of(2)).found()

    outcomes = screened(snapshot, [*forged, foreign, Signed(b"{}", bytes(64))], administrator.now)

    assert [outcome.reason.partition(":")[0] for outcome in outcomes if outcome] == [
        "not signed by the right key",
        "not signed by the right key",
        "of another network",
        "a record is damaged",
    ]


def test_only_the_network_key_makes_a_submission_the_administrators(administrator: Administrator) -> None:
    ledger = snapshot_of(administrator).ledger
    removal, node = administrator.remove(ALICE), administrator.join(BOB, TOKEN)

    assert is_administrators([removal], ledger)
    assert is_administrators([removal, unsigned(administrator.invite(STRANGE))], ledger)
    assert not is_administrators([unsigned(removal)], ledger)
    assert not is_administrators([removal, node], ledger)
    assert not is_administrators([node], ledger)
    assert not is_administrators([], ledger)


def test_who_repeats_a_record_of_the_administrator_is_not_taken_for_it(administrator: Administrator) -> None:
    removal = administrator.remove(ALICE)
    ledger = snapshot_of(administrator).ledger

    assert not is_administrators([removal, unsigned(administrator.invite(STRANGE))], ledger)


@in_a_loop
async def test_who_claims_to_be_the_administrator_is_told_that_it_is_not(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(), Coordinator(site.address, site.administrator.key.verify_key()) as client:
        await site.found(ALICE)
        forged = [unsigned(site.administrator.invite(key_of(2000 + number))) for number in range(3)]

        outcomes = await client.submit(forged)

    assert [outcome.reason for outcome in outcomes] == ["not signed by the right key"] * 3
