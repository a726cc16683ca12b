"""Messages of SOCKS5: read and written, pure. RFC 1928

Names are asked of the tunnel's servers; so a client should send names, as with `socks5h://`.
"""

import socket
from enum import IntEnum
from errno import ECONNREFUSED, EHOSTUNREACH, ENETUNREACH
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from wgpy.contract.errors import WgpyError

VERSION: Final = 5
NO_AUTHENTICATION: Final = 0
PASSWORD: Final = 2
_PASSWORD_VERSION: Final = 1
_NONE_ACCEPTABLE: Final = 0xFF
_IPV4, _NAME, _IPV6 = 1, 3, 4
_UDP_HEADER: Final = 3  # two reserved bytes, and the number of the fragment


class Command(IntEnum):
    """What a client wants."""

    CONNECT = 1
    BIND = 2
    UDP_ASSOCIATE = 3


class Reply(IntEnum):
    """What came of it."""

    SUCCEEDED = 0
    FAILURE = 1
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    REFUSED = 5
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_NOT_SUPPORTED = 8


class Malformed(WgpyError, ValueError):
    """What came is no SOCKS5."""


class Target(NamedTuple):
    """An address or a name, and a port."""

    host: str
    port: int


_NOWHERE: Final = Target("0.0.0.0", 0)


def choose_method(offered: bytes, wanted: int) -> bytes:
    """Return the answer to the methods of authentication that a client offers."""
    return bytes((VERSION, wanted if wanted in offered else _NONE_ACCEPTABLE))


def write_password_reply(*, admitted: bool) -> bytes:
    """RFC 1929."""
    return bytes((_PASSWORD_VERSION, 0 if admitted else 1))


def address_size(kind: int, first: int) -> int:
    """Return how many bytes of a target follow its kind and the byte after that. Raises Malformed."""
    sizes = {_IPV4: 4 + 1, _IPV6: 16 + 1, _NAME: first + 2}
    if kind not in sizes:
        raise Malformed(f"there is no address of the kind {kind}")
    return sizes[kind]


def read_target(data: bytes) -> tuple[Target, bytes]:
    """Return a target, whose kind is the first byte, and what follows. Raises Malformed."""
    if len(data) < 2 or len(data) < (end := 2 + address_size(data[0], data[1])):
        raise Malformed("the target is cut off")
    port = int.from_bytes(data[end - 2 : end], "big")
    return Target(_read_host(data[0], data[1 : end - 2]), port), data[end:]


def _read_host(kind: int, data: bytes) -> str:
    if kind != _NAME:
        return str(IPv4Address(data) if kind == _IPV4 else IPv6Address(data))
    try:
        host = data[1:].decode("ascii")
    except UnicodeDecodeError:
        raise Malformed("the name is not ASCII") from None
    # Some clients send an address as a name, an IPv6 one in brackets.
    return host.removeprefix("[").removesuffix("]")


def write_target(host: str, port: int) -> bytes:
    """host: an address."""
    packed = ip_address(host.partition("%")[0]).packed
    return bytes((_IPV4 if len(packed) == 4 else _IPV6,)) + packed + port.to_bytes(2, "big")


def write_reply(reply: Reply, bound: Target = _NOWHERE) -> bytes:
    return bytes((VERSION, reply, 0)) + write_target(*bound)


def read_datagram(data: bytes) -> tuple[Target, bytes]:
    """Return whom a client's datagram is for, and its payload. Raises Malformed."""
    if len(data) < _UDP_HEADER or data[2]:
        raise Malformed("fragments are not supported")
    return read_target(data[_UDP_HEADER:])


def write_datagram(source: Target, payload: bytes) -> bytes:
    return bytes(_UDP_HEADER) + write_target(*source) + payload


def reply_to(error: OSError) -> Reply:
    """Return what tells the client why there is no connection."""
    if isinstance(error, socket.gaierror):
        return Reply.HOST_UNREACHABLE
    return _REPLIES.get(error.errno or 0, Reply.FAILURE)


_REPLIES: Final = {
    ECONNREFUSED: Reply.REFUSED,
    ENETUNREACH: Reply.NETWORK_UNREACHABLE,
    EHOSTUNREACH: Reply.NETWORK_UNREACHABLE,
}
