"""Ports of protocols, and their spelling: `5432/tcp`, `80,443/tcp`, `1000-2000/udp`, `53`, `icmp`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from wgpy.contract.constants import MAX_PORT

ICMP: Final = 1  # and ICMPv6 with it
TCP: Final = 6
UDP: Final = 17
_PROTOCOLS: Final = {"tcp": TCP, "udp": UDP, "icmp": ICMP}  # IANA's numbers
_NAMES: Final = {number: name for name, number in _PROTOCOLS.items()}
_WANTED: Final = "which is such as 5432/tcp, 80,443/tcp, 1000-2000/udp, 53 or icmp"
_BOTH: Final = (TCP, UDP)  # that ports without a protocol are of


@dataclass(frozen=True, slots=True, order=True)
class Ports:
    """Ports of a protocol, or all of it. protocol: ICMP, TCP or UDP; first, last: inclusive."""

    protocol: int
    first: int = 0
    last: int = MAX_PORT

    def __post_init__(self) -> None:
        if self.protocol not in _NAMES or not 0 <= self.first <= self.last <= MAX_PORT:
            raise ValueError(f"{self.first} to {self.last} of protocol {self.protocol} are no ports")
        if self.protocol == ICMP and not self.is_all:
            raise ValueError("icmp has no ports")

    def __str__(self) -> str:
        name = _NAMES[self.protocol]
        if self.is_all:
            return name
        return f"{self.first}/{name}" if self.first == self.last else f"{self.first}-{self.last}/{name}"

    @property
    def is_all(self) -> bool:
        return (self.first, self.last) == (0, MAX_PORT)

    def cover(self, other: "Ports") -> bool:
        """Return whether all of the other ones are among these."""
        return self.protocol == other.protocol and self.first <= other.first and other.last <= self.last


def parse_ports(text: str) -> tuple[Ports, ...]:
    """Read ports, several of them with commas between; a protocol is of all ports before it that have none.

    Without a protocol they are of TCP and UDP. Raises ValueError with a sentence.
    """
    found: list[Ports] = []
    waiting: list[tuple[int, int]] = []  # for their protocol
    for item in text.split(","):
        ports, slash, protocol = item.partition("/")
        if not slash and ports in _PROTOCOLS:
            found.append(Ports(_PROTOCOLS[ports]))
            continue
        waiting.append(_range(ports, text))
        if slash:
            found += (Ports(_protocol(protocol), *each) for each in waiting)
            waiting.clear()
    found += (Ports(protocol, *each) for each in waiting for protocol in _BOTH)
    return merged(found)


def ports_text(ports: Iterable[Ports]) -> str:
    """Return what `parse_ports` reads."""
    return ",".join(map(str, ports))


def merged(ports: Iterable[Ports]) -> tuple[Ports, ...]:
    """Return the same ports in their order, as few ranges as can be."""
    by_protocol = groupby(sorted(ports), attrgetter("protocol"))
    return tuple(each for _, group in by_protocol for each in _joined(group))


def _joined(ports: Iterable[Ports]) -> Iterator[Ports]:
    """ports: of one protocol, sorted."""
    before: Ports | None = None
    for each in ports:
        if before is not None and each.first > before.last + 1:
            yield before
            before = None
        before = each if before is None else Ports(each.protocol, before.first, max(before.last, each.last))
    if before is not None:
        yield before


def _range(text: str, whole: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = [_port(first, whole), _port(last if dash else first, whole)]
    if numbers[0] > numbers[1]:
        raise ValueError(f"{text} is no range of ports: the first one is greater than the last")
    return numbers[0], numbers[1]


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= MAX_PORT:
        raise ValueError(f"{whole or 'nothing'} is no list of ports, {_WANTED}")
    return int(text)


def _protocol(name: str) -> int:
    if name not in _PROTOCOLS:
        raise ValueError(f"{name or 'nothing'} is no protocol of a rule: want tcp, udp or icmp")
    return _PROTOCOLS[name]
