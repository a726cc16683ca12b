"""What a router sends to all hosts when it has started, or has another address outside.

Invariant: only what comes from that router counts, and nothing is answered.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Final

from wgpy.paths import nat_pmp, pcp

from .router import Router

_GROUP: Final = "224.0.0.1"
_PORT: Final = 5350
_IP_MULTICAST_ALL: Final = 49  # in the kernel's headers, and not in Python's module

# epoch of the router, and its address outside, None if it does not say
Listener = Callable[[int, IPv4Address | None], None]


class Announcements:
    """On the running loop."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._router: Router | None = None
        self._udp: socket.socket | None = None

    def listen(self, router: Router | None) -> None:
        """Listen to this router from now on, None for none. Without a socket there are no announcements."""
        if router != self._router:
            self.close()
            self._router = router
            if router is not None:
                with suppress(OSError):
                    self._udp = _open(router)
                    asyncio.get_running_loop().add_reader(self._udp.fileno(), self._receive)

    def close(self) -> None:
        self._router = None
        if self._udp is not None:
            asyncio.get_running_loop().remove_reader(self._udp.fileno())
            self._udp.close()
            self._udp = None

    def _receive(self) -> None:
        """Read one announcement."""
        if self._udp is None or self._router is None:
            return
        try:
            data, source = self._udp.recvfrom(pcp.MAX_SIZE + 1)
        except OSError:
            return
        if source == (str(self._router.address), pcp.PORT):
            self._read(data)

    def _read(self, data: bytes) -> None:
        found = nat_pmp.read_address(data)
        if isinstance(found, nat_pmp.OutsideAddress):
            self._listener(found.epoch, found.address)
        elif (epoch := pcp.read_announcement(data)) is not None:
            self._listener(epoch, None)


def _open(router: Router) -> socket.socket:
    """Raises OSError."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # other programs listen, too
        udp.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        udp.bind((_GROUP, _PORT))
        group = socket.inet_aton(_GROUP) + router.host.packed
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    except OSError:
        udp.close()
        raise
    return udp
