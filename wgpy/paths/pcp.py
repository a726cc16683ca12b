"""The Port Control Protocol, as far as a host needs it for one UDP port. RFC 6887

Invariant: what is no answer to the question, or what no server may send, is None; nothing raises.
"""

from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Final

from wgpy.address import Address

from .port_mapping import Grant, Refusal

PORT: Final = 5351  # UDP, of the router
NONCE_LENGTH: Final = 12  # bytes
MAX_SIZE: Final = 1100  # bytes of a message. Section 7

_VERSION: Final = 2
_ANNOUNCE: Final = 0
_MAP: Final = 1
_ANSWER: Final = 0x80  # or-ed to the opcode
_UDP: Final = 17
_REQUEST: Final = Struct("!BBHI16s")
_RESPONSE: Final = Struct("!BBxBII12x")
_MAPPING: Final = Struct("!12sB3xHH16s")
_ANY: Final = IPv4Address(0)
_REFUSALS: Final = {  # section 7.4
    1: "it does not speak this version",
    2: "it allows this host no mapping",
    3: "it takes the request for malformed",
    4: "it maps no ports",
    7: "it has no network itself",
    8: "it has no room for another mapping",
    9: "it maps no UDP",
    10: "it has as many mappings of this host as it allows",
    11: "it cannot have the port outside",
    12: "there is another NAT before it",
}


def map_request(
    client: Address, nonce: bytes, port: int, lifetime: int, wanted: tuple[Address, int]
) -> bytes:
    """Ask for a mapping, or for the end of one if the lifetime is 0. Sections 7.1 and 11.1.

    client: this host, as the router sees it; nonce: of the mapping; port: of this host; lifetime: seconds;
    wanted: address and port outside, which may be 0. By IPv6 the router translates nothing: it lets in what
    is for the client's port.
    """
    head = _REQUEST.pack(_VERSION, _MAP, 0, lifetime, _packed(client))
    return head + _MAPPING.pack(nonce, _UDP, port, wanted[1], _packed(wanted[0]))


def announce_request(client: Address) -> bytes:
    """Ask whether the router speaks the protocol. Section 14.1."""
    return _REQUEST.pack(_VERSION, _ANNOUNCE, 0, 0, _packed(client))


def read_mapping(data: bytes, nonce: bytes, port: int, version: int = 4) -> Grant | Refusal | None:
    """Read what a router answers to `map_request`. version: of IP, of the client."""
    if refusal := _unsupported(data):
        return refusal
    if not _RESPONSE.size + _MAPPING.size <= len(data) <= MAX_SIZE:
        return None
    spoken, opcode, result, lifetime, epoch = _RESPONSE.unpack_from(data)
    token, protocol, inside, outside, address = _MAPPING.unpack_from(data, _RESPONSE.size)
    if (spoken, opcode) != (_VERSION, _ANSWER | _MAP) or (token, protocol, inside) != (nonce, _UDP, port):
        return None
    if result:
        return Refusal(_REFUSALS.get(result, f"it refuses for reason {result}"))
    mapped = IPv6Address(address).ipv4_mapped or IPv6Address(address)
    return Grant(mapped, outside, lifetime, epoch) if mapped.version == version else None


def read_announcement(data: bytes) -> int | None:
    """Read the epoch of an answer to `announce_request`, or of what a router sends to all. Section 14.1."""
    if not _RESPONSE.size <= len(data) <= MAX_SIZE:
        return None
    version, opcode, result, _, epoch = _RESPONSE.unpack_from(data)
    is_announcement = (version, opcode, result) == (_VERSION, _ANSWER | _ANNOUNCE, 0)
    return int(epoch) if is_announcement else None


def _unsupported(data: bytes) -> Refusal | None:
    """What a server of another version answers, NAT-PMP's with 8 bytes. Section 9; RFC 6886, 3.5."""
    is_such = 8 <= len(data) <= MAX_SIZE and data[1] & _ANSWER and data[2:4] == b"\0\1"
    return Refusal(_REFUSALS[1], is_unsupported=True) if is_such else None


def _packed(address: Address) -> bytes:
    return address.packed if address.version == 6 else IPv6Address(f"::ffff:{address}").packed


ANYWHERE: Final = (_ANY, 0)
