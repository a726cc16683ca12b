"""Pings at an even pace: a program that prints what came of them, as JSON.

Runs as `probe.py ADDRESS COUNT INTERVAL`, which prints the round trip of each in seconds, or as
`probe.py ADDRESS INTERVAL`, which ends with the first answer, and prints when it came by the monotonic clock.

Invariant: it sends when it is time, whatever has come back, and sleeps until then. The tool ping does not
sleep where pings are less than 10 ms apart: it takes a whole processor, and so disturbs what it measures.
"""

import itertools
import json
import select
import socket
import struct
import sys
from contextlib import suppress
from time import monotonic, perf_counter
from typing import Final

TIMEOUT: Final = 1.0  # seconds that an answer may take; a lost one counts as this
_REQUEST: Final = 8
_ANSWER: Final = 0
_IDENTIFIER: Final = 0x7767  # tells these from others' pings
_HEADER: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number; RFC 792
_SEQUENCES: Final = 1 << 16
_DATA: Final = bytes(48)
_OUTER: Final = 20  # bytes of the IPv4 header before what is received; a host's answer has no options


def probe(address: str, count: int, interval: float) -> list[float]:
    """Ping an IPv4 address, at most 65,536 times, and return the round trips in the order of the pings."""
    requests = [_request(number) for number in range(count)]
    times = [TIMEOUT] * count
    sent: list[float] = []
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        icmp.connect((address, 0))
        began = perf_counter()
        while answers < count:
            now = perf_counter()
            due = began + len(sent) * interval if len(sent) < count else sent[-1] + TIMEOUT
            if now < due:
                if select.select([icmp], [], [], due - now)[0]:
                    number = _answered(icmp.recv(2048))
                    if number is not None and number < len(sent) and times[number] == TIMEOUT:
                        times[number] = min(perf_counter() - sent[number], TIMEOUT)
                        answers += 1
            elif len(sent) < count:
                sent.append(now)
                with suppress(OSError):  # it is lost
                    icmp.send(requests[len(sent) - 1])
            else:
                break
    return times


def first_answer(address: str, interval: float) -> float:
    """Ping an IPv4 address, also while there is no way to it, and return when an answer came, in seconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        due = monotonic()
        for number in itertools.count():
            with suppress(OSError):
                icmp.sendto(_request(number % _SEQUENCES), (address, 0))
            due += interval
            while (left := due - monotonic()) > 0:
                if select.select([icmp], [], [], left)[0] and _answered(icmp.recv(2048)) is not None:
                    return monotonic()
    raise AssertionError("it counts forever")


def _request(number: int) -> bytes:
    words = (_REQUEST << 8) + _IDENTIFIER + number  # the sum of all that is not zero
    checksum = ~(words + (words >> 16)) & 0xFFFF
    return _HEADER.pack(_REQUEST, 0, checksum, _IDENTIFIER, number) + _DATA


def _answered(packet: bytes) -> int | None:
    """Return which ping a packet answers, if it answers one of these."""
    if len(packet) < _OUTER + _HEADER.size:
        return None
    kind, _, _, identifier, number = _HEADER.unpack_from(packet, _OUTER)
    return number if (kind, identifier) == (_ANSWER, _IDENTIFIER) else None


if __name__ == "__main__":
    match sys.argv[1:]:
        case [address, count, interval]:
            print(json.dumps(probe(address, int(count), float(interval))))
        case [address, interval]:
            print(first_answer(address, float(interval)))
