"""Chapter 12: candidates. Who does not answer at its endpoint is looked for elsewhere, with no packet more.

Of this implementation: the paper knows one endpoint for a peer.
"""

from collections.abc import Sequence

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.device_update import apply_update
from wgpy.engine.peer import Peer
from wgpy.keys import PublicKey
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.paths.candidates import Candidates
from wgpy.testing import Flight, Node

from . import whitepaper as wp
from .harness import DELAY, PAPER_AT, Bench, Pair

OFFICE = Endpoint("203.0.113.1", 51820)
CLOUD = Endpoint("203.0.113.2", 40000)
IPV6 = Endpoint("2001:db8::9", 51820)
ELSEWHERE = Endpoint("198.51.100.200", 7)
MAX_CANDIDATES = 16
EVERY_RETRY = wp.REKEY_TIMEOUT + wp.JITTER


def silent_bench(*candidates: Endpoint, endpoint_known: bool = True) -> tuple[Bench, list[Flight]]:
    """A node whose peer is at none of its candidates, and what the node sends."""
    bench = Bench(endpoint_known=endpoint_known)
    flights: list[Flight] = []
    bench.simulation.network.watch(flights.append)
    set_candidates(bench.node, bench.peer, candidates)
    bench.node.settle()
    return bench, flights


def set_candidates(node: Node, peer: Peer, candidates: Sequence[Endpoint]) -> None:
    update = PeerUpdate(PublicKey(peer.public_key), candidates=candidates)
    for _ in apply_update(node.device, DeviceUpdate(peers=[update]), lambda: node.now):
        pass


def destinations(flights: list[Flight]) -> list[Endpoint]:
    """Where initiations went, in order."""
    return [flight.destination for flight in flights if wp.type_of(flight.data) == wp.INITIATION]


def destinations_of_alice(pair: Pair) -> list[Endpoint]:
    """Where she sends."""
    return [flight.destination for flight in pair.wire.flights if flight.source == pair.alice.listen]


# -- While nobody answers ----------------------------------------------------------------------------


def test_each_retry_goes_to_the_next_candidate_and_then_round_again() -> None:
    bench, flights = silent_bench(OFFICE, CLOUD, IPV6)

    bench.node_sends()
    bench.run(5 * EVERY_RETRY)

    assert destinations(flights)[:6] == [PAPER_AT, OFFICE, CLOUD, IPV6, PAPER_AT, OFFICE]


def test_a_candidate_that_is_the_endpoint_is_not_tried_twice() -> None:
    bench, flights = silent_bench(OFFICE, PAPER_AT)

    bench.node_sends()
    bench.run(3 * EVERY_RETRY)

    assert destinations(flights)[:4] == [PAPER_AT, OFFICE, PAPER_AT, OFFICE]


def test_candidates_cost_no_initiation_more() -> None:
    without, flights_without = silent_bench()
    having, flights_having = silent_bench(OFFICE, CLOUD, IPV6)
    for bench in (without, having):
        bench.node_sends()
        bench.run(wp.REKEY_ATTEMPT_TIME + EVERY_RETRY)

    sent_at = [flight.sent_at for flight in flights_having]

    assert sent_at == [flight.sent_at for flight in flights_without]
    assert set(destinations(flights_having)) == {PAPER_AT, OFFICE, CLOUD, IPV6}


def test_as_many_count_as_are_tried_before_the_node_gives_up() -> None:
    candidates = [Endpoint("203.0.113.9", port) for port in range(1, 100)]
    bench, flights = silent_bench(*candidates)

    bench.node_sends()
    bench.run(wp.REKEY_ATTEMPT_TIME + EVERY_RETRY)

    assert bench.peer.selector == Candidates(tuple(candidates[:MAX_CANDIDATES]))
    assert destinations(flights)[: 1 + MAX_CANDIDATES] == [PAPER_AT, *candidates[:MAX_CANDIDATES]]


def test_a_handshake_that_is_begun_anew_goes_to_the_endpoint_at_once() -> None:
    bench, flights = silent_bench(OFFICE, CLOUD)
    bench.node_sends()
    bench.run(EVERY_RETRY)
    flights.clear()

    update = PeerUpdate(PublicKey(bench.peer.public_key), endpoint=ELSEWHERE, handshake=True)
    for _ in apply_update(bench.node.device, DeviceUpdate(peers=[update]), lambda: bench.node.now):
        pass
    bench.node.settle()

    assert destinations(flights) == [ELSEWHERE]
    bench.run(2 * EVERY_RETRY)
    assert destinations(flights)[:3] == [ELSEWHERE, OFFICE, CLOUD]


def test_who_gave_up_begins_anew_with_the_endpoint() -> None:
    bench, flights = silent_bench(OFFICE, CLOUD)
    bench.node_sends()
    bench.run(wp.REKEY_ATTEMPT_TIME + EVERY_RETRY)
    flights.clear()

    bench.node_sends()
    bench.run(EVERY_RETRY)

    assert destinations(flights) == [PAPER_AT, OFFICE]
    assert bench.peer.endpoint == PAPER_AT


def test_other_candidates_may_come_while_a_handshake_is_tried() -> None:
    bench, flights = silent_bench(OFFICE)
    bench.node_sends()
    bench.run(EVERY_RETRY)

    set_candidates(bench.node, bench.peer, [CLOUD, IPV6])
    bench.run(2 * EVERY_RETRY)

    assert destinations(flights)[:2] == [PAPER_AT, OFFICE]
    assert {IPV6, PAPER_AT} == set(destinations(flights)[2:4])


# -- Once somebody answers ---------------------------------------------------------------------------


def test_the_candidate_that_answers_is_the_endpoint() -> None:
    bench, flights = silent_bench(OFFICE, CLOUD)
    bench.attach(OFFICE)
    bench.simulation.network.loses = lambda flight: flight.destination == PAPER_AT
    packet = bench.node_sends()
    bench.run(EVERY_RETRY)
    ((initiation, at),) = bench.inbox

    response, session = bench.paper.respond(initiation)
    data = bench.exchange(response, OFFICE)

    assert at == OFFICE
    assert bench.peer.endpoint == OFFICE
    assert session.open(data[0]).startswith(packet)
    assert flights[-1].destination == OFFICE


def test_an_answer_that_is_not_authentic_makes_no_endpoint() -> None:
    bench, flights = silent_bench(OFFICE, CLOUD)
    bench.attach(OFFICE)
    bench.simulation.network.loses = lambda flight: flight.destination == PAPER_AT
    bench.node_sends()
    bench.run(EVERY_RETRY)
    ((initiation, _),) = bench.inbox
    response, _ = bench.paper.respond(initiation)

    bench.exchange(response[:-40] + bytes(40), OFFICE)
    bench.run(EVERY_RETRY)

    assert bench.peer.endpoint == PAPER_AT
    assert destinations(flights)[-1] == CLOUD


def test_roaming_wins() -> None:
    bench, flights = silent_bench(OFFICE, CLOUD)
    bench.attach(ELSEWHERE)

    bench.exchange(bench.paper.initiation(bench.timestamp()), ELSEWHERE)
    bench.run(wp.ZERO_KEYS_AFTER)
    flights.clear()
    bench.node_sends()
    bench.run(EVERY_RETRY)

    assert bench.peer.endpoint == ELSEWHERE
    assert destinations(flights) == [ELSEWHERE, OFFICE]


# -- A working endpoint ------------------------------------------------------------------------------


def test_an_endpoint_that_answers_is_never_left() -> None:
    pair = Pair()
    set_candidates(pair.alice, pair.bob_at_alice, [OFFICE, CLOUD])

    pair.keep_talking(3 * wp.REJECT_AFTER_TIME)

    assert len(pair.wire.of(wp.INITIATION, pair.alice)) > 2
    assert set(destinations_of_alice(pair)) == {pair.bob.listen}


def test_data_stays_with_the_endpoint_while_an_initiation_is_lost() -> None:
    pair = Pair()
    set_candidates(pair.alice, pair.bob_at_alice, [OFFICE, CLOUD])
    began = pair.establish()
    pair.simulation.network.loses = lambda flight: wp.type_of(flight.data) == wp.INITIATION
    pair.run(began + wp.REKEY_AFTER_TIME - pair.now)

    pair.keep_talking(2 * EVERY_RETRY)
    pair.run(DELAY)

    assert {flight.destination for flight in pair.wire.of(wp.TRANSPORT, pair.alice)} == {pair.bob.listen}
    assert {OFFICE, CLOUD} <= {flight.destination for flight in pair.wire.of(wp.INITIATION, pair.alice)}
    assert pair.bob.delivered != []
    assert pair.bob_at_alice.endpoint == pair.bob.listen


def test_a_handshake_that_was_lost_once_succeeds_at_the_endpoint_when_its_turn_comes() -> None:
    pair = Pair()
    set_candidates(pair.alice, pair.bob_at_alice, [OFFICE])
    pair.simulation.network.loses = lambda flight: pair.now < wp.REKEY_TIMEOUT

    pair.alice_sends()
    pair.run(2 * EVERY_RETRY + 3 * DELAY)

    assert len(pair.bob.delivered) == 1
    assert pair.bob_at_alice.endpoint == pair.bob.listen


# -- Without an endpoint -----------------------------------------------------------------------------


def test_without_an_endpoint_the_first_candidate_is_it() -> None:
    bench, flights = silent_bench(OFFICE, CLOUD, endpoint_known=False)

    bench.node_sends()
    bench.run(EVERY_RETRY)

    assert destinations(flights) == [OFFICE, CLOUD]


def test_candidates_leave_an_endpoint_that_is_there() -> None:
    bench, _ = silent_bench(OFFICE)

    assert bench.peer.endpoint == PAPER_AT


def test_an_endpoint_that_was_a_candidate_and_is_none_any_more_is_left_for_the_first() -> None:
    bench, _ = silent_bench(OFFICE, CLOUD, endpoint_known=False)

    set_candidates(bench.node, bench.peer, [IPV6, CLOUD])

    assert bench.peer.endpoint == IPV6


def test_an_endpoint_that_is_still_a_candidate_stays() -> None:
    bench, _ = silent_bench(OFFICE, endpoint_known=False)

    set_candidates(bench.node, bench.peer, [IPV6, OFFICE])

    assert bench.peer.endpoint == OFFICE


@pytest.mark.parametrize("candidates", [[], [OFFICE]])
def test_a_node_that_has_nothing_to_say_looks_for_nobody(candidates: list[Endpoint]) -> None:
    bench, flights = silent_bench(*candidates, endpoint_known=False)

    bench.run(3600 * wp.NS)

    assert flights == []
