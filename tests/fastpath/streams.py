"""Consecutive packets of flows, as the tests of cutting and joining want them."""

import random
from dataclasses import replace

import pytest

from tests.fastpath.offloads import join
from tests.fastpath.superpackets import (
    UDP,
    Packet,
)

IP4 = Packet()
IP6 = Packet(source=bytes(15) + b"\x01", destination=bytes(15) + b"\x02")
KINDS = {
    "TCP over IPv4": IP4,
    "TCP over IPv6": IP6,
    "UDP over IPv4": replace(IP4, protocol=UDP),
    "UDP over IPv6": replace(IP6, protocol=UDP),
}
TIMESTAMPS = bytes.fromhex("0101080a0000000100000002")

kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def random_bytes(length: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(length)


def stream(kind: Packet, *lengths: int, **changes: object) -> list[Packet]:
    """Consecutive packets of a flow, with payloads of these lengths."""
    packets = []
    sequence, ident = kind.sequence, kind.id
    for i, length in enumerate(lengths):
        packet = replace(kind, payload=random_bytes(length, i), sequence=sequence % 2**32, id=ident % 2**16)
        packets.append(replace(packet, **changes))  # type: ignore[arg-type]
        sequence, ident = sequence + length, ident + 1
    return packets


def encoded(packets: list[Packet]) -> list[bytes]:
    return [packet.encode() for packet in packets]


def groups(packets: list[Packet]) -> list[list[int]]:
    return [handed.packets for handed in join(encoded(packets))]
