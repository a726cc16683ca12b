"""Recognises messages of this end that the host routes back into the interface: it would carry itself.

Invariant: what passes for a message of this end is one that was sent. Transport data names an index that the
peer chose for this end alone, a counter that was used, and goes to the peer's endpoint. A handshake message
is known by its random part. Another WireGuard's messages pass, also from the same port.
"""

from collections import deque
from ipaddress import ip_address
from typing import Final

from wgpy.contract.constants import COOKIE_REPLY_SIZE, TRANSPORT_OVERHEAD
from wgpy.contract.events import Event, RoutingLoop
from wgpy.contract.messages import TYPE_TRANSPORT, TransportData, message_type

from . import packet as ip
from .peer import Keypair

_UDP_HEADER: Final = 8
_REMEMBERED: Final = 64  # handshake messages, the newest
_RANDOM: Final = slice(12, 20)  # of any handshake message: part of an ephemeral key, or of a nonce


class RoutingLoops:
    """Of one data path."""

    def __init__(self) -> None:
        self._keypairs: dict[int, list[Keypair]] = {}  # by remote index
        self._handshakes: deque[bytes] = deque(maxlen=_REMEMBERED)

    def add(self, keypair: Keypair) -> None:
        self._keypairs.setdefault(keypair.remote_index, []).append(keypair)

    def remove(self, keypair: Keypair) -> None:
        same = self._keypairs[keypair.remote_index]
        same.remove(keypair)
        if not same:
            del self._keypairs[keypair.remote_index]

    def note_handshake(self, message: bytes) -> None:
        self._handshakes.append(message[_RANDOM])

    def find(self, packet: bytes, events: dict[Event, None]) -> bool:
        """Whether a packet carries such a message; an event is raised once a keypair."""
        message, to = _message(packet)
        if (kind := message_type(message)) is None or len(message) < TRANSPORT_OVERHEAD:
            return False
        if kind != TYPE_TRANSPORT:
            return len(message) >= COOKIE_REPLY_SIZE and message[_RANDOM] in self._handshakes
        _, index, counter = TransportData.LAYOUT.unpack_from(message)
        for keypair in self._keypairs.get(index, ()):
            if _sealed(keypair, counter, to):
                if not keypair.looped:
                    keypair.looped, events[RoutingLoop(keypair.peer.id)] = True, None
                return True
        return False


def _message(packet: bytes) -> tuple[bytes, tuple[bytes, int]]:
    """Return what a packet of UDP carries, and to where; nothing of another packet."""
    if _may_be_udp(packet):
        view = ip.parse(packet)
        if view.protocol == ip.UDP and (transport := view.transport) is not None:
            return transport[_UDP_HEADER:], (view.destination, int.from_bytes(transport[2:4]))
    return b"", (b"", 0)


def _may_be_udp(packet: bytes) -> bool:
    if packet[0] >> 4 == 4:
        return packet[9] == ip.UDP
    return packet[6] == ip.UDP or packet[6] in ip.EXTENSIONS


def _sealed(keypair: Keypair, counter: int, to: tuple[bytes, int]) -> bool:
    endpoint = keypair.peer.endpoint
    if endpoint is None or counter >= keypair.counter:
        return False
    return (ip_address(endpoint.address).packed, endpoint.port) == to
