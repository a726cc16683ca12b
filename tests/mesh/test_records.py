"""Records say one thing in one way, and only who may say it can."""

import json
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import NOW, Administrator, key_of, prefixes, sign
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.ledger import Ledger, RecordRejected, RejectionReason, Verdict
from wgpy.mesh.records import Node, RecordInvalid, Token, Unknown, decode, encode
from wgpy.mesh.signing import Signed, SigningKey

TOKEN, HOST, OTHER = key_of(2), key_of(3), key_of(4)


@pytest.fixture
def administrator() -> Administrator:
    """Who founded a network, admitted HOST, and said one of everything."""
    one = Administrator()
    one.found()
    one.invite(TOKEN, tags=("edge", "k8s"), routes=prefixes("10.42.0.0/16", "fd00:42::/48"), lifetime=1)
    endpoints = (Endpoint("192.0.2.1", 51820), Endpoint("2001:db8::1", 51820))
    one.join(HOST, TOKEN, routes=prefixes("10.42.3.0/24"), endpoints=endpoints)
    one.approve(HOST, "192.168.1.0/24")
    one.rule("tag:edge", "node:n3")
    one.revoke(TOKEN, HOST.verify_key())
    one.remove(OTHER)
    one.depart(HOST)
    return one


def test_every_record_is_read_as_it_was_written(administrator: Administrator) -> None:
    for signed in administrator.records:
        record = decode(signed.body)
        assert not isinstance(record, Unknown)
        assert encode(record) == signed.body
        assert decode(encode(record)) == record
        assert Signed.from_bytes(bytes(signed)) == signed


def test_a_changed_bit_in_any_byte_of_a_record_is_refused(administrator: Administrator) -> None:
    for signed in administrator.records:
        data = bytes(signed)
        for at in range(len(data)):
            changed = bytearray(data)
            changed[at] ^= 1 << at % 8
            with pytest.raises(RecordRejected):
                Ledger(administrator.key.verify_key()).add(Signed.from_bytes(bytes(changed)))


@given(body=st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=9,
).map(lambda value: json.dumps(value, sort_keys=True, separators=(",", ":")).encode()))  # fmt: skip
def test_what_is_no_record_is_refused_in_one_way(body: bytes) -> None:
    with pytest.raises(RecordInvalid):
        decode(body)


@pytest.mark.parametrize(
    "other",
    [
        {"more": 1}, {"sequence": 1.0}, {"sequence": True}, {"sequence": -1}, {"sequence": 1 << 53},
        {"routes": ["10.42.3.1/24"]}, {"routes": ["10.42.3.0"]}, {"routes": ["10.42.3.0/24"] * 257},
        {"name": "No.Name"}, {"name": "-"}, {"endpoints": ["host:1"]}, {"endpoints": ["192.0.2.1:0"]},
        {"endpoints": ["192.0.2.1:01"]}, {"key": "A" * 43 + "="}, {"key": None}, {"admission": ""},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_that_makes_no_sense_is_refused_however_well_it_is_signed(other: dict[str, Any]) -> None:
    refuse(spelled(json.loads(encode(Administrator().node(HOST, TOKEN))) | other))


def test_another_spelling_is_refused_however_well_it_is_signed() -> None:
    said = json.loads(encode(Administrator().node(HOST, TOKEN)))

    refuse(json.dumps(said, sort_keys=True).encode())
    refuse(json.dumps(dict(reversed(said.items())), separators=(",", ":")).encode())
    refuse(spelled({name: value for name, value in said.items() if name != "key"}))
    refuse(b" " + spelled(said))


def refuse(body: bytes) -> None:
    with pytest.raises(RecordRejected) as refused:
        Ledger(key_of(1).verify_key()).add(HOST.sign(body))
    assert refused.value.reason is RejectionReason.INVALID


def spelled(said: dict[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def test_a_record_of_another_network_is_refused(administrator: Administrator) -> None:
    for signed in administrator.records:
        with pytest.raises(RecordRejected, match="of another network"):
            Ledger(key_of(9).verify_key()).add(signed)


@pytest.mark.parametrize("signer", [TOKEN, HOST, OTHER], ids=["a token", "a node", "anybody"])
def test_only_the_administrator_signs_admin_records(administrator: Administrator, signer: SigningKey) -> None:
    records = [decode(signed.body) for signed in administrator.records]

    for record in records:
        if isinstance(record, Token):
            for said in (administrator.key, signer):
                forged = replace(record, sequence=99, uses=1000, signer=said.verify_key())
                with pytest.raises(RecordRejected, match="not signed by the right key"):
                    administrator.ledger().add(sign(signer, forged))


def test_nobody_speaks_for_a_node_but_itself(administrator: Administrator) -> None:
    node = replace(administrator.node(HOST, TOKEN), sequence=2, name="taken")

    for signer in (TOKEN, OTHER, administrator.key):
        with pytest.raises(RecordRejected, match="not signed by the right key"):
            administrator.ledger().add(sign(signer, node))


def test_a_node_that_admits_itself_is_refused(administrator: Administrator) -> None:
    forged = administrator.node(OTHER, OTHER, name="sly")
    forged = replace(forged, token=TOKEN.verify_key())

    with pytest.raises(RecordRejected, match="not admitted by the token that it names: sly"):
        administrator.ledger().add(sign(OTHER, forged))


def test_an_admission_is_for_one_identity_and_one_date(administrator: Administrator) -> None:
    node = administrator.node(HOST, TOKEN, admitted=NOW)

    for stolen, signer in (
        (replace(node, signer=OTHER.verify_key()), OTHER),
        (replace(node, admitted=NOW - 1, sequence=2), HOST),
    ):
        with pytest.raises(RecordRejected) as refused:
            administrator.ledger().add(sign(signer, stolen))
        assert refused.value.reason is RejectionReason.BAD_ADMISSION


def test_the_newest_word_on_a_subject_counts_and_an_older_one_changes_nothing(
    administrator: Administrator,
) -> None:
    ledger = administrator.ledger()
    moved = sign(HOST, administrator.node(HOST, TOKEN, sequence=2, name="moved"))
    old = sign(HOST, administrator.node(HOST, TOKEN, sequence=1))

    assert ledger.add(moved).verdict is Verdict.NEW
    assert ledger.add(moved).verdict is Verdict.KNOWN
    assert ledger.add(old).verdict is Verdict.OLD
    assert [node.name for node in ledger.nodes()] == ["moved"]


def test_what_is_tried_on_a_copy_changes_nothing(administrator: Administrator) -> None:
    ledger = administrator.ledger()
    digest, records = ledger.state_digest(), list(ledger)

    assert ledger.copy().add(administrator.remove(HOST)).verdict is Verdict.NEW

    assert (ledger.state_digest(), list(ledger)) == (digest, records)


def test_a_record_of_a_later_version_is_kept_and_passed_on(administrator: Administrator) -> None:
    ledger = administrator.ledger()
    said = json.loads(administrator.records[0].body) | {"type": "site", "version": 7, "more": [1]}
    signed = administrator.key.sign(spelled(said))

    assert ledger.add(signed).verdict is Verdict.NEW
    assert ledger.add(signed).verdict is Verdict.KNOWN
    assert signed in set(ledger)
    with pytest.raises(RecordRejected, match="not signed"):
        administrator.ledger().add(OTHER.sign(spelled(said)))


def test_ledgers_agree_on_the_records_for_all_or_see_that_they_do_not(administrator: Administrator) -> None:
    behind = Ledger(administrator.key.verify_key())
    for signed in administrator.records[:-2]:
        behind.add(signed)  # without the removal

    assert administrator.ledger().state_digest() == administrator.ledger().state_digest()
    assert behind.state_digest().sequence < administrator.ledger().state_digest().sequence
    assert behind.state_digest().digest != administrator.ledger().state_digest().digest


def test_a_network_is_what_its_key_says(administrator: Administrator) -> None:
    charter = administrator.ledger().charter()

    assert charter is not None
    with pytest.raises(ValueError, match="its key"):
        replace(charter, signer=OTHER.verify_key())
    with pytest.raises(ValueError, match="overlap"):
        replace(charter, pool=IPv4Network("100.80.0.0/12"))
    with pytest.raises(ValueError, match="MTU"):
        replace(charter, mtu=1279)


def test_a_secret_key_does_not_show(administrator: Administrator) -> None:
    assert administrator.key.base64() not in repr(administrator.key) + repr(administrator)


def test_a_node_record_is_a_small_one(administrator: Administrator) -> None:
    node = decode(administrator.records[2].body)

    assert isinstance(node, Node)
    assert len(bytes(administrator.records[2])) < 700
