"""A NAT of a kind that Linux is not: the boxes of wgpy.testing.nat, for real datagrams.

Runs on the router as `natbox.py INSIDE ADDRESS KIND UNANSWERED ANSWERED`, until it is ended: of what the
kernel routes into its TUN it translates UDP by IPv4, and gives it back. KIND is the name of one in
wgpy.testing.nat, perhaps with "+hairpin"; the lifetimes of its flows are in seconds. At SIGHUP it forgets
every mapping. See `topologies.put_nat`.
"""

import os
import random
import signal
import sys
import threading
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from struct import Struct

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.host.bootclock import boottime
from wgpy.host.tun import Tun
from wgpy.testing import nat
from wgpy.testing.nat import Nat

TUN = "nat0"
_IP = Struct(">BBHHHBBH4s4s")
_UDP = Struct(">HHHH")
_DONT_FRAGMENT = 0x4000
_UDP_PROTOCOL = 17


def _translated(packet: bytes, box: Nat, inside: IPv4Network, now: int) -> bytes | None:
    """Return the packet as it leaves; None if it is dropped."""
    if len(packet) < _IP.size + _UDP.size or packet[0] >> 4 != 4 or packet[9] != _UDP_PROTOCOL:
        return None
    header = _IP.unpack_from(packet)
    size = 4 * (header[0] & 0xF)
    ports = _UDP.unpack_from(packet, size)
    source = Endpoint(str(IPv4Address(header[8])), ports[0])
    destination = Endpoint(str(IPv4Address(header[9])), ports[1])
    if IPv4Address(source.address) in inside:
        source = box.outbound(source, destination, now)
    led_to = box.inbound(source, destination, now) if destination.address == box.address else destination
    if led_to is None:
        return None
    return _packet(packet[size + _UDP.size :], source, led_to, tos=header[1], ttl=header[5] - 1)


def _packet(data: bytes, source: Endpoint, destination: Endpoint, tos: int, ttl: int) -> bytes:
    """Return an IPv4 packet with its checksums: a NAT64 drops what has none of UDP. RFC 768, RFC 791"""
    size = _UDP.size + len(data)
    ends = source.packed()[:4], destination.packed()[:4]
    head = _IP.pack(0x45, tos, _IP.size + size, 0, _DONT_FRAGMENT, ttl, _UDP_PROTOCOL, 0, *ends)
    head = head[:10] + _checksum(head).to_bytes(2) + head[12:]
    pseudo = b"".join(ends) + bytes((0, _UDP_PROTOCOL)) + size.to_bytes(2)
    fields = source.port, destination.port, size
    checksum = _checksum(pseudo + _UDP.pack(*fields, 0) + data) or 0xFFFF
    return head + _UDP.pack(*fields, checksum) + data


def _checksum(data: bytes) -> int:
    """RFC 1071. 2^16 is 1 modulo 0xFFFF, so all words are summed at once."""
    total = int.from_bytes(data + bytes(len(data) % 2))
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def _main(inside: str, address: str, kind: str, unanswered: str, answered: str) -> None:
    name, _, hairpin = kind.partition("+")
    times = {"unanswered": int(unanswered) * SECOND, "answered": int(answered) * SECOND}
    chosen = replace(getattr(nat, name), hairpin=bool(hairpin), **times)
    box, network = Nat(address, random.Random(), chosen), IPv4Network(inside)
    forget = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: forget.set())
    fd = os.dup(Tun.open(TUN).fileno())
    os.set_blocking(fd, True)
    while True:
        data = os.read(fd, 1 << 16)
        if forget.is_set():  # and not in the handler, in the middle of a translation
            forget.clear()
            box.rebind()
        packet = _translated(data, box, network, boottime())
        if packet is not None:
            os.write(fd, packet)


if __name__ == "__main__":
    _main(*sys.argv[1:])
