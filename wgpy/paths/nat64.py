"""IPv4 addresses as hosts with IPv6 alone reach them, by a NAT64. RFC 6052, RFC 7050. Pure."""

from collections.abc import Collection, Iterable
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import islice
from typing import Final

from wgpy.address import Address, is_private
from wgpy.contract.endpoint import Endpoint

from .exchange import Candidate

WELL_KNOWN_NAME: Final = "ipv4only.arpa"  # which has IPv4 alone; so an IPv6 address of it is a NAT64's
_WELL_KNOWN: Final = (IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171"))
_PREFIX_LENGTHS: Final = (96, 64, 56, 48, 40, 32)
_MAX_ADDRESSES: Final = 16  # of an answer that are looked at
_WELL_KNOWN_PREFIX: Final = IPv6Network("64:ff9b::/96")  # for addresses that are global. RFC 6052 section 3.1
# Where a prefix may be: addresses of single hosts, and what RFC 6052 and RFC 8215 set apart.
_POSSIBLE: Final = tuple(map(IPv6Network, ("2000::/3", "fc00::/7", "64:ff9b::/96", "64:ff9b:1::/48")))
_ZERO_BYTE: Final = 8  # RFC 6052 section 2.2: bits 64 to 71 are zero


def embedded(prefix: IPv6Network, address: IPv4Address) -> IPv6Address:
    """Return where a NAT64 with a prefix of one of six lengths has an IPv4 address. RFC 6052 section 2.2."""
    packed = bytearray(prefix.network_address.packed)
    for position, byte in zip(_positions(prefix.prefixlen), address.packed, strict=True):
        packed[position] = byte
    return IPv6Address(bytes(packed))


def prefix_of(addresses: Iterable[IPv6Address]) -> IPv6Network | None:
    """Return the prefix in which WELL_KNOWN_NAME has these addresses, the longest. RFC 7050 section 3.

    None as well for a prefix where no NAT64 can be, whatever the DNS says. The first 16 addresses count.
    """
    found = dict.fromkeys(islice(addresses, _MAX_ADDRESSES))
    candidates = (IPv6Network((one, length), strict=False) for length in _PREFIX_LENGTHS for one in found)
    return next(filter(partial(_is_prefix, found), candidates), None)


def _is_prefix(found: Collection[IPv6Address], prefix: IPv6Network) -> bool:
    is_possible = any(prefix.subnet_of(one) for one in _POSSIBLE)
    return is_possible and any(embedded(prefix, known) in found for known in _WELL_KNOWN)


def without_synthesized(addresses: Iterable[Address]) -> list[Address]:
    """Return those of one name without what a DNS64 made of its IPv4 addresses, with whatever prefix."""
    found = list(dict.fromkeys(islice(addresses, _MAX_ADDRESSES)))
    made = {
        embedded(IPv6Network((six, length), strict=False), four)
        for four in found
        for six in found
        for length in _PREFIX_LENGTHS
        if isinstance(four, IPv4Address) and isinstance(six, IPv6Address)
    }
    return [one for one in found if one not in made]


def reached(endpoint: Endpoint, prefix: IPv6Network | None) -> Endpoint:
    """Return where a host with that NAT64 reaches an endpoint; the endpoint itself if not by the NAT64."""
    address = ip_address(endpoint.address)
    if prefix is None or address.version == 6 or (prefix == _WELL_KNOWN_PREFIX and is_private(address)):
        return endpoint
    return Endpoint(str(embedded(prefix, address)), endpoint.port)


def reached_candidates(candidates: Iterable[Candidate], prefix: IPv6Network | None) -> tuple[Candidate, ...]:
    """Return where such a host reaches a peer; of what kind each is was for the peer to say."""
    return tuple(Candidate(reached(one.endpoint, prefix), one.kind) for one in candidates)


def version(endpoint: Endpoint, prefix: IPv6Network | None) -> int:
    """Return the version of IP of the host at an endpoint: 4 where the NAT64 is between."""
    is_translated = prefix is not None and endpoint.is_ipv6 and IPv6Address(endpoint.address) in prefix
    return 6 if endpoint.is_ipv6 and not is_translated else 4


def _positions(length: int) -> list[int]:
    """Return the bytes that hold an IPv4 address. length: of the prefix, bits."""
    return [position for position in range(length // 8, 16) if position != _ZERO_BYTE][:4]
