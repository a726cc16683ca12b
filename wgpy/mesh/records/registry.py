"""The kinds of records, and their bodies.

A body is one JSON object in its only spelling: sorted keys, no spaces, ASCII, whole numbers. What does not
encode to the bytes that it was decoded from is refused, so a record has one body. Every body has the
id of its network, its type and the version of that type. A type or version that this program does not know is
`Unknown`: the record is kept and passed on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final

from wgpy.mesh import codec
from wgpy.mesh.signing import digest_of

from .base import Author, Kind, Record, RecordInvalid
from .unknown import UNKNOWN, Unknown


def discover(package: str) -> Iterator[Kind[Any]]:
    """Give what the modules of a package call KIND."""
    for module in iter_modules(import_module(package).__path__, f"{package}."):
        if (kind := getattr(import_module(module.name), "KIND", None)) is not None:
            yield kind


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
    return _spelled({"type": kind.name, "version": kind.version, **codec.write(record)})


def decode(body: bytes) -> Record:
    """Raises RecordInvalid."""
    try:
        found = json.loads(body)
        if not isinstance(found, dict) or _spelled(found) != body:
            raise ValueError("not in its only spelling")
        return _record(found, body)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordInvalid(f"a record is damaged: {error}") from None


def _record(found: dict[str, Any], body: bytes) -> Record:
    """Raises whatever Python does where something is missing or of another type."""
    name, version = codec.STRING.read(found["type"]), codec.NUMBER.read(found["version"])
    kind = _BY_TYPE.get((name, version))
    if kind is None:
        network, signer = codec.BYTES.read(found["network"]), codec.VERIFY_KEY.read(found["signer"])
        return Unknown(network, signer, name, version, digest_of(body))
    record: Record = codec.read(kind.record, found)
    if encode(record) != body:
        raise ValueError("it has other fields, or another spelling of one")
    return record


def _spelled(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
