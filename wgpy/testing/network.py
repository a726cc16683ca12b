"""A network of datagrams that loses, delays, reorders, duplicates and damages them as its seed says.

Invariant: whatever happens to a datagram is drawn from the one `random.Random` given, in the order of
sending; a seed therefore gives the same network again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple, cast

from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint

from .clock import Timeline
from .nat import Box, Nat64


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the network does to datagrams. Shares are probabilities, times are ns.

    Each datagram takes `delay` and up to `jitter` more; jitter beyond the gap between two reorders them.
    """

    delay: int = 10 * MILLISECOND
    jitter: int = 0
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0


PERFECT: Final = Conditions()


class Flight(NamedTuple):
    """A datagram on its way, as seen between the sender's NAT and the receiver's."""

    sent_at: int
    source: Endpoint
    destination: Endpoint
    data: bytes
    tos: int


Receive = Callable[[bytes, Endpoint, int], None]
"""A host's socket: called with a datagram, where it came from, and its TOS byte."""


class Network:
    """Carries datagrams between the addresses attached to it. `conditions` may change at any time.

    Addresses mean something within what they are attached to: the network itself, or what is behind a box.
    """

    def __init__(self, timeline: Timeline, random: Random, conditions: Conditions = PERFECT) -> None:
        self.conditions = conditions
        # For tests that lose exactly one message: true for a datagram that is to be lost.
        self.loses: Callable[[Flight], bool] = lambda _: False
        self._timeline = timeline
        self._random = random
        self._sockets: dict[tuple[Box | None, str, int], Receive] = {}
        self._boxes: dict[tuple[Box | None, str], Box] = {}  # by where its outer address is, and that
        self._stalls: dict[tuple[Box | None, str, int], int] = {}  # until when a socket is not read
        self._partition: frozenset[str] = frozenset()
        self._watchers: list[Callable[[Flight], None]] = []

    def attach(self, at: Endpoint, receive: Receive, behind: Box | None = None) -> None:
        """Open a socket at an address, or replace the one that was there."""
        self._sockets[behind, at.address, at.port] = receive
        address = at.address
        while behind is not None:
            address = behind.outer(address)
            self._boxes[behind.behind, address] = behind
            behind = behind.behind

    def detach(self, at: Endpoint, behind: Box | None = None) -> None:
        """Close a socket; what arrives there is lost."""
        self._sockets.pop((behind, at.address, at.port), None)

    def stall(self, at: Endpoint, until: int, behind: Box | None = None) -> None:
        """Have nobody read a socket until then, as on a host that is busy; what arrives waits, in order."""
        self._stalls[behind, at.address, at.port] = until

    def watch(self, watcher: Callable[[Flight], None]) -> None:
        """Show every datagram that is sent from now on and leaves its sender's boxes, lost or not."""
        self._watchers.append(watcher)

    def partition(self, addresses: frozenset[str]) -> None:
        """Cut these private addresses off from all others, until `heal`."""
        self._partition = addresses

    def heal(self) -> None:
        """End the partition, and every fault in `conditions`."""
        self._partition = frozenset()
        self.conditions = PERFECT

    def send(
        self, source: Endpoint, destination: Endpoint, data: bytes, tos: int = 0, behind: Box | None = None
    ) -> None:
        """Send a datagram from a socket of a host. behind: what the host is behind."""
        now = self._timeline.now
        seen: Endpoint | None = source.without_source()
        while behind is not None and seen is not None and not self._is_within(behind, destination):
            seen = behind.outbound(seen, destination, now)
            destination = behind.led_to(destination) if isinstance(behind, Nat64) else destination
            behind = behind.behind
        if seen is None:
            return
        flight = Flight(now, seen, destination.without_source(), data, tos)
        for watcher in self._watchers:
            watcher(flight)
        if self.loses(flight):
            return
        copies = 2 if self._happens(self.conditions.duplication) else 1
        for _ in range(copies):
            if not self._happens(self.conditions.loss):
                self._carry(flight, behind, source.address)

    def _is_within(self, behind: Box, destination: Endpoint) -> bool:
        """Whether an address is on the sender's side of a box."""
        is_host = (behind, destination.address, destination.port) in self._sockets
        return is_host or (behind, destination.address) in self._boxes

    def _carry(self, flight: Flight, behind: Box | None, sender: str) -> None:
        if self._happens(self.conditions.corruption):
            flight = flight._replace(data=_with_flipped_bit(flight.data, self._random))
        delay = self.conditions.delay
        if self.conditions.jitter:
            delay += self._random.randrange(self.conditions.jitter)
        self._timeline.call_after(delay, lambda: self._arrive(flight, behind, sender))

    def _arrive(self, flight: Flight, behind: Box | None, sender: str) -> None:
        source, destination = flight.source, cast(Endpoint | None, flight.destination)
        while destination is not None and (box := self._boxes.get((behind, destination.address))):
            destination, behind = box.inbound(source, destination, self._timeline.now), box
            source = box.shown(source) if isinstance(box, Nat64) else source
        if destination is None or (sender in self._partition) != (destination.address in self._partition):
            return
        self._deliver((behind, destination.address, destination.port), flight, source)

    def _deliver(self, at: tuple[Box | None, str, int], flight: Flight, source: Endpoint) -> None:
        if (until := self._stalls.get(at, 0)) > self._timeline.now:
            self._timeline.call_at(until, lambda: self._deliver(at, flight, source))
        elif receive := self._sockets.get(at):
            receive(flight.data, source, flight.tos)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share


def _with_flipped_bit(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    bit = random.randrange(8 * len(data))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
