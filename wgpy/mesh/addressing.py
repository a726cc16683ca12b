"""The addresses of nodes.

IPv6: nodes live in site 0 of the network's /32, that is its first /48, by an address made from their
identity, so no node can take another's. IPv4: chosen when a node joins, and published in its record.
"""

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from wgpy.address import Prefix, overlap
from wgpy.contract.errors import WgpyError
from wgpy.keys import PublicKey
from wgpy.mesh.signing import VerifyKey

SITE_LENGTH: Final = 48  # of the IPv6 prefix that a mapped site has
NODE_BITS: Final = 128 - SITE_LENGTH
# What no node may announce, nor what covers that: traffic of a host to itself, to its link, or to its cloud.
NEVER_ANNOUNCED: Final[Mapping[Prefix, str]] = {
    IPv4Network("0.0.0.0/8"): "no address",  # RFC 1122 section 3.2.1.3
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("169.254.0.0/16"): "link-local, with a cloud's metadata",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("255.255.255.255/32"): "broadcast",
    IPv6Network("::/96"): "no address, and loopback",
    IPv6Network("::ffff:0:0/96"): "mapped IPv4",
    IPv6Network("fe80::/10"): "link-local",
    IPv6Network("ff00::/8"): "multicast",
    IPv6Network("fd00:ec2::254/128"): "a cloud's metadata",
    IPv6Network("fd20:ce::254/128"): "a cloud's metadata",
}
# Where `init` looks for addresses, the least used first: 100.64.0.0/10 is RFC 6598's, the others RFC 1918's.
RANGES: Final = tuple(map(IPv4Network, ("100.64.0.0/10", "10.0.0.0/8", "172.16.0.0/12")))
NODES_LENGTH: Final = 16
POOL_LENGTH: Final = 12
DEFAULT_ROUTES: Final[tuple[Prefix, ...]] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
MIN_ROUTE_LENGTH: Final = 8  # that of the widest private networks, 10.0.0.0/8 and fd00::/8

_TOO_WIDE: Final = (
    "{} cannot be announced: it is a default route or a large part of one, and nodes announce prefixes of "
    f"/{MIN_ROUTE_LENGTH} or longer"
)


class NoSpace(WgpyError, ValueError):
    """There is no range or address left; the message names what ran out."""


def node_address6(network: IPv6Network, identity: VerifyKey) -> IPv6Address:
    """Return a node's address. network: the /32."""
    return _address6(network, b"wgpy address" + bytes(identity))


def client_address6(network: IPv6Network, key: PublicKey, gateway: VerifyKey) -> IPv6Address:
    """Return a client's address at a gateway. network: the /32."""
    return _address6(network, b"wgpy client" + bytes(key) + bytes(gateway))


def _address6(network: IPv6Network, seed: bytes) -> IPv6Address:
    suffix = hashlib.blake2s(seed, digest_size=NODE_BITS // 8).digest()
    return network.network_address + int.from_bytes(suffix, "big")


def free_address(
    network: IPv4Network, taken: Container[IPv4Address], key: VerifyKey | PublicKey
) -> IPv4Address:
    """Return an address for a node or a client, always the same for its key unless taken. Raises NoSpace."""
    hosts = network.num_addresses - 2  # without the network's own and the broadcast address
    start = int.from_bytes(hashlib.blake2s(bytes(key), digest_size=8).digest(), "big")
    for step in range(hosts):
        address = network.network_address + 1 + (start + step) % hosts
        if address not in taken:
            return address
    raise NoSpace(f"all {hosts} addresses of {network} are taken")


def grant_trouble(prefix: Prefix) -> str:
    """Return why no token and no approval may have a prefix, or "".

    A large part of a default route would take the traffic of every host. A default route itself takes that
    of nodes that use it as their exit, and no other prefix is allowed by it.
    """
    if prefix.prefixlen >= MIN_ROUTE_LENGTH or prefix in DEFAULT_ROUTES:
        return ""
    return _TOO_WIDE.format(prefix)


def is_exit(prefixes: Iterable[Prefix]) -> bool:
    """Return whether prefixes of a site are default routes, so that nodes may use it as their exit."""
    lengths = [prefix.prefixlen for prefix in prefixes]
    return bool(lengths) and not any(lengths)


def announcement_trouble(prefix: Prefix) -> str:
    """Return why no node may announce a prefix, or ""."""
    if prefix.prefixlen < MIN_ROUTE_LENGTH:
        return _TOO_WIDE.format(prefix)
    for other, what in NEVER_ANNOUNCED.items():
        if overlap(prefix, other):
            return f"{prefix} cannot be announced: it overlaps {other}, which is {what}"
    return ""


def choose_ranges(reported: Iterable[Prefix]) -> tuple[IPv4Network, IPv4Network]:
    """Return a range for nodes (/16) and a pool for mapped sites (/12) that overlap nothing reported.

    Raises NoSpace.
    """
    used = [prefix for prefix in reported if isinstance(prefix, IPv4Network)]
    pool = _first_free(POOL_LENGTH, used)
    return _first_free(NODES_LENGTH, [*used, pool]), pool


def choose_range6(seed: bytes) -> IPv6Network:
    """Return a unique local /32: fd and 24 bits of the seed. RFC 4193, with more room than its /48."""
    return IPv6Network((b"\xfd" + seed[:3] + bytes(12), 32))


def _first_free(length: int, used: Iterable[IPv4Network]) -> IPv4Network:
    taken = list(used)
    for candidate in _candidates(length):
        if not any(candidate.overlaps(prefix) for prefix in taken):
            return candidate
    raise NoSpace(f"no /{length} of {', '.join(map(str, RANGES))} is free on all hosts that reported")


def _candidates(length: int) -> Iterator[IPv4Network]:
    for prefix in RANGES:
        yield from prefix.subnets(new_prefix=max(length, prefix.prefixlen))
