"""The lines that carry records: from coordinator to node, between neighbours, and in a node's journal.

A line is one JSON object, and a node's journal stores the lines of the coordinator verbatim. A line proves
nothing by itself: the records in it are signed, and their reader verifies them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from wgpy.mesh import codec
from wgpy.mesh.ledger import StateDigest
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey

GOSSIP_PORT: Final = 51821  # TCP, of a node's IPv6 address in the network: neighbours compare state digests
MAX_LINE: Final = 1 << 25  # bytes
RECORDS_PER_LINE: Final = 200
BYTES_PER_LINE: Final = 1 << 20  # of bodies, unless one record is larger
_SCHEME: Final = "wgpy"


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
    return json.dumps(_written(line), separators=(",", ":")).encode() + b"\n"


def decode_line(data: bytes) -> Line:
    """Raises ValueError."""
    try:
        found = json.loads(data)
        match found:
            case {"revision": _, "records": list(records)}:
                return Delta(codec.NUMBER.read(found["revision"]), tuple(map(read_signed, records)))
            case {"standing": digest, "own": str(own), "seen": str(seen)}:
                return Greeting(_state_digest(digest), codec.BYTES.read(own), seen)
            case {"standing": digest}:
                return _state_digest(digest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"a line is damaged: {error}") from None
    raise ValueError("a line is of no known type")


def deltas(since: int, revision: int, records: Iterable[Signed]) -> Iterator[Delta]:
    """Divide records among lines; only the last line has the new revision."""
    line: list[Signed] = []
    size = 0
    for signed in records:
        size += len(signed.body)
        if len(line) >= RECORDS_PER_LINE or (line and size > BYTES_PER_LINE):
            yield Delta(since, tuple(line))
            line, size = [], len(signed.body)
        line.append(signed)
    yield Delta(revision, tuple(line))


def write_signed(signed: Signed) -> dict[str, str]:
    """Return a record as an object of JSON."""
    return {"body": signed.body.decode("latin-1"), "signature": codec.BYTES.write(signed.signature)}


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


def _written(line: Line) -> dict[str, Any]:
    """The names in JSON stay what older programs read: a state digest is their "standing"."""
    match line:
        case Delta(revision, records):
            return {"revision": revision, "records": list(map(write_signed, records))}
        case Greeting(state_digest, node_digest, seen):
            return {**_written(state_digest), "own": codec.BYTES.write(node_digest), "seen": seen}
        case StateDigest():
            return {"standing": codec.write(line)}


def _state_digest(found: Any) -> StateDigest:
    return codec.read(StateDigest, found)
