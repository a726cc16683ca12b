"""Chapter 2: transport data. Whitepaper 3 and 5.4.6; RFC 6040 for ECN."""

import pytest

from wgpy.contract.drops import DropReason
from wgpy.contract.orders import AllowedIP
from wgpy.engine.peer import Peer
from wgpy.testing import InnerPacket, Node, PeerConfig, Simulation, ecn_of

from . import whitepaper as wp
from .harness import NODE_INNER, PAPER_INNER, Bench, Pair


def sealed_size(size: int) -> int:
    return 16 + size + 16


def test_counters_begin_at_zero_and_count_up_by_one() -> None:
    bench = Bench()
    session = bench.establish()

    for _ in range(5):
        bench.node_sends()

    datagrams = bench.take()
    assert [wp.counter_of(data) for data in datagrams] == [0, 1, 2, 3, 4]
    assert {wp.receiver_of(data) for data in datagrams} == {session.local_index}


@pytest.mark.parametrize(
    ("size", "padded"), [(28, 32), (32, 32), (33, 48), (1407, 1408), (1408, 1408), (1409, 1420), (1420, 1420)]
)
def test_packets_are_padded_to_16_bytes_but_not_past_the_mtu(size: int, padded: int) -> None:
    pair = Pair()
    pair.establish()

    packet = pair.simulation.send(pair.alice, pair.bob, size=size)
    pair.run(wp.NS)

    (flight,) = pair.wire.of(wp.TRANSPORT, pair.alice)
    assert len(flight.data) == sealed_size(padded)
    assert pair.bob.delivered == [packet]


def test_the_padding_is_zeros() -> None:
    bench = Bench()
    session = bench.establish()
    bench.node.send_packet(InnerPacket(NODE_INNER, PAPER_INNER, 1, size=33).encode())
    bench.run(wp.NS)

    plaintext = session.open(bench.take()[0])

    assert len(plaintext) == 48
    assert plaintext[33:] == bytes(15)


def test_a_changed_mtu_changes_the_padding_at_once() -> None:
    pair = Pair()
    pair.establish()
    pair.alice.datapath.set_mtu(1281)

    pair.simulation.send(pair.alice, pair.bob, size=1281)

    (flight,) = pair.wire.of(wp.TRANSPORT, pair.alice)
    assert len(flight.data) == sealed_size(1281)


@pytest.mark.parametrize("size", [20, 21, 576, 1420])
def test_a_peer_that_pads_in_another_way_is_understood(size: int) -> None:
    bench = Bench()
    session = bench.establish()
    packet = InnerPacket(PAPER_INNER, NODE_INNER, 1, size=size).encode()

    bench.exchange(session.seal(1, packet + bytes(64)))

    assert bench.node.delivered == [packet]


@pytest.mark.parametrize("outer_ipv6", [False, True])
@pytest.mark.parametrize("inner_ipv6", [False, True])
def test_ipv4_and_ipv6_go_inside_ipv4_and_ipv6(outer_ipv6: bool, inner_ipv6: bool) -> None:
    pair = Pair(ipv6=outer_ipv6)

    there = pair.simulation.send(pair.alice, pair.bob, ipv6=inner_ipv6)
    pair.run(wp.NS)
    back = pair.simulation.send(pair.bob, pair.alice, ipv6=inner_ipv6)
    pair.run(wp.NS)

    assert pair.bob.delivered == [there]
    assert pair.alice.delivered == [back]


# -- Cryptokey routing -------------------------------------------------------------------------------


def test_a_packet_for_nobodys_address_is_dropped() -> None:
    bench = Bench()

    bench.node.send_packet(InnerPacket(NODE_INNER, "10.9.9.9", 1).encode())
    bench.run(wp.NS)

    assert bench.take() == []
    assert bench.dropped(DropReason.NO_PEER_FOR_DESTINATION) == 1


def test_a_packet_for_a_peer_without_endpoint_is_dropped_and_not_kept() -> None:
    bench = Bench(endpoint_known=False)

    bench.node_sends()
    assert bench.dropped(DropReason.NO_ENDPOINT) == 1

    session = bench.initiate()
    assert bench.exchange(session.seal(0, b"")) == []


@pytest.mark.parametrize("source", ["10.0.0.98", "10.0.0.1", "fd00::99"])
def test_a_packet_from_a_source_that_is_not_the_peers_is_dropped(source: str) -> None:
    bench = Bench()
    session = bench.establish()
    destination = "fd00::1" if ":" in source else NODE_INNER

    bench.exchange(session.seal(1, InnerPacket(source, destination, 1).encode()))

    assert bench.node.delivered == []
    assert bench.dropped(DropReason.SOURCE_NOT_ALLOWED) == 1


def test_the_longest_prefix_decides_who_gets_a_packet() -> None:
    simulation = Simulation(1)
    node, near, far = (simulation.add_node(name) for name in ("node", "near", "far"))
    for other, prefix in ((near, AllowedIP(bytes([10, 0, 0, 2]), 32)), (far, AllowedIP(bytes(4), 0))):
        node.add_peer(PeerConfig(other.public_key, (prefix,), other.listen))
        other.add_peer(simulation.peer_config(node))

    to_near, to_far = simulation.send(node, near), simulation.send(node, far)
    simulation.run_for(wp.NS)

    assert near.delivered == [to_near]
    assert far.delivered == [to_far]


@pytest.mark.parametrize(
    "packet",
    [
        b"\0",
        b"\x45",
        bytes(20),
        b"\x45\0\0\x14" + bytes(15),  # a header cut short
        b"\x45\0\0\xff" + bytes(16),  # says 255 bytes, is 20
        b"\x45\0\0\x13" + bytes(16),  # says 19, less than its header
        b"\x60" + bytes(38),
        b"\x60\0\0\0\xff\xff" + bytes(34),
        b"\x75" + bytes(40),
    ],
)
def test_what_is_no_ip_packet_is_dropped_inside_a_session(packet: bytes) -> None:
    bench = Bench()
    session = bench.establish()

    bench.exchange(session.seal(1, packet, multiple=1))

    assert bench.node.delivered == []
    assert bench.dropped(DropReason.INVALID_PACKET) == 1


@pytest.mark.parametrize("packet", [b"", b"\x45", bytes(20), b"\x45\0\0\xff" + bytes(16), b"\x75" + bytes(9)])
def test_what_is_no_ip_packet_is_not_taken_from_the_tun(packet: bytes) -> None:
    bench = Bench()
    bench.establish()

    bench.node.send_packet(packet)
    bench.run(wp.NS)

    assert bench.take() == []
    assert bench.dropped(DropReason.INVALID_OUTBOUND_PACKET) == 1


# -- What does not open ------------------------------------------------------------------------------


def test_any_flipped_bit_of_a_data_message_makes_it_worthless() -> None:
    bench = Bench()
    session = bench.establish()
    datagram = session.seal(1, bench.paper_packet())

    for position in range(len(datagram)):
        damaged = bytearray(datagram)
        damaged[position] ^= 1
        bench.exchange(bytes(damaged))
        assert bench.node.delivered == [], position

    bench.exchange(datagram)
    assert len(bench.node.delivered) == 1


def test_a_forged_message_does_not_use_up_its_counter() -> None:
    bench = Bench()
    session = bench.establish()
    forged = session.seal(1, bench.paper_packet())[:-1] + b"\0"
    bench.exchange(forged)

    packet = bench.paper_packet()
    bench.exchange(session.seal(1, packet))

    assert bench.node.delivered == [packet]


def test_a_data_message_without_room_for_a_tag_is_dropped() -> None:
    bench = Bench()
    session = bench.establish()

    for size in range(4, wp.KEEPALIVE_SIZE):
        assert bench.exchange(session.seal(1, b"")[:size]) == []

    assert bench.dropped(DropReason.MALFORMED) == wp.KEEPALIVE_SIZE - 4


def test_data_for_an_unknown_index_is_dropped() -> None:
    bench = Bench()
    session = bench.establish()
    session.remote_index ^= 1

    bench.exchange(session.seal(1, bench.paper_packet()))

    assert bench.node.delivered == []
    assert bench.dropped(DropReason.UNKNOWN_INDEX) == 1


@pytest.mark.parametrize("counter", [wp.REJECT_AFTER_MESSAGES, wp.REJECT_AFTER_MESSAGES + 1, 2**64 - 1])
def test_a_counter_past_reject_after_messages_is_refused(counter: int) -> None:
    bench = Bench()
    session = bench.establish()

    bench.exchange(session.seal(counter, bench.paper_packet()))

    assert bench.node.delivered == []


def test_the_last_counter_before_reject_after_messages_is_accepted() -> None:
    bench = Bench()
    session = bench.establish()

    packet = bench.paper_packet()
    bench.exchange(session.seal(wp.REJECT_AFTER_MESSAGES - 1, packet))

    assert bench.node.delivered == [packet]


# -- ECN ---------------------------------------------------------------------------------------------

NOT_ECT, ECT_1, ECT_0, CE = 0, 1, 2, 3


@pytest.mark.parametrize("ecn", [NOT_ECT, ECT_1, ECT_0, CE])
@pytest.mark.parametrize("ipv6", [False, True])
def test_ecn_is_copied_to_the_outside(ecn: int, ipv6: bool) -> None:
    pair = Pair()
    pair.establish()
    source, destination = ("fd00::1", "fd00::2") if ipv6 else ("10.0.0.1", "10.0.0.2")

    pair.alice.send_packet(InnerPacket(source, destination, 1000, ecn=ecn).encode())

    (flight,) = pair.wire.of(wp.TRANSPORT)
    assert flight.tos == ecn


# RFC 6040, figure 4: rows are the inner field, columns the outer one; None is a drop.
DECAPSULATION: list[tuple[int, list[int | None]]] = [
    (NOT_ECT, [NOT_ECT, NOT_ECT, NOT_ECT, None]),
    (ECT_0, [ECT_0, ECT_1, ECT_0, CE]),
    (ECT_1, [ECT_1, ECT_1, ECT_1, CE]),
    (CE, [CE, CE, CE, CE]),
]


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [(inner, outer, row[outer]) for inner, row in DECAPSULATION for outer in (NOT_ECT, ECT_1, ECT_0, CE)],
)
@pytest.mark.parametrize("ipv6", [False, True])
def test_ecn_is_combined_on_the_way_in(inner: int, outer: int, expected: int | None, ipv6: bool) -> None:
    pair = Pair()
    pair.establish()
    source, destination = ("fd00::1", "fd00::2") if ipv6 else ("10.0.0.1", "10.0.0.2")
    pair.simulation.network.loses = lambda flight: True  # the original; a router marks and forwards it

    packet = InnerPacket(source, destination, 1000, ecn=inner).encode()
    pair.alice.send_packet(packet)
    (flight,) = pair.wire.of(wp.TRANSPORT)
    pair.simulation.network.loses = lambda flight: False
    pair.simulation.network.send(flight.source, flight.destination, flight.data, outer)
    pair.run(wp.NS)

    if expected is None:
        assert pair.bob.delivered == []
        assert pair.bob.datapath.counters()[DropReason.ECN_CONGESTION] == 1
    else:
        (delivered,) = pair.bob.delivered
        assert ecn_of(delivered) == expected
        same_mark = InnerPacket(source, destination, 1000, ecn=expected).encode()
        assert delivered == same_mark  # the header checksum fits, and nothing else changed


# -- Counting ----------------------------------------------------------------------------------------


def test_both_ends_count_the_same_bytes() -> None:
    pair = Pair()
    pair.keep_talking(300 * wp.NS)
    pair.run(60 * wp.NS)

    alice_tx, alice_rx = totals(pair.alice, pair.bob_at_alice)
    bob_tx, bob_rx = totals(pair.bob, pair.alice_at_bob)
    assert alice_tx == bob_rx == sum(len(f.data) for f in pair.wire.flights if f.source == pair.alice.listen)
    assert bob_tx == alice_rx == sum(len(f.data) for f in pair.wire.flights if f.source == pair.bob.listen)


def totals(node: Node, peer: Peer) -> tuple[int, int]:
    """Bytes sent and received, as `wg show` adds them up."""
    activity = node.datapath.activity(peer.id)
    return peer.tx_bytes + activity.tx_bytes, peer.rx_bytes + activity.rx_bytes


def test_a_datagram_of_another_protocol_is_dropped() -> None:
    bench = Bench()

    assert bench.exchange(b"\x17hello") == []
    assert bench.dropped(DropReason.UNKNOWN_TYPE) == 1
