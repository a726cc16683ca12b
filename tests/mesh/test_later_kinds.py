"""Programs that are a version apart keep the same records, although one of them does not know a kind."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import pytest

from tests.mesh.network import Administrator, key_of
from wgpy.mesh import codec
from wgpy.mesh.ledger import MAX_RECORDS, Ledger, RecordRejected, RejectionReason, Verdict
from wgpy.mesh.records import Kind, Unknown, decode, describe, kind_of
from wgpy.mesh.records.registry import body_of, discover
from wgpy.mesh.signing import Signed, SigningKey

A_LATER_KIND: Final = """
from dataclasses import dataclass

from wgpy.mesh.records import Audience, Author, Kind
from wgpy.mesh.signing import VerifyKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    network: bytes
    signer: VerifyKey
    sequence: int
    time: int
    {field}: VerifyKey
    text: str


KIND = Kind(
    name="label",
    version=1,
    record=Label,
    author=Author.{author},
    audience=Audience.EVERYBODY,
    limit=7,
    subject=lambda label: bytes(label.{field}),
    describe=lambda label: "a label",
    audit=lambda label, before, name_of: "a label",
)
"""


@pytest.fixture
def label(package: Path) -> Kind[Any]:
    """A kind that this program does not know."""
    (package / "label.py").write_text(A_LATER_KIND.format(field="identity", author="ADMINISTRATOR"))
    (kind,) = discover(package.name)
    return kind


@pytest.fixture
def admin() -> Administrator:
    admin = Administrator()
    admin.found()
    return admin


def signed_label(admin: Administrator, kind: Kind[Any], node: SigningKey, text: str) -> Signed:
    admin.sequence += 1
    record = kind.record(
        network=admin.network, signer=admin.key.verify_key(), sequence=admin.sequence, time=admin.now,
        identity=node.verify_key(), text=text,
    )  # fmt: skip
    return admin.key.sign(body_of(kind, record))


def ledger_of(admin: Administrator, *records: Signed) -> Ledger:
    ledger = admin.ledger()
    for signed in records:
        ledger.add(signed)
    return ledger


def test_a_later_kind_names_its_subject_without_doing_anything_for_it(
    admin: Administrator, label: Kind[Any]
) -> None:
    body = json.loads(signed_label(admin, label, key_of(7), "a").body)

    assert codec.BYTES.read(body["subject"]) == bytes(key_of(7).verify_key())


def test_of_unknown_records_on_one_subject_the_newest_counts_as_it_would_if_they_were_known(
    admin: Administrator, label: Kind[Any]
) -> None:
    old, new = (signed_label(admin, label, key_of(7), text) for text in "ab")
    other = signed_label(admin, label, key_of(8), "c")

    ledgers = [ledger_of(admin, *order) for order in permutations((old, new, other))]

    assert all(set(ledger) == {*admin.records, new, other} for ledger in ledgers)
    assert len({ledger.state_digest().digest for ledger in ledgers}) == 1


def test_an_unknown_record_of_the_administrator_is_in_the_digest_and_among_what_neighbours_get(
    admin: Administrator, label: Kind[Any]
) -> None:
    before = admin.ledger().state_digest()
    signed = signed_label(admin, label, key_of(7), "a")

    ledger = ledger_of(admin, signed)

    assert signed in ledger.for_everybody()
    assert ledger.state_digest().sequence == before.sequence + 1
    assert ledger.state_digest().digest != before.digest
    assert ledger.newest == decode(signed.body)
    assert ledger.judging_time(0) == admin.now


def test_who_had_what_was_replaced_has_the_digest_of_who_never_had_it(
    admin: Administrator, label: Kind[Any]
) -> None:
    records = [signed_label(admin, label, key_of(number % 3 + 7), str(number)) for number in range(9)]

    digests = {ledger_of(admin, *order).state_digest() for order in (records, records[::-1], records[6:])}

    assert len(digests) == 1


def test_what_nodes_sign_of_unknown_kinds_is_kept_and_not_compared(admin: Administrator) -> None:
    before = admin.ledger().state_digest()
    signed = of_a_node(admin, key_of(5), "x")

    ledger = ledger_of(admin, signed)

    assert signed in set(ledger)
    assert signed not in ledger.for_everybody()
    assert ledger.state_digest() == before


def test_nodes_cannot_replace_what_another_signed_of_an_unknown_kind(admin: Administrator) -> None:
    one, two = of_a_node(admin, key_of(5), "x"), of_a_node(admin, key_of(6), "x", sequence=9)

    assert {one, two} <= set(ledger_of(admin, one, two))


def test_nodes_leave_room_for_unknown_records_of_the_administrator(
    admin: Administrator, label: Kind[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_RECORDS, Unknown, 3)
    ledger = ledger_of(admin, *(of_a_node(admin, key_of(number), "x") for number in (5, 6, 7)))

    for number in range(9):
        assert ledger.add(signed_label(admin, label, key_of(number + 1), "a")).verdict is Verdict.NEW
    with pytest.raises(RecordRejected) as rejected:
        ledger.add(of_a_node(admin, key_of(8), "x"))
    assert rejected.value.reason is RejectionReason.TOO_MANY


def test_an_unknown_record_that_names_no_subject_is_its_own(admin: Administrator) -> None:
    one, two = (
        admin.key.sign(admin.rule("any", target).body.replace(b'"version":1', b'"version":2'))
        for target in ("tag:a", "tag:b")
    )

    assert kind_of(decode(one.body)).record is Unknown
    assert {one, two} <= set(ledger_of(admin, one, two))


@pytest.mark.parametrize(
    ("field", "author", "why"),
    [("subject", "ADMINISTRATOR", "no field"), ("identity", "NODE", "neighbours compare")],
)
def test_a_later_kind_that_others_could_not_keep_alike_is_none(
    package: Path, field: str, author: str, why: str
) -> None:
    (package / "label.py").write_text(A_LATER_KIND.format(field=field, author=author))

    with pytest.raises(TypeError, match=why):
        list(discover(package.name))


def of_a_node(admin: Administrator, key: SigningKey, subject: str, sequence: int = 1) -> Signed:
    body = {
        "network": codec.BYTES.write(admin.network), "sequence": sequence, "signer": str(key.verify_key()),
        "subject": codec.BYTES.write(subject.encode()), "type": "mark", "version": 1,
    }  # fmt: skip
    return key.sign(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


def test_what_a_node_calls_an_unknown_kind_is_shown_as_one_short_line(admin: Administrator) -> None:
    fields = {
        "network": codec.BYTES.write(admin.network),
        "signer": str(key_of(7).verify_key()),
        "version": 1,
    }
    kind = "x\x1b[2J\n network key: removal of hub \u202e" + "A" * 60_000
    body = json.dumps({**fields, "type": kind}, sort_keys=True, separators=(",", ":")).encode()

    record = decode(body)

    for text in (describe(record), kind_of(record).audit(record, None, str)):
        assert text.isprintable()
        assert len(text) < 200
