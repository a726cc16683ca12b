"""Chapter 4: timers. Whitepaper 6: after setting it up, WireGuard is silent unless there is data."""

from itertools import pairwise

from wgpy.contract.orders import ClearSource
from wgpy.engine.actions import PeerUnreachable
from wgpy.testing import Flight

from . import whitepaper as wp
from .harness import DELAY, PAPER_AT, Bench, Pair, handshake_events

# -- Rekeying, 6.2 -----------------------------------------------------------------------------------


def test_an_initiator_that_sends_after_120_s_rekeys() -> None:
    pair = Pair()
    began = pair.establish()
    pair.run(began + wp.REKEY_AFTER_TIME - pair.now)

    pair.alice_sends()

    assert wp.INITIATION in pair.wire.kinds(pair.alice)


def test_an_initiator_that_sends_just_before_120_s_does_not_rekey() -> None:
    pair = Pair()
    began = pair.establish()
    pair.run(began + wp.REKEY_AFTER_TIME - 1 - pair.now)

    pair.alice_sends()

    assert pair.wire.kinds() == [wp.TRANSPORT]


def test_the_packet_that_asks_for_a_new_session_still_travels_by_the_old_one() -> None:
    pair = Pair()
    began = pair.establish()
    pair.run(began + wp.REKEY_AFTER_TIME - pair.now)
    pair.simulation.network.loses = lambda flight: wp.type_of(flight.data) != wp.TRANSPORT

    packet = pair.alice_sends()
    pair.run(wp.NS)

    assert pair.bob.delivered == [packet]


def test_a_session_is_not_renewed_by_its_age_alone() -> None:
    pair = Pair()
    pair.establish()

    pair.run(3600 * wp.NS)

    assert pair.wire.flights == []


def test_a_responder_does_not_rekey_because_of_the_age_of_a_session() -> None:
    pair = Pair()
    began = pair.establish()
    pair.run(began + wp.REKEY_AFTER_TIME - pair.now)

    while pair.now < began + wp.REJECT_AFTER_TIME - wp.NS:
        pair.bob_sends()
        pair.run(wp.NS)

    assert pair.wire.of(wp.INITIATION, pair.bob) == []


def test_the_initiator_rekeys_when_it_receives_after_165_s() -> None:
    pair = Pair()
    began = pair.establish()
    pair.run(began + wp.REKEY_ON_RECEIVE - DELAY - pair.now)

    pair.bob_sends()
    pair.run(DELAY)

    assert pair.wire.kinds(pair.alice) == [wp.INITIATION]


def test_the_initiator_does_not_rekey_when_it_receives_before_165_s() -> None:
    pair = Pair()
    began = pair.establish()
    pair.run(began + wp.REKEY_ON_RECEIVE - DELAY - 1 - pair.now)

    pair.bob_sends()
    pair.run(DELAY)

    assert pair.wire.kinds(pair.alice) == []


def test_a_busy_tunnel_never_loses_a_packet_to_a_rekey() -> None:
    pair = Pair()
    sent_there, sent_back = [], []
    for _ in range(4 * 600):
        sent_there.append(pair.alice_sends())
        sent_back.append(pair.bob_sends())
        pair.run(wp.NS // 4)
    pair.run(6 * wp.NS)

    assert pair.bob.delivered == sent_there
    assert pair.alice.delivered == sent_back


def test_a_busy_tunnel_rekeys_every_120_s_and_no_more_often() -> None:
    pair = Pair()
    pair.alice_sends()
    pair.run(wp.NS)

    pair.keep_talking(1200 * wp.NS)

    times = [flight.sent_at for flight in pair.wire.of(wp.INITIATION)]
    assert len(times) == 10
    assert all(120 * wp.NS <= later - earlier < 122 * wp.NS for earlier, later in pairwise(times))


# -- Rejecting, 6.1 ----------------------------------------------------------------------------------


def test_a_session_does_not_send_at_180_s() -> None:
    pair = Pair()
    began = pair.establish()
    pair.run(began + wp.REJECT_AFTER_TIME - pair.now)

    pair.alice_sends()

    assert pair.wire.kinds() == [wp.INITIATION]


def test_a_session_does_not_receive_at_180_s() -> None:
    bench = Bench()
    session = bench.answer()
    bench.run(bench.session_began + wp.REJECT_AFTER_TIME - DELAY - bench.now)

    bench.exchange(session.seal(1, bench.paper_packet()))

    assert bench.node.delivered == []


def test_a_session_receives_just_before_180_s() -> None:
    bench = Bench()
    session = bench.answer()
    bench.run(bench.session_began + wp.REJECT_AFTER_TIME - DELAY - 1 - bench.now)

    packet = bench.paper_packet()
    bench.exchange(session.seal(1, packet))

    assert bench.node.delivered == [packet]


def test_after_the_end_of_a_session_the_next_packet_begins_another_and_waits_for_it() -> None:
    bench = Bench()
    session = bench.answer()
    bench.run(wp.REKEY_TIMEOUT)

    bench.node.engine.end_session(bench.peer)
    bench.node.settle()
    bench.exchange(session.seal(1, bench.paper_packet()))

    assert len(bench.node.delivered) == 1  # what comes by the old one counts
    packet = bench.node_sends()
    (initiation,) = bench.take()
    response, session = bench.paper.respond(initiation)
    (data,) = bench.exchange(response)
    assert session.open(data)[: len(packet)] == packet


def test_a_session_that_ends_just_after_it_was_answered_is_followed_by_another_at_once() -> None:
    bench = Bench()
    session = bench.answer()
    bench.exchange(session.seal(0, bench.paper_packet()))

    bench.node.engine.end_session(bench.peer)
    bench.node.settle()
    packet = bench.node_sends()

    (initiation,) = bench.take()
    response, session = bench.paper.respond(initiation)
    (data,) = bench.exchange(response)
    assert session.open(data)[: len(packet)] == packet


def test_a_responder_whose_session_is_too_old_begins_a_handshake_itself() -> None:
    pair = Pair()
    began = pair.establish()
    pair.run(began + wp.REJECT_AFTER_TIME - pair.now)

    packet = pair.bob_sends()
    pair.run(wp.NS)

    assert pair.alice.delivered == [packet]
    assert len(pair.wire.of(wp.INITIATION, pair.bob)) == 1


def test_after_a_suspend_the_session_is_old_and_the_first_packet_rekeys_at_once() -> None:
    pair = Pair()
    pair.establish()
    pair.alice.suspend()
    pair.run(3600 * wp.NS)
    pair.alice.resume()

    packet = pair.alice_sends()
    assert pair.wire.kinds() == [wp.INITIATION]
    pair.run(wp.NS)

    assert pair.bob.delivered == [packet]


# -- Retransmission, 6.4 -----------------------------------------------------------------------------


def unanswered(pair: Pair) -> list[Flight]:
    """Alice's initiations when nothing arrives, for five minutes after one packet."""
    pair.simulation.network.loses = lambda flight: True
    pair.alice_sends()
    pair.run(300 * wp.NS)
    return pair.wire.of(wp.INITIATION)


def test_an_unanswered_initiation_is_repeated_every_5_s_and_a_little() -> None:
    flights = unanswered(Pair())

    gaps = [later.sent_at - earlier.sent_at for earlier, later in pairwise(flights)]
    assert len(gaps) >= 16
    assert all(wp.REKEY_TIMEOUT <= gap <= wp.REKEY_TIMEOUT + wp.JITTER for gap in gaps)


def test_the_little_differs_so_that_two_ends_do_not_stay_in_step() -> None:
    flights = unanswered(Pair())

    gaps = [later.sent_at - earlier.sent_at for earlier, later in pairwise(flights)]
    assert len(set(gaps)) == len(gaps)
    assert max(gaps) - min(gaps) > wp.JITTER // 4


def test_after_90_s_the_peer_is_unreachable_and_nothing_more_is_sent() -> None:
    pair = Pair()
    began = pair.now

    flights = unanswered(pair)

    assert handshake_events(pair.alice) == [PeerUnreachable(pair.bob_at_alice.id)]
    last = flights[-1].sent_at - began
    assert wp.REKEY_ATTEMPT_TIME - wp.REKEY_TIMEOUT - wp.JITTER <= last < wp.REKEY_ATTEMPT_TIME
    assert pair.alice.device.next_deadline() is None


def test_the_news_of_an_unreachable_peer_comes_at_90_s() -> None:
    pair = Pair()
    pair.simulation.network.loses = lambda flight: True
    pair.alice_sends()

    pair.run(wp.REKEY_ATTEMPT_TIME - 1)
    assert handshake_events(pair.alice) == []

    pair.run(wp.REKEY_TIMEOUT + wp.JITTER + 1)
    assert len(handshake_events(pair.alice)) == 1


def test_after_giving_up_staged_packets_are_gone_and_the_next_packet_starts_over() -> None:
    pair = Pair()
    unanswered(pair)
    pair.simulation.network.loses = lambda flight: False

    packet = pair.alice_sends()
    pair.run(wp.NS)

    assert pair.bob.delivered == [packet]


def test_an_answer_after_giving_up_comes_too_late_as_its_ephemeral_key_is_erased() -> None:
    bench = Bench()
    bench.node_sends()
    bench.run(200 * wp.NS)
    last = bench.take()[-1]

    response, _ = bench.paper.respond(last)

    assert bench.exchange(response) == []


def test_every_packet_that_waits_gives_the_handshake_another_90_s() -> None:
    pair = Pair()
    pair.simulation.network.loses = lambda flight: True

    for _ in range(200):
        pair.alice_sends()
        pair.run(wp.NS)

    assert handshake_events(pair.alice) == []


def test_more_packets_make_no_more_initiations_than_one_every_5_s() -> None:
    pair = Pair()
    pair.simulation.network.loses = lambda flight: True

    for _ in range(400):
        pair.alice_sends()
        pair.run(wp.NS // 10)

    times = [flight.sent_at for flight in pair.wire.of(wp.INITIATION)]
    assert all(later - earlier >= wp.REKEY_TIMEOUT for earlier, later in pairwise(times))


def test_a_retry_forgets_which_of_our_addresses_was_used() -> None:
    bench = Bench()
    met_at = PAPER_AT._replace(local_address="192.0.2.1", local_interface=2)
    bench.node.engine.set_endpoint(bench.peer, met_at, bench.node.now)
    bench.node_sends()
    assert bench.actions_of(ClearSource) == []

    bench.run(wp.REKEY_TIMEOUT + wp.JITTER)

    assert bench.actions_of(ClearSource) == [ClearSource(bench.peer.id)]
    assert bench.peer.endpoint == PAPER_AT


def test_an_end_that_just_answered_begins_no_handshake_of_its_own() -> None:
    bench = Bench()
    bench.initiate()

    bench.node_sends()
    bench.run(wp.REKEY_TIMEOUT - wp.NS)
    assert bench.take() == []

    bench.run(wp.NS + wp.JITTER)
    assert [wp.type_of(data) for data in bench.take()] == [wp.INITIATION]


# -- Silence, 6.5 ------------------------------------------------------------------------------------


def test_data_without_any_answer_for_15_s_begins_a_new_handshake() -> None:
    pair = Pair()
    pair.establish()
    pair.simulation.network.loses = lambda flight: True

    pair.alice_sends()
    sent_at = pair.now
    pair.run(30 * wp.NS)

    first = pair.wire.of(wp.INITIATION)[0]
    assert first.sent_at - sent_at >= wp.NEW_HANDSHAKE_AFTER_SILENCE
    assert first.sent_at - sent_at <= wp.NEW_HANDSHAKE_AFTER_SILENCE + wp.JITTER


def test_the_15_s_run_from_the_oldest_unanswered_packet() -> None:
    pair = Pair()
    pair.establish()
    pair.simulation.network.loses = lambda flight: True
    sent_at = pair.now

    for _ in range(20):
        pair.alice_sends()
        pair.run(wp.NS)

    first = pair.wire.of(wp.INITIATION)[0]
    assert first.sent_at - sent_at <= wp.NEW_HANDSHAKE_AFTER_SILENCE + wp.JITTER


def test_any_answer_ends_the_15_s() -> None:
    pair = Pair()
    pair.establish()
    pair.alice_sends()
    pair.run(14 * wp.NS)  # within it, Bob's passive keepalive came

    pair.simulation.network.loses = lambda flight: True
    pair.run(60 * wp.NS)

    assert pair.wire.of(wp.INITIATION) == []


def test_a_keepalive_without_an_answer_begins_no_handshake() -> None:
    pair = Pair()
    pair.establish()
    pair.bob_sends()
    pair.run(wp.NS)
    pair.simulation.network.loses = lambda flight: True

    pair.run(60 * wp.NS)  # within it, Alice's passive keepalive got lost

    assert pair.wire.of(wp.INITIATION, pair.alice) == []


def test_a_peer_that_restarted_is_found_again_within_16_s() -> None:
    pair = Pair()
    pair.establish()
    pair.bob.stop()
    pair.bob.start()

    sent = []
    for _ in range(17):
        sent.append(pair.alice_sends())
        pair.run(wp.NS)

    assert sent[-1] in pair.bob.delivered


# -- Passive keepalive, 6.5 --------------------------------------------------------------------------


def test_data_that_is_not_answered_by_data_gets_a_keepalive_after_10_s() -> None:
    pair = Pair()
    pair.establish()

    pair.alice_sends()
    received_at = pair.now + DELAY
    pair.run(60 * wp.NS)

    (keepalive,) = pair.wire.of(wp.TRANSPORT, pair.bob)
    assert len(keepalive.data) == wp.KEEPALIVE_SIZE
    assert keepalive.sent_at == received_at + wp.KEEPALIVE_TIMEOUT


def test_data_that_is_answered_by_data_gets_no_keepalive() -> None:
    pair = Pair()
    pair.establish()
    pair.alice_sends()
    pair.run(9 * wp.NS)
    pair.bob_sends()
    pair.run(9 * wp.NS)
    pair.wire.clear()

    pair.run(wp.NS + 2 * DELAY)

    assert pair.wire.of(wp.TRANSPORT, pair.bob) == []


def test_a_keepalive_is_not_answered_by_a_keepalive() -> None:
    bench = Bench()
    session = bench.establish()

    bench.exchange(session.seal(1, b""))
    bench.run(60 * wp.NS)

    assert bench.take() == []


def test_one_way_traffic_costs_one_keepalive_each_10_s_and_never_a_handshake() -> None:
    pair = Pair()
    pair.establish()
    began = pair.now

    for _ in range(80):
        pair.alice_sends()
        pair.run(wp.NS)

    keepalives = [flight.sent_at - began for flight in pair.wire.of(wp.TRANSPORT, pair.bob)]
    assert 6 <= len(keepalives) <= 8
    assert all(10 * wp.NS <= later - earlier <= 11 * wp.NS for earlier, later in pairwise(keepalives))
    assert pair.wire.of(wp.INITIATION) == []


def test_a_passive_keepalive_is_not_sent_by_a_session_past_its_180_s() -> None:
    bench = Bench()
    session = bench.establish()
    bench.run(175 * wp.NS)

    bench.exchange(session.seal(1, bench.paper_packet()))
    bench.run(30 * wp.NS)

    assert wp.TRANSPORT not in [wp.type_of(data) for data in bench.take()]
