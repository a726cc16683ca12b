"""IP packets made by hand, with correct checksums."""

from ipaddress import ip_address
from struct import pack

from wgpy.contract.endpoint import Endpoint


def ipv4(
    source: str,
    destination: str,
    payload: bytes = b"",
    *,
    tos: int = 0,
    protocol: int = 17,
    fragment: int = 0,
) -> bytes:
    """fragment: the 16 bits of flags and offset."""
    size = 20 + len(payload)
    addresses = ip_address(source).packed + ip_address(destination).packed
    header = pack(">BBHHHBBH", 0x45, tos, size, 0x1234, fragment, 64, protocol, 0) + addresses
    return header[:10] + pack(">H", checksum(header)) + header[12:] + payload


def ipv6(
    source: str, destination: str, payload: bytes = b"", *, traffic_class: int = 0, protocol: int = 17
) -> bytes:
    addresses = ip_address(source).packed + ip_address(destination).packed
    word = 6 << 28 | traffic_class << 20 | 0xABCDE
    return pack(">IHBB", word, len(payload), protocol, 64) + addresses + payload


def routed_back(datagram: bytes, to: Endpoint) -> bytes:
    """A datagram as a packet of the host that sends it."""
    udp = pack(">HHHH", 51820, to.port, 8 + len(datagram), 0) + datagram
    return ipv6("fd00::1", to.address, udp) if to.is_ipv6 else ipv4("10.0.0.1", to.address, udp)


def checksum(header: bytes) -> int:
    """Of the Internet, RFC 1071, over the whole header: 0 if its own checksum is right."""
    total = sum(int.from_bytes(header[i : i + 2]) for i in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
