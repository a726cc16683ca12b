"""A bare rtnetlink client: hears that the network changed, and asks where a route leads. rtnetlink(7)

What changed is not read. Each listener reads what it needs again, so a burst that the
kernel cuts short (ENOBUFS) loses nothing.
"""

import errno
import os
import socket
import struct
from typing import Final, NamedTuple

from wgpy.contract.endpoint import Endpoint

from .netlink_message import (
    HEADER,
    INT,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    UINT,
    decode_attributes,
    encode_attribute,
    encode_message,
    read_port,
)

_RTM_NEWROUTE: Final = 24
_RTM_GETROUTE: Final = 26
_RTA_DST: Final = 1
_RTA_SRC: Final = 2
_RTA_IIF: Final = 3
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_MARK: Final = 16
# struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags
_ROUTE: Final = struct.Struct("=8BI")

# linux/rtnetlink.h: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, _ROUTE, _RULE, RTMGRP_IPV6_IFADDR, _ROUTE, _RULE, and
# RTNLGRP_IPV4_NETCONF and _IPV6_NETCONF, which tell of forwarding
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18 | 1 << 23 | 1 << 24
_READS_PER_TURN: Final = 256
_READ_SIZE: Final = 32768


class Way(NamedTuple):
    """The route of a packet, as the kernel chooses it.

    interface: index of the interface that the packet leaves by, 0 if there is no way; gateway: "" if its
    destination is on the link; error: why there is no way, "" if there is one; number: of the error.
    """

    interface: int
    gateway: str = ""
    error: str = ""
    number: int = 0


class NetworkMonitor:
    """A descriptor that is readable when a link, an address, a route or a rule of this namespace changed.

    Also when forwarding was turned on or off.
    """

    def __init__(self) -> None:
        self._socket = _open()
        self._socket.bind((0, _GROUPS))

    def fileno(self) -> int:
        return self._socket.fileno()

    def acknowledge(self) -> set[int]:
        """Forget what was heard; return the ports of whom the kernel did it for, 0 for its own cause.

        What was lost was for nobody that is known, so 0.
        """
        ports: set[int] = set()
        for _ in range(_READS_PER_TURN):
            try:
                ports.add(read_port(self._socket.recv(_READ_SIZE)))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                ports.add(0)
        return ports

    def close(self) -> None:
        self._socket.close()


class RouteLookup:
    """Asks the kernel for routes, without waiting: it answers within the request."""

    def __init__(self) -> None:
        self._socket = _open()
        self._sequence = 0

    def interface_towards(self, endpoint: Endpoint, mark: int) -> int | None:
        """The index of the interface that a datagram leaves by, sent from the endpoint's local address.

        None if there is no route, or the local address is none of ours.
        """
        return self.way(endpoint, mark).interface or None

    def way(self, endpoint: Endpoint, mark: int, arrives_by: int = 0) -> Way:
        """The way of a datagram to the endpoint, sent from the endpoint's local address if it has one.

        arrives_by: index of the interface by which it comes from there, 0 for one that this host sends.
        """
        self._sequence += 1
        try:
            self._socket.send(_encode_request(endpoint, mark, arrives_by, self._sequence))
            return _decode_way(self._socket.recv(_READ_SIZE), self._sequence)
        except OSError as error:
            number = error.errno or errno.EIO
            return Way(0, error=os.strerror(number), number=number)

    def close(self) -> None:
        self._socket.close()


def _open() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    return socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)


def _encode_request(endpoint: Endpoint, mark: int, arrives_by: int, sequence: int) -> bytes:
    family = socket.AF_INET6 if endpoint.is_ipv6 else socket.AF_INET
    destination = socket.inet_pton(family, endpoint.address)
    attributes = encode_attribute(_RTA_DST, destination)
    source_bits = 0
    if endpoint.local_address:
        attributes += encode_attribute(_RTA_SRC, socket.inet_pton(family, endpoint.local_address))
        source_bits = 8 * len(destination)
    if arrives_by:
        attributes += encode_attribute(_RTA_IIF, UINT.pack(arrives_by))
    if endpoint.scope_id:
        attributes += encode_attribute(_RTA_OIF, UINT.pack(endpoint.scope_id))
    if mark:
        attributes += encode_attribute(_RTA_MARK, UINT.pack(mark))
    route = _ROUTE.pack(family, 8 * len(destination), source_bits, 0, 0, 0, 0, 0, 0)
    return encode_message(_RTM_GETROUTE, NLM_F_REQUEST, sequence, route + attributes)


def _decode_way(answer: bytes, sequence: int) -> Way:
    """Raises OSError if the kernel has no way, or does not answer this question."""
    size, kind, _, answered, _ = HEADER.unpack_from(answer)
    if answered == sequence and kind == NLMSG_ERROR:
        raise OSError(-INT.unpack_from(answer, HEADER.size)[0], "no way")
    if answered != sequence or kind != _RTM_NEWROUTE:
        raise OSError(errno.EIO, "another answer")
    attributes = decode_attributes(answer[HEADER.size + _ROUTE.size : size])
    interface = int(UINT.unpack(attributes[_RTA_OIF])[0]) if _RTA_OIF in attributes else 0
    return Way(interface, _format_address(attributes.get(_RTA_GATEWAY, b"")))


def _format_address(packed: bytes) -> str:
    return (
        socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed) if packed else ""
    )
