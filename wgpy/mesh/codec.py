"""Values as JSON, by the types of their fields: for signed bodies, and for what a host keeps on disk."""

import base64
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from wgpy.address import Address, Prefix, parse_global_address, parse_global_endpoint, parse_global_prefix
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PrivateKey, PublicKey
from wgpy.mesh.signing import SigningKey, VerifyKey

SPARSE: Final = "sparse"  # of a field's metadata: an empty tuple, its default, is not written
MAX_NUMBER: Final = (1 << 53) - 1  # what every reader of JSON can count to

_T = TypeVar("_T")


def write(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON has them."""
    found = ((name, codec, getattr(value, name)) for name, codec in _schema(type(value)).items())
    return {name: codec.write(held) for name, codec, held in found if held or not codec.is_sparse}


def read(kind: type[_T], found: Any) -> _T:
    """Return what `write` was given; what has no field is ignored, and what is missing has its default.

    Raises ValueError, TypeError or KeyError for what is no such value.
    """
    fields_of = _schema(kind)
    present = {name: codec for name, codec in fields_of.items() if name in found or not codec.has_default}
    return kind(**{name: codec.read(found[name]) for name, codec in present.items()})


@dataclass(frozen=True, slots=True)
class Codec:
    """How one value is written in JSON, and read; reading raises ValueError or TypeError.

    has_default: whether it may be missing, as of a field that an older program did not write; is_sparse:
    whether it is not written while it is empty, so that what older programs signed keeps its bytes.
    """

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    has_default: bool = False
    is_sparse: bool = False


def _only(kind: type[_T]) -> Callable[[Any], _T]:
    def read(value: Any) -> _T:
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}")
        return value

    return read


def _read_number(value: Any) -> int:
    number = _only(int)(value)
    if not 0 <= number <= MAX_NUMBER:
        raise ValueError(f"{number} is out of range")
    return number


def _read_bytes(value: Any) -> bytes:
    return base64.b64decode(_only(str)(value), validate=True)


def _from_text(read: Callable[[str], Any], kind: type | None = None) -> Codec:
    """kind: of what is read, if that may be something else."""

    def checked(value: Any) -> Any:
        found = read(_only(str)(value))
        if kind is not None and not isinstance(found, kind):
            raise TypeError(f"{found} is no {kind.__name__}")
        return found

    return Codec(str, checked)


def _secret(kind: type[PrivateKey] | type[SigningKey]) -> Codec:
    """Such a key prints itself only when asked for it by name."""
    return Codec(kind.base64, lambda value: kind.from_base64(_only(str)(value)))


NUMBER: Final = Codec(_read_number, _read_number)
STRING: Final = Codec(_only(str), _only(str))
VERIFY_KEY: Final = _from_text(VerifyKey.from_base64)
BYTES: Final = Codec(lambda value: base64.b64encode(value).decode(), _read_bytes)
_CODECS: Final[dict[Any, Codec]] = {
    int: NUMBER,
    str: STRING,
    bool: Codec(_only(bool), _only(bool)),
    bytes: BYTES,
    PublicKey: _from_text(PublicKey.from_base64),
    VerifyKey: VERIFY_KEY,
    SigningKey: _secret(SigningKey),
    PrivateKey: _secret(PrivateKey),
    IPv4Address: _from_text(parse_global_address, IPv4Address),
    IPv6Address: _from_text(parse_global_address, IPv6Address),
    IPv4Network: _from_text(parse_global_prefix, IPv4Network),
    IPv6Network: _from_text(parse_global_prefix, IPv6Network),
    Address: _from_text(parse_global_address),
    Prefix: _from_text(parse_global_prefix),
    Endpoint: _from_text(parse_global_endpoint),
}


def _codec(kind: Any) -> Codec:
    if get_origin(kind) is tuple:
        return _list_codec(_codec(get_args(kind)[0]))
    if isinstance(kind, type) and is_dataclass(kind):
        return Codec(write, lambda found: read(kind, found))
    return _CODECS[kind]


def _list_codec(item: Codec) -> Codec:
    def read(value: Any) -> tuple[Any, ...]:
        return tuple(map(item.read, _only(list)(value)))

    return Codec(lambda value: list(map(item.write, value)), read)


def _schema(kind: Any) -> dict[str, Codec]:
    """Return how each field of a dataclass is written; found out once."""
    if kind not in _schemas:
        hints = get_type_hints(kind)
        _schemas[kind] = {field.name: _field_codec(field, hints[field.name]) for field in fields(kind)}
    return _schemas[kind]


def _field_codec(field: Field[Any], kind: Any) -> Codec:
    has_default = field.default is not MISSING
    return replace(_codec(kind), has_default=has_default, is_sparse=has_default and SPARSE in field.metadata)


_schemas: Final[dict[Any, dict[str, Codec]]] = {}
