"""Whatever the engine, the network and the TUN do, both data paths do the same.

Invariant: of equal orders, packets and datagrams at equal times come datagrams and packets that are equal
byte for byte and in order for each peer and flow, equal counters and activity, and equal sets of events.

The C data path moves in one step what the portable one is given one by one. So what comes at one moment comes
from one side and through one socket, and for each peer by one keypair: the order of the rest means nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from struct import pack
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from tests.datapath.kinds import DATA_PATHS, DataPathUnderTest, drop_counts, prefix
from tests.datapath.packets import ipv4, ipv6, routed_back
from tests.datapath.remote import NOW, SECOND, Remote
from tests.fastpath.superpackets import ACK, CWR, PSH, SYN, TCP, UDP, Packet, segments, superpacket
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import StateError
from wgpy.contract.events import EndpointChanged, Event, KeyAged, KeyConfirmed
from wgpy.contract.orders import (
    AddPeer,
    ClearSource,
    DataPathOrder,
    LocalPort,
    Permit,
    PurgeStaged,
    RemoveKeypair,
    RemovePeer,
    RemoveRoute,
    SendKeepalive,
    SetEndpoint,
    SetPolicy,
    SetRoute,
    SetTranslations,
    Translation,
    UseKeypair,
)
from wgpy.datapath import Datagram
from wgpy.datapath.portable import PortableDataPath

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import ALL_OFFLOADS, NativeUnderTest

ENDPOINTS4 = [
    Endpoint("192.0.2.2", 51820),
    Endpoint("192.0.2.2", 51821),
    Endpoint("198.51.100.1", 1, 0, "192.0.2.1", 3),
]
ENDPOINTS6 = [
    Endpoint("2001:db8::2", 1024),
    Endpoint("fe80::2", 1024, 3, "fe80::1", 3),
    Endpoint("2001:db8::2", 1024, 0, "2001:db8::1", 2),
]
ICMP, ICMPV6 = 1, 58
HOSTS4 = [bytes([10, 0, 0, n]) for n in range(4)]
HOSTS6 = [bytes([0xFD, *bytes(14), n]) for n in range(4)]
PREFIXES = [
    prefix(text)
    for text in ("0.0.0.0/0", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.3", "::/0", "fd00::/127", "fd00::3")
]

peers = st.integers(1, 3)
indices = st.integers(1, 6)
endpoints = st.sampled_from(ENDPOINTS4 + ENDPOINTS6)
ecn_fields = st.integers(0, 3)
times = st.sampled_from([1, SECOND, 60 * SECOND, 130 * SECOND])
marks = st.none() | times.map(lambda time: NOW + time)

permits = st.builds(
    Permit,
    rule=st.integers(0, 2),
    protocol=st.sampled_from([0, 0, TCP, UDP, ICMP, ICMPV6]),
    destination=st.none() | st.sampled_from(PREFIXES),
    first_port=st.sampled_from([0, 0, 1, 2000]),
    last_port=st.sampled_from([65535, 65535, 2000]),
    source=st.none() | st.sampled_from(PREFIXES),
)
policies = st.none() | st.lists(permits, max_size=6).map(tuple)

translations = st.lists(
    st.sampled_from(
        [
            Translation(prefix(mapped), prefix(real))
            for mapped, real in (
                ("10.0.0.0/31", "10.0.0.2/31"),
                ("10.0.0.3", "192.168.1.3"),
                ("fd00::/127", "fd00::2/127"),
                ("fd00::/64", "fd01:0:0:7::/64"),
                ("fd00::/48", "fd02:1:2::/48"),
            )
        ]
    ),
    max_size=1,
).map(tuple)
closed = st.sampled_from([(), (LocalPort(HOSTS4[3], UDP, 2000), LocalPort(HOSTS6[3], TCP, 2))])

orders: st.SearchStrategy[DataPathOrder] = st.one_of(
    st.builds(AddPeer, peers),
    st.builds(RemovePeer, peers),
    st.builds(SetRoute, peers, st.sampled_from(PREFIXES)),
    st.builds(RemoveRoute, peers, st.sampled_from(PREFIXES)),
    st.builds(SetEndpoint, peers, endpoints, st.booleans()),
    st.builds(ClearSource, peers),
    st.builds(UseKeypair, peers, st.none() | indices, st.booleans()),
    st.builds(RemoveKeypair, peers, indices),
    st.builds(SendKeepalive, peers),
    st.builds(PurgeStaged, peers),
    st.builds(SetPolicy, peers, policies),
    st.builds(SetTranslations, translations, closed),
)


@st.composite
def packets(draw: st.DrawFn, longest: int = 1500) -> Packet:
    hosts = draw(st.sampled_from([HOSTS4, HOSTS6]))
    size = draw(st.integers(0, longest))
    return Packet(
        draw(st.sampled_from(hosts)),
        draw(st.sampled_from(hosts)),
        draw(st.sampled_from([TCP, UDP])),
        ports=(draw(st.integers(1, 2)), 2000),
        payload=(b"%04d" % size * (size // 4 + 1))[:size],
        traffic_class=draw(st.integers(0, 255)),
        sequence=draw(st.sampled_from([1, 2**32 - 1000])),
        flags=draw(st.sampled_from([ACK, ACK | PSH, ACK | CWR, SYN, SYN | ACK])),
    )


headers = st.one_of(
    st.builds(pack, st.just(">HHHH"), st.integers(1, 2), st.integers(1, 2), st.just(8), st.just(0)),
    st.builds(
        pack, st.just(">HHQBB"), st.just(1), st.just(2), st.just(0), st.just(0x50), st.integers(0, 255)
    ),
    st.builds(
        pack,
        st.just(">BBHHH"),
        st.integers(0, 20) | st.integers(127, 130),
        *[st.just(0)] * 2,
        indices,
        indices,
    ),
    st.binary(max_size=40),
)


@st.composite
def bare_packets(draw: st.DrawFn, quotes: bool = True) -> bytes:
    """A short packet of any protocol: perhaps a fragment, behind extension headers, or quoting another."""
    hosts = draw(st.sampled_from([HOSTS4, HOSTS6]))
    source, destination = (str(ip_address(draw(st.sampled_from(hosts)))) for _ in range(2))
    protocol = draw(st.sampled_from([ICMP, ICMPV6, TCP, UDP, 47, 132]))
    offset, more = draw(st.sampled_from([(0, 0), (0, 0), (0, 1), (1, 1), (2, 0)]))
    payload = draw(headers)
    if quotes and draw(st.booleans()):
        payload += draw(bare_packets(quotes=False))[: draw(st.sampled_from([19, 28, 48, 100]))]
    if hosts is HOSTS4:
        return ipv4(source, destination, payload, protocol=protocol, fragment=more << 13 | offset)
    if draw(st.booleans()):
        payload = pack(">BBHI", protocol, 0, offset << 3 | more, 0) + payload
        protocol = 44
    for kind in draw(st.lists(st.sampled_from([0, 43, 51, 60]), max_size=9)):
        payload = pack(">BBHI", protocol, 0, 0, 0) + payload
        protocol = kind
    return ipv6(source, destination, payload, protocol=protocol)


class Inbound(NamedTuple):
    """Packets that one peer sends at one moment, and what the network makes of their datagrams."""

    keypair: int  # one of those that are installed, if any is
    packet: Packet  # cut to many
    segment_size: int
    source: int
    ecn: int
    fate: Callable[[list[bytes]], list[bytes]]


def delivered(datagrams: list[bytes]) -> list[bytes]:
    return datagrams


def reversed_(datagrams: list[bytes]) -> list[bytes]:
    return datagrams[::-1]


def repeated(datagrams: list[bytes]) -> list[bytes]:
    return [*datagrams, *datagrams[:3]]


def damaged(datagrams: list[bytes]) -> list[bytes]:
    """The first and every fifth, at its end."""
    return [data if i % 5 else data[:-1] + bytes([data[-1] ^ 1]) for i, data in enumerate(datagrams)]


def cut_short(datagrams: list[bytes]) -> list[bytes]:
    return [data[: 40 * i] for i, data in enumerate(datagrams)]


def misdirected(datagrams: list[bytes]) -> list[bytes]:
    return [data[:4] + b"\xee" + data[5:] for data in datagrams]


inbound = st.builds(
    Inbound,
    indices,
    packets(8000),
    st.integers(100, 1400),
    st.integers(0, 2),
    ecn_fields,
    st.sampled_from([delivered, delivered, delivered, reversed_, repeated, damaged, cut_short, misdirected]),
)
control_messages = st.one_of(
    st.binary(max_size=70),
    st.tuples(st.integers(0, 5), st.sampled_from([31, 32, 64, 92, 148, 2048, 2049])).map(
        lambda shape: bytes([shape[0], 0, 0, 0]).ljust(shape[1], b"\xaa")
    ),
)


class Schedule(RuleBasedStateMachine):
    """Does everything to both."""

    @staticmethod
    def make() -> DataPathUnderTest:
        return NativeUnderTest(accept_foreign=True)

    def __init__(self) -> None:
        super().__init__()
        self.paths = PortableDataPath(accept_foreign=True), self.make()
        self.now = NOW
        self.id = 0  # of IPv4
        self.peers: set[int] = set()
        self.keypairs: dict[int, int] = {}  # local index to peer
        self.gone_peers: set[int] = set()  # since events were taken
        self.gone_keypairs: set[int] = set()
        self.remotes = {index: remote(index) for index in range(1, 7)}

    @initialize()
    def begin(self) -> None:
        for peer in (1, 2):
            self.order(AddPeer(peer))
            self.order(SetEndpoint(peer, ENDPOINTS4[peer]))
            self.order(SetRoute(peer, PREFIXES[peer]))
            self.order(SetRoute(peer, PREFIXES[4 + peer]))
            self.install_and_use(peer, peer, 180 * SECOND, None, None)

    @rule(order=orders)
    def order(self, order: DataPathOrder) -> None:
        outcomes = [outcome(path, order, self.now) for path in self.paths]
        assert outcomes[0] == outcomes[1]
        if outcomes[0] is None:
            self.note(order)

    @rule(peer=peers, index=indices, life=times, sent=marks, received=marks)
    def install_and_use(
        self, peer: int, index: int, life: int, sent: int | None, received: int | None
    ) -> None:
        install = self.remotes[index].keypair(
            peer,
            reject_after_time=self.now + life,
            rekey_after_sent_time=sent,
            rekey_after_received_time=received,
        )
        if peer in self.peers and index not in self.keypairs:
            self.keypairs[index] = peer
        self.order(install)
        self.order(UseKeypair(peer, index))

    def note(self, order: DataPathOrder) -> None:
        match order:
            case AddPeer(peer):
                self.peers.add(peer)
            case RemovePeer(peer):
                self.peers.remove(peer)
                self.gone_peers.add(peer)
                for index in [index for index, owner in self.keypairs.items() if owner == peer]:
                    self.note(RemoveKeypair(peer, index))
            case RemoveKeypair(_, index):
                del self.keypairs[index]
                self.gone_keypairs.add(index)

    @rule(mtu=st.sampled_from([1, 576, 1280, 1420, 65535]))
    def set_mtu(self, mtu: int) -> None:
        for path in self.paths:
            path.set_mtu(mtu)

    @rule(passed=times)
    def wait(self, passed: int) -> None:
        self.now += passed

    @rule(sent=st.lists(packets() | st.binary(min_size=1, max_size=60), min_size=1, max_size=40))
    def send(self, sent: list[Packet | bytes]) -> None:
        for packet in sent:
            data = packet if isinstance(packet, bytes) else self.numbered(packet).encode()
            for path in self.paths:
                path.send_packet(data, self.now)

    @rule(index=indices, counter=st.integers(0, 3), to=endpoints)
    def send_what_may_have_been_sent(self, index: int, counter: int, to: Endpoint) -> None:
        """One packet, since the counter that it may be of is given when it is sealed."""
        self.send_bare([routed_back(pack("<IIQ", 4, 0x100 + index, counter) + bytes(16), to)])

    @rule(kind=st.integers(1, 3), random=st.integers(0, 2), is_noted=st.booleans(), peer=peers, to=endpoints)
    def send_handshake(self, kind: int, random: int, is_noted: bool, peer: int, to: Endpoint) -> None:
        message = pack("<III", kind, 1, 2) + bytes([random]) * 52
        if is_noted:
            for path in self.paths:
                path.note_handshake(message, peer if peer in self.peers else None)
        self.send_bare([routed_back(message, to)])

    @rule(batch=st.lists(inbound, min_size=1, max_size=4), use_ipv6=st.booleans())
    def receive(self, batch: list[Inbound], use_ipv6: bool) -> None:
        known = sorted(self.keypairs) or [1]
        chosen: dict[int | None, int] = {}  # keypair of a peer
        for one in batch:
            index = known[one.keypair % len(known)]
            index = chosen.setdefault(self.keypairs.get(index), index)
            plain = segments(self.numbered(one.packet), one.segment_size)
            if not one.packet.payload:
                plain.append(b"")  # a keepalive, too
            source = (ENDPOINTS6 if use_ipv6 else ENDPOINTS4)[one.source]
            for data in one.fate([self.remotes[index].seal(packet) for packet in plain]):
                self.deliver(data, source, one.ecn)

    @rule(sent=st.lists(bare_packets(), min_size=1, max_size=20))
    def send_bare(self, sent: list[bytes]) -> None:
        for data in sent:
            for path in self.paths:
                path.send_packet(data, self.now)

    @rule(index=indices, received=st.lists(bare_packets(), min_size=1, max_size=20))
    def receive_bare(self, index: int, received: list[bytes]) -> None:
        """By one keypair: so the rest of the moment means nothing."""
        for data in received:
            self.deliver(self.remotes[index].seal(data), ENDPOINTS4[0], 0)

    @rule(sent=st.lists(control_messages, max_size=40), source=endpoints)
    def receive_control_messages(self, sent: list[bytes], source: Endpoint) -> None:
        for data in sent:
            self.deliver(data, source, 0)

    @rule()
    def take_events(self) -> None:
        """Of both, but for those about what is gone, which mean nothing."""
        assert self.events_of(self.paths[0]) == self.events_of(self.paths[1])
        self.gone_peers.clear()
        self.gone_keypairs.clear()

    @invariant()
    def agree(self) -> None:
        portable, path = self.paths
        assert by_peer(portable.take_datagrams()) == by_peer(path.take_datagrams())
        assert by_flow(portable.take_packets()) == by_flow(path.take_packets())
        assert drop_counts(portable) == drop_counts(path)
        assert portable.rule_counts() == path.rule_counts()
        assert portable.take_foreign() == path.take_foreign()
        assert handshakes(portable) == handshakes(path)
        for peer in self.peers:
            assert portable.activity(peer) == path.activity(peer)
        self.now += 1  # what comes next is not of the same moment

    # -- Helpers ---------------------------------------------------------------------------------

    def numbered(self, packet: Packet) -> Packet:
        """As an IPv4 host does: joining depends on it."""
        packet = replace(packet, id=self.id % 2**16)
        self.id += 100
        return packet

    def deliver(self, data: bytes, source: Endpoint, ecn: int) -> None:
        for path in self.paths:
            path.receive_datagram(data, source, self.now, ecn)

    def events_of(self, path: DataPathUnderTest) -> set[Event]:
        events = path.take_events()
        seen: set[int] = set()
        for event in events:
            assert not (isinstance(event, EndpointChanged) and event.peer in seen), "the move comes first"
            seen.add(event.peer)
        assert len(events) == len(set(events))
        return {event for event in events if not self.is_stale(event)}

    def is_stale(self, event: Event) -> bool:
        if isinstance(event, KeyAged | KeyConfirmed) and event.local_index in self.gone_keypairs:
            return True
        return event.peer in self.gone_peers


class ScheduleWithSuperpackets(Schedule):
    @staticmethod
    def make() -> DataPathUnderTest:
        return NativeUnderTest(accept_foreign=True, offloads=ALL_OFFLOADS)

    @rule(sent=st.lists(st.tuples(packets(30_000), st.integers(500, 1400)), min_size=1, max_size=4))
    def send_superpackets(self, sent: list[tuple[Packet, int]]) -> None:
        portable, path = self.paths
        for drawn, size in sent:
            packet = self.numbered(drawn)
            for segment in segments(packet, size):
                portable.send_packet(segment, self.now)
            assert isinstance(path, NativeUnderTest)
            path.send_superpacket(*superpacket(packet, size), self.now)


def remote(index: int) -> Remote:
    return Remote(index, 0x100 + index, b"to  peer%08d" % index, b"from    %08d" % index)


def outcome(path: DataPathUnderTest, order: DataPathOrder, now: int) -> str | None:
    """What it says if it refuses."""
    try:
        path.apply(order, now)
    except StateError as error:
        return str(error)
    return None


def by_peer(datagrams: list[Datagram]) -> dict[object, list[Datagram]]:
    """In order for each. The interface is the route's choice, also where the address is not."""
    groups: dict[object, list[Datagram]] = defaultdict(list)
    for datagram in datagrams:
        endpoint = datagram.endpoint._replace(local_interface=0)
        groups[datagram.peer].append(datagram._replace(endpoint=endpoint))
    return groups


def by_flow(packets: list[bytes]) -> dict[bytes, list[bytes]]:
    """In order for each."""
    groups = defaultdict(list)
    for packet in packets:
        is_ipv4 = packet[0] >> 4 == 4
        groups[packet[9:10] + packet[12:24] if is_ipv4 else packet[6:7] + packet[8:44]].append(packet)
    return groups


def handshakes(path: DataPathUnderTest) -> Counter[tuple[bytes, Endpoint]]:
    return Counter(iter(path.next_handshake, None))


@pytest.mark.parametrize("schedule", [Schedule, ScheduleWithSuperpackets])
def test_both_data_paths_do_the_same(schedule: type[Schedule]) -> None:
    run_machine(schedule, settings=settings(stateful_step_count=30))
