"""What a node was told, on a disk that may be full."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mesh.network import Administrator, key_of
from wgpy.mesh.codec import BYTES, MAX_NUMBER
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.signing import Signed
from wgpy.node.files import Journal
from wgpyd.agent.store import NOT_FOR_ALL, RecordStore

SOURCE = "coordinator"
OWN = key_of(55).verify_key()


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """No file can be larger than the journal is now and some bytes more. setrlimit(2)"""
    size = (folder / "records.jsonl").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def administrator() -> Administrator:
    administrator = Administrator()
    administrator.found()
    return administrator


@pytest.fixture
def store(tmp_path: Path, administrator: Administrator) -> RecordStore:
    store = RecordStore(tmp_path, administrator.key.verify_key(), OWN)
    store.learn(administrator.records, SOURCE, 1)
    return store


def after_a_reboot(folder: Path, administrator: Administrator) -> tuple[set[Signed], int]:
    """What the next life knows, and from which revision it follows."""
    ledger = Ledger(administrator.key.verify_key())
    revision = Journal(folder).load(ledger)
    return set(ledger), revision


def test_what_was_learned_is_known_after_a_reboot(
    tmp_path: Path, administrator: Administrator, store: RecordStore
) -> None:
    store.learn([administrator.rule("any", "any")], SOURCE, 2)

    assert after_a_reboot(tmp_path, administrator) == (set(administrator.records), 2)


def test_a_revision_without_records_is_kept_too(
    tmp_path: Path, administrator: Administrator, store: RecordStore
) -> None:
    store.learn([], SOURCE, 7)

    assert after_a_reboot(tmp_path, administrator)[1] == 7


def test_after_a_revision_above_all_there_is_still_one_above(store: RecordStore) -> None:
    store.learn([], SOURCE, MAX_NUMBER)

    assert store.revision < MAX_NUMBER


def test_what_is_told_again_is_not_written_again(
    tmp_path: Path, administrator: Administrator, store: RecordStore
) -> None:
    before = (tmp_path / "records.jsonl").read_bytes()

    store.learn(administrator.records, SOURCE, 1)

    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_with_a_full_disk_news_counts_and_is_asked_for_again_after_a_reboot(
    tmp_path: Path, administrator: Administrator, store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    known = set(administrator.records)
    with full_disk(tmp_path):
        for revision in (2, 3):
            store.learn([administrator.remove(key_of(revision))], SOURCE, revision)

    assert set(store.ledger) == set(administrator.records)
    assert store.revision == 3
    assert "records.jsonl cannot be written" in store.warning
    assert len(caplog.records) == 1
    assert after_a_reboot(tmp_path, administrator) == (known, 1)


def test_once_there_is_room_all_of_it_is_written(
    tmp_path: Path, administrator: Administrator, store: RecordStore
) -> None:
    with full_disk(tmp_path):
        store.learn([administrator.remove(key_of(2))], SOURCE, 2)

    store.learn([], SOURCE, 3)

    assert after_a_reboot(tmp_path, administrator) == (set(administrator.records), 3)
    assert store.warning == ""


def test_what_is_not_genuine_is_noted_and_not_written(
    tmp_path: Path, administrator: Administrator, store: RecordStore
) -> None:
    known = set(administrator.records)
    signed = administrator.rule("any", "any")

    learned = store.learn([Signed(signed.body, bytes(64))], "neighbour n2", 2)

    assert (learned.new, learned.genuine) == ((), False)
    assert [record.source for record in store.rejected.newest] == ["neighbour n2"]
    assert after_a_reboot(tmp_path, administrator) == (known, 2)


def test_a_neighbour_cannot_send_nodes_of_which_the_coordinator_knows_nothing(
    administrator: Administrator, store: RecordStore
) -> None:
    token = key_of(8)
    store.learn([administrator.invite(token)], "neighbour n2")

    learned = store.learn([administrator.join(key_of(7), token)], "neighbour n2")

    assert (learned.new, learned.genuine, store.ledger.nodes()) == ((), False, [])
    assert store.rejected.newest[0].reason == NOT_FOR_ALL
    assert store.learn(administrator.records, SOURCE, 2).new != ()


def test_what_was_damaged_is_reported_until_the_coordinator_has_sent_it_again(
    tmp_path: Path, administrator: Administrator, store: RecordStore, caplog: pytest.LogCaptureFixture
) -> None:
    removal = administrator.remove(key_of(2))
    store.learn([removal], SOURCE, 2)
    damage_signature(tmp_path / "records.jsonl", removal)

    again = RecordStore(tmp_path, administrator.key.verify_key(), OWN)

    assert again.revision == 1
    assert "damaged on disk" in again.damage
    assert again.rejected.counts == {("journal", "damaged on disk"): 1}
    assert "rejected a record of journal: damaged on disk" in caplog.text
    again.learn([removal], "neighbour n2")
    assert "damaged on disk" in again.damage, "who knows what else there was"
    again.learn([removal], SOURCE, 2)
    assert again.damage == ""
    assert after_a_reboot(tmp_path, administrator) == (set(administrator.records), 2)


def damage_signature(journal: Path, signed: Signed) -> None:
    """Change one bit of a record's signature."""
    data, signature = journal.read_bytes(), BYTES.write(signed.signature).encode()
    assert signature in data
    journal.write_bytes(data.replace(signature, bytes([signature[0] ^ 1]) + signature[1:]))


def test_a_neighbour_cannot_let_nodes_leave_that_nobody_knows(
    administrator: Administrator, store: RecordStore
) -> None:
    before = store.ledger.state_digest()

    learned = store.learn([administrator.depart(key_of(7))], "neighbour n2")

    # It may say so in good faith: of a node that no rule joins with this one.
    assert (learned.new, learned.genuine, store.rejected.newest) == ((), True, ())
    assert store.ledger.state_digest() == before


def test_a_neighbour_tells_of_the_departure_of_a_node_that_is_known(
    administrator: Administrator, store: RecordStore
) -> None:
    token = key_of(8)
    store.learn([administrator.invite(token), administrator.join(key_of(7), token)], SOURCE, 2)

    learned = store.learn([administrator.depart(key_of(7))], "neighbour n2")

    assert len(learned.new) == 1
    assert store.ledger.departed() == {key_of(7).verify_key()}


def test_a_coordinator_tells_of_the_departure_of_a_node_that_no_rule_joins(
    administrator: Administrator, store: RecordStore
) -> None:
    store.learn([administrator.depart(key_of(7))], SOURCE, 2)

    assert store.ledger.departed() == {key_of(7).verify_key()}
