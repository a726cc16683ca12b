"""Records on their way: from coordinator to node, between neighbours, and in a node's journal.

Each is a line of JSON, so what a node receives is what it keeps. A line proves nothing by itself: the records
in it are signed, and whoever reads them verifies them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from wgpy.mesh import codec
from wgpy.mesh.ledger import StateDigest
from wgpy.mesh.signing import Signed, SigningKey, VerifyKey

GOSSIP_PORT: Final = 51821  # TCP, of a node's IPv6 address in the network: there neighbours compare records
MAX_LINE: Final = 1 << 25  # bytes
RECORDS_PER_LINE: Final = 200
BYTES_PER_LINE: Final = 1 << 20  # of bodies, unless one record is larger
_SCHEME: Final = "wgpy"


@dataclass(frozen=True, slots=True)
class Delta:
    """Records that are news, and the revision up to which the reader then knows all that concerns it."""

    revision: int
    records: tuple[Signed, ...]


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a coordinator says first to a node that follows it.

    standing: of the coordinator; own: digest of the node's own record there, empty if there is none; seen:
    the address that the node's request came from.
    """

    standing: StateDigest
    own: bytes
    seen: str


Line = Delta | Greeting | StateDigest


def encode_line(line: Line) -> bytes:
    return json.dumps(_said(line), separators=(",", ":")).encode() + b"\n"


def decode_line(data: bytes) -> Line:
    """Raises ValueError."""
    try:
        found = json.loads(data)
        match found:
            case {"revision": _, "records": list(records)}:
                return Delta(codec.NUMBER.read(found["revision"]), tuple(map(read_signed, records)))
            case {"standing": standing, "own": str(own), "seen": str(seen)}:
                return Greeting(_standing(standing), codec.BYTES.read(own), seen)
            case {"standing": standing}:
                return _standing(standing)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"a line is damaged: {error}") from None
    raise ValueError("a line says nothing that is known here")


def deltas(since: int, revision: int, records: Iterable[Signed]) -> Iterator[Delta]:
    """Cut news into lines; only after the last one does the reader know all up to the new revision."""
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
    """Return what the holder of a key answers to a challenge. RFC 9110 section 11.4."""
    signature = key.sign(_challenged(network, challenge)).signature
    return f"{_SCHEME} {key.verify_key()} {challenge} {codec.BYTES.write(signature)}"


def check_proof(said: str, network: bytes) -> tuple[VerifyKey, str]:
    """Return whose proof it is, and of which challenge. Raises ValueError."""
    scheme, *parts = said.split(" ")
    if scheme.lower() != _SCHEME or len(parts) != 3:
        raise ValueError("want `wgpy KEY CHALLENGE SIGNATURE`")
    key, challenge, signature = VerifyKey.from_base64(parts[0]), parts[1], codec.BYTES.read(parts[2])
    if not key.verifies(_challenged(network, challenge), signature):
        raise ValueError("the signature is not of that key")
    return key, challenge


def _challenged(network: bytes, challenge: str) -> bytes:
    return b"wgpy request 1" + network + challenge.encode()


def _said(line: Line) -> dict[str, Any]:
    match line:
        case Delta(revision, records):
            return {"revision": revision, "records": list(map(write_signed, records))}
        case Greeting(standing, own, seen):
            return {**_said(standing), "own": codec.BYTES.write(own), "seen": seen}
        case StateDigest():
            return {"standing": codec.write(line)}


def _standing(found: Any) -> StateDigest:
    return codec.read(StateDigest, found)
