"""NAT-PMP, which came before PCP and is at the same port. RFC 6886

Invariant: what is no answer to the question is None; nothing raises.
"""

from ipaddress import IPv4Address
from struct import Struct
from typing import Final, NamedTuple

from .port_mapping import Grant, Refusal

_VERSION: Final = 0
_ADDRESS: Final = 0
_MAP_UDP: Final = 1
_ANSWER: Final = 0x80  # or-ed to the opcode
_REQUEST: Final = Struct("!BBHHHI")
_HEAD: Final = Struct("!BBHI")
_MAPPING: Final = Struct("!HHI")
_REFUSALS: Final = {  # section 3.5
    1: "it does not speak this version",
    2: "it allows no mappings",
    3: "it has no public address itself",
    4: "it has no room for another mapping",
    5: "it maps no ports",
}


class OutsideAddress(NamedTuple):
    """The router's address outside, and the seconds since it lost all mappings."""

    address: IPv4Address
    epoch: int


class Mapping(NamedTuple):
    """port: outside; lifetime: seconds; epoch: as above."""

    port: int
    lifetime: int
    epoch: int

    def at(self, address: IPv4Address) -> Grant:
        return Grant(address, self.port, self.lifetime, self.epoch)


def address_request() -> bytes:
    """Ask for the router's address outside. Section 3.2."""
    return bytes((_VERSION, _ADDRESS))


def map_request(port: int, wanted: int, lifetime: int) -> bytes:
    """Ask for a mapping, or for the end of one if `wanted` and `lifetime` are 0. Sections 3.3 and 3.4.

    port: of this host; wanted: the port outside; lifetime: seconds.
    """
    return _REQUEST.pack(_VERSION, _MAP_UDP, 0, port, wanted, lifetime)


def read_address(data: bytes) -> OutsideAddress | Refusal | None:
    """Read what a router answers to `address_request`, or what it sends to all. Section 3.2."""
    head = _read_head(data, _ADDRESS)
    if not isinstance(head, int):
        return head
    if len(data) != _HEAD.size + 4:
        return None
    return OutsideAddress(IPv4Address(data[_HEAD.size :]), head)


def read_mapping(data: bytes, port: int) -> Mapping | Refusal | None:
    """Read what a router answers to `map_request`. port: of this host. Section 3.3."""
    head = _read_head(data, _MAP_UDP)
    if not isinstance(head, int):
        return head
    if len(data) != _HEAD.size + _MAPPING.size:
        return None
    inside, outside, lifetime = _MAPPING.unpack_from(data, _HEAD.size)
    return Mapping(outside, lifetime, head) if inside == port else None


def _read_head(data: bytes, opcode: int) -> int | Refusal | None:
    """Return the epoch."""
    if len(data) < _HEAD.size:
        return None
    version, answered, result, epoch = _HEAD.unpack_from(data)
    if answered != _ANSWER | opcode or (version != _VERSION and result != 1):
        return None
    if result:
        reason = _REFUSALS.get(result, f"it refuses for reason {result}")
        return Refusal(reason, is_unsupported=result in (1, 5))
    return int(epoch)
