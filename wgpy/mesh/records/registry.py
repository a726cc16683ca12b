"""The kinds of records, and their bodies.

A body is one JSON object in its only spelling: sorted keys, no spaces, ASCII, whole numbers. What does not
encode to the bytes that it was decoded from is refused, so a record has one body. Every body has the
id of its network, its type and the version of that type. A type or version that this program does not know is
`Unknown`: the record is kept and passed on.

Programs of different versions have to keep the same records, or they would exchange them in each session. So
the body of every kind but the first ones names its subject, and of records that are `Unknown` on one subject,
too, the newest alone counts.
"""

import json
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pkgutil import iter_modules
from typing import Any, Final

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh import codec
from wgpy.mesh.signing import digest_of

from .base import Audience, Author, Kind, Record, RecordInvalid
from .unknown import UNKNOWN, Unknown

# The kinds, of version 1, whose bodies do not name their subject.
_FIRST: Final = ("approval", "departure", "network", "node", "removal", "revocation", "rule", "token")
_SUBJECT: Final = "subject"


def discover(package: str) -> Iterator[Kind[Any]]:
    """Give what the modules of a package call KIND. Raises TypeError for what is no kind of its version."""
    for module in iter_modules(import_module(package).__path__, f"{package}."):
        if (kind := getattr(import_module(module.name), "KIND", None)) is not None:
            yield _checked(kind)


def _checked(kind: Kind[Any]) -> Kind[Any]:
    """Raises TypeError."""
    if _names_subject(kind) and hasattr(kind.record, _SUBJECT):
        raise TypeError(f"{kind.name}: a body has its subject already, so no field can have that name")
    if _names_subject(kind) and (kind.author, kind.audience) == (Author.NODE, Audience.EVERYBODY):
        raise TypeError(
            f"{kind.name}: what neighbours compare is the administrator's, so that no node adds to it"
        )
    return kind


def _names_subject(kind: Kind[Any]) -> bool:
    return (kind.name, kind.version) not in product(_FIRST, (1,))


# Those of the administrator first.
KINDS: Final[tuple[Kind[Any], ...]] = tuple(
    sorted(discover(__package__), key=lambda kind: (kind.author is not Author.ADMINISTRATOR, kind.name))
)
_BY_TYPE: Final = {(kind.name, kind.version): kind for kind in KINDS}
_BY_CLASS: Final[dict[type, Kind[Any]]] = {kind.record: kind for kind in (*KINDS, UNKNOWN)}


@dataclass(frozen=True, slots=True)
class RecordKey:
    """On what the newest record alone counts. kind: its type, "" if that is unknown."""

    kind: str
    subject: bytes


def kind_of(record: Record) -> Kind[Any]:
    return _BY_CLASS[type(record)]


def record_key(record: Record) -> RecordKey:
    kind = kind_of(record)
    return RecordKey(kind.name, kind.subject(record))


def describe(record: Record) -> str:
    """Return in a few words what a record is about."""
    return kind_of(record).describe(record)


def encode(record: Record) -> bytes:
    """Return the body of a record. Raises ValueError for what is unknown: it is passed on as it came."""
    kind = kind_of(record)
    if kind is UNKNOWN:
        raise ValueError("a record of an unknown type is passed on as it came")
    return body_of(kind, record)


def body_of(kind: Kind[Any], record: Record) -> bytes:
    """Return the body of a record of a kind."""
    fields = {"type": kind.name, "version": kind.version, **codec.write(record)}
    if _names_subject(kind):
        fields[_SUBJECT] = codec.BYTES.write(kind.subject(record))
    return _spelled(fields)


def decode(body: bytes) -> Record:
    """Raises RecordInvalid."""
    try:
        found = json.loads(body)
        if not isinstance(found, dict) or _spelled(found) != body or _has_half_a_character(found, body):
            raise ValueError("not in its only spelling")
        return _record(found, body)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordInvalid(f"a record is damaged: {error}") from None


def _record(found: dict[str, Any], body: bytes) -> Record:
    """Raises whatever Python does where something is missing or of another type."""
    name, version = codec.STRING.read(found["type"]), codec.NUMBER.read(found["version"])
    kind = _BY_TYPE.get((name, version))
    if kind is None:
        return _unknown(found, body, name, version)
    record: Record = codec.read(kind.record, found)
    if encode(record) != body:
        raise ValueError("it has other fields, or another spelling of one")
    return record


def _unknown(found: dict[str, Any], body: bytes, name: str, version: int) -> Unknown:
    """A record that does not name its subject is its own. Raises as `_record`."""
    network, signer = codec.BYTES.read(found["network"]), codec.VERIFY_KEY.read(found["signer"])
    subject = codec.BYTES.read(found[_SUBJECT]) if _SUBJECT in found else digest_of(body)
    sequence, time = (codec.NUMBER.read(found.get(field, 0)) for field in ("sequence", "time"))
    stands_for = digest_of(_spelled({"of": [str(signer), name, version, codec.BYTES.write(subject)]}))
    return Unknown(network, signer, name, version, stands_for, sequence, time)


def _spelled(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _has_half_a_character(found: Any, body: bytes) -> bool:
    """JSON can spell one half of a pair of UTF-16, which is no text. RFC 8259 section 8.2"""
    if b"\\ud" not in body:
        return False
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
