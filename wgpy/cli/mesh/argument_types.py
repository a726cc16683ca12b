"""The types of the arguments of `wgpy mesh`: each parses and checks one."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from ipaddress import IPv4Network, ip_address, ip_network
from typing import Final

from wgpy.address import Address, HostPort, Prefix, is_address, parse_host_port
from wgpy.keys import PublicKey
from wgpy.number import parse_fwmark

DEFAULT_PORT: Final = 51820
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def name(text: str) -> str:
    from wgpy.mesh.records import NAME

    if not NAME.fullmatch(text):
        raise ArgumentTypeError(f"`{text}` is not a name: want up to 63 of a-z, 0-9 and -, such as web-1")
    return text


def interface(text: str) -> str:
    from wgpy.host.tun import check_name

    try:
        check_name(text)
    except ValueError as error:
        raise ArgumentTypeError(f"`{text}` cannot be used: {error}") from None
    return text


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ArgumentTypeError(f"`{text}` is not a number from {low} to {high}")
        return int(text)

    return read


port: Final = _number(1, 65535)
mtu: Final = _number(1280, 65535)
table: Final = _number(256, 2**32 - 1)  # those below are the host's own, or may have names
priority: Final = _number(0, 65535)
count: Final = _number(1, 1_000_000)
seconds: Final = _number(1, 86_400)
uses: Final = _number(1, 1000)  # as many identities as a revocation can name


def mark(text: str) -> int:
    try:
        return parse_fwmark(text)
    except ValueError as error:
        raise ArgumentTypeError(f"`{text}` is not a mark: {error}") from None


def duration(text: str) -> int:
    """Return seconds."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isdecimal() or not 0 < int(number) < 1_000_000:
        raise ArgumentTypeError(f"`{text}` is not a duration: want a number and s, m, h, d or w, as in 7d")
    return int(number) * _UNITS[unit]


def duration_text(seconds: int) -> str:
    """Return what `duration` reads, in the largest unit that divides it. seconds: more than 0."""
    unit = next(unit for unit in reversed(_UNITS) if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


def keepalive(text: str) -> str:
    from wgpy.node.files import parse_keepalive

    try:
        return parse_keepalive(text)
    except ValueError:
        raise ArgumentTypeError(
            f"`{text}` is no interval: want seconds from 1 to 65535, off, or auto (as the NAT allows)"
        ) from None


def prefix(text: str) -> Prefix:
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise ArgumentTypeError(f"`{text}` is not a prefix: want one such as 10.42.3.0/24") from None
    if found.network_address != ip_address(text.partition("/")[0]):
        raise ArgumentTypeError(f"`{text}` has bits behind its length: {found} is the prefix")
    return found


def address(text: str) -> Address:
    if not is_address(text) or "%" in text:
        raise ArgumentTypeError(f"`{text}` is not an address: want one such as 192.168.1.53")
    return ip_address(text)


def zone(text: str) -> str:
    """Parse a DNS zone of a site."""
    from wgpy.mesh.zones import zone_trouble

    found = text.lower().removesuffix(".")
    if trouble := zone_trouble(found):
        raise ArgumentTypeError(trouble)
    return found


def route(text: str) -> Prefix:
    """Parse a prefix that nodes may announce."""
    from wgpy.mesh.addressing import announcement_trouble

    if trouble := announcement_trouble(found := prefix(text)):
        raise ArgumentTypeError(trouble)
    return found


def grant(text: str) -> Prefix:
    """Parse a prefix of which nodes may be allowed to announce parts."""
    from wgpy.mesh.addressing import grant_trouble

    if trouble := grant_trouble(found := prefix(text)):
        raise ArgumentTypeError(trouble)
    return found


def prefix4(text: str) -> IPv4Network:
    found = prefix(text)
    if not isinstance(found, IPv4Network) or found.prefixlen > 30:
        raise ArgumentTypeError(f"`{text}` is not an IPv4 range for nodes: want one such as 100.80.0.0/16")
    return found


def host_port(text: str) -> HostPort:
    """Parse HOST, HOST:PORT, [ADDRESS]:PORT or an IPv6 address alone."""
    return _host_port(text, DEFAULT_PORT)


def host_any_port(text: str) -> HostPort:
    """As `host_port`; the port is 0 if none is given."""
    return _host_port(text, 0)


def _host_port(text: str, default_port: int) -> HostPort:
    text_with_brackets = f"[{text}]" if ":" in text and is_address(text) else text
    try:
        return parse_host_port(text_with_brackets, default_port, min(default_port, 1))
    except ValueError as error:
        raise ArgumentTypeError(f"`{text}` cannot be used: {error}") from None


def endpoint(text: str) -> HostPort | None:
    """As `host_port`, or None for `auto`."""
    return None if text == "auto" else host_port(text)


def source(text: str) -> str:
    """As `selector`, without ports."""
    from wgpy.mesh.selectors import parse_end

    found = selector(text)
    if parse_end(found).ports:
        raise ArgumentTypeError(f"`{text}` has ports: those of a rule are of its DESTINATION")
    return found


def selector(text: str) -> str:
    """Parse one side of a rule: `any`, `tag:NAME`, a node's name or identity, …, perhaps with ports."""
    from wgpy.mesh.selectors import KINDS, parse_end

    try:
        end = parse_end(text)
    except ValueError as error:
        sentence = str(error)
        raise ArgumentTypeError(sentence if sentence[0] == "`" else f"`{text}`: {sentence}") from None
    has_kind = end.selector == "any" or text.startswith(tuple(f"{kind}:" for kind in KINDS))
    return text if has_kind else f"{'site' if end.prefixes else 'node'}:{text}"


def destination(text: str) -> str:
    """Parse what a client may begin to: as one side of a rule, but no client."""
    from wgpy.mesh.selectors import parse_end

    try:
        end = parse_end(text)
    except ValueError as error:
        raise ArgumentTypeError(f"`{text}` is no destination: {error}") from None
    if end.selector.startswith("client:"):
        raise ArgumentTypeError(f"`{text}` is for a rule: see `wgpy mesh allow --help`")
    return text


def public_key(text: str) -> PublicKey:
    try:
        key = PublicKey.from_base64(text)
    except ValueError:
        raise ArgumentTypeError(f"`{text}` is not a public key; `wg pubkey` prints one") from None
    if not key:
        raise ArgumentTypeError(f"`{text}` is no key of a device: it is all zeros")
    return key
