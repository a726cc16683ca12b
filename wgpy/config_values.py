"""The values of a wg-quick file, as wg(8), wg-quick(8) and ip(8) read them.

Each function reads the text after `=` and raises ValueError with what is wanted.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from socket import AF_INET, getservbyname, inet_aton, inet_ntop
from typing import Any, Final

from wgpy.address import HostPort, is_address, parse_host_port, parse_prefix
from wgpy.model import AllowedIPChange
from wgpy.number import MAX_UINT32, parse_fwmark, parse_number, parse_port, parse_uint16

InterfaceAddress = IPv4Interface | IPv6Interface


def read_mtu(text: str) -> int | None:
    return _ip_number(text, 68, 65535) if text else None


def _ip_number(text: str, lowest: int, highest: int) -> int:
    """Read a number as `ip` does: decimal, 0x hexadecimal, or octal after a 0."""
    digits = text.removeprefix("+").lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    number = -1
    if digits.isascii() and digits.isalnum():
        with suppress(ValueError):
            number = int(digits, base)
    return parse_number(str(number), lowest, highest)


def read_keepalive(text: str) -> int:
    try:
        return 0 if text.lower() == "off" else parse_uint16(text)
    except ValueError as error:
        raise ValueError(f"{error}, in seconds, or `off`") from None


def read_fwmark(text: str) -> int:
    if text.lower() == "off":
        return 0
    if not text:
        raise ValueError("want a number, decimal or 0x hexadecimal, or `off`")
    return parse_fwmark(re.sub("^0[xX]0+(?=.)", "0x", text))


def read_table(text: str) -> str | None:
    if not text:
        return None
    if text.lower() in ("auto", "off", "main"):
        return text.lower()
    try:
        return str(_ip_number(text, 0, MAX_UINT32) or "main")  # as the kernel reads 0
    except ValueError:
        if not _TABLE_NAME.fullmatch(text):
            raise ValueError("want `auto`, `off`, or the name or number of a routing table") from None
        return text


_TABLE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")  # a number that ip would misread is no name


def read_port(text: str) -> int:
    """Read a number, or the name of a UDP service, as wg does."""
    try:
        return getservbyname(text, "udp") if text[:1].isalpha() and text.isascii() else parse_port(text)
    except (OSError, ValueError):
        raise ValueError("want a whole number from 0 to 65535") from None


def read_endpoint(text: str) -> HostPort:
    """Read HOST:PORT as wg does: an IPv6 address needs no brackets, a port may be a UDP service."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    with suppress(OSError, ValueError):
        port = str(read_port(port))
    if _DIGITS_AND_DOTS.fullmatch(host):
        with suppress(OSError):
            host = inet_ntop(AF_INET, inet_aton(host))
    return parse_host_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def read_save_config(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("want `true` or `false`")
    return text.lower() == "true"


def read_command(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _items(text: str) -> list[str]:
    return text.replace(",", " ").split()


def read_addresses(text: str) -> tuple[InterfaceAddress, ...]:
    try:
        if re.search("/0[0-9]", text):
            raise ValueError("octal, to `ip`")
        return tuple(map(ip_interface, _items(text)))
    except ValueError:
        raise ValueError("want addresses with prefix lengths: 10.0.0.1/24, fd00::1/64") from None


def read_dns(text: str) -> tuple[str, ...]:
    for item in _items(text):
        is_domain = _DOMAIN.fullmatch(item) and not _DIGITS_AND_DOTS.fullmatch(item)
        if not is_domain and not is_address(item):
            raise ValueError("want addresses of name servers, and search domains, with commas between")
    return tuple(_items(text))


def read_allowed_ips(text: str) -> tuple[AllowedIPChange, ...]:
    return tuple(map(_allowed_ip, _items(re.sub(r"\s*/\s*", "/", text))))


def _allowed_ip(text: str) -> AllowedIPChange:
    prefix = text[1:] if text.startswith(("+", "-")) else text
    if "/" not in prefix:
        prefix += "/128" if ":" in prefix else "/32"
    return AllowedIPChange(parse_prefix(_LEADING_ZEROS.sub("/", prefix)), text.startswith("-"))


_LEADING_ZEROS: Final = re.compile("/0+(?=[0-9])")


_DIGITS_AND_DOTS: Final = re.compile(r"[0-9.]+")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_~.][A-Za-z0-9_.-]*")


def read_key(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ValueError("want a key: 44 characters of base64, as `wgpy genkey` prints") from None

    return parse
