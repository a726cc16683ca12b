"""An attacker on the path: records what passes a bridge, and sends it again, late, damaged or from elsewhere.

Runs on the bridge's host as `attacker.py SECONDS SEED SECRET ADDRESS...`, ends by itself, and prints as JSON
    {"recorded": datagrams, "read": those of them with the secret, "sent": {ADDRESS: bytes in its name}}
where bytes are of IP packets. Of IPv4, and of WireGuard's port.
"""

import json
import random
import select
import socket
import sys
import time
from collections import Counter, deque
from ipaddress import IPv4Address
from struct import Struct
from typing import NamedTuple

_PORT = 51820
_ALL = 3  # linux/if_ether.h: ETH_P_ALL
_IPV4 = 0x0800
_LARGEST = 1500  # bytes; what is larger is several at once
_RECORDED = 2000
_PAUSE = 0.005  # seconds between forgeries
_ETHERNET = Struct(">6s6sH")
_IP = Struct(">BBHHHBBH4s4s")
_UDP = Struct(">HHHH")
_UDP_PROTOCOL = 17


class Datagram(NamedTuple):
    """As it was seen, with the addresses of both cards."""

    to_card: bytes
    from_card: bytes
    source: bytes
    destination: bytes
    ports: tuple[int, int]
    data: bytes


class Attacker:
    def __init__(self, chance: random.Random, addresses: list[bytes]) -> None:
        self._chance = chance
        self._addresses = addresses
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        self._bridge_ports: dict[bytes, str] = {}  # by the address of the card behind it
        self._recent: deque[Datagram] = deque(maxlen=_RECORDED)
        self.recorded: list[bytes] = []
        self.sent: Counter[bytes] = Counter()

    def work(self, seconds: float) -> None:
        end, next_forgery = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < end:
            if select.select([self._wire], [], [], _PAUSE)[0]:
                self._record(*self._wire.recvfrom(1 << 16))
            if now >= next_forgery and self._recent:
                self._forge(self._chance.choice(self._recent))
                next_forgery = now + _PAUSE

    def _record(self, frame: bytes, origin: tuple[str, int, int, int, bytes]) -> None:
        if origin[2] == socket.PACKET_OUTGOING or len(frame) > _LARGEST:
            return
        if (seen := _read(frame)) is not None:
            self._bridge_ports[seen.from_card] = origin[0]
            self._recent.append(seen)
            self.recorded.append(seen.data)
            if self._chance.random() < 0.3:
                self._send(seen)  # behind what comes after it

    def _forge(self, old: Datagram) -> None:
        data = bytearray(old.data)
        if self._chance.random() < 0.3:
            data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)
        source = self._chance.choice([old.source, *self._addresses])
        forged = old._replace(source=source, data=bytes(data))
        if self._chance.random() < 0.3:  # back to who sent it
            forged = forged._replace(
                to_card=old.from_card, destination=old.source, ports=(old.ports[0], old.ports[0])
            )
        self._send(forged)

    def _send(self, datagram: Datagram) -> None:
        if (bridge_port := self._bridge_ports.get(datagram.to_card)) is not None:
            frame = _frame(datagram)
            self._wire.sendto(frame, (bridge_port, _IPV4))
            self.sent[datagram.source] += len(frame) - _ETHERNET.size


def _read(frame: bytes) -> Datagram | None:
    """Return the datagram in a frame, None if there is none for or from WireGuard's port."""
    to_card, from_card, kind = _ETHERNET.unpack_from(frame)
    if kind != _IPV4 or frame[_ETHERNET.size] != 0x45:
        return None
    header = _IP.unpack_from(frame, _ETHERNET.size)
    if header[6] != _UDP_PROTOCOL:
        return None
    place = _ETHERNET.size + _IP.size
    source, destination, size, _ = _UDP.unpack_from(frame, place)
    data = frame[place + _UDP.size : place + size]
    is_meant = _PORT in (source, destination) and data
    return (
        Datagram(to_card, from_card, header[8], header[9], (source, destination), data) if is_meant else None
    )


def _frame(datagram: Datagram) -> bytes:
    """Return a frame, with no checksum of UDP. RFC 768, RFC 791"""
    size = _UDP.size + len(datagram.data)
    ends = datagram.source, datagram.destination
    head = _IP.pack(0x45, 0, _IP.size + size, 0, 0, 64, _UDP_PROTOCOL, 0, *ends)
    total = sum(int.from_bytes(head[place : place + 2]) for place in range(0, len(head), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + (total ^ 0xFFFF).to_bytes(2) + head[12:]
    ethernet = _ETHERNET.pack(datagram.to_card, datagram.from_card, _IPV4)
    return ethernet + head + _UDP.pack(*datagram.ports, size, 0) + datagram.data


def _main(seconds: str, seed: str, secret: str, *addresses: str) -> None:
    names = {IPv4Address(address).packed: address for address in addresses}
    attacker = Attacker(random.Random(int(seed)), list(names))
    attacker.work(float(seconds))
    read = sum(secret.encode() in data for data in attacker.recorded)
    sent = {name: attacker.sent[address] for address, name in names.items()}
    print(json.dumps({"recorded": len(attacker.recorded), "read": read, "sent": sent}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
