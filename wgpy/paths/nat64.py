"""IPv4 addresses as hosts with IPv6 alone reach them, by a NAT64. RFC 6052, RFC 7050. Pure."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from wgpy.contract.endpoint import Endpoint

WELL_KNOWN_NAME: Final = "ipv4only.arpa"  # which has IPv4 alone; so an IPv6 address of it is a NAT64's
_WELL_KNOWN: Final = (IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171"))
_PREFIX_LENGTHS: Final = (96, 64, 56, 48, 40, 32)
_ZERO_BYTE: Final = 8  # RFC 6052 section 2.2: bits 64 to 71 are zero


def embedded(prefix: IPv6Network, address: IPv4Address) -> IPv6Address:
    """Return where a NAT64 with a prefix of one of six lengths has an IPv4 address. RFC 6052 section 2.2."""
    packed = bytearray(prefix.network_address.packed)
    for position, byte in zip(_positions(prefix.prefixlen), address.packed, strict=True):
        packed[position] = byte
    return IPv6Address(bytes(packed))


def prefix_of(addresses: Iterable[IPv6Address]) -> IPv6Network | None:
    """Return the prefix in which WELL_KNOWN_NAME has these addresses, the longest. RFC 7050 section 3."""
    found = list(addresses)
    candidates = (IPv6Network((one, length), strict=False) for length in _PREFIX_LENGTHS for one in found)
    return next(
        (each for each in candidates if any(embedded(each, known) in found for known in _WELL_KNOWN)), None
    )


def reached(endpoint: Endpoint, prefix: IPv6Network | None) -> Endpoint:
    """Return where a host with that NAT64 reaches an endpoint; the endpoint itself if that is by IPv6."""
    address = ip_address(endpoint.address)
    if prefix is None or address.version == 6:
        return endpoint
    return Endpoint(str(embedded(prefix, address)), endpoint.port)


def _positions(length: int) -> list[int]:
    """Return the bytes that hold an IPv4 address. length: of the prefix, bits."""
    return [position for position in range(length // 8, 16) if position != _ZERO_BYTE][:4]
