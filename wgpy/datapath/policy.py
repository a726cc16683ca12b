"""The policy: what a peer may begin, and what answers us. Pure; the data path in C does the same.

Invariant: a packet of a peer with a policy is let in if a permit allows what it begins, or if it answers what
was begun here. TCP says by its flags which of both it is; of the rest flows are remembered, at most a fixed
number.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Final, NamedTuple

from wgpy.contract.constants import FLOW_LIFETIME, MAX_RULES
from wgpy.contract.drops import DropReason
from wgpy.contract.events import PeerId
from wgpy.contract.orders import Permit

from .packet import ICMP_HEADER_SIZE, TCP, PacketView, parse, parse_quoted
from .permits import Permits, Subject

_SYN: Final = 0x02
_ACK: Final = 0x10

# ICMP's types by IP version: echo and the like. RFC 792, RFC 950, RFC 4443.
_QUERIES: Final = {4: frozenset((8, 13, 15, 17)), 6: frozenset((128,))}
_REPLIES: Final = {4: frozenset((0, 14, 16, 18)), 6: frozenset((129,))}


class Flow(NamedTuple):
    """What was begun here. Ports: 0 without any; of ICMP its identifier and 0."""

    protocol: int
    local: bytes
    remote: bytes
    local_port: int
    remote_port: int


class Policy:
    """Of all peers. owner_of: the peer that an address is routed to; max_flows: that are remembered."""

    def __init__(self, owner_of: Callable[[bytes], PeerId | None], max_flows: int) -> None:
        self._owner_of = owner_of
        self._permits: dict[PeerId, Permits] = {}
        self._flows = _Flows(max_flows)
        self.rule_counts = [0] * MAX_RULES

    def set(self, peer: PeerId, permits: tuple[Permit, ...] | None) -> bool:
        """Whether it differs from the policy before."""
        former = self._permits.get(peer)
        if (former.all if former else None) == permits:
            return False
        self._permits.pop(peer, None)
        if permits is not None:
            self._permits[peer] = Permits(permits)
        return True

    def forget(self, peer: PeerId) -> None:
        """The peer is gone; another one may be called the same and inherits nothing."""
        self._permits.pop(peer, None)
        self._flows.forget(peer)

    def note_sent(self, peer: PeerId, packet: bytes, now: int) -> None:
        """Remember what a packet to the peer begins, so that its answers pass."""
        permits = self._permits.get(peer)
        if permits is None:
            return
        view = parse(packet)
        flow = _begun(view)
        if flow is not None and permits.find(_answer_of(view, flow)) is None:
            self._flows.note(peer, flow, now)

    def refusal(self, peer: PeerId, packet: bytes, now: int) -> DropReason | None:
        """Why a packet of the peer is not let in; None: it is.

        packet: as long as its header says, from a source of the peer.
        """
        permits = self._permits.get(peer)
        return None if permits is None else self._judge(peer, permits, parse(packet), now)

    def _judge(self, peer: PeerId, permits: Permits, view: PacketView, now: int) -> DropReason | None:
        if view.is_cut_short or (view.protocol == TCP and view.fragment_offset == 1):
            return DropReason.INVALID_FRAGMENT
        if view.fragment_offset:  # without its first one it is nothing
            return None
        permit = permits.find(_subject(view))
        if permit is not None:
            self.rule_counts[permit.rule] += 1
            return None
        return None if self._is_answer(peer, permits, view, now) else DropReason.NOT_PERMITTED

    def _is_answer(self, peer: PeerId, permits: Permits, view: PacketView, now: int) -> bool:
        transport = view.transport
        if transport is None:
            return False
        if view.protocol == TCP:
            return transport[13] & (_SYN | _ACK) != _SYN
        if view.is_icmp_error:
            return self._is_error_about_ours(peer, permits, view, transport, now)
        flow = _answered(view, transport)
        return flow is not None and self._flows.refresh(peer, flow, now)

    def _is_error_about_ours(
        self, peer: PeerId, permits: Permits, view: PacketView, transport: bytes, now: int
    ) -> bool:
        """Does it quote a packet of ours, of a connection or a flow with this peer, whoever began that?"""
        quoted = parse_quoted(transport[ICMP_HEADER_SIZE:])
        if quoted is None or quoted.source != view.destination:
            return False
        if quoted.protocol == TCP and quoted.payload is not None and not quoted.fragment_offset:
            return self._owner_of(quoted.destination) == peer
        flow = _begun(quoted)
        if flow is None:
            return False
        if permits.find(_answer_of(quoted, flow)) is None:
            return self._flows.is_alive(peer, flow, now)
        return self._owner_of(quoted.destination) == peer


class _Flows:
    """When each was used last; of too many the one that was not used for longest is forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used: OrderedDict[tuple[int, Flow], int] = OrderedDict()
        self._lives: dict[PeerId, int] = {}  # so that what a former peer of this name began is not found
        self._fresh = count()

    def note(self, peer: PeerId, flow: Flow, now: int) -> None:
        life = self._lives.get(peer)
        if life is None:
            life = self._lives[peer] = next(self._fresh)
        self._used[life, flow] = now
        self._used.move_to_end((life, flow))
        if len(self._used) > self._most:
            self._used.popitem(last=False)

    def is_alive(self, peer: PeerId, flow: Flow, now: int) -> bool:
        life = self._lives.get(peer)
        used = None if life is None else self._used.get((life, flow))
        return used is not None and now - used < FLOW_LIFETIME

    def refresh(self, peer: PeerId, flow: Flow, now: int) -> bool:
        """Whether it is alive, and then for as long again."""
        alive = self.is_alive(peer, flow, now)
        if alive:
            self.note(peer, flow, now)
        return alive

    def forget(self, peer: PeerId) -> None:
        self._lives.pop(peer, None)


def _begun(view: PacketView) -> Flow | None:
    """The flow that a packet of ours is of; None if its answers are known without, or there are none."""
    transport = view.transport
    if transport is None or view.protocol == TCP:
        return None
    if view.is_icmp:
        query = transport[0] in _QUERIES[view.version]
        return _icmp_flow(view.protocol, view.source, view.destination, transport) if query else None
    ports = _ports(view, transport)
    return Flow(view.protocol, view.source, view.destination, *ports)


def _answered(view: PacketView, transport: bytes) -> Flow | None:
    """The flow of ours that a peer's packet would answer."""
    if view.is_icmp:
        reply = transport[0] in _REPLIES[view.version]
        return _icmp_flow(view.protocol, view.destination, view.source, transport) if reply else None
    source, destination = _ports(view, transport)
    return Flow(view.protocol, view.destination, view.source, destination, source)


def _icmp_flow(protocol: int, local: bytes, remote: bytes, transport: bytes) -> Flow:
    return Flow(protocol, local, remote, int.from_bytes(transport[4:6]), 0)


def _ports(view: PacketView, transport: bytes) -> tuple[int, int]:
    """Source and destination; zeros without any."""
    if not view.has_ports:
        return 0, 0
    return int.from_bytes(transport[:2]), int.from_bytes(transport[2:4])


def _port(view: PacketView, port: int) -> int | None:
    return port if view.has_ports else None


def _subject(view: PacketView) -> Subject:
    transport = view.transport
    if transport is None:
        return Subject(None, view.source, view.destination, None)
    return Subject(view.protocol, view.source, view.destination, _port(view, _ports(view, transport)[1]))


def _answer_of(view: PacketView, flow: Flow) -> Subject:
    """What a packet that answers a flow of ours would be."""
    return Subject(flow.protocol, flow.remote, flow.local, _port(view, flow.local_port))
