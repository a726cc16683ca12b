"""Single values of UAPI in their text form. Each reader raises ValueError with what it wants instead."""

import re
from socket import AF_INET, AF_INET6, if_nametoindex, inet_ntop, inet_pton
from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP
from wgpy.model import AllowedIPChange

_UINT16_MAX: Final = 0xFFFF
_UINT32_MAX: Final = 0xFFFFFFFF
new_tuple: Final = tuple.__new__  # what a NamedTuple's own constructor calls, at half the price
_PREFIX_LENGTHS: Final = {str(length): length for length in range(129)}


def unsigned(text: str, maximum: int) -> int:
    if text.isdecimal() and text.isascii() and len(text) <= 20 and int(text) <= maximum:
        return int(text)
    raise ValueError(f"want a whole number from 0 to {maximum}")


def uint16(text: str) -> int:
    return unsigned(text, _UINT16_MAX)


def parse_fwmark(text: str) -> int:
    """A mark in decimal or 0x hexadecimal; nothing means 0. Raises ValueError."""
    if text[:2].lower() == "0x" and re.fullmatch("[0-9A-Fa-f]{1,8}", text[2:]):
        return int(text, 0)
    try:
        return unsigned(text or "0", _UINT32_MAX)
    except ValueError:
        raise ValueError(f"want a mark from 0 to {_UINT32_MAX}, decimal or 0x hexadecimal") from None


def true(text: str) -> bool:
    if text != "true":
        raise ValueError("want `true`, or leave the line out")
    return True


def version(text: str) -> None:
    if text != "1":
        raise ValueError("want protocol version 1")


def parse_prefix(text: str) -> AllowedIP:
    """`ADDRESS/LENGTH`; host bits are cleared. Raises ValueError.

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
        raise ValueError("want an IP address, `/` and a prefix length: 10.0.0.0/24, fd00::/64") from None
    return new_tuple(AllowedIP, (packed, _PREFIX_LENGTHS[length]))


def format_prefix(prefix: AllowedIP) -> str:
    family = AF_INET if len(prefix.address) == 4 else AF_INET6
    return f"{inet_ntop(family, prefix.address)}/{prefix.prefix_length}"


def allowed_ip(text: str) -> AllowedIPChange:
    if text.startswith("-"):
        return AllowedIPChange(parse_prefix(text[1:]), remove=True)
    return AllowedIPChange(parse_prefix(text))


def parse_endpoint(text: str) -> Endpoint:
    """`192.0.2.1:51820`, `[2001:db8::1]:51820` or `[fe80::1%ZONE]:51820`. Raises ValueError.

    ZONE: the name or number of an interface of this host.
    """
    host, _, port_text = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    address, percent, zone = (host[1:-1] if bracketed else host).partition("%")
    try:
        port = uint16(port_text)
        if not bracketed:
            return Endpoint(inet_ntop(AF_INET, inet_pton(AF_INET, host)), port)
        address = inet_ntop(AF_INET6, inet_pton(AF_INET6, address))
    except (OSError, ValueError):
        raise ValueError("want 192.0.2.1:51820 or [2001:db8::1]:51820, address and port as numbers") from None
    return Endpoint(address, port, _scope_id(zone) if percent else 0)


def _scope_id(zone: str) -> int:
    if zone.isdecimal():
        return unsigned(zone, _UINT32_MAX)
    try:
        return if_nametoindex(zone)
    except (OSError, ValueError):
        raise ValueError("the zone after `%` is no network interface of this host") from None
