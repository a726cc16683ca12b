"""Addresses as text: the one reader and printer of HOST:PORT, ADDRESS:PORT and prefixes.

The value of ADDRESS:PORT is `Endpoint`; its `str` is what `parse_endpoint` reads. Each reader raises
InputError with what is wanted.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, if_nametoindex, inet_ntop, inet_pton
from typing import Final, NamedTuple

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import InputError
from wgpy.contract.orders import AllowedIP
from wgpy.number import MAX_UINT32, parse_number, parse_port

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network

new_tuple: Final = tuple.__new__  # what a NamedTuple's own constructor calls, at half the price
_PREFIX_LENGTHS: Final = {str(length): length for length in range(129)}
_DIGITS_AND_DOTS: Final = r"[0-9.]+"
_BROADCAST: Final = IPv4Address("255.255.255.255")
_PRIVATE: Final = tuple(
    map(ip_network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
_HOST: Final = r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?"
_IPV6: Final = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?"


def is_private(address: Address) -> bool:
    """Return whether an address means something only inside of a network of somebody."""
    return any(address in prefix for prefix in _PRIVATE)


class HostPort(NamedTuple):
    """Where something is reached, as written: host is an address or a name that is not yet resolved."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str, default_port: int | None = None, lowest_port: int = 1) -> HostPort:
    """`vpn.example.net:51820`, `192.0.2.1:51820` or `[2001:db8::1]:51820`; no name is looked up.

    default_port: for a host alone.
    """
    host, port = _split(text, default_port)
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    shape = _IPV6 if bracketed else _HOST
    must_be_address = bracketed or re.fullmatch(_DIGITS_AND_DOTS, host)
    if not re.fullmatch(shape, host) or (must_be_address and not is_address(host)):
        raise InputError(
            "want HOST:PORT, as in vpn.example.net:51820, 192.0.2.1:51820 or [2001:db8::1]:51820"
        )
    try:
        return HostPort(host, parse_port(port, lowest_port))
    except ValueError:
        raise InputError(f"want a port from {lowest_port} to 65535 after the last `:`") from None


def _split(text: str, default_port: int | None) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    if default_port is not None and (not colon or text.endswith("]")):
        return text, str(default_port)
    return host, port


def parse_endpoint(text: str) -> Endpoint:
    """`192.0.2.1:51820`, `[2001:db8::1]:51820` or `[fe80::1%ZONE]:51820`.

    ZONE: the name or number of an interface of this host.
    """
    host, _, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address, percent, zone = (host[1:-1] if bracketed else host).partition("%")
    try:
        port = parse_port(port_text)
        if not bracketed:
            return Endpoint(inet_ntop(AF_INET, inet_pton(AF_INET, host)), port)
        address = inet_ntop(AF_INET6, inet_pton(AF_INET6, address))
    except (OSError, ValueError):
        raise InputError("want 192.0.2.1:51820 or [2001:db8::1]:51820, address and port as numbers") from None
    return Endpoint(address, port, _scope_id(zone) if percent else 0)


def _scope_id(zone: str) -> int:
    if zone.isdecimal():
        return parse_number(zone, 0, MAX_UINT32)
    try:
        return if_nametoindex(zone)
    except (OSError, ValueError):
        raise InputError("want after `%` a network interface of this host") from None


def parse_prefix(text: str) -> AllowedIP:
    """`ADDRESS/LENGTH`; host bits are cleared.

    Written for speed, as it runs for each of a hundred thousand lines: `ipaddress` takes four times as long.
    """
    address, _, length = text.partition("/")
    try:
        if ":" in address:
            host_bits = 128 - _PREFIX_LENGTHS[length]
            packed = inet_pton(AF_INET6, address)
        else:
            host_bits = 32 - _PREFIX_LENGTHS[length]
            packed = inet_pton(AF_INET, address)
        if host_bits:
            # A negative shift raises ValueError: more bits than an IPv4 address has.
            packed = (int.from_bytes(packed) >> host_bits << host_bits).to_bytes(len(packed))
    except (KeyError, OSError, ValueError):
        raise InputError("want an IP address, `/` and a prefix length: 10.0.0.0/24, fd00::/64") from None
    return new_tuple(AllowedIP, (packed, _PREFIX_LENGTHS[length]))


def format_prefix(prefix: AllowedIP) -> str:
    family = AF_INET if len(prefix.address) == 4 else AF_INET6
    return f"{inet_ntop(family, prefix.address)}/{prefix.prefix_length}"


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def overlap(one: Prefix, other: Prefix) -> bool:
    """Return whether two prefixes, of any version of IP, have an address in common."""
    return one.version == other.version and one.overlaps(other)


# -- What means the same on every host -------------------------------------------------------------


def parse_global_address(text: str) -> Address:
    """An address that means and is spelled the same everywhere: no zone, no mapped IPv4 address."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise InputError(f"{address} is not the same address everywhere")
    return address


def parse_global_prefix(text: str) -> Prefix:
    """A prefix of such addresses, without host bits."""
    prefix = ip_network(text)
    parse_global_address(str(prefix.network_address))
    return prefix


def parse_global_endpoint(text: str) -> Endpoint:
    """Such an address that a single host may have, and a port other than 0."""
    host, port = parse_host_port(text)
    address = parse_global_address(host)
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        raise InputError(f"{address} is not the address of a host")
    return Endpoint(str(address), port)
