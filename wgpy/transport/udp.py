"""The UDP sockets of one interface, IPv4 and IPv6 on one port, with source addresses and ECN. ip(7), ipv6(7)

Invariant: what comes in says at which of our addresses it came in, and an answer leaves from there. Outer
datagrams may be fragmented, so no path MTU is ever learnt here.
"""

import errno
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Final, NamedTuple

from wgpy.contract.endpoint import Endpoint

MAX_DATAGRAM_SIZE: Final = 65535
_BUFFER: Final = 7 * 2**20  # each way: rides out a handshake or two; wireguard-go takes the same
_PORT_TRIES: Final = 32
_ENDPOINTS_REMEMBERED: Final = 1024
_ECN: Final = 3

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


class Received(NamedTuple):
    """A datagram from the network. ecn: the ECN field of its outer header."""

    data: bytes
    source: Endpoint
    ecn: int


_Pair = tuple[socket.socket | None, socket.socket | None]


class UdpSockets:
    """One or both of an IPv4 and an IPv6 socket, on all addresses and one port; or several such pairs."""

    def __init__(self, port: int, mark: int, *, pairs: int = 1) -> None:
        """port: 0 for any that is free; mark: SO_MARK, 0 for none. Raises OSError; then nothing is open.

        pairs: of sockets, among which the kernel divides what comes in, by source and destination.
        """
        self._pairs: list[_Pair] = []
        for tries_left in reversed(range(_PORT_TRIES if port == 0 else 1)):
            try:
                self._open(port)
                for _ in range(pairs - 1):
                    self._open_beside()
                self.set_mark(mark)
                return
            except OSError as error:
                self.close()
                # The port that IPv4 was given may be taken for IPv6.
                if error.errno != errno.EADDRINUSE or not tries_left:
                    raise

    def _open(self, port: int) -> None:
        ipv4 = _open_if_there(socket.AF_INET, port)
        self._pairs = [(ipv4, None)]
        ipv6 = _open_if_there(socket.AF_INET6, port if ipv4 is None else self.port)
        self._pairs = [(ipv4, ipv6)]
        if not self.all():
            raise OSError(errno.EAFNOSUPPORT, "this host has neither IPv4 nor IPv6")

    def _open_beside(self) -> None:
        """Another pair on the same port. The first was bound alone: so nobody else had it."""
        for one in self.all():
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port = self.port
        ipv4, ipv6 = (one and _open_if_there(one.family, port, shared=True) for one in self._pairs[0])
        self._pairs.append((ipv4, ipv6))

    @property
    def port(self) -> int:
        return int(self.all()[0].getsockname()[1])

    def all(self) -> list[socket.socket]:
        """The sockets to watch."""
        return [one for pair in self._pairs for one in pair if one is not None]

    def filenos(self) -> list[tuple[int, int]]:
        """Of each pair those for IPv4 and IPv6, -1 where the host has none."""
        return [(_fileno(ipv4), _fileno(ipv6)) for ipv4, ipv6 in self._pairs]

    def join_datagrams(self) -> None:
        """Receive equally long datagrams as one, if the kernel can. udp(7), UDP_GRO"""
        for one in self.all():
            with suppress(OSError):
                one.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)

    def set_mark(self, mark: int) -> None:
        """Set SO_MARK on both. Raises OSError, and then neither has changed."""
        before = [_mark(one) for one in self.all()]
        try:
            for one, old in zip(self.all(), before, strict=True):
                if old != mark:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _INT.pack(_signed(mark)))
        except OSError:
            for one, old in zip(self.all(), before, strict=True):
                if _mark(one) != old:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _INT.pack(_signed(old)))
            raise

    def send(self, data: bytes, to: Endpoint, tos: int) -> bool:
        """Send from the endpoint's local address, or from any if that fails: then the answer is False.

        False says that the local address is no good any more. Raises OSError if the datagram was not sent.
        """
        ipv6 = to.is_ipv6
        one = self._pairs[0][ipv6]
        if one is None:
            raise OSError(errno.EAFNOSUPPORT, "this host has no such address family")
        address = (to.address, to.port, 0, to.scope_id) if ipv6 else (to.address, to.port)
        if not to.local_address:
            one.sendmsg((data,), _ancillary("", ipv6, tos), 0, address)
            return True
        try:
            one.sendmsg((data,), _ancillary(to.local_address, ipv6, tos), 0, address)
            return True
        except OSError as error:
            if error.errno not in _SOURCE_ERRORS:
                raise
        one.sendmsg((data,), _ancillary("", ipv6, tos), 0, address)
        return False

    def close(self) -> None:
        for one in self.all():
            one.close()
        self._pairs = [(None, None)]


def receive(one: socket.socket, at_most: int) -> Iterable[Received]:
    """The datagrams that wait on this socket, the oldest first."""
    read = _read_ipv6 if one.family == socket.AF_INET6 else _read_ipv4
    for _ in range(at_most):
        try:
            data, ancillary, _, address = one.recvmsg(MAX_DATAGRAM_SIZE, _ANCILLARY_SIZE)
        except BlockingIOError:
            return
        except OSError:
            # An ICMP error of an earlier datagram; it says nothing about the next.
            continue
        source, ecn = read(address, ancillary)
        yield Received(data, source, ecn)


_ANCILLARY_SIZE: Final = (
    socket.CMSG_SPACE(_IPV6_INFO.size) + socket.CMSG_SPACE(_INT.size) + socket.CMSG_SPACE(64)
)


def _read_ipv4(address: tuple[str, int], ancillary: list[tuple[int, int, bytes]]) -> tuple[Endpoint, int]:
    ecn, info = 0, b""
    for _, kind, value in ancillary:
        if kind == socket.IP_TOS:
            ecn = value[0] & _ECN
        elif kind == _IP_PKTINFO:
            info = value
    return _ipv4_endpoint(address, info), ecn


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
    ecn, info = 0, b""
    for _, kind, value in ancillary:
        if kind == socket.IPV6_TCLASS:
            ecn = _INT.unpack(value)[0] & _ECN
        elif kind == socket.IPV6_PKTINFO:
            info = value
    host, port, _, scope_id = address  # without the flow label, which may change between datagrams
    return _ipv6_endpoint(host, port, scope_id, info), ecn


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


def _open_if_there(family: socket.AddressFamily, port: int, *, shared: bool = False) -> socket.socket | None:
    """A bound socket, or None if the host has no such address family."""
    try:
        one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_SUCH_FAMILY:
            return None
        raise
    try:
        (_prepare_ipv6 if family == socket.AF_INET6 else _prepare_ipv4)(one)
        _grow_buffers(one)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(("", port))
    except OSError as error:
        one.close()
        if error.errno in _NO_SUCH_FAMILY:
            return None
        raise
    return one


def _prepare_ipv4(one: socket.socket) -> None:
    one.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    one.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    one.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)


def _prepare_ipv6(one: socket.socket) -> None:
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    one.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_DONT)


def _grow_buffers(one: socket.socket) -> None:
    for by_force, within_limit in (
        (_SO_RCVBUFFORCE, socket.SO_RCVBUF),
        (_SO_SNDBUFFORCE, socket.SO_SNDBUF),
    ):
        try:
            one.setsockopt(socket.SOL_SOCKET, by_force, _BUFFER)
        except OSError:  # it needs CAP_NET_ADMIN; without, the host's limit holds
            one.setsockopt(socket.SOL_SOCKET, within_limit, _BUFFER)


def _fileno(one: socket.socket | None) -> int:
    return -1 if one is None else one.fileno()


def _mark(one: socket.socket) -> int:
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) & 0xFFFFFFFF


def _signed(mark: int) -> int:
    return mark - 2**32 if mark >= 2**31 else mark
