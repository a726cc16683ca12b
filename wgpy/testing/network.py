"""A network of datagrams that loses, delays, reorders, duplicates and damages them as its seed says.

Invariant: whatever happens to a datagram is drawn from the one `random.Random` given, in the order of
sending; a seed therefore gives the same network again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

from wgpy.contract.constants import MILLISECOND, SECOND
from wgpy.contract.endpoint import Endpoint

from .clock import Timeline

_FIRST_NAT_PORT: Final = 1024
_LAST_PORT: Final = 65535


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


@dataclass(slots=True)
class _Mapping:
    port: int
    contacted: dict[str, int] = field(default_factory=dict)  # remote address: when a datagram last passed


class Nat:
    """Private addresses behind a public one: mappings time out, and admit only addresses they contacted."""

    def __init__(self, address: str, random: Random, timeout: int = 30 * SECOND) -> None:
        self.address = address
        self._random = random
        self._timeout = timeout
        self._mappings: dict[tuple[str, int], _Mapping] = {}
        self._private: dict[int, tuple[str, int]] = {}

    def rebind(self) -> None:
        """Forget every mapping, as after a power cut: the next datagram gets another port."""
        self._mappings.clear()
        self._private.clear()

    def outbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint:
        """The public source of a datagram that leaves; makes or refreshes its mapping."""
        private = (source.address, source.port)
        mapping = self._mappings.get(private)
        if mapping is None or self._is_idle(mapping, now):
            mapping = self._map(private)
        mapping.contacted[destination.address] = now
        return Endpoint(self.address, mapping.port)

    def inbound(self, source: Endpoint, port: int, now: int) -> Endpoint | None:
        """Where a datagram to this public port goes; None if nobody behind asked for it."""
        private = self._private.get(port)
        if private is None:
            return None
        mapping = self._mappings[private]
        last = mapping.contacted.get(source.address)
        if last is None or now - last > self._timeout:
            return None
        mapping.contacted[source.address] = now
        return Endpoint(*private)

    def _is_idle(self, mapping: _Mapping, now: int) -> bool:
        return all(now - last > self._timeout for last in mapping.contacted.values())

    def _map(self, private: tuple[str, int]) -> _Mapping:
        old = self._mappings.get(private)
        port = self._random.randint(_FIRST_NAT_PORT, _LAST_PORT)
        while port in self._private:
            port = self._random.randint(_FIRST_NAT_PORT, _LAST_PORT)
        if old is not None:
            del self._private[old.port]
        self._mappings[private] = _Mapping(port)
        self._private[port] = private
        return self._mappings[private]


class Network:
    """Carries datagrams between the addresses attached to it. `conditions` may change at any time."""

    def __init__(self, timeline: Timeline, random: Random, conditions: Conditions = PERFECT) -> None:
        self.conditions = conditions
        # For tests that lose exactly one message: true for a datagram that is to be lost.
        self.loses: Callable[[Flight], bool] = lambda _: False
        self._timeline = timeline
        self._random = random
        self._sockets: dict[tuple[str, int], Receive] = {}
        self._nats: dict[str, Nat] = {}  # by the private address behind it
        self._public: dict[str, Nat] = {}  # by its public address
        self._partition: frozenset[str] = frozenset()
        self._watchers: list[Callable[[Flight], None]] = []

    def attach(self, at: Endpoint, receive: Receive, nat: Nat | None = None) -> None:
        """Open a socket at an address, or replace the one that was there."""
        self._sockets[at.address, at.port] = receive
        if nat is not None:
            self._nats[at.address] = nat
            self._public[nat.address] = nat

    def detach(self, at: Endpoint) -> None:
        """Close a socket; what arrives there is lost."""
        self._sockets.pop((at.address, at.port), None)

    def watch(self, watcher: Callable[[Flight], None]) -> None:
        """Show every datagram that is sent from now on, lost or not."""
        self._watchers.append(watcher)

    def partition(self, addresses: frozenset[str]) -> None:
        """Cut these private addresses off from all others, until `heal`."""
        self._partition = addresses

    def heal(self) -> None:
        """End the partition, and every fault in `conditions`."""
        self._partition = frozenset()
        self.conditions = PERFECT

    def send(self, source: Endpoint, destination: Endpoint, data: bytes, tos: int = 0) -> None:
        """Send a datagram from a socket of a host."""
        now = self._timeline.now
        nat = self._nats.get(source.address)
        public = nat.outbound(source, destination, now) if nat is not None else source.without_source()
        flight = Flight(now, public, destination.without_source(), data, tos)
        for watcher in self._watchers:
            watcher(flight)
        if self.loses(flight):
            return
        copies = 2 if self._happens(self.conditions.duplication) else 1
        for _ in range(copies):
            if not self._happens(self.conditions.loss):
                self._carry(flight, source.address)

    def _carry(self, flight: Flight, sender: str) -> None:
        if self._happens(self.conditions.corruption):
            flight = flight._replace(data=_with_flipped_bit(flight.data, self._random))
        delay = self.conditions.delay
        if self.conditions.jitter:
            delay += self._random.randrange(self.conditions.jitter)
        self._timeline.call_after(delay, lambda: self._arrive(flight, sender))

    def _arrive(self, flight: Flight, sender: str) -> None:
        destination: Endpoint | None = flight.destination
        nat = self._public.get(flight.destination.address)
        if nat is not None:
            destination = nat.inbound(flight.source, flight.destination.port, self._timeline.now)
        if destination is None or (sender in self._partition) != (destination.address in self._partition):
            return
        receive = self._sockets.get((destination.address, destination.port))
        if receive is not None:
            receive(flight.data, flight.source, flight.tos)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share


def _with_flipped_bit(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    bit = random.randrange(8 * len(data))
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
