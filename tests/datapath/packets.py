"""IP packets made by hand, with correct checksums."""

from ipaddress import ip_address
from struct import pack


def ipv4(source: str, destination: str, payload: bytes = b"", *, tos: int = 0) -> bytes:
    size = 20 + len(payload)
    addresses = ip_address(source).packed + ip_address(destination).packed
    header = pack(">BBHHHBBH", 0x45, tos, size, 0x1234, 0, 64, 17, 0) + addresses
    return header[:10] + pack(">H", checksum(header)) + header[12:] + payload


def ipv6(source: str, destination: str, payload: bytes = b"", *, traffic_class: int = 0) -> bytes:
    addresses = ip_address(source).packed + ip_address(destination).packed
    return pack(">IHBB", 6 << 28 | traffic_class << 20 | 0xABCDE, len(payload), 17, 64) + addresses + payload


def checksum(header: bytes) -> int:
    """Of the Internet, RFC 1071, over the whole header: 0 if its own checksum is right."""
    total = sum(int.from_bytes(header[i : i + 2]) for i in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
