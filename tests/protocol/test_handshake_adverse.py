"""Chapter 1, continued: handshakes over a network that loses and repeats, and who gets no answer."""

import pytest

from wgpy.contract.drops import DropReason
from wgpy.contract.orders import AllowedIP
from wgpy.testing import InnerPacket, PeerConfig, Simulation

from . import whitepaper as wp
from .harness import DELAY, NODE_INNER, PAPER_AT, Bench, Pair, handshake_events

# -- A network that is not kind ----------------------------------------------------------------------


@pytest.mark.parametrize("lost", [wp.INITIATION, wp.RESPONSE])
def test_a_lost_handshake_message_costs_one_retry(lost: int) -> None:
    pair = Pair()
    network = pair.simulation.network
    network.loses = lambda flight: wp.type_of(flight.data) == lost

    packet = pair.alice_sends()
    pair.run(wp.NS)
    network.loses = lambda flight: False
    assert pair.bob.delivered == []
    pair.run(wp.REKEY_TIMEOUT)

    assert pair.bob.delivered == [packet]
    assert len(pair.wire.of(wp.INITIATION)) == 2


def test_a_lost_confirmation_is_made_good_by_the_next_packet() -> None:
    pair = Pair()
    network = pair.simulation.network
    network.loses = lambda flight: wp.type_of(flight.data) == wp.TRANSPORT
    pair.alice_sends()
    pair.run(wp.NS)
    network.loses = lambda flight: False

    packet = pair.alice_sends()
    pair.run(wp.NS)

    assert pair.bob.delivered == [packet]
    assert len(pair.wire.of(wp.INITIATION)) == 1


def test_a_duplicated_response_is_refused_and_harms_nothing() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    response, session = bench.paper.respond(initiation)
    bench.exchange(response)

    assert bench.exchange(response) == []
    assert bench.dropped(DropReason.UNEXPECTED_RESPONSE) == 1
    packet = bench.node_sends()
    (data,) = bench.take()
    assert session.open(data).startswith(packet)


def test_a_response_to_an_initiation_that_was_since_repeated_is_refused() -> None:
    bench = Bench()
    bench.node_sends()
    (first,) = bench.take()
    bench.run(wp.REKEY_TIMEOUT + wp.JITTER)
    (second,) = bench.take()

    response, _ = bench.paper.respond(first)
    assert bench.exchange(response) == []

    response, session = bench.paper.respond(second)
    answers = bench.exchange(response)
    assert session.open(answers[0]) != b""


def test_a_replayed_initiation_is_refused() -> None:
    bench = Bench()
    initiation = bench.paper.initiation(bench.timestamp())
    assert len(bench.exchange(initiation)) == 1
    bench.run(wp.NS)

    assert bench.exchange(initiation) == []
    assert bench.dropped(DropReason.REPLAYED_TIMESTAMP) == 1


def test_a_replayed_initiation_does_not_disturb_the_session() -> None:
    bench = Bench()
    initiation = bench.paper.initiation(bench.timestamp())
    (response,) = bench.exchange(initiation)
    session = bench.paper.consume_response(response)
    bench.exchange(session.seal(0, b""))
    bench.run(wp.NS)

    bench.exchange(initiation)

    packet = bench.node_sends()
    (data,) = bench.take()
    assert session.open(data).startswith(packet)


def test_a_new_initiation_with_an_older_timestamp_is_refused() -> None:
    bench = Bench()
    bench.initiate()
    bench.run(wp.NS)

    assert bench.exchange(bench.paper.initiation(wp.tai64n(bench.now - 60 * wp.NS))) == []
    assert bench.dropped(DropReason.REPLAYED_TIMESTAMP) == 1


def test_a_refused_initiation_does_not_count_as_the_latest() -> None:
    bench = Bench()
    future = bench.paper.initiation(wp.tai64n(bench.now + 3600 * wp.NS))
    broken = bench.paper.with_macs(future[:100] + bytes(16))  # its timestamp does not open
    assert bench.exchange(broken) == []

    assert len(bench.exchange(bench.paper.initiation(bench.timestamp()))) == 1


def test_two_initiations_within_20_ms_get_one_answer() -> None:
    bench = Bench()
    for gap in (0, wp.INITIATION_INTERVAL - wp.MS):
        bench.run(gap)
        initiation = bench.paper.initiation(bench.timestamp())
        bench.simulation.network.send(PAPER_AT, bench.node.listen, initiation)
    bench.run(wp.NS)

    assert [wp.type_of(data) for data in bench.take()] == [wp.RESPONSE]
    assert bench.dropped(DropReason.INITIATION_FLOOD) == 1


def test_two_initiations_20_ms_apart_get_two_answers() -> None:
    bench = Bench()
    for gap in (0, wp.INITIATION_INTERVAL):
        bench.run(gap)
        initiation = bench.paper.initiation(bench.timestamp())
        bench.simulation.network.send(PAPER_AT, bench.node.listen, initiation)
    bench.run(wp.NS)

    assert [wp.type_of(data) for data in bench.take()] == [wp.RESPONSE, wp.RESPONSE]


def test_simultaneous_initiations_converge() -> None:
    pair = Pair()

    there, back = pair.alice_sends(), pair.bob_sends()
    pair.run(2 * (wp.REKEY_TIMEOUT + wp.JITTER))

    assert pair.bob.delivered == [there]
    assert pair.alice.delivered == [back]
    pair.assert_works_both_ways()


@pytest.mark.parametrize("gap", [wp.MS, DELAY - 1, DELAY, DELAY + wp.MS, 2 * DELAY, 3 * DELAY])
def test_initiations_that_cross_on_the_way_converge(gap: int) -> None:
    pair = Pair()

    there = pair.alice_sends()
    pair.run(gap)
    back = pair.bob_sends()
    pair.run(2 * (wp.REKEY_TIMEOUT + wp.JITTER))

    assert pair.bob.delivered == [there]
    assert pair.alice.delivered == [back]
    pair.assert_works_both_ways()


def test_after_simultaneous_initiations_no_handshake_follows_before_its_time() -> None:
    pair = Pair()
    pair.alice_sends()
    pair.bob_sends()
    pair.run(2 * (wp.REKEY_TIMEOUT + wp.JITTER))
    pair.wire.clear()

    pair.keep_talking(60 * wp.NS)

    assert pair.wire.of(wp.INITIATION) == []


# -- Who gets no answer ------------------------------------------------------------------------------


def test_an_unknown_peer_gets_no_answer() -> None:
    bench = Bench()
    unknown = wp.PaperPeer(wp.hash_(b"unknown peer"), bench.node.public_key)

    assert bench.exchange(unknown.initiation(bench.timestamp())) == []
    assert bench.dropped(DropReason.UNKNOWN_PEER) == 1


def test_who_claims_anothers_static_key_gets_no_answer() -> None:
    bench = Bench()
    liar = wp.PaperPeer(wp.hash_(b"liar"), bench.node.public_key)

    assert bench.exchange(liar.initiation(bench.timestamp(), static=bench.paper.public)) == []
    assert bench.dropped(DropReason.HANDSHAKE_DECRYPTION_FAILED) == 1


def test_a_wrong_mac1_gets_no_answer_at_all() -> None:
    bench = Bench()
    initiation = bytearray(bench.paper.initiation(bench.timestamp()))
    initiation[-20] ^= 1

    assert bench.exchange(bytes(initiation)) == []
    assert bench.dropped(DropReason.INVALID_MAC1) == 1


def test_any_flipped_bit_of_an_initiation_makes_it_worthless() -> None:
    bench = Bench()
    initiation = bench.paper.initiation(bench.timestamp())

    for position in range(wp.SIZES[wp.INITIATION] - 16):  # mac2 is not looked at
        damaged = bytearray(initiation)
        damaged[position] ^= 0x10
        assert bench.exchange(bytes(damaged)) == [], position

    assert len(bench.exchange(initiation)) == 1


def test_any_flipped_bit_of_a_response_makes_it_worthless() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    response, session = bench.paper.respond(initiation)

    for position in range(0, wp.SIZES[wp.RESPONSE] - 16, 2):
        damaged = bytearray(response)
        damaged[position] ^= 0x10
        bench.simulation.network.send(PAPER_AT, bench.node.listen, bytes(damaged))
    bench.run(wp.NS)
    assert bench.take() == []

    assert session.open(bench.exchange(response)[0]) != b""


def test_a_damaged_initiation_with_a_right_mac1_is_worthless_too() -> None:
    bench = Bench()
    initiation = bench.paper.initiation(bench.timestamp())

    for position in range(8, 116, 5):
        body = bytearray(initiation[:-32])
        body[position] ^= 0x10
        assert bench.exchange(bench.paper.with_macs(bytes(body))) == [], position


@pytest.mark.parametrize("size", [0, 1, 3, 4, 31, 32, 91, 92, 147, 149, 1500])
@pytest.mark.parametrize("kind", [wp.INITIATION, wp.RESPONSE, wp.COOKIE_REPLY])
def test_a_handshake_message_of_another_size_gets_no_answer(size: int, kind: int) -> None:
    bench = Bench()
    if size == wp.SIZES[kind]:
        size += 1
    message = bench.paper.initiation(bench.timestamp()).ljust(1500, b"\0")
    message = bytes([kind]) + message[1:]

    assert bench.exchange(message[:size]) == []


@pytest.mark.parametrize(
    "first", [b"\x01\x01\0\0", b"\x01\0\x01\0", b"\x01\0\0\x80", b"\x05\0\0\0", b"\0\0\0\0"]
)
def test_another_type_or_a_reserved_bit_gets_no_answer(first: bytes) -> None:
    bench = Bench()
    initiation = bench.paper.initiation(bench.timestamp())

    assert bench.exchange(bench.paper.with_macs(first + initiation[4:-32])) == []
    assert bench.dropped(DropReason.UNKNOWN_TYPE) == 1


def test_without_a_private_key_nobody_gets_an_answer_and_nothing_is_sent() -> None:
    bench = Bench()
    initiation = bench.paper.initiation(bench.timestamp())
    bench.node.engine.set_private_key(None, bench.node.now)
    bench.node.settle()

    bench.node_sends()
    assert bench.take() == []
    assert bench.exchange(initiation) == []
    assert bench.dropped(DropReason.NO_PRIVATE_KEY) == 1


def test_a_wrong_preshared_key_gives_no_session() -> None:
    bench = Bench(preshared=b"\x01" * 32)
    bench.paper.preshared = b"\x02" * 32
    bench.node_sends()
    (initiation,) = bench.take()

    response, _ = bench.paper.respond(initiation)

    assert bench.exchange(response) == []
    assert bench.dropped(DropReason.HANDSHAKE_DECRYPTION_FAILED) == 1
    assert handshake_events(bench.node) == []


def test_the_initiator_notices_a_wrong_preshared_key_of_the_responder() -> None:
    bench = Bench(preshared=b"\x01" * 32)
    bench.paper.preshared = bytes(32)

    (response,) = bench.exchange(bench.paper.initiation(bench.timestamp()))

    with pytest.raises(wp.InvalidTag):
        bench.paper.consume_response(response)


def test_equal_preshared_keys_give_a_session() -> None:
    bench = Bench(preshared=b"\x01" * 32)

    session = bench.establish()

    packet = bench.node_sends()
    assert session.open(bench.take()[0]).startswith(packet)


@pytest.mark.parametrize("point", wp.LOW_ORDER_POINTS)
def test_a_peer_with_a_low_order_public_key_never_causes_a_packet(point: bytes) -> None:
    simulation = Simulation(1)
    node = simulation.add_node("node")
    sent: list[object] = []
    simulation.network.watch(sent.append)
    prefix = AllowedIP(bytes([10, 0, 0, 99]), 32)
    node.add_peer(PeerConfig(point, (prefix,), PAPER_AT, persistent_keepalive=25))

    node.send_packet(InnerPacket(NODE_INNER, "10.0.0.99", 1).encode())
    simulation.run_for(300 * wp.NS)

    assert sent == []


@pytest.mark.parametrize("point", wp.LOW_ORDER_POINTS)
def test_a_low_order_ephemeral_key_gets_no_answer(point: bytes) -> None:
    bench = Bench()
    honest = bench.paper.initiation(bench.timestamp())
    # mac1 needs no secret, so anybody may send this.
    initiation = bench.paper.with_macs(honest[:8] + point + honest[40:116])

    assert bench.exchange(initiation) == []
    assert bench.dropped(DropReason.LOW_ORDER_KEY) == 1


@pytest.mark.parametrize("point", wp.LOW_ORDER_POINTS)
def test_a_response_with_a_low_order_ephemeral_key_makes_no_session(point: bytes) -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    honest, session = bench.paper.respond(initiation)

    assert bench.exchange(bench.paper.with_macs(honest[:12] + point + honest[44:60])) == []
    assert session.open(bench.exchange(honest)[0]) != b""


def test_our_own_public_key_is_no_peer() -> None:
    bench = Bench()

    with pytest.raises(ValueError, match="own public key"):
        bench.node.engine.add_peer(bench.node.public_key)


def test_an_initiation_by_ourselves_gets_no_answer() -> None:
    bench = Bench()
    mirror = wp.PaperPeer(bench.node.private_key, bench.node.public_key)

    assert bench.exchange(mirror.initiation(bench.timestamp())) == []
