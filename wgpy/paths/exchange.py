"""What two peers tell each other inside of their tunnel, so that both ask each other at the same moment.

    magic "wgpx" (4)  version (1)  flags (1)  number (4)  heard (4)  proposal (1)  agreed (1)  count (1)
    for each candidate: kind (1)  address (16)  port (2)

Invariant: decode(encode(m)) is m, and `decode` accepts exactly what `encode` gives.
"""

from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Final, NamedTuple

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.lazy_dataclass import dataclass

MAX_CANDIDATES: Final = 20

_PREFIX: Final = b"wgpx\1"
_HEAD: Final = Struct(">5sBIIBBB")
_CANDIDATE: Final = Struct(">B16sH")
_DEAF: Final = 1
_ECHO: Final = 2
_BROADCAST: Final = IPv4Address("255.255.255.255")


class PathKind(Enum):
    """How a peer is reached; the better first."""

    LAN = 1  # by an address of its own network
    IPV6 = 2
    PUBLIC = 3  # by an address that needs nothing to be opened
    REFLEXIVE = 4  # by what its NAT shows
    PREDICTED = 5  # by what its NAT, which counts, will show next
    RELAYED = 6


class Candidate(NamedTuple):
    """Where a peer may be reached."""

    endpoint: Endpoint
    kind: PathKind

    def checked(self) -> "Candidate":
        """The same. Raises ValueError for what is no other host's everywhere on a network."""
        address = ip_address(self.endpoint.address)
        is_special = address.is_loopback or address.is_multicast or address.is_unspecified
        if is_special or address.is_link_local or address == _BROADCAST or not self.endpoint.port:
            raise ValueError(f"{self.endpoint} is not where another host is")
        return self


@dataclass(frozen=True, slots=True)
class PathMessage:
    """What one peer tells the other.

    number: of the sender's list of candidates, 0 if the message has none; heard: of the receiver's;
    proposal: of a round of questions that the sender will begin when the receiver agrees to it, 0 for none;
    agreed: the receiver's, that the sender agrees to; deaf: by the path in use the sender hears nothing;
    echo: the receiver is to send something at once.
    """

    number: int
    heard: int = 0
    proposal: int = 0
    agreed: int = 0
    deaf: bool = False
    echo: bool = False
    candidates: tuple[Candidate, ...] = ()

    def encode(self) -> bytes:
        """Raises ValueError for more than MAX_CANDIDATES."""
        if len(self.candidates) > MAX_CANDIDATES:
            raise ValueError(f"a message has at most {MAX_CANDIDATES} candidates, not {len(self.candidates)}")
        flags = (_DEAF if self.deaf else 0) | (_ECHO if self.echo else 0)
        counts = self.proposal, self.agreed, len(self.candidates)
        head = _HEAD.pack(_PREFIX, flags, self.number, self.heard, *counts)
        return head + b"".join(map(_encode_candidate, self.candidates))

    @classmethod
    def decode(cls, data: bytes) -> "PathMessage":
        """Raises ValueError."""
        if len(data) < _HEAD.size:
            raise ValueError("too short")
        prefix, flags, number, heard, proposal, agreed, count = _HEAD.unpack_from(data)
        if prefix != _PREFIX or flags & ~(_DEAF | _ECHO) or count > MAX_CANDIDATES:
            raise ValueError("of another kind or version")
        if len(data) != _HEAD.size + count * _CANDIDATE.size:
            raise ValueError("of another length than it says")
        candidates = map(_decode_candidate, _CANDIDATE.iter_unpack(data[_HEAD.size :]))
        deaf, echo = bool(flags & _DEAF), bool(flags & _ECHO)
        return cls(number, heard, proposal, agreed, deaf, echo, tuple(candidates))


def _encode_candidate(candidate: Candidate) -> bytes:
    packed = candidate.endpoint.packed()[:-2]
    mapped = packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed
    return _CANDIDATE.pack(candidate.kind.value, mapped, candidate.endpoint.port)


def _decode_candidate(fields: tuple[int, bytes, int]) -> Candidate:
    kind, packed, port = fields
    address = IPv6Address(packed)
    endpoint = Endpoint(str(address.ipv4_mapped or address), port)
    return Candidate(endpoint, PathKind(kind)).checked()
