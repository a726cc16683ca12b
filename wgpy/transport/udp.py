"""The first transport: UDP sockets for IPv4 and IPv6 on the same port, our own or handed in.

Invariant: a failure leaves open, and as they were, the descriptors that were handed in, and no others.
"""

import errno
import os
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import StateError

from . import Received, port_sharing, udp_socket

_PORT_TRIES: Final = 32
_SO_NETNS_COOKIE: Final = 71  # asm-generic/socket.h
_COOKIE_SIZE: Final = 8

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)

_Pair = tuple[socket.socket | None, socket.socket | None]


class UdpTransport:
    """Implements `Transport` with a socket for each family, or for one of them; or with several such pairs.

    Among pairs the kernel divides what comes in, by source and destination.
    """

    def __init__(self, pairs: Sequence[_Pair], *, adopted: bool = False, divided: bool = False) -> None:
        """Takes bound sockets over: see `open_udp`, `adopt_udp` and `inherit_udp`."""
        self._pairs = pairs
        self._adopted = adopted
        self._is_divided, self._joins = divided, False
        self._is_former, self._is_next = False, divided
        self._sockets = {udp.fileno(): udp for pair in pairs for udp in pair if udp is not None}
        self.is_routed_here = not adopted or all(map(_is_of_this_namespace, self._sockets.values()))

    @property
    def port(self) -> int:
        return udp_socket.port_of(next(iter(self._sockets.values())))

    @property
    def mark(self) -> int:
        return udp_socket.mark_of(next(iter(self._sockets.values())))

    def filenos(self) -> list[tuple[int, int]]:
        return [(_fileno(ipv4), _fileno(ipv6)) for ipv4, ipv6 in self._pairs]

    def receive(self, fileno: int, at_most: int) -> Iterable[Received]:
        return udp_socket.receive(self._sockets[fileno], at_most)

    def send(self, data: bytes, to: Endpoint, tos: int) -> bool:
        udp = self._pairs[0][to.is_ipv6]
        if udp is None:
            raise OSError(errno.EAFNOSUPPORT, "this host has no such address family")
        return udp_socket.send(udp, data, to, tos)

    def configured(self, port: int | None, mark: int) -> "UdpTransport":
        if self._adopted and port not in (None, 0, self.port):
            raise StateError(f"the sockets handed in have port {self.port} for good: hand in others")
        if self._adopted or port in (None, self.port):
            self.set_mark(mark)
            return self
        return open_udp(port or 0, mark, pairs=len(self._pairs))

    def set_mark(self, mark: int) -> None:
        """On all of them. Raises OSError or StateError, and then none has changed."""
        before = {udp: udp_socket.mark_of(udp) for udp in self._sockets.values()}
        try:
            for udp in before:
                udp_socket.set_mark(udp, mark)
        except OSError as error:
            for udp, old in before.items():
                udp_socket.set_mark(udp, old)
            if self._adopted and isinstance(error, PermissionError):
                raise StateError(
                    "the sockets handed in take no fwmark from here: set it where they are made"
                ) from None
            raise

    def join_datagrams(self) -> None:
        self._joins = True
        self._join()

    def _join(self) -> None:
        """What is joined goes where its first datagram goes: so nothing is, of a port that is divided."""
        for udp in self._sockets.values():
            udp_socket.join_datagrams(udp, self._joins and not self._is_divided)

    # -- A port that two processes share, see `port_sharing` -------------------------------------------

    def open_next(self) -> list[int]:
        """Return as many sockets again on this port, for `inherit_udp`; until `divide` they receive nothing.

        Raises OSError, also for sockets that cannot share their port; then nothing has changed.
        """
        opened: list[socket.socket] = []
        try:
            self.keep_all()
            self._is_divided = True
            self._join()
            for udp in self._sockets.values():
                port_sharing.share(udp)
                opened.append(udp_socket.open_beside(udp))
        except OSError:
            for udp in opened:
                udp.close()
            self.end_division()
            raise
        return [udp.detach() for udp in opened]

    def keep_all(self) -> None:
        """Leave nothing to other sockets on this port, before `divide` and also after it. Raises OSError."""
        for udp in self._first_sockets():
            port_sharing.keep_all(udp, len(self._pairs))
        self._is_former = False

    def divide(self, block: int) -> None:
        """Leave to those next sockets what begins something or has an index of this block. Raises OSError.

        The first of them gets it all, until `end_division` there.
        """
        for udp in self._first_sockets():
            port_sharing.divide(udp, len(self._pairs), block)
        self._is_former = True

    def end_division(self) -> None:
        """Have the port alone again. Harmless when repeated. Raises OSError.

        The other process has ended; its sockets may still be there for some moments, and get nothing.
        """
        for udp in self._first_sockets():
            choose = port_sharing.pass_by if self._is_next else port_sharing.keep_all
            choose(udp, len(self._pairs))
        if len(self._pairs) == 1:
            for udp in self._sockets.values():
                port_sharing.share(udp, on=False)
        self._is_divided = self._is_former = self._is_next = False
        self._join()

    def _first_sockets(self) -> list[socket.socket]:
        return [udp for udp in self._pairs[0] if udp is not None]

    def close(self) -> None:
        if self._is_former:
            for udp in self._first_sockets():
                with suppress(OSError):  # it is closed already
                    port_sharing.pass_by(udp, len(self._pairs))
        for udp in self._sockets.values():
            udp.close()


def _fileno(udp: socket.socket | None) -> int:
    return -1 if udp is None else udp.fileno()


def _is_of_this_namespace(udp: socket.socket) -> bool:
    """Whether it is of the network namespace that we are in; true where the kernel does not tell."""
    try:
        with socket.socket(udp.family, socket.SOCK_DGRAM) as ours:
            cookies = {
                each.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, _COOKIE_SIZE) for each in (udp, ours)
            }
    except OSError:
        return True
    return len(cookies) == 1


# -- Sockets of our own ----------------------------------------------------------------------------


def open_udp(port: int, mark: int, *, pairs: int = 1) -> UdpTransport:
    """On all addresses. port: 0 for any that is free; mark: 0 for none.

    Raises OSError; then nothing is open.
    """
    for tries_left in reversed(range(_PORT_TRIES if port == 0 else 1)):
        opened: list[socket.socket] = []
        try:
            transport = UdpTransport(_open_pairs(port, pairs, opened))
            transport.set_mark(mark)
            return transport
        except OSError as error:
            for udp in opened:
                udp.close()
            # The port that IPv4 was given may be taken for IPv6.
            if error.errno != errno.EADDRINUSE or not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _open_pairs(port: int, pairs: int, opened: list[socket.socket]) -> list[_Pair]:
    """opened: gets each socket as soon as it is open."""
    made = [_open_pair(port, opened) for _ in range(pairs)]
    if not opened:
        raise OSError(errno.EAFNOSUPPORT, "this host has neither IPv4 nor IPv6")
    if pairs == 1:
        for udp in opened:
            port_sharing.share(udp, on=False)
    return made


def _open_pair(port: int, opened: list[socket.socket]) -> _Pair:
    ipv4 = _open(socket.AF_INET, port, opened)
    return ipv4, _open(socket.AF_INET6, port, opened)


def _open(family: socket.AddressFamily, port: int, opened: list[socket.socket]) -> socket.socket | None:
    """On the port of those that are open, if there are any."""
    is_first = all(udp.family != family for udp in opened)
    port = udp_socket.port_of(opened[0]) if opened else port
    udp = udp_socket.open_if_there(family, port, alone=is_first)
    if udp is not None:
        opened.append(udp)
    return udp


def inherit_udp(filenos: Sequence[int]) -> UdpTransport:
    """Take over what `UdpTransport.open_next` of the process before opened.

    Its port is divided until `end_division`. Raises ValueError for other descriptors; then all are open.
    """
    sockets = [socket.socket(fileno=fileno) for fileno in filenos]
    try:
        return UdpTransport(_pairs_of(sockets), divided=True)
    except ValueError:
        for udp in sockets:
            udp.detach()
        raise


# -- Sockets that were handed in -------------------------------------------------------------------


def adopt_udp(filenos: Sequence[int]) -> UdpTransport:
    """Take over UDP sockets of one family or both, on one port; of each as many as the device has queues.

    They may be of another network namespace. What a user namespace other than theirs may not do with them,
    which is to set a mark and large buffers, stays as it is. Raises ValueError with a sentence, or OSError;
    then all descriptors are open and the caller's, as they were.
    """
    adopted: list[socket.socket] = []
    try:
        for fileno in filenos:
            adopted.append(_socket_of(fileno))  # noqa: PERF401 - known, should the next be refused
        pairs = _pairs_of(adopted)
        for udp in adopted:
            udp_socket.prepare(udp)
            udp_socket.join_datagrams(udp, False)
            udp.set_inheritable(False)
        return UdpTransport(pairs, adopted=True)
    except BaseException:
        for udp in adopted:
            udp.detach()
        raise


def _socket_of(fileno: int) -> socket.socket:
    """Raises ValueError unless the descriptor can be used."""
    try:
        udp = socket.socket(fileno=fileno)
    except (OSError, ValueError) as error:
        raise ValueError(f"descriptor {fileno} is no UDP socket: {error}") from None
    if fault := _fault_of(udp):
        udp.detach()
        raise ValueError(f"descriptor {fileno} {fault}")
    return udp


def _fault_of(udp: socket.socket) -> str | None:
    if udp.family not in (socket.AF_INET, socket.AF_INET6) or udp.proto != socket.IPPROTO_UDP:
        return "is no UDP socket of IPv4 or IPv6"
    if os.get_blocking(udp.fileno()):
        return "blocks: make it non-blocking first"
    if not udp_socket.port_of(udp):
        return "has no port: bind it first"
    if _is_connected(udp):
        return "is connected to one address: leave it unconnected"
    if udp.family == socket.AF_INET6 and not udp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return "takes IPv4 too: set IPV6_V6ONLY before binding it, and hand in another one for IPv4"
    return None


def _is_connected(udp: socket.socket) -> bool:
    try:
        udp.getpeername()
    except OSError:
        return False
    return True


def _pairs_of(sockets: Sequence[socket.socket]) -> list[_Pair]:
    """Raises ValueError unless they go together."""
    if not sockets:
        raise ValueError("no descriptors were handed in: want a UDP socket for IPv4, for IPv6, or for each")
    if len({udp.fileno() for udp in sockets}) < len(sockets):
        raise ValueError("a descriptor was handed in twice: want another one for each family and queue")
    ports = sorted({udp_socket.port_of(udp) for udp in sockets})
    if len(ports) > 1:
        raise ValueError(f"the sockets that were handed in have ports {ports}: bind them to the same")
    ipv4, ipv6 = ([udp for udp in sockets if udp.family == family] for family in _FAMILIES)
    if ipv4 and ipv6 and len(ipv4) != len(ipv6):
        raise ValueError(f"{len(ipv4)} sockets are for IPv4 and {len(ipv6)} for IPv6: want as many of each")
    return list(zip_longest(ipv4, ipv6))
