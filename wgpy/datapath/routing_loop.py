"""Recognises messages of this end that the host routes back into the interface: it would carry itself.

Invariant: what passes for a message of this end is one that was sent. Transport data names an index that the
peer chose for this end alone, a counter that was used, and goes to the peer's endpoint. A handshake message
is known by its random part. Another WireGuard's messages pass, also from the same port.
"""

from ipaddress import ip_address
from typing import Final

from wgpy.contract.constants import COOKIE_REPLY_SIZE, TRANSPORT_OVERHEAD
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerId, RoutingLoop
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.messages import TYPE_TRANSPORT, TransportData, message_type

from . import packet as ip
from .peer import Keypair

_UDP_HEADER: Final = 8
_REMEMBERED: Final = 64  # handshake messages, the newest
_RANDOM: Final = slice(12, 20)  # of any handshake message: part of an ephemeral key, or of a nonce


@dataclass(frozen=True, slots=True)
class _Message:
    """What a packet of UDP carries, and to where."""

    data: bytes
    address: bytes
    port: int

    def endpoint(self) -> Endpoint:
        return Endpoint(str(ip_address(self.address)), self.port)


class RoutingLoops:
    """Of one data path."""

    def __init__(self) -> None:
        self._keypairs: dict[int, list[Keypair]] = {}  # by remote index
        self._handshakes: dict[bytes, PeerId | None] = {}  # None: nobody need be told
        self._found: dict[PeerId, Endpoint] = {}

    def add(self, keypair: Keypair) -> None:
        self._keypairs.setdefault(keypair.remote_index, []).append(keypair)

    def remove(self, keypair: Keypair) -> None:
        same = self._keypairs[keypair.remote_index]
        same.remove(keypair)
        if not same:
            del self._keypairs[keypair.remote_index]

    def note_handshake(self, message: bytes, peer: PeerId | None) -> None:
        self._handshakes[message[_RANDOM]] = peer
        if len(self._handshakes) > _REMEMBERED:
            del self._handshakes[next(iter(self._handshakes))]

    def remove_peer(self, peer: PeerId) -> None:
        """Its handshake messages are still dropped; its keypairs are gone."""
        self._handshakes |= dict.fromkeys((one for one, to in self._handshakes.items() if to == peer), None)
        self._found.pop(peer, None)

    def take_events(self) -> list[RoutingLoop]:
        found, self._found = self._found, {}
        return [RoutingLoop(peer, endpoint) for peer, endpoint in found.items()]

    def find(self, packet: bytes) -> bool:
        """Whether a packet carries such a message; an event is raised once for each keypair and handshake."""
        message = _message(packet)
        if message is None or (kind := message_type(message.data)) is None:
            return False
        return self._find_sealed(message) if kind == TYPE_TRANSPORT else self._find_handshake(message)

    def _find_sealed(self, message: _Message) -> bool:
        if len(message.data) < TRANSPORT_OVERHEAD:
            return False
        _, index, counter = TransportData.LAYOUT.unpack_from(message.data)
        for keypair in self._keypairs.get(index, ()):
            if _sealed(keypair, counter, message):
                if not keypair.looped:
                    keypair.looped = True
                    self._found.setdefault(keypair.peer.id, message.endpoint())
                return True
        return False

    def _find_handshake(self, message: _Message) -> bool:
        random = message.data[_RANDOM]
        if len(message.data) < COOKIE_REPLY_SIZE or random not in self._handshakes:
            return False
        if (peer := self._handshakes[random]) is not None:
            self._handshakes[random] = None
            self._found.setdefault(peer, message.endpoint())
        return True


def _message(packet: bytes) -> _Message | None:
    """Return what a packet of UDP carries; None of another packet."""
    if not _may_be_udp(packet):
        return None
    view = ip.parse(packet)
    if view.protocol != ip.UDP or (transport := view.transport) is None:
        return None
    return _Message(transport[_UDP_HEADER:], view.destination, int.from_bytes(transport[2:4]))


def _may_be_udp(packet: bytes) -> bool:
    if packet[0] >> 4 == 4:
        return packet[9] == ip.UDP
    return packet[6] == ip.UDP or packet[6] in ip.EXTENSIONS


def _sealed(keypair: Keypair, counter: int, message: _Message) -> bool:
    endpoint = keypair.peer.endpoint
    if endpoint is None or counter >= keypair.counter:
        return False
    return (ip_address(endpoint.address).packed, endpoint.port) == (message.address, message.port)
