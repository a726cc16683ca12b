"""What a UDP socket does for a transport: datagrams with source addresses, ECN and marks. ip(7), ipv6(7)

Invariant: what comes in says at which of our addresses it came in, and an answer leaves from there. Outer
datagrams may be fragmented, so no path MTU is ever learnt here.
"""

import errno
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Final

from wgpy.contract.endpoint import Endpoint

from . import Received, port_sharing

MAX_DATAGRAM_SIZE: Final = 65535
_BUFFER: Final = 7 * 2**20  # each way: rides out a handshake or two; wireguard-go takes the same
_ENDPOINTS_REMEMBERED: Final = 1024

# linux/in.h and linux/in6.h, where the socket module of Python 3.11 does not have them
_IP_PKTINFO: Final = 8
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_DONT: Final = 0
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33
_UDP_GRO: Final = 104
_IPV4_INFO: Final = struct.Struct("=i4s4s")  # interface, address to send from, address it was sent to
_IPV6_INFO: Final = struct.Struct("=16si")
_INT: Final = struct.Struct("=i")

_Ancillary = tuple[tuple[int, int, bytes], ...]

# Errors that a source address of ours may be the cause of: it is gone, or the route left its interface.
_SOURCE_ERRORS: Final = {
    errno.EINVAL,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.EADDRNOTAVAIL,
    errno.ENODEV,
}
_NO_SUCH_FAMILY: Final = {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EADDRNOTAVAIL}


def send(udp: socket.socket, data: bytes, to: Endpoint, tos: int) -> bool:
    """As `Transport.send` does. Raises OSError."""
    address = (to.address, to.port, 0, to.scope_id) if to.is_ipv6 else (to.address, to.port)
    if not to.local_address:
        udp.sendmsg((data,), _ancillary("", to.is_ipv6, tos), 0, address)
        return True
    try:
        udp.sendmsg((data,), _ancillary(to.local_address, to.is_ipv6, tos), 0, address)
        return True
    except OSError as error:
        if error.errno not in _SOURCE_ERRORS:
            raise
    udp.sendmsg((data,), _ancillary("", to.is_ipv6, tos), 0, address)
    return False


def receive(udp: socket.socket, at_most: int) -> Iterable[Received]:
    """The datagrams that wait on this socket, the oldest first."""
    read = _read_ipv6 if udp.family == socket.AF_INET6 else _read_ipv4
    for _ in range(at_most):
        try:
            data, ancillary, _, address = udp.recvmsg(MAX_DATAGRAM_SIZE, _ANCILLARY_SIZE)
        except BlockingIOError:
            return
        except OSError:
            # An ICMP error of an earlier datagram; it says nothing about the next.
            continue
        source, tos = read(address, ancillary)
        yield Received(data, source, tos)


_ANCILLARY_SIZE: Final = (
    socket.CMSG_SPACE(_IPV6_INFO.size) + socket.CMSG_SPACE(_INT.size) + socket.CMSG_SPACE(64)
)


def _read_ipv4(address: tuple[str, int], ancillary: list[tuple[int, int, bytes]]) -> tuple[Endpoint, int]:
    tos, info = 0, b""
    for _, kind, value in ancillary:
        if kind == socket.IP_TOS:
            tos = value[0]
        elif kind == _IP_PKTINFO:
            info = value
    return _ipv4_endpoint(address, info), tos


@lru_cache(_ENDPOINTS_REMEMBERED)
def _ipv4_endpoint(address: tuple[str, int], info: bytes) -> Endpoint:
    interface, local, _ = _IPV4_INFO.unpack(info) if info else (0, b"", b"")
    return Endpoint(
        *address,
        local_address=socket.inet_ntop(socket.AF_INET, local) if local else "",
        local_interface=interface,
    )


def _read_ipv6(
    address: tuple[str, int, int, int], ancillary: list[tuple[int, int, bytes]]
) -> tuple[Endpoint, int]:
    tos, info = 0, b""
    for _, kind, value in ancillary:
        if kind == socket.IPV6_TCLASS:
            tos = _INT.unpack(value)[0]
        elif kind == socket.IPV6_PKTINFO:
            info = value
    host, port, _, scope_id = address  # without the flow label, which may change between datagrams
    return _ipv6_endpoint(host, port, scope_id, info), tos


@lru_cache(_ENDPOINTS_REMEMBERED)
def _ipv6_endpoint(host: str, port: int, scope_id: int, info: bytes) -> Endpoint:
    local, interface = _IPV6_INFO.unpack(info) if info else (b"", 0)
    return Endpoint(
        host, port, scope_id, socket.inet_ntop(socket.AF_INET6, local) if local else "", interface
    )


@lru_cache(_ENDPOINTS_REMEMBERED)
def _ancillary(local_address: str, ipv6: bool, tos: int) -> _Ancillary:
    """Source and TOS of an outgoing datagram, as ancillary data.

    The interface stays open: the route decides it, as in the kernel; only the address is ours to keep.
    """
    messages = []
    if tos and ipv6:
        messages.append((socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INT.pack(tos)))
    elif tos:
        messages.append((socket.IPPROTO_IP, socket.IP_TOS, _INT.pack(tos)))
    if local_address and ipv6:
        info = _IPV6_INFO.pack(socket.inet_pton(socket.AF_INET6, local_address), 0)
        messages.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info))
    elif local_address:
        info = _IPV4_INFO.pack(0, socket.inet_pton(socket.AF_INET, local_address), bytes(4))
        messages.append((socket.IPPROTO_IP, _IP_PKTINFO, info))
    return tuple(messages)


def open_if_there(family: socket.AddressFamily, port: int, *, alone: bool) -> socket.socket | None:
    """A bound socket, which shares its port; None if the host has no such address family.

    alone: nobody else has the port; else there is one of ours that shares it. Raises OSError.
    """
    try:
        if alone:
            # A port is shared by those alone that say so before they are bound: so one that does not tries.
            with _open(family) as udp:
                udp.bind(("", port))
                port = port_of(udp)
        return _open_shared(family, port)
    except OSError as error:
        if error.errno in _NO_SUCH_FAMILY:
            return None
        raise


def open_beside(udp: socket.socket) -> socket.socket:
    """Another one, with the port and the mark of one that shares its port. Raises OSError."""
    other = _open_shared(udp.family, port_of(udp))
    try:
        set_mark(other, mark_of(udp))
    except OSError:
        other.close()
        raise
    return other


def _open_shared(family: int, port: int) -> socket.socket:
    udp = _open(family)
    try:
        prepare(udp)
        port_sharing.share(udp)
        udp.bind(("", port))
    except OSError:
        udp.close()
        raise
    return udp


def _open(family: int) -> socket.socket:
    udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return udp


def prepare(udp: socket.socket) -> None:
    """Ask for what `receive` reads, fragment what is too long, and make room. Raises OSError."""
    (_prepare_ipv6 if udp.family == socket.AF_INET6 else _prepare_ipv4)(udp)
    _grow_buffers(udp)


def _prepare_ipv4(udp: socket.socket) -> None:
    udp.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    udp.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)


def _prepare_ipv6(udp: socket.socket) -> None:
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    udp.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT)


def _grow_buffers(udp: socket.socket) -> None:
    for by_force, within_limit in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            udp.setsockopt(socket.SOL_SOCKET, by_force, _BUFFER)
        except OSError:  # it needs CAP_NET_ADMIN where the socket was made; without, the host's limit holds
            udp.setsockopt(socket.SOL_SOCKET, within_limit, _BUFFER)


def join_datagrams(udp: socket.socket, join: bool = True) -> None:
    """Receive equally long datagrams as one, if the kernel can. udp(7), UDP_GRO"""
    with suppress(OSError):
        udp.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, int(join))


def port_of(udp: socket.socket) -> int:
    """0 if it is not bound."""
    return int(udp.getsockname()[1])


def mark_of(udp: socket.socket) -> int:
    return udp.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) & 0xFFFFFFFF


def set_mark(udp: socket.socket, mark: int) -> None:
    """Raises OSError, PermissionError without CAP_NET_ADMIN where the socket was made."""
    if mark_of(udp) != mark:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _INT.pack(_signed(mark)))


def _signed(mark: int) -> int:
    return mark - 2**32 if mark >= 2**31 else mark
