"""Whatever is told, the node says of it what is enough, and no more."""

import logging

import pytest

from tests.mesh.network import NOW, Administrator, key_of
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import describe
from wgpy.mesh.signing import Signed
from wgpyd.agent.rejected import (
    KEPT,
    MAX_COUNTED,
    OTHERS,
    PATIENCE,
    RejectedRecords,
    WithholdingDetector,
)

COORDINATOR = "coordinator"
FORGED = "not signed by who may say it"
IDENTITY, TOKEN = key_of(7), key_of(8)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


# -- RejectedRecords ------------------------------------------------------------------------------------


def test_a_refusal_is_kept_counted_and_logged(log: pytest.LogCaptureFixture) -> None:
    refusals = RejectedRecords()

    refusals.note("neighbour n3", FORGED, "removal 7", NOW)

    (refusal,) = refusals.newest
    assert (refusal.time, refusal.source, refusal.reason, refusal.what) == (
        NOW, "neighbour n3", FORGED, "removal 7",
    )  # fmt: skip
    assert refusals.counts == {("neighbour n3", FORGED): 1}
    assert log.messages == ["refused what neighbour n3 told: not signed by who may say it: removal 7"]


def test_the_newest_are_kept_and_all_are_counted() -> None:
    refusals = RejectedRecords()

    for number in range(3 * KEPT):
        refusals.note(COORDINATOR, FORGED, str(number), NOW)

    assert [refusal.what for refusal in refusals.newest] == list(map(str, range(2 * KEPT, 3 * KEPT)))
    assert refusals.counts == {(COORDINATOR, FORGED): 3 * KEPT}


def test_a_hostile_coordinator_does_not_fill_the_log(log: pytest.LogCaptureFixture) -> None:
    refusals = RejectedRecords()

    for second in range(3):
        for _ in range(1000):
            refusals.note(COORDINATOR, FORGED, "x", NOW + second)

    assert len(log.messages) == 3
    assert [message.rpartition("; ")[2] for message in log.messages[1:]] == ["999 more were not logged"] * 2


def test_a_flood_of_one_kind_does_not_keep_another_out_of_the_log(log: pytest.LogCaptureFixture) -> None:
    refusals = RejectedRecords()

    for reason in (FORGED, FORGED, "not a record"):
        refusals.note(COORDINATOR, reason, "x", NOW)

    assert [message.split(": ")[1] for message in log.messages] == [FORGED, "not a record"]


def test_who_renames_itself_all_the_time_does_not_fill_the_memory() -> None:
    refusals = RejectedRecords()

    for number in range(MAX_COUNTED + 5):
        refusals.note(f"neighbour n{number}", FORGED, "x", NOW)

    assert len(refusals.counts) == MAX_COUNTED + 1
    assert refusals.counts[OTHERS, FORGED] == 5


def test_what_was_refused_cannot_write_to_a_terminal_nor_a_second_line(
    log: pytest.LogCaptureFixture,
) -> None:
    refusals = RejectedRecords()

    refusals.note(COORDINATOR, FORGED, "\x1b[2J\nall is well \u202e" + "x" * 1000, NOW)

    (message,) = log.messages
    assert message.isprintable()
    assert len(message) < 300
    assert refusals.newest[0].what.startswith("?[2J?all is well ?x")


# -- WithholdingDetector ------------------------------------------------------------------------------------


def learned(ledger: Ledger, withheld: WithholdingDetector, signed: Signed, now: float) -> None:
    record = ledger.add(signed).record
    withheld.learned_from_neighbour(signed.digest, "n3", describe(record), now)


@pytest.fixture
def admin() -> Administrator:
    admin = Administrator()
    admin.found()
    return admin


@pytest.fixture
def ledger(admin: Administrator) -> Ledger:
    return admin.ledger()


def test_what_the_coordinator_does_not_tell_in_time_is_withheld(admin: Administrator, ledger: Ledger) -> None:
    withheld = WithholdingDetector(ledger)
    withheld.connected(0)

    learned(ledger, withheld, admin.remove(IDENTITY), 5)

    assert withheld.withheld(5 + PATIENCE - 0.1) == ()
    assert withheld.withheld(5 + PATIENCE) == ("n3 knew removal 2, and the coordinator does not tell it",)


def test_what_the_coordinator_tells_is_not_withheld_also_if_it_is_late(
    admin: Administrator, ledger: Ledger
) -> None:
    withheld = WithholdingDetector(ledger)
    withheld.connected(0)
    removal = admin.remove(IDENTITY)
    learned(ledger, withheld, removal, 0)
    assert withheld.withheld(2 * PATIENCE) != ()

    withheld.told_by_coordinator(removal.digest)

    assert withheld.withheld(3 * PATIENCE) == ()


def test_a_coordinator_that_is_away_withholds_nothing(admin: Administrator, ledger: Ledger) -> None:
    withheld = WithholdingDetector(ledger)

    learned(ledger, withheld, admin.remove(IDENTITY), 0)

    assert withheld.withheld(1000) == ()
    withheld.connected(1000)
    assert withheld.withheld(1000 + PATIENCE - 1) == ()
    assert withheld.withheld(1000 + PATIENCE) != ()


def test_who_goes_again_and_again_hides_nothing(admin: Administrator, ledger: Ledger) -> None:
    withheld = WithholdingDetector(ledger)
    withheld.connected(0)
    learned(ledger, withheld, admin.remove(IDENTITY), 0)

    withheld.disconnected(PATIENCE - 1)
    withheld.disconnected(PATIENCE + 5)
    withheld.connected(100)
    withheld.connected(100.5)

    assert withheld.withheld(100) == ()
    assert withheld.withheld(101) != ()
    withheld.disconnected(101)
    assert withheld.withheld(102) != ()


def test_what_a_newer_word_took_the_place_of_is_not_withheld(admin: Administrator, ledger: Ledger) -> None:
    withheld = WithholdingDetector(ledger)
    withheld.connected(0)
    learned(ledger, withheld, admin.approve(IDENTITY, "10.1.0.0/16"), 0)

    ledger.add(admin.approve(IDENTITY, "10.2.0.0/16"))

    assert withheld.withheld(PATIENCE) == ()
