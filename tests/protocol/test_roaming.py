"""Chapter 7: roaming. Whitepaper 2.1: a peer is where its last authentic datagram came from."""

from collections.abc import Callable

import pytest

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import EndpointChanged
from wgpy.paths.candidates import Candidates
from wgpy.testing import InnerPacket

from . import whitepaper as wp
from .harness import NODE_INNER, PAPER_AT, PAPER_INNER, Bench, Pair

OTHER_ADDRESS = PAPER_AT._replace(address="203.0.113.7")
OTHER_PORT = PAPER_AT._replace(port=40000)
IPV6 = Endpoint("2001:db8::7", 51820)


def node_answers_at(bench: Bench) -> Endpoint:
    """Where the node's next packet arrives."""
    bench.inbox.clear()
    bench.node_sends()
    (_, at), *_ = bench.inbox
    return at


@pytest.mark.parametrize("elsewhere", [OTHER_ADDRESS, OTHER_PORT, IPV6], ids=["address", "port", "family"])
def test_authentic_data_moves_the_endpoint(elsewhere: Endpoint) -> None:
    bench = Bench()
    bench.attach(elsewhere)
    session = bench.establish()

    bench.exchange(session.seal(1, bench.paper_packet()), elsewhere)

    assert bench.peer.endpoint == elsewhere
    assert node_answers_at(bench) == elsewhere


def test_a_keepalive_moves_the_endpoint() -> None:
    bench = Bench()
    session = bench.establish()

    bench.exchange(session.seal(1, b""), OTHER_ADDRESS)

    assert bench.peer.endpoint == OTHER_ADDRESS


@pytest.mark.parametrize(
    "packet",
    [InnerPacket("10.0.0.98", NODE_INNER, 1).encode(), b"\0not IP"],
    ids=["source not allowed", "no IP packet"],
)
def test_data_that_is_authentic_but_not_delivered_moves_the_endpoint(packet: bytes) -> None:
    bench = Bench()
    session = bench.establish()

    bench.exchange(session.seal(1, packet), OTHER_ADDRESS)

    assert bench.node.delivered == []
    assert bench.peer.endpoint == OTHER_ADDRESS


def test_late_data_of_the_previous_session_moves_the_endpoint() -> None:
    bench = Bench()
    old = bench.establish()
    bench.run(wp.NS)
    bench.establish()

    bench.exchange(old.seal(1, b""), OTHER_ADDRESS)

    assert bench.peer.endpoint == OTHER_ADDRESS


def test_an_initiation_moves_the_endpoint_and_is_answered_there() -> None:
    bench = Bench()
    bench.attach(OTHER_ADDRESS)

    bench.exchange(bench.paper.initiation(bench.timestamp()), OTHER_ADDRESS)

    assert bench.peer.endpoint == OTHER_ADDRESS


def test_an_initiation_is_answered_where_it_came_from() -> None:
    bench = Bench(endpoint_known=False)
    bench.attach(OTHER_ADDRESS)
    initiation = bench.paper.initiation(bench.timestamp())
    bench.simulation.network.send(OTHER_ADDRESS, bench.node.listen, initiation)
    bench.run(wp.NS)

    ((response, at),) = bench.inbox

    assert wp.type_of(response) == wp.RESPONSE
    assert at == OTHER_ADDRESS


def test_a_response_moves_the_endpoint() -> None:
    bench = Bench()
    bench.attach(OTHER_ADDRESS)
    bench.node_sends()
    (initiation,) = bench.take()

    response, _ = bench.paper.respond(initiation)
    bench.exchange(response, OTHER_ADDRESS)

    assert bench.peer.endpoint == OTHER_ADDRESS
    assert node_answers_at(bench) == OTHER_ADDRESS


# -- A pinned endpoint -------------------------------------------------------------------------------


def pinned_bench() -> Bench:
    bench = Bench()
    bench.node.engine.set_endpoint(bench.peer, PAPER_AT, bench.node.now, pinned=True)
    bench.node.settle()
    return bench


def test_authentic_data_does_not_move_a_pinned_endpoint() -> None:
    bench = pinned_bench()
    session = bench.establish()

    bench.exchange(session.seal(1, bench.paper_packet()), OTHER_ADDRESS)

    assert len(bench.node.delivered) == 1
    assert bench.peer.endpoint == PAPER_AT
    assert node_answers_at(bench) == PAPER_AT


def test_an_initiation_does_not_move_a_pinned_endpoint_and_is_answered_where_it_came_from() -> None:
    bench = pinned_bench()
    bench.attach(OTHER_ADDRESS)

    initiation = bench.paper.initiation(bench.timestamp())
    bench.simulation.network.send(OTHER_ADDRESS, bench.node.listen, initiation)
    bench.run(wp.NS)

    ((response, at),) = bench.inbox
    assert (wp.type_of(response), at) == (wp.RESPONSE, OTHER_ADDRESS)
    assert bench.peer.endpoint == PAPER_AT


def test_a_response_does_not_move_a_pinned_endpoint() -> None:
    bench = pinned_bench()
    bench.node_sends()
    (initiation,) = bench.take()

    response, _ = bench.paper.respond(initiation)
    bench.exchange(response, OTHER_ADDRESS)

    assert bench.peer.endpoint == PAPER_AT
    assert node_answers_at(bench) == PAPER_AT


def test_a_pinned_endpoint_is_the_only_one_that_is_tried() -> None:
    bench = pinned_bench()
    bench.attach(OTHER_ADDRESS)
    bench.node.engine.set_selector(bench.peer, Candidates((OTHER_ADDRESS,)))

    bench.node_sends()
    bench.run(wp.REKEY_ATTEMPT_TIME)

    assert {at for _, at in bench.inbox} == {PAPER_AT}


def test_a_move_that_was_on_its_way_when_the_endpoint_was_pinned_counts_no_more() -> None:
    bench = pinned_bench()

    bench.node.engine.receive_event(EndpointChanged(bench.peer.id, OTHER_ADDRESS), bench.node.now)

    assert bench.peer.endpoint == PAPER_AT


def test_a_peer_roams_again_once_its_endpoint_is_set_without_a_pin() -> None:
    bench = pinned_bench()
    session = bench.establish()
    bench.node.engine.set_endpoint(bench.peer, PAPER_AT, bench.node.now)
    bench.node.settle()

    bench.exchange(session.seal(1, b""), OTHER_ADDRESS)

    assert bench.peer.endpoint == OTHER_ADDRESS


# -- What is not authentic ---------------------------------------------------------------------------


def forged_data(bench: Bench, session: wp.PaperSession) -> bytes:
    return session.seal(1, bench.paper_packet())[:-1] + b"\0"


def data_for_another_index(bench: Bench, session: wp.PaperSession) -> bytes:
    session.remote_index ^= 1
    return session.seal(1, bench.paper_packet())


def initiation_of_an_unknown_peer(bench: Bench, session: wp.PaperSession) -> bytes:
    return wp.PaperPeer(wp.hash_(b"unknown peer"), bench.node.public_key).initiation(bench.timestamp())


def initiation_with_an_old_timestamp(bench: Bench, session: wp.PaperSession) -> bytes:
    return bench.paper.initiation(wp.tai64n(1))


def initiation_with_a_wrong_mac1(bench: Bench, session: wp.PaperSession) -> bytes:
    return bench.paper.initiation(bench.timestamp())[:-32] + bytes(32)


def response_to_nothing(bench: Bench, session: wp.PaperSession) -> bytes:
    return bench.paper.with_macs(wp.u32(wp.RESPONSE) + wp.u32(5) + wp.u32(session.remote_index) + bytes(48))


def another_type(bench: Bench, session: wp.PaperSession) -> bytes:
    return b"\5" + session.seal(1, bench.paper_packet())[1:]


def data_with_a_reserved_bit(bench: Bench, session: wp.PaperSession) -> bytes:
    datagram = session.seal(1, bench.paper_packet())
    return datagram[:2] + b"\1" + datagram[3:]


@pytest.mark.parametrize(
    "make",
    [
        forged_data,
        data_for_another_index,
        initiation_of_an_unknown_peer,
        initiation_with_an_old_timestamp,
        initiation_with_a_wrong_mac1,
        response_to_nothing,
        another_type,
        data_with_a_reserved_bit,
    ],
)
def test_what_is_not_authentic_moves_nothing(make: Callable[[Bench, wp.PaperSession], bytes]) -> None:
    bench = Bench()
    session = bench.establish()
    bench.run(wp.NS)

    bench.exchange(make(bench, session), OTHER_ADDRESS)

    assert bench.peer.endpoint == PAPER_AT
    assert node_answers_at(bench) == PAPER_AT


def test_the_next_handshake_goes_where_the_data_came_from() -> None:
    bench = Bench()
    bench.attach(OTHER_ADDRESS)
    session = bench.establish()
    bench.exchange(session.seal(1, b""), OTHER_ADDRESS)
    bench.run(wp.REJECT_AFTER_TIME)

    assert node_answers_at(bench) == OTHER_ADDRESS
    assert wp.type_of(bench.inbox[0][0]) == wp.INITIATION


def test_a_peer_without_endpoint_is_reached_after_it_has_spoken() -> None:
    bench = Bench(endpoint_known=False)
    session = bench.establish()

    packet = bench.node_sends()

    assert session.open(bench.take()[0]).startswith(packet)


def test_a_nat_that_rebinds_is_followed_with_the_next_packet() -> None:
    pair = Pair(nat=True)
    pair.establish()
    assert pair.nat is not None
    before = pair.alice_at_bob.endpoint
    pair.nat.rebind()

    pair.alice_sends()
    pair.run(wp.NS)
    packet = pair.bob_sends()
    pair.run(wp.NS)

    assert packet in pair.alice.delivered
    assert pair.alice_at_bob.endpoint != before
    assert pair.wire.of(wp.INITIATION) == []


def test_a_session_survives_that_one_end_moves_while_the_other_sends() -> None:
    pair = Pair(nat=True)
    pair.establish()
    assert pair.nat is not None
    sent = []
    for second in range(60):
        if second % 10 == 5:
            pair.nat.rebind()
        sent.append(pair.bob_sends())
        pair.alice_sends()
        pair.run(wp.NS)

    assert len(pair.bob.delivered) == 60
    assert len(set(sent) & set(pair.alice.delivered)) >= 50
    assert pair.wire.of(wp.INITIATION) == []


def test_who_is_at_an_address_does_not_matter_to_cryptokey_routing() -> None:
    bench = Bench()
    session = bench.establish()
    packet = InnerPacket(PAPER_INNER, NODE_INNER, 7).encode()

    bench.exchange(session.seal(1, packet), OTHER_PORT)

    assert bench.node.delivered == [packet]
