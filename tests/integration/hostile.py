"""Datagrams that nobody should send; runs on any machine, with nothing but the standard library.

hostile.py junk ADDRESS PORT SEED               truncated, oversized and random datagrams of every type
hostile.py replay ADDRESS PORT COUNT            what leaves for this port, twice more, from another one
hostile.py flood ADDRESS PORT SEED PUBLIC_KEY   many initiations that look right to who does not decrypt them
"""

import base64
import hashlib
import random
import socket
import struct
import sys
from collections.abc import Callable

_SIZES = {1: 148, 2: 92, 3: 64, 4: 32}
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_OUTGOING = 4  # PACKET_OUTGOING
_INITIATIONS = 3000


def junk(address: str, port: int, seed: int) -> None:
    source = random.Random(seed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for kind, size in _SIZES.items():
            for length in (0, 1, 3, 4, size - 1, size, size + 1, 1500, 9000, 65507):
                header = struct.pack("<I", kind)[:length]
                for _ in range(5):
                    sender.sendto(header + source.randbytes(length - len(header)), (address, port))
        for _ in range(500):
            sender.sendto(source.randbytes(source.randrange(2000)), (address, port))


def replay(address: str, port: int, count: int) -> None:
    heard: list[bytes] = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as wire:
        print("listening", flush=True)
        while len(heard) < count:
            packet, (_, protocol, direction, *_) = wire.recvfrom(65535)
            if protocol == _ETH_P_IP and direction == _OUTGOING and (payload := _udp_payload(packet, port)):
                heard.append(payload)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in heard * 2:
            sender.sendto(payload, (address, port))


def _udp_payload(packet: bytes, port: int) -> bytes:
    """The datagram in an IPv4 packet that goes to the port, or nothing."""
    header = (packet[0] & 15) * 4
    is_udp = packet[9] == socket.IPPROTO_UDP
    if is_udp and struct.unpack_from(">H", packet, header + 2)[0] == port:
        return packet[header + 8 :]
    return b""


def flood(address: str, port: int, seed: int, public_key: str) -> None:
    source = random.Random(seed)
    mac1_key = hashlib.blake2s(b"mac1----" + base64.b64decode(public_key)).digest()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        print("flooding", flush=True)
        for _ in range(_INITIATIONS):
            message = struct.pack("<I", 1) + source.randbytes(112)
            mac1 = hashlib.blake2s(message, key=mac1_key, digest_size=16).digest()
            sender.sendto(message + mac1 + bytes(16), (address, port))


COMMANDS: dict[str, Callable[..., None]] = {"junk": junk, "replay": replay, "flood": flood}

if __name__ == "__main__":
    command, address, port, *rest = sys.argv[1:]
    COMMANDS[command](address, int(port), int(rest[0]), *rest[1:])
