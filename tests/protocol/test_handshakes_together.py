"""Handshake messages that wait together: they are worked on side by side, and none minds the others."""

import pytest

from wgpy.contract.constants import UNDER_LOAD_DEPTH
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import InstallKeypair
from wgpy.device import HANDSHAKES_AT_ONCE
from wgpy.testing import PeerConfig

from . import whitepaper as wp
from .harness import Bench

MANY = 3 * HANDSHAKES_AT_ONCE + 1


def crowd(bench: Bench, number: int) -> list[wp.PaperPeer]:
    """As many more peers of the bench's node."""
    papers = [
        wp.PaperPeer(wp.hash_(b"key" + bytes([i])), bench.node.public_key, next_index=1 + i)
        for i in range(number)
    ]
    for paper in papers:
        bench.node.add_peer(PeerConfig(paper.public, (), None))
    return papers


def at_once(bench: Bench, datagrams: list[bytes]) -> list[bytes]:
    """Have all wait when the node begins to work on them; return what it sends."""
    for number, datagram in enumerate(datagrams):
        at = Endpoint("192.0.2.200", 1000 + number)
        bench.attach(at)
        bench.node.device.receive(datagram, at, bench.now)
    bench.node.settle()
    bench.run(100 * wp.MS)
    return bench.take()


def test_each_of_many_initiators_gets_a_session_of_its_own() -> None:
    bench = Bench()
    papers = crowd(bench, MANY)

    responses = at_once(bench, [paper.initiation(bench.timestamp()) for paper in papers])

    by_index = {wp.receiver_of(response): response for response in responses}
    sessions = [paper.consume_response(by_index[paper.pending[3]]) for paper in papers if paper.pending]
    assert len({session.sending_key for session in sessions}) == MANY
    assert len({session.remote_index for session in sessions}) == MANY


@pytest.mark.parametrize("lie", ["static", "ephemeral"])
def test_one_that_is_refused_holds_up_no_other(lie: str) -> None:
    bench = Bench()
    papers = crowd(bench, HANDSHAKES_AT_ONCE)
    low_order = bytes(32)
    shown = {"static": wp.public(bytes(range(32)))} if lie == "static" else {"ephemeral_public": low_order}
    liar, *honest = papers

    responses = at_once(
        bench,
        [
            honest[0].initiation(bench.timestamp()),
            liar.initiation(bench.timestamp(), **shown),
            *(paper.initiation(bench.timestamp()) for paper in honest[1:]),
        ],
    )

    assert len(responses) == len(honest)
    reason = DropReason.UNKNOWN_PEER if lie == "static" else DropReason.LOW_ORDER_KEY
    assert bench.dropped(reason) == 1


def test_of_two_initiations_of_one_peer_the_first_is_answered() -> None:
    bench = Bench()
    first, second = (bench.paper.initiation(bench.timestamp()) for _ in range(2))

    (response,) = at_once(bench, [first, second])

    assert wp.receiver_of(response) == wp.sender_of(first)
    assert bench.dropped(DropReason.INITIATION_FLOOD) == 1
    assert len(bench.actions_of(InstallKeypair)) == 1


def test_the_same_initiation_twice_is_answered_once() -> None:
    bench = Bench()
    initiation = bench.paper.initiation(bench.timestamp())

    assert len(at_once(bench, [initiation, initiation])) == 1
    assert bench.dropped(DropReason.REPLAYED_TIMESTAMP) == 1


def test_the_same_response_twice_makes_one_session() -> None:
    bench = Bench()
    packet = bench.node_sends()
    (initiation,) = bench.take()
    response, session = bench.paper.respond(initiation)

    sent = at_once(bench, [response, response])

    assert [session.open(data)[: len(packet)] for data in sent] == [packet]
    assert len(bench.actions_of(InstallKeypair)) == 1
    assert bench.dropped(DropReason.UNEXPECTED_RESPONSE) == 1


def test_a_response_and_an_initiation_of_one_peer_make_a_session_each() -> None:
    bench = Bench()
    packet = bench.node_sends()
    (initiation,) = bench.take()
    response, ours = bench.paper.respond(initiation)
    theirs = bench.paper.initiation(bench.timestamp())

    sent = at_once(bench, [theirs, response])

    assert len(bench.actions_of(InstallKeypair)) == 2
    (data,) = [data for data in sent if wp.type_of(data) == wp.TRANSPORT]
    assert ours.open(data).startswith(packet)
    (answer,) = [data for data in sent if wp.type_of(data) == wp.RESPONSE]
    bench.paper.consume_response(answer)


@pytest.mark.parametrize("more", [0, 1])
def test_the_load_is_what_waits_behind_the_first(more: int) -> None:
    """Also where several are taken at once; under load they get cookies."""
    bench = Bench()
    papers = crowd(bench, UNDER_LOAD_DEPTH + more)

    answers = at_once(bench, [paper.initiation(bench.timestamp()) for paper in papers])

    kind = wp.COOKIE_REPLY if more else wp.RESPONSE
    assert [wp.type_of(answer) for answer in answers] == [kind] * len(papers)
