"""IP packets to carry through tunnels: real headers, and a number by which each is known again."""

from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct
from typing import Final

_IPV4: Final = Struct(">BBHHHBBH4s4s")
_IPV6: Final = Struct(">IHBB16s16s")
_NUMBER: Final = Struct(">Q")
_EXPERIMENTAL: Final = 253  # RFC 3692: a protocol number that means nothing
_HOP_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class InnerPacket:
    """What a test puts into a tunnel. number: of its own; size: in bytes, headers included; ecn: 0 to 3."""

    source: str
    destination: str
    number: int
    size: int = 0
    ecn: int = 0

    def encode(self) -> bytes:
        """The packet, as large as `size` or as its headers and number need."""
        source, destination = ip_address(self.source), ip_address(self.destination)
        header = _IPV4.size if source.version == 4 else _IPV6.size
        length = max(self.size, header + _NUMBER.size)
        payload = _NUMBER.pack(self.number).ljust(length - header, b"\xa5")
        if source.version == 4:
            fields = (0x45, self.ecn, length, 0, 0, _HOP_LIMIT, _EXPERIMENTAL, 0)
            return _with_checksum(_IPV4.pack(*fields, source.packed, destination.packed)) + payload
        first = 6 << 28 | self.ecn << 20
        fixed = _IPV6.pack(
            first, length - header, _EXPERIMENTAL, _HOP_LIMIT, source.packed, destination.packed
        )
        return fixed + payload


def number_of(packet: bytes) -> int:
    """The number of a packet that `InnerPacket.encode` gave."""
    header = _IPV4.size if packet[0] >> 4 == 4 else _IPV6.size
    number: int = _NUMBER.unpack_from(packet, header)[0]
    return number


def ecn_of(packet: bytes) -> int:
    """The two ECN bits of an IPv4 or IPv6 packet."""
    traffic_class = packet[1] if packet[0] >> 4 == 4 else packet[1] >> 4
    return traffic_class & 3


def _with_checksum(header: bytes) -> bytes:
    """An IPv4 header with its checksum. RFC 1071."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + (~total & 0xFFFF).to_bytes(2, "big") + header[12:]
