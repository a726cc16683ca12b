"""The lines that carry records: from coordinator to node, between neighbours, and in a node's journal.

A line is one JSON object, and a node's journal stores the lines of the coordinator verbatim. A line proves
nothing by itself: the records in it are signed, and their reader verifies them.

A line with records has one spelling, so that it can be read record by record, as it arrives: no line, however
long, keeps its reader from other work.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar

from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh import codec
from wgpy.mesh.ledger import StateDigest
from wgpy.mesh.signing import MAX_BODY, Signed, SigningKey, VerifyKey

# Of a node's IPv6 address in the network. UDP port 51821 is often that of a host's second WireGuard tunnel.
GOSSIP_PORT: Final = 51821  # TCP: neighbours compare state digests
PATHS_PORT: Final = 21821  # UDP: peers tell each other where they may be reached
MAX_LINE: Final = 1 << 22  # bytes
RECORDS_PER_LINE: Final = 200
BYTES_PER_LINE: Final = 1 << 20  # of bodies, unless one record is larger
MAX_SHORT_LINE: Final = 1 << 12  # bytes, of a line without records
BYTES_PER_PART: Final = 1 << 18  # of bodies, of a line that is read as it arrives
_MAX_RECORD: Final = 2 * MAX_BODY + 200  # bytes of a record in a line: JSON doubles a quote
_LONGEST_BEGINNING: Final = 64
_BEGINNING: Final = re.compile(rb'\{"revision":(0|[1-9][0-9]{0,15}),"records":\[')
_RECORD_BEGINNING: Final = b'{"body":"'
_MIDDLE: Final = b'","signature":"'
_RECORD_END: Final = b'"}'
_SIGNATURE_LENGTH: Final = 88  # characters of base64
_SCHEME: Final = "wgpy"
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Delta:
    """New records, and the revision up to which the reader then has every record that concerns it."""

    revision: int
    records: tuple[Signed, ...]


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first line of a coordinator to a node that subscribes.

    state_digest: the coordinator's; node_digest: of the node's record there, empty if there is none; seen:
    the address that the node's request came from.
    """

    state_digest: StateDigest
    node_digest: bytes
    seen: str


Line = Delta | Greeting | StateDigest


def encode_line(line: Line) -> bytes:
    if isinstance(line, Delta):
        return _line(line.revision, map(record_text, line.records))
    return json.dumps(_written(line), separators=(",", ":")).encode() + b"\n"


def encode_lines(since: int, revision: int, texts: Iterable[bytes]) -> Iterator[bytes]:
    """Divide records among lines as `deltas` does, by the sizes of their texts. texts: of `record_text`."""
    return (_line(reached, part) for reached, part in _divided(since, revision, texts, len))


def _line(revision: int, texts: Iterable[bytes]) -> bytes:
    return b'{"revision":%d,"records":[%b]}\n' % (revision, b",".join(texts))


def decode_line(data: bytes) -> Line:
    """Read one line, of any length. Raises ValueError."""
    parts = list(LineReader(max_line=None).feed(data.removesuffix(b"\n") + b"\n"))
    if len(parts) == 1:
        return parts[0]
    if not parts or not all(isinstance(part, Delta) for part in parts) or data.count(b"\n") > 1:
        raise ValueError("a line is damaged: it is not one line")
    records = tuple(signed for part in parts if isinstance(part, Delta) for signed in part.records)
    return Delta(parts[-1].revision, records) if isinstance(parts[-1], Delta) else parts[-1]


def undamaged_records(data: bytes) -> Iterator[Signed]:
    """Give the records of a damaged line that can be read."""
    for rest in data.split(_RECORD_BEGINNING)[1:]:
        end = rest.find(_MIDDLE) + len(_MIDDLE) + _SIGNATURE_LENGTH + len(_RECORD_END)
        with suppress(ValueError):
            yield _decode_record(_RECORD_BEGINNING + rest[:end])


class LineReader:
    """Reads lines as their bytes arrive.

    Of a line with many records it gives several deltas, of which the last one alone has a revision above 0.
    ended: how many lines came to their end.
    """

    def __init__(self, max_line: int | None = MAX_LINE) -> None:
        """max_line: bytes; None: of any length."""
        self._max_line = max_line
        self._rest = b""  # what is not read yet
        self._revision: int | None = None  # of the line that is being read, if it has records
        self._size = 0  # bytes of that line so far
        self._records: list[Signed] = []  # of the next part
        self._part_size = 0
        self._is_first = True  # of the records in the line
        self.ended = 0

    @property
    def is_within_a_line(self) -> bool:
        return bool(self._rest) or self._revision is not None

    def feed(self, data: bytes) -> Iterator[Line]:
        """Give what is complete. Raises ValueError; this reader is then of no use any more.

        Between two results it does no more than a part's worth of work, and as much as the data is long.
        """
        self._rest += data
        position, began = 0, 0
        while (found := self._read(position)) is not None:
            line, position = found
            self._size += position - began
            self._check_size()
            began = position
            if line is not None:
                yield line
        self._rest = self._rest[position:]

    def _check_size(self) -> None:
        """Raises ValueError."""
        if self._max_line is not None and self._size > self._max_line:
            raise ValueError(f"a line is longer than {self._max_line} bytes")

    def _read(self, position: int) -> tuple[Line | None, int] | None:
        """Read the next piece; return a part, if one is complete, and where the piece ends.

        None: the piece is not complete. Raises ValueError.
        """
        if self._revision is not None:
            return self._read_record(position, self._revision)
        beginning = _BEGINNING.match(self._rest, position)
        if beginning is None:
            return self._read_short(position)
        self._revision, self._size, self._is_first = int(beginning[1]), 0, True
        return None, beginning.end()

    def _read_short(self, position: int) -> tuple[Line | None, int] | None:
        """Read a line without records. Raises ValueError."""
        end = self._rest.find(b"\n", position, position + MAX_SHORT_LINE)
        if end >= 0:
            self._size = 0
            self.ended += 1
            return _decode_short(self._rest[position:end]), end + 1
        if len(self._rest) - position >= MAX_SHORT_LINE:
            raise ValueError("a line is damaged: it has no records, and is too long for what has none")
        return None

    def _read_record(self, position: int, revision: int) -> tuple[Line | None, int] | None:
        """Read a record, or the end of the line. Raises ValueError."""
        if self._rest.startswith(b"]}\n", position):
            self._revision = None
            self.ended += 1
            return self._part(codec.NUMBER.read(revision)), position + 3
        start = position + (0 if self._is_first else 1)
        middle = self._rest.find(_MIDDLE, start, start + _MAX_RECORD)
        end = middle + len(_MIDDLE) + _SIGNATURE_LENGTH + len(_RECORD_END)
        if middle < 0 or end > len(self._rest):
            self._check_incomplete(position, start)
            return None
        if not self._is_first and self._rest[position:start] != b",":
            raise ValueError("a line is damaged: there is something between two records")
        if len(self._records) >= RECORDS_PER_LINE or self._part_size >= BYTES_PER_PART:
            return self._part(0), position  # the record is read then
        self._add(_decode_record(self._rest[start:end]))
        return None, end

    def _check_incomplete(self, position: int, start: int) -> None:
        """Raises ValueError for what can become neither a record nor the end of a line."""
        rest = self._rest[position : start + len(_RECORD_BEGINNING)]
        separator = b"" if self._is_first else b","
        if not (separator + _RECORD_BEGINNING).startswith(rest) and not b"]}\n".startswith(rest):
            raise ValueError("a line is damaged: it has something else than records")
        if len(self._rest) - position > _MAX_RECORD:
            raise ValueError("a line is damaged: a record has no end")

    def _add(self, signed: Signed) -> None:
        self._records.append(signed)
        self._part_size += len(signed.body)
        self._is_first = False

    def _part(self, revision: int) -> Delta:
        part = Delta(revision, tuple(self._records))
        self._records, self._part_size = [], 0
        return part


def _decode_short(data: bytes) -> Line:
    """Raises ValueError."""
    try:
        match json.loads(data):
            case {"standing": digest, "own": str(own), "seen": str(seen)}:
                return Greeting(_state_digest(digest), codec.BYTES.read(own), seen)
            case {"standing": digest}:
                return _state_digest(digest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"a line is damaged: {error}") from None
    raise ValueError("a line is of no known type")


def _decode_record(text: bytes) -> Signed:
    """Raises ValueError."""
    body = text[len(_RECORD_BEGINNING) - 1 : -len(_MIDDLE) - _SIGNATURE_LENGTH - len(_RECORD_END) + 1]
    signature = text[-_SIGNATURE_LENGTH - len(_RECORD_END) : -len(_RECORD_END)]
    try:
        decoded: Any = json.loads(body) if text.startswith(_RECORD_BEGINNING) else None  # a string alone
        signed = Signed(decoded.encode("latin-1"), codec.BYTES.read(signature.decode("ascii")))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"a line is damaged: {error}") from None
    if record_text(signed) != text:
        raise ValueError("a line is damaged: a record is not in its only spelling")
    return signed


def deltas(since: int, revision: int, records: Iterable[Signed]) -> Iterator[Delta]:
    """Divide records among lines; only the last line has the new revision."""
    parts = _divided(since, revision, records, lambda signed: len(signed.body))
    return (Delta(reached, tuple(part)) for reached, part in parts)


def _divided(
    since: int, revision: int, records: Iterable[_R], size_of: Callable[[_R], int]
) -> Iterator[tuple[int, list[_R]]]:
    """Give the records of each line, and the revision that its reader has reached then."""
    line: list[_R] = []
    size = 0
    for record in records:
        size += size_of(record)
        if len(line) >= RECORDS_PER_LINE or (line and size > BYTES_PER_LINE):
            yield since, line
            line, size = [], size_of(record)
        line.append(record)
    yield revision, line


def write_signed(signed: Signed) -> dict[str, str]:
    """Return a record as an object of JSON."""
    return {"body": signed.body.decode("latin-1"), "signature": codec.BYTES.write(signed.signature)}


def record_text(signed: Signed) -> bytes:
    """Return a record as it stands in a line."""
    return json.dumps(write_signed(signed), separators=(",", ":")).encode()


def read_signed(found: Any) -> Signed:
    """Raises ValueError, TypeError, KeyError or AttributeError."""
    return Signed(found["body"].encode("latin-1"), codec.BYTES.read(found["signature"]))


def proof(key: SigningKey, network: bytes, challenge: str) -> str:
    """Return the header by which the holder of a key answers a challenge. RFC 9110 section 11.4."""
    signature = key.sign(_signed_part(network, challenge)).signature
    return f"{_SCHEME} {key.verify_key()} {challenge} {codec.BYTES.write(signature)}"


def check_proof(header: str, network: bytes) -> tuple[VerifyKey, str]:
    """Return the key and the challenge of a proof. Raises ValueError."""
    scheme, *parts = header.split(" ")
    if scheme.lower() != _SCHEME or len(parts) != 3:
        raise ValueError("want `wgpy KEY CHALLENGE SIGNATURE`")
    key, challenge, signature = VerifyKey.from_base64(parts[0]), parts[1], codec.BYTES.read(parts[2])
    if not key.verifies(_signed_part(network, challenge), signature):
        raise ValueError("the signature is not of that key")
    return key, challenge


def _signed_part(network: bytes, challenge: str) -> bytes:
    return b"wgpy request 1" + network + challenge.encode()


def _written(line: Greeting | StateDigest) -> dict[str, Any]:
    """The names in JSON stay what older programs read: a state digest is their "standing"."""
    match line:
        case Greeting(state_digest, node_digest, seen):
            return {**_written(state_digest), "own": codec.BYTES.write(node_digest), "seen": seen}
        case StateDigest():
            return {"standing": codec.write(line)}


def _state_digest(found: Any) -> StateDigest:
    return codec.read(StateDigest, found)
