"""Boxes between hosts and the network: NATs of every kind, and firewalls.

Invariant: a box sees a datagram only as it passes, and all it knows is when what passed; so what it lets in
follows from its kind, its table and the time. The terms are those of RFC 4787; times are nanoseconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random
from typing import Final, Protocol

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.nat import Dependence, PortAssignment
from wgpy.paths.nat64 import embedded

_FIRST_PORT: Final = 1024
_LAST_PORT: Final = 65535
_SETTLING_TIME: Final = 2 * SECOND  # Linux: a flow that is younger at its last packet is unanswered


@dataclass(frozen=True, slots=True)
class NatKind:
    """hairpin: whether hosts behind the NAT reach each other by its own address.

    takes_input: a datagram that nobody asked for holds its port for who sent it, as Linux does where nothing
    refuses it. unanswered, answered: how long a flow lives after its last datagram, without and with any the
    other way.
    """

    mapping: Dependence = Dependence.ENDPOINT_INDEPENDENT
    filtering: Dependence = Dependence.ADDRESS_DEPENDENT
    ports: PortAssignment = PortAssignment.RANDOM
    hairpin: bool = False
    takes_input: bool = False
    unanswered: int = 30 * SECOND
    answered: int = 120 * SECOND


_INDEPENDENT: Final = Dependence.ENDPOINT_INDEPENDENT
_BY_ADDRESS: Final = Dependence.ADDRESS_DEPENDENT
_BY_PORT: Final = Dependence.ADDRESS_AND_PORT_DEPENDENT
FULL_CONE: Final = NatKind(_INDEPENDENT, _INDEPENDENT)
ADDRESS_RESTRICTED: Final = NatKind(_INDEPENDENT, _BY_ADDRESS)
PORT_RESTRICTED: Final = NatKind(_INDEPENDENT, _BY_PORT)
SYMMETRIC_COUNTING: Final = NatKind(_BY_PORT, _BY_PORT, PortAssignment.COUNTING)
SYMMETRIC_RANDOM: Final = NatKind(_BY_PORT, _BY_PORT)
LINUX: Final = NatKind(_BY_PORT, _BY_PORT, PortAssignment.PRESERVED)  # masquerade; its input refuses


class Box(Protocol):
    """What stands between hosts and the rest. behind: the box that it is itself behind."""

    behind: "Box | None"

    def rebind(self) -> None:
        """Forget all, as after a power cut."""

    def outer(self, address: str) -> str:
        """Return by which address the outside reaches this inner one."""

    def outbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        """Return the source that the outside sees; None if the datagram is dropped."""

    def inbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        """Return where inside a datagram goes; None if it is dropped."""


@dataclass(slots=True)
class _Flow:
    """began, last: when its first and its last datagram passed; answered: whether any came back."""

    began: int
    last: int
    answered: bool = False

    def is_alive(self, kind: NatKind, now: int) -> bool:
        settled = self.answered and self.last - self.began > _SETTLING_TIME
        return now - self.last <= (kind.answered if settled else kind.unanswered)


Flows = dict[tuple[str, int], _Flow]  # by the remote end


@dataclass(slots=True)
class _Mapping:
    private: tuple[str, int]
    port: int
    flows: Flows = field(default_factory=dict)

    def is_alive(self, kind: NatKind, now: int) -> bool:
        return any(flow.is_alive(kind, now) for flow in self.flows.values())


def _note_outbound(flows: Flows, remote: Endpoint, kind: NatKind, now: int) -> None:
    flow = flows.get(remote[:2])
    if flow is None or not flow.is_alive(kind, now):
        flow = flows[remote[:2]] = _Flow(now, now)
    flow.last = now


def _admits(flows: Flows, remote: Endpoint, kind: NatKind, now: int) -> bool:
    """Note what comes from there, and return whether it may come in."""
    wanted = kind.filtering.of(remote)
    alive = [
        (end, flow)
        for end, flow in flows.items()
        if flow.is_alive(kind, now) and kind.filtering.of(Endpoint(*end)) == wanted
    ]
    for _, flow in alive if len(alive) == 1 else [(end, flow) for end, flow in alive if end == remote[:2]]:
        flow.answered, flow.last = True, now
    return bool(alive)


class Nat:
    """Private addresses behind a public one."""

    def __init__(
        self, address: str, random: Random, kind: NatKind = ADDRESS_RESTRICTED, behind: Box | None = None
    ) -> None:
        """address: its own, as the outside sees it; behind: for carrier-grade NAT."""
        self.address = address
        self.kind = kind
        self.behind = behind
        self._random = random
        self._last_port = random.randint(_FIRST_PORT, _LAST_PORT)
        self._mappings: dict[tuple[tuple[str, int], tuple[str, int]], _Mapping] = {}
        self._by_port: dict[int, list[_Mapping]] = {}
        self._taken: dict[tuple[int, tuple[str, int]], _Flow] = {}  # by the port and who sent to it unasked

    def rebind(self) -> None:
        """Forget every mapping, as after a power cut: the next datagram gets another port."""
        self._mappings.clear()
        self._by_port.clear()
        self._taken.clear()

    def outer(self, address: str) -> str:
        return self.address

    def outbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint:
        """The public source of a datagram that leaves; makes or refreshes its mapping."""
        private = source[:2]
        key = private, self.kind.mapping.of(destination)
        mapping = self._mappings.get(key)
        if mapping is None or not mapping.is_alive(self.kind, now):
            mapping = self._map(key, destination, now)
        _note_outbound(mapping.flows, destination, self.kind, now)
        return Endpoint(self.address, mapping.port)

    def inbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        """Where a datagram to a public port goes; None if nobody behind asked for it."""
        if source.address == self.address and not self.kind.hairpin:
            return None
        for mapping in self._by_port.get(destination.port, []):
            if _admits(mapping.flows, source, self.kind, now):
                return Endpoint(*mapping.private)
        if self.kind.takes_input:
            self._taken[destination.port, source[:2]] = _Flow(now, now)
        return None

    def _map(self, key: tuple[tuple[str, int], tuple[str, int]], remote: Endpoint, now: int) -> _Mapping:
        private = key[0]
        if old := self._mappings.pop(key, None):
            self._by_port[old.port].remove(old)
        mapping = _Mapping(private, self._port(private, remote, now))
        self._mappings[key] = mapping
        self._by_port.setdefault(mapping.port, []).append(mapping)
        return mapping

    def _port(self, private: tuple[str, int], remote: Endpoint, now: int) -> int:
        """An unused one, as the kind of NAT chooses it."""
        return next(
            port for port in self._choices(private, now) if not self._is_used(port, private, remote, now)
        )

    def _choices(self, private: tuple[str, int], now: int) -> Iterator[int]:
        if self.kind.ports is PortAssignment.PRESERVED:
            others = [one for one in self._mappings.values() if one.private == private]
            yield from (one.port for one in reversed(others) if one.is_alive(self.kind, now))
            yield private[1]
        while self.kind.ports is PortAssignment.COUNTING:
            self._last_port = self._last_port + 1 if self._last_port < _LAST_PORT else _FIRST_PORT
            yield self._last_port
        while True:
            yield self._random.randint(_FIRST_PORT, _LAST_PORT)

    def _is_used(self, port: int, private: tuple[str, int], remote: Endpoint, now: int) -> bool:
        taken = self._taken.get((port, remote[:2]))
        if taken and taken.is_alive(self.kind, now):
            return True
        mappings = self._by_port.get(port, [])
        if self.kind.mapping is _BY_PORT and self.kind.ports is PortAssignment.PRESERVED:
            # Two hosts may share it, towards different ends.
            mappings = [one for one in mappings if remote[:2] in one.flows]
        return any(one.is_alive(self.kind, now) for one in mappings)


class Firewall:
    """Lets in what answers, and translates nothing. With passes_udp=False it drops all there is."""

    def __init__(
        self, kind: NatKind = PORT_RESTRICTED, *, passes_udp: bool = True, behind: Box | None = None
    ) -> None:
        """kind: for its filtering and its times."""
        self.kind = kind
        self.passes_udp = passes_udp
        self.behind = behind
        self._flows: dict[tuple[str, int], Flows] = {}  # by the inner end

    def rebind(self) -> None:
        """Forget every flow."""
        self._flows.clear()

    def outer(self, address: str) -> str:
        return address

    def outbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        _note_outbound(self._flows.setdefault(source[:2], {}), destination, self.kind, now)
        return source.without_source() if self.passes_udp else None

    def inbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        flows = self._flows.get(destination[:2], {})
        passes = self.passes_udp and _admits(flows, source, self.kind, now)
        return destination if passes else None


class AccessNetwork:
    """An access network that carries one version of IP, 4 or 6, and lets everything of it pass."""

    def __init__(self, version: int, behind: Box | None = None) -> None:
        self.version = version
        self.behind = behind

    def rebind(self) -> None:
        """It has nothing to forget."""

    def outer(self, address: str) -> str:
        return address

    def outbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        return source.without_source() if destination.is_ipv6 == (self.version == 6) else None

    def inbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        return destination


class Nat64:
    """Hosts with IPv6 alone, before a NAT whose outside has IPv4 alone. RFC 6146."""

    def __init__(self, nat: Nat, prefix: IPv6Network) -> None:
        """prefix: of 96 bits, in which the inside sees IPv4 addresses."""
        self.behind = nat.behind
        self._nat = nat
        self._prefix = prefix

    def rebind(self) -> None:
        self._nat.rebind()

    def outer(self, address: str) -> str:
        return self._nat.outer(address)

    def carries(self, destination: Endpoint) -> bool:
        """Return whether it translates what an inner host sends there."""
        return destination.is_ipv6 and IPv6Address(destination.address) in self._prefix

    def led_to(self, destination: Endpoint) -> Endpoint:
        """Return where outside an inner host's datagram goes; the destination itself if it has no prefix."""
        if not self.carries(destination):
            return destination
        return Endpoint(str(IPv4Address(destination.packed()[12:16])), destination.port)

    def shown(self, source: Endpoint) -> Endpoint:
        """Return where the inside sees a host outside."""
        return Endpoint(str(embedded(self._prefix, IPv4Address(source.address))), source.port)

    def outbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        outside = self.led_to(destination)
        return self._nat.outbound(source, outside, now) if outside != destination else None

    def inbound(self, source: Endpoint, destination: Endpoint, now: int) -> Endpoint | None:
        return self._nat.inbound(source, destination, now)
