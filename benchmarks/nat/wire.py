"""What passes a host's network card: a program that runs on the host, and the reading of what it prints.

Runs as `wire.py CARD` until it is ended, and prints a line for each packet of UDP or TCP by IPv4: when it
passed in Unix time, `out` or `in`, `udp` or `tcp`, the other end, and its size in bytes.
"""

import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

READY: Final = "ready"
_ALL: Final = 3  # ETH_P_ALL
_IP: Final = 0x0800
_PROTOCOLS: Final = {socket.IPPROTO_UDP: "udp", socket.IPPROTO_TCP: "tcp"}


@dataclass(frozen=True, slots=True)
class Packet:
    """at: Unix time in seconds; protocol: udp or tcp; remote: the other end's address; size: bytes."""

    at: float
    is_outbound: bool
    protocol: str
    remote: str
    size: int


def read_packets(printed: str) -> list[Packet]:
    """Read what the program has printed; its last line may still be incomplete."""
    lines = printed.rpartition("\n")[0].splitlines()
    return [_packet(*line.split()) for line in lines if line != READY]


def _packet(at: str, way: str, protocol: str, remote: str, size: str) -> Packet:
    return Packet(float(at), way == "out", protocol, remote, int(size))


def _lines(card: str) -> Iterator[str]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL)) as wire:
        wire.bind((card, _ALL))
        yield READY
        while True:
            data, (_, kind, direction, *_rest) = wire.recvfrom(64)
            if kind == _IP and data[9] in _PROTOCOLS:
                is_outbound = direction == socket.PACKET_OUTGOING
                remote = socket.inet_ntoa(data[16:20] if is_outbound else data[12:16])
                way, size = "out" if is_outbound else "in", int.from_bytes(data[2:4])
                yield f"{time.time():.6f} {way} {_PROTOCOLS[data[9]]} {remote} {size}"


if __name__ == "__main__":
    for line in _lines(sys.argv[1]):
        print(line, flush=True)
