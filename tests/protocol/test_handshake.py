"""Chapter 1: the handshake. Whitepaper 5.4.2 to 5.4.5."""

import pytest

from wgpy.contract.drops import DropReason
from wgpy.engine.actions import HandshakeCompleted

from . import whitepaper as wp
from .harness import DELAY, Bench, Pair, handshake_events

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

    heard = [handshake_events(node) for node in (pair.alice, pair.bob)]
    assert heard == [
        [HandshakeCompleted(pair.bob_at_alice.id, initiator=True)],
        [HandshakeCompleted(pair.alice_at_bob.id, initiator=False)],
    ]


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
