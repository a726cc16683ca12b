"""Messages of the DNS: a question is read, an answer is written. Pure. RFC 1035 section 4, RFC 6891

Invariant: whatever the bytes are, reading ends within a pass over them; it raises Malformed and nothing else.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from wgpy.contract.errors import WgpyError
from wgpy.contract.lazy_dataclass import dataclass

Labels = tuple[bytes, ...]  # of a name in lower case, without the root's
Address = IPv4Address | IPv6Address

MIN_PAYLOAD: Final = 512  # bytes of an answer by UDP that every client takes
MAX_PAYLOAD: Final = 1232  # that no path fragments: https://www.dnsflagday.net/2020/
_HEADER: Final = struct.Struct(">HHHHHH")
_FIXED: Final = struct.Struct(">HHIH")  # of a record behind its name: type, class, TTL, length of the data
_TYPE_AND_CLASS: Final = struct.Struct(">HH")
_POINTER: Final = 0xC0
_MAX_LABEL: Final = 63
_MAX_NAME: Final = 255

QR: Final = 0x8000  # it is an answer
AA: Final = 0x0400  # by who knows
TC: Final = 0x0200  # cut off, so ask by TCP
RD: Final = 0x0100  # ask others, too
RA: Final = 0x0080  # others are asked
_OPCODE: Final = 0x7800
DO: Final = 0x8000  # of EDNS's flags: with signatures


class Type(IntEnum):
    """Of records, and of what is asked for."""

    A = 1
    NS = 2
    SOA = 6
    PTR = 12
    AAAA = 28
    OPT = 41
    IXFR = 251
    AXFR = 252
    ANY = 255


class Rcode(IntEnum):
    """What came of a question."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


IN: Final = 1
ANY_CLASS: Final = 255


class Malformed(WgpyError, ValueError):
    """It is no question. answer: what to send back, b"" for nothing, lest two servers answer each other."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__("no question")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Edns:
    """What a client says of itself by an OPT record. payload: bytes that it takes by UDP."""

    payload: int
    version: int
    wants_signatures: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A question. text: its bytes, which are sent back; name, type and rrclass: what they say."""

    id: int
    flags: int
    text: bytes
    name: Labels
    type: int
    rrclass: int
    edns: Edns | None

    @property
    def opcode(self) -> int:
        return (self.flags & _OPCODE) >> 11

    @property
    def payload(self) -> int:
        """How many bytes an answer by UDP may have."""
        return min(max(self.edns.payload, MIN_PAYLOAD), MAX_PAYLOAD) if self.edns else MIN_PAYLOAD


@dataclass(frozen=True, slots=True)
class Record:
    """Of class IN. ttl: seconds."""

    name: Labels
    type: Type
    ttl: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a question. is_own: whether it is ours to say."""

    rcode: Rcode
    records: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    is_own: bool = True


REFUSED: Final = Answer(Rcode.REFUSED, is_own=False)


def read_query(data: bytes) -> Query:
    """Raises Malformed."""
    if len(data) < _HEADER.size:
        raise Malformed
    number, flags, questions, *counts = _HEADER.unpack_from(data)
    if flags & QR:
        raise Malformed
    try:
        if questions != 1:
            raise ValueError("one question at a time")
        name, end = _read_plain_name(data, _HEADER.size)
        rrtype, rrclass = _TYPE_AND_CLASS.unpack_from(data, end)
        end += _TYPE_AND_CLASS.size
        edns = _find_edns(data, end, sum(counts))
    except (ValueError, IndexError, struct.error):
        rcode = Rcode.FORMERR
        raise Malformed(_HEADER.pack(number, _answer_flags(flags) | rcode, 0, 0, 0, 0)) from None
    return Query(number, flags, data[_HEADER.size : end], name, rrtype, rrclass, edns)


def write_query(query: Query, number: int) -> bytes:
    """Return a question of our own for the same, without signatures. number: its id."""
    header = _HEADER.pack(number, RD, 1, 0, 0, 1)
    return header + query.text + _write_edns(Edns(MAX_PAYLOAD, 0, wants_signatures=False), Rcode.NOERROR)


def write_answer(query: Query, answer: Answer, limit: int, flags: int = 0) -> bytes:
    """Return the message, without its records and with TC if it is longer than limit. flags: others."""
    flags |= _answer_flags(query.flags) | (answer.rcode & 0xF) | (AA if answer.is_own else 0)
    message = _write(query, answer, flags)
    return message if len(message) <= limit else _write(query, Answer(answer.rcode), flags | TC)


def name_of(text: str) -> Labels:
    """Read what names our own code makes. Raises ValueError."""
    return tuple(label.encode("ascii").lower() for label in text.split("."))


def write_name(name: Labels) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in name) + b"\0"


# -- Reading -------------------------------------------------------------------------------------


def _read_plain_name(data: bytes, at: int) -> tuple[Labels, int]:
    """Return a name without pointers, and where it ends. Raises ValueError, IndexError."""
    labels, start = [], at
    while length := data[at]:
        label = data[at + 1 : at + 1 + length]
        if length > _MAX_LABEL or len(label) < length:
            raise ValueError("no label")
        labels.append(label.lower())
        at += 1 + length
        if at - start >= _MAX_NAME:
            raise ValueError("the name is too long")
    return tuple(labels), at + 1


def _find_edns(data: bytes, at: int, count: int) -> Edns | None:
    """Read all records behind the question. Raises ValueError, IndexError, struct.error."""
    found = None
    for _ in range(count):
        name_start, at = at, _skip_name(data, at)
        rrtype, rrclass, ttl, length = _FIXED.unpack_from(data, at)
        at += _FIXED.size + length
        if at > len(data):
            raise ValueError("a record is cut off")
        if rrtype == Type.OPT:
            if found or data[name_start]:
                raise ValueError("an OPT record is the root's, and there is one")
            found = Edns(rrclass, ttl >> 16 & 0xFF, bool(ttl & DO))
    return found


def _skip_name(data: bytes, at: int) -> int:
    """Return where a name ends, which may be with a pointer. Raises ValueError, IndexError."""
    while length := data[at]:
        if length & _POINTER == _POINTER:
            return at + 2
        if length > _MAX_LABEL:
            raise ValueError("no label")
        at += 1 + length
    return at + 1


# -- Writing -------------------------------------------------------------------------------------


def _answer_flags(flags: int) -> int:
    """Return what is taken over from a question."""
    return QR | flags & (_OPCODE | RD)


def _write(query: Query, answer: Answer, flags: int) -> bytes:
    edns = _write_edns(query.edns, answer.rcode)
    counts = 1, len(answer.records), len(answer.authority), bool(edns)
    records = (_write_record(record, query.name) for record in (*answer.records, *answer.authority))
    return b"".join((_HEADER.pack(query.id, flags, *counts), query.text, *records, edns))


def _write_record(record: Record, asked: Labels) -> bytes:
    fixed = _FIXED.pack(record.type, IN, record.ttl, len(record.data))
    return b"".join((_write_compressed(record.name, asked), fixed, record.data))


def _write_compressed(name: Labels, asked: Labels) -> bytes:
    """Return a name, as a pointer into the question if that ends with it."""
    above = len(asked) - len(name)
    if not name or above < 0 or asked[above:] != name:
        return write_name(name)
    at = _HEADER.size + sum(1 + len(label) for label in asked[:above])
    return bytes((_POINTER | at >> 8, at & 0xFF))


def _write_edns(edns: Edns | None, rcode: Rcode) -> bytes:
    if edns is None:
        return b""
    ttl = (rcode >> 4) << 24 | (DO if edns.wants_signatures else 0)
    return b"\0" + _FIXED.pack(Type.OPT, MAX_PAYLOAD, ttl, 0)
