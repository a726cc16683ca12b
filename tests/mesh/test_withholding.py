"""What a neighbour knew and the coordinator does not send is found out, and logged once."""

import logging
from math import inf

import pytest

from tests.mesh.network import Administrator, key_of
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.signing import Signed
from wgpyd.agent.withholding_detector import CATCH_UP_TIME, WithholdingDetector

IDENTITY = key_of(7)


def learned(ledger: Ledger, detector: WithholdingDetector, signed: Signed, now: float) -> None:
    detector.learned_from_neighbour([ledger.add(signed)], "neighbour n3", now)


@pytest.fixture
def admin() -> Administrator:
    admin = Administrator()
    admin.found()
    return admin


@pytest.fixture
def ledger(admin: Administrator) -> Ledger:
    return admin.ledger()


def test_what_the_coordinator_does_not_send_in_time_is_withheld(admin: Administrator, ledger: Ledger) -> None:
    detector = WithholdingDetector(ledger)
    detector.connected(0)

    learned(ledger, detector, admin.remove(IDENTITY), 5)

    assert detector.withheld(5 + CATCH_UP_TIME - 0.1) == ()
    assert detector.withheld(5 + CATCH_UP_TIME) == (
        "n3 knew removal 2, and the coordinator does not send it",
    )


def test_what_the_coordinator_sends_is_not_withheld_also_if_it_is_late(
    admin: Administrator, ledger: Ledger
) -> None:
    detector = WithholdingDetector(ledger)
    detector.connected(0)
    removal = admin.remove(IDENTITY)
    learned(ledger, detector, removal, 0)
    assert detector.withheld(2 * CATCH_UP_TIME) != ()

    detector.sent_by_coordinator(removal.digest)

    assert detector.withheld(3 * CATCH_UP_TIME) == ()


def test_a_coordinator_that_is_away_withholds_nothing(admin: Administrator, ledger: Ledger) -> None:
    detector = WithholdingDetector(ledger)

    learned(ledger, detector, admin.remove(IDENTITY), 0)

    assert detector.withheld(1000) == ()
    detector.connected(1000)
    assert detector.withheld(1000 + CATCH_UP_TIME - 1) == ()
    assert detector.withheld(1000 + CATCH_UP_TIME) != ()


def test_who_goes_again_and_again_hides_nothing(admin: Administrator, ledger: Ledger) -> None:
    detector = WithholdingDetector(ledger)
    detector.connected(0)
    learned(ledger, detector, admin.remove(IDENTITY), 0)

    detector.disconnected(CATCH_UP_TIME - 1)
    detector.disconnected(CATCH_UP_TIME + 5)
    detector.connected(100)
    detector.connected(100.5)

    assert detector.withheld(100) == ()
    assert detector.withheld(101) != ()
    detector.disconnected(101)
    assert detector.withheld(102) != ()


def test_what_a_newer_record_took_the_place_of_is_not_withheld(admin: Administrator, ledger: Ledger) -> None:
    detector = WithholdingDetector(ledger)
    detector.connected(0)
    learned(ledger, detector, admin.approve(IDENTITY, "10.1.0.0/16"), 0)

    ledger.add(admin.approve(IDENTITY, "10.2.0.0/16"))

    assert detector.withheld(CATCH_UP_TIME) == ()


def test_what_is_withheld_is_logged_once(
    admin: Administrator, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    detector = WithholdingDetector(ledger)
    detector.connected(0)
    learned(ledger, detector, admin.remove(IDENTITY), 0)

    for seconds in range(3):
        detector.log(CATCH_UP_TIME + seconds)

    assert [record.message for record in caplog.records] == list(detector.withheld(CATCH_UP_TIME + 3))


def test_it_is_known_when_there_is_something_to_log(admin: Administrator, ledger: Ledger) -> None:
    detector = WithholdingDetector(ledger)
    learned(ledger, detector, admin.remove(IDENTITY), 0)
    assert detector.seconds_left(50) == inf  # as long as the coordinator is away

    detector.connected(100)

    assert detector.seconds_left(103) == CATCH_UP_TIME - 3
    assert detector.seconds_left(100 + CATCH_UP_TIME) == inf
