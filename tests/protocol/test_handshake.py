"""Chapter 1: the handshake. Whitepaper 5.4.2 to 5.4.5."""

import pytest

from wgpy.contract.drops import DropReason
from wgpy.contract.orders import AllowedIP
from wgpy.engine.actions import HandshakeCompleted
from wgpy.testing import InnerPacket, PeerConfig, Simulation

from . import whitepaper as wp
from .harness import DELAY, NODE_INNER, PAPER_AT, Bench, Pair

# -- The messages, against an end by the paper -------------------------------------------------------


def test_the_first_packet_makes_the_initiator_send_one_initiation_at_once() -> None:
    pair = Pair()

    pair.alice_sends()

    (flight,) = pair.wire.flights
    assert flight.sent_at == pair.now
    assert flight.destination == pair.bob.listen
    assert wp.type_of(flight.data) == wp.INITIATION
    assert len(flight.data) == wp.SIZES[wp.INITIATION]


def test_more_packets_before_the_answer_cause_no_more_initiations() -> None:
    pair = Pair()

    for _ in range(20):
        pair.alice_sends()

    assert pair.wire.kinds() == [wp.INITIATION]


def test_the_paper_opens_our_initiation_and_finds_the_time_in_it() -> None:
    bench = Bench()

    bench.node_sends()

    (initiation,) = bench.take()
    timestamp, *_ = bench.paper.consume_initiation(initiation)
    sent_at = bench.now - DELAY
    assert wp.tai64n(sent_at - 17 * wp.MS) < timestamp <= wp.tai64n(sent_at)
    assert wp.mac2_of(initiation) == bytes(16)


def test_a_session_begun_by_us_carries_packets_both_ways() -> None:
    bench = Bench()

    packet = bench.node_sends()
    (initiation,) = bench.take()
    response, session = bench.paper.respond(initiation)
    first = bench.exchange(response)[0]
    back = bench.paper_packet()
    bench.exchange(session.seal(0, back))

    assert session.open(first).startswith(packet)
    assert bench.node.delivered == [back]


def test_a_session_begun_by_the_peer_carries_packets_both_ways() -> None:
    bench = Bench()

    (response,) = bench.exchange(bench.paper.initiation(bench.timestamp()))
    session = bench.paper.consume_response(response)
    there = bench.paper_packet()
    bench.exchange(session.seal(0, there))
    back = bench.node_sends()

    (data,) = bench.take()
    assert bench.node.delivered == [there]
    assert session.open(data).startswith(back)


def test_handshake_messages_carry_af41_and_data_does_not() -> None:
    pair = Pair()

    pair.alice_sends()
    pair.run(wp.NS)

    for flight in pair.wire.flights:
        is_handshake = wp.type_of(flight.data) in (wp.INITIATION, wp.RESPONSE)
        assert flight.tos == (wp.HANDSHAKE_TOS if is_handshake else 0)


def test_indices_and_ephemeral_keys_are_new_in_every_initiation() -> None:
    bench = Bench()
    bench.node_sends()
    bench.run(60 * wp.NS)

    initiations = bench.take()

    assert len(initiations) > 5
    assert len({wp.sender_of(initiation) for initiation in initiations}) == len(initiations)
    assert len({initiation[8:40] for initiation in initiations}) == len(initiations)


@pytest.mark.parametrize("ipv6", [False, True])
def test_two_nodes_hear_of_each_session_once(ipv6: bool) -> None:
    pair = Pair(ipv6=ipv6)

    pair.alice_sends()
    pair.run(wp.NS)

    assert pair.alice.news == [HandshakeCompleted(pair.bob_at_alice.id, initiator=True)]
    assert pair.bob.news == [HandshakeCompleted(pair.alice_at_bob.id, initiator=False)]


def test_the_latest_handshake_is_told_in_real_time() -> None:
    pair = Pair()
    assert pair.bob_at_alice.last_handshake_time == 0

    pair.alice_sends()
    pair.run(wp.NS)

    assert pair.bob_at_alice.last_handshake_time == pair.now - wp.NS + 2 * DELAY


# -- Staged packets and confirmation ---------------------------------------------------------------


def test_staged_packets_flow_in_order_after_the_handshake() -> None:
    pair = Pair()

    packets = [pair.alice_sends() for _ in range(50)]
    pair.run(wp.NS)

    assert pair.bob.delivered == packets


def test_of_too_many_staged_packets_the_newest_are_kept() -> None:
    pair = Pair()

    packets = [pair.alice_sends() for _ in range(wp.STAGED_PACKETS + 7)]
    pair.run(wp.NS)

    assert pair.bob.delivered == packets[7:]


def test_the_initiator_confirms_at_once_even_with_nothing_to_send() -> None:
    bench = Bench()
    session = bench.answer()
    bench.run(wp.REKEY_AFTER_TIME)
    bench.node_sends()  # travels by the old session, and asks for a new one
    initiation = bench.take()[-1]

    response, session = bench.paper.respond(initiation)
    answers = bench.exchange(response)

    assert [session.open(answer) for answer in answers] == [b""]


def test_the_responder_sends_no_data_before_the_session_is_confirmed() -> None:
    bench = Bench()
    session = bench.initiate()

    packet = bench.node_sends()
    bench.run(wp.NS)
    assert bench.take() == []

    (data,) = bench.exchange(session.seal(0, b""))
    assert session.open(data).startswith(packet)


def test_data_confirms_a_session_as_well_as_a_keepalive_does() -> None:
    bench = Bench()
    session = bench.initiate()
    packet = bench.node_sends()

    (data,) = bench.exchange(session.seal(0, bench.paper_packet()))

    assert session.open(data).startswith(packet)


def test_until_the_new_session_is_confirmed_the_responder_sends_by_the_old_one() -> None:
    bench = Bench()
    old = bench.establish()
    bench.run(wp.NS)
    new = bench.initiate()

    packet = bench.node_sends()
    (by_old,) = bench.take()
    assert old.open(by_old).startswith(packet)

    bench.exchange(new.seal(0, b""))
    packet = bench.node_sends()
    (by_new,) = bench.take()
    assert new.open(by_new).startswith(packet)


def test_the_previous_session_still_receives_what_was_under_way() -> None:
    bench = Bench()
    old = bench.establish()
    bench.run(wp.NS)
    bench.establish()

    late = bench.paper_packet()
    bench.exchange(old.seal(1, late))

    assert bench.node.delivered == [late]


def test_late_data_of_the_previous_session_does_not_bring_it_back() -> None:
    bench = Bench()
    old = bench.establish()
    bench.run(wp.NS)
    new = bench.establish()
    bench.exchange(old.seal(1, bench.paper_packet()))

    bench.node_sends()

    (data,) = bench.take()
    assert wp.receiver_of(data) == new.local_index


def test_the_session_before_the_previous_one_is_gone() -> None:
    bench = Bench()
    oldest = bench.establish()
    for _ in range(2):
        bench.run(wp.NS)
        bench.establish()

    bench.exchange(oldest.seal(1, bench.paper_packet()))

    assert bench.node.delivered == []
    assert bench.dropped(DropReason.UNKNOWN_INDEX) == 1


def test_a_second_initiation_replaces_a_session_that_was_never_confirmed() -> None:
    bench = Bench()
    first = bench.initiate()
    bench.run(wp.NS)
    second = bench.initiate()

    bench.exchange(first.seal(0, bench.paper_packet()))
    assert bench.node.delivered == []

    packet = bench.paper_packet()
    bench.exchange(second.seal(0, packet))
    assert bench.node.delivered == [packet]


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


def test_a_stranger_gets_no_answer() -> None:
    bench = Bench()
    stranger = wp.PaperPeer(wp.hash_(b"stranger"), bench.node.public_key)

    assert bench.exchange(stranger.initiation(bench.timestamp())) == []
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
    bench.node.device.set_private_key(None, bench.node.now)
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
    assert bench.node.news == []


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
        bench.node.device.add_peer(bench.node.public_key)


def test_an_initiation_by_ourselves_gets_no_answer() -> None:
    bench = Bench()
    mirror = wp.PaperPeer(bench.node.private_key, bench.node.public_key)

    assert bench.exchange(mirror.initiation(bench.timestamp())) == []
