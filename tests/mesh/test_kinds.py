"""A kind of record is one file, and cannot be had without what others are to know of it."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.network import Administrator, key_of
from tests.mesh.test_record_bytes import one_of_each
from wgpy.mesh import records
from wgpy.mesh.ledger import Ledger, RecordRejected
from wgpy.mesh.records import KINDS, UNKNOWN, Audience, Kind, RecordInvalid, decode, describe, encode, kind_of
from wgpy.mesh.records.registry import discover
from wgpy.mesh.signing import Signed

NEEDED = ("author", "audience", "limit", "subject", "describe", "audit")
A_KIND = '''
from wgpy.mesh.records import Audience, Author, Kind


class Greeting:
    """A record of which nobody has heard."""


KIND = Kind(
    name="greeting",
    version=1,
    record=Greeting,
    author=Author.NODE,
    audience=Audience.REACHABLE,
    limit=7,
    subject=lambda greeting: bytes(greeting.signer),
    describe=lambda greeting: "a greeting",
    audit=lambda greeting, before, name_of: f"{name_of(greeting.signer)} greets",
)
'''


def test_a_file_more_is_a_kind_more(package: Path) -> None:
    (package / "base.py").write_text("NOTHING = 'of a kind'")
    (package / "greeting.py").write_text(A_KIND)

    (kind,) = discover(package.name)

    assert (kind.name, kind.limit, kind.audience) == ("greeting", 7, Audience.REACHABLE)


@pytest.mark.parametrize("needed", NEEDED)
def test_a_kind_without_its_audience_limit_audit_line_and_so_on_is_none(package: Path, needed: str) -> None:
    lines = [line for line in A_KIND.splitlines() if not line.startswith(f"    {needed}=")]
    (package / "greeting.py").write_text("\n".join(lines))

    with pytest.raises(TypeError, match=needed):
        list(discover(package.name))


def test_every_file_of_a_kind_is_found_once() -> None:
    folder = Path(records.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\nKIND: " in path.read_text()}

    assert Counter(sys.modules[kind.record.__module__].__name__.rpartition(".")[2] for kind in KINDS) == (
        Counter(files)
    )
    assert len({(kind.name, kind.version) for kind in KINDS}) == len(KINDS) == 15


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_a_limit_a_description_and_a_line_for_the_audit_log(kind: Kind[Any]) -> None:
    examples = [
        record
        for record in (decode(signed.body) for signed in one_of_each().records)
        if kind_of(record) is kind
    ]

    assert kind.limit > 0
    assert examples
    for record in examples:
        assert kind.name in kind.describe(record)
        assert kind.audit(record, None, lambda identity: "web").isprintable()
        assert kind.audit(record, record, lambda identity: "web").isprintable()
        assert kind.audience is Audience.EVERYBODY or kind.subject(record) == bytes(record.signer)


def test_what_a_record_is_about_can_be_said_of_any() -> None:
    admin, identity, token = Administrator(), key_of(7), key_of(2)
    admin.found()

    assert describe(decode(admin.remove(identity).body)) == "removal 2"
    assert describe(decode(admin.join(identity, token).body)) == "node n7"
    assert describe(decode(admin.depart(identity).body)) == f"departure of {identity.verify_key()}"
    newer = decode(admin.remove(identity).body.replace(b'"version":1', b'"version":2'))
    assert describe(newer) == "a record of the type 'removal', version 2"
    with pytest.raises(RecordRejected) as refused:
        Ledger(admin.key.verify_key()).add(Signed(b"{}", bytes(64)))
    assert refused.value.description == "2 bytes that are no record"


def test_what_is_unknown_is_passed_on_as_it_came_or_not_at_all() -> None:
    body = one_of_each().remove(key_of(9)).body.replace(b'"version":1', b'"version":2')
    record = decode(body)

    assert kind_of(record) is UNKNOWN
    with pytest.raises(ValueError, match="as it came"):
        encode(record)


@pytest.mark.parametrize("name", ["", "removal"])
def test_no_body_is_of_the_kind_of_what_is_unknown(name: str) -> None:
    body = encode(decode(one_of_each().remove(key_of(9)).body))
    changed = body.replace(b'"type":"removal","version":1', f'"type":"{name}","version":0'.encode())

    assert kind_of(decode(changed)) is UNKNOWN
    with pytest.raises(RecordInvalid):
        decode(changed.replace(b'"version":0', b'"version":-1'))
