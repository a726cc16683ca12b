"""Whatever is sent, the node logs of it what is enough, and no more."""

import logging

import pytest

from tests.mesh.network import NOW, key_of
from wgpyd.agent.rejected_records import KEPT, MAX_COUNTED, OTHERS, RejectedRecords

COORDINATOR = "coordinator"
FORGED = "not signed by the right key"
IDENTITY, TOKEN = key_of(7), key_of(8)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def test_a_rejected_record_is_kept_counted_and_logged(log: pytest.LogCaptureFixture) -> None:
    rejected = RejectedRecords()

    rejected.note("neighbour n3", FORGED, "removal 7", NOW)

    (record,) = rejected.newest
    assert (record.time, record.source, record.reason, record.what) == (
        NOW, "neighbour n3", FORGED, "removal 7",
    )  # fmt: skip
    assert rejected.counts == {("neighbour n3", FORGED): 1}
    assert log.messages == ["rejected a record of neighbour n3: not signed by the right key: removal 7"]


def test_the_newest_are_kept_and_all_are_counted() -> None:
    rejected = RejectedRecords()

    for number in range(3 * KEPT):
        rejected.note(COORDINATOR, FORGED, str(number), NOW)

    assert [record.what for record in rejected.newest] == list(map(str, range(2 * KEPT, 3 * KEPT)))
    assert rejected.counts == {(COORDINATOR, FORGED): 3 * KEPT}


def test_a_hostile_coordinator_does_not_fill_the_log(log: pytest.LogCaptureFixture) -> None:
    rejected = RejectedRecords()

    for second in range(3):
        for _ in range(1000):
            rejected.note(COORDINATOR, FORGED, "x", NOW + second)

    assert len(log.messages) == 3
    assert [message.rpartition("; ")[2] for message in log.messages[1:]] == ["999 more were not logged"] * 2


def test_a_flood_of_one_kind_does_not_keep_another_out_of_the_log(log: pytest.LogCaptureFixture) -> None:
    rejected = RejectedRecords()

    for reason in (FORGED, FORGED, "not a record"):
        rejected.note(COORDINATOR, reason, "x", NOW)

    assert [message.split(": ")[1] for message in log.messages] == [FORGED, "not a record"]


def test_who_renames_itself_all_the_time_does_not_fill_the_memory() -> None:
    rejected = RejectedRecords()

    for number in range(MAX_COUNTED + 5):
        rejected.note(f"neighbour n{number}", FORGED, "x", NOW)

    assert len(rejected.counts) == MAX_COUNTED + 1
    assert rejected.counts[OTHERS, FORGED] == 5


def test_what_was_refused_cannot_write_to_a_terminal_nor_a_second_line(
    log: pytest.LogCaptureFixture,
) -> None:
    rejected = RejectedRecords()

    rejected.note(COORDINATOR, FORGED, "\x1b[2J\nall is well \u202e" + "x" * 1000, NOW)

    (message,) = log.messages
    assert message.isprintable()
    assert len(message) < 300
    assert rejected.newest[0].what.startswith("?[2J?all is well ?x")
