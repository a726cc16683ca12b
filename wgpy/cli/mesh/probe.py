"""What `why` tries by itself: pings inside of the tunnel, and the kernel's way of a packet.

Invariant: it waits a bounded time, whatever answers.
"""

import fcntl
import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from wgpy.address import Address, parse_endpoint
from wgpy.contract.endpoint import Endpoint
from wgpy.host.netlink import RouteLookup
from wgpy.node.agent_client import UdpAnswer

WAITING_TIME: Final = 6.0  # seconds: an initiation that gets lost is repeated after five
_OWN: Final = "lo"  # the interface by which a host reaches its own addresses
_INTERVAL: Final = 1.0
_ECHO: Final = struct.Struct(">BBHHH")  # type, code, checksum, identifier, sequence. RFC 792, RFC 4443
_QUESTIONS: Final = {4: 8, 6: 128}
_ANSWERS: Final = {4: 0, 6: 129}
_SIOCGIFFLAGS: Final = 0x8913
_IFREQ: Final = struct.Struct("=16sH22x")  # struct ifreq: name, flags
_IFF_UP: Final = 1
_READ_SIZE: Final = 2048


@dataclass(frozen=True, slots=True)
class Way:
    """The route of a packet. interface: "" if there is no way, for which `error` is the reason."""

    interface: str
    gateway: str
    error: str

    def __str__(self) -> str:
        if self.error:
            return f"no way: {self.error}"
        return f"by {self.interface}" + (f", gateway {self.gateway}" if self.gateway else "")


def way_to(address: str, mark: int = 0) -> Way:
    """Ask the kernel. address: numeric, perhaps with a zone; mark: of the packet."""
    host, _, zone = address.partition("%")
    with closing(RouteLookup()) as routes:
        found = routes.way(Endpoint(host, 0, int(zone or 0)), mark)
    try:
        name = socket.if_indextoname(found.interface) if found.interface else ""
    except OSError:  # it was deleted in this moment
        name = ""
    return Way(name, found.gateway, found.error or ("" if name else "the interface is gone"))


def from_others(answers: Iterable[UdpAnswer], mark: int = 0) -> tuple[UdpAnswer, ...]:
    """Leave out what addresses of this host itself answered. mark: of the questions."""
    return tuple(
        answer
        for answer in answers
        if way_to(parse_endpoint(answer.endpoint).address, mark).interface != _OWN
    )


def is_up(interface: str) -> bool:
    """Return whether an interface of this host is up. netdevice(7)"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, _IFREQ.pack(interface.encode(), 0))
        except OSError:  # it is gone
            return False
    return bool(_IFREQ.unpack(answer)[1] & _IFF_UP)


def ping(address: Address, seconds: float = WAITING_TIME) -> float | None:
    """Return the milliseconds of the first answer, None if none comes in so many seconds. Raises OSError."""
    protocol = socket.IPPROTO_ICMP if address.version == 4 else socket.IPPROTO_ICMPV6
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as icmp:
        icmp.connect((str(address), 0))
        return _ping(icmp, address.version, time.monotonic() + seconds)


def connect(address: Address, port: int, seconds: float = WAITING_TIME) -> tuple[float | None, bool]:
    """Return the milliseconds of the answer to a connection, None without one, and whether it was refused."""
    began = time.monotonic()
    refused = False
    try:
        socket.create_connection((str(address), port), seconds).close()
    except ConnectionRefusedError:
        refused = True
    except OSError:  # too late, or an ICMP error came
        return None, False
    return 1000 * (time.monotonic() - began), refused


def _ping(icmp: socket.socket, version: int, end: float) -> float | None:
    """Raises OSError."""
    identifier = int.from_bytes(os.urandom(2), "big")
    sent: dict[int, float] = {}
    while (now := time.monotonic()) < end:
        sequence = len(sent)
        sent[sequence] = now
        icmp.send(_question(version, identifier, sequence))
        pause = min(now + _INTERVAL, end)
        while (left := pause - time.monotonic()) > 0 and select.select([icmp], [], [], left)[0]:
            answered = _answered(icmp.recv(_READ_SIZE), version, identifier)
            if answered is not None and answered in sent:
                return (time.monotonic() - sent[answered]) * 1000
    return None


def _question(version: int, identifier: int, sequence: int) -> bytes:
    """The kernel computes the checksum for IPv6, and not for IPv4. RFC 3542 section 3.1"""
    kind = _QUESTIONS[version]
    total = (kind << 8) + identifier + sequence
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF if version == 4 else 0
    return _ECHO.pack(kind, 0, checksum, identifier, sequence)


def _answered(data: bytes, version: int, identifier: int) -> int | None:
    """Return the sequence of an echo reply to us; the header of IPv4 comes before it. raw(7)"""
    message = data[(data[0] & 15) * 4 :] if version == 4 and data else data
    if len(message) < _ECHO.size:
        return None
    kind, _, _, found, sequence = _ECHO.unpack_from(message)
    return sequence if (kind, found) == (_ANSWERS[version], identifier) else None
