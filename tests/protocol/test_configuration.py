"""Chapter 8: live change of every setting, with the kernel's effect on running sessions."""

import pytest

from . import whitepaper as wp
from .changes import NEW_KEY, change_private_key
from .harness import DELAY, PAPER_AT, Bench

# -- Private key -------------------------------------------------------------------------------------


def test_after_a_new_private_key_the_next_packet_begins_a_handshake_as_the_new_identity() -> None:
    bench = Bench()
    bench.establish()
    change_private_key(bench, NEW_KEY)

    bench.node_sends()

    (initiation,) = bench.take()
    anew = wp.PaperPeer(bench.paper.private, wp.public(NEW_KEY))
    anew.consume_initiation(initiation)


def test_a_new_private_key_does_not_wait_for_the_rekey_timeout() -> None:
    bench = Bench()
    bench.node_sends()
    assert len(bench.take()) == 1
    change_private_key(bench, NEW_KEY)

    bench.node_sends()

    assert [wp.type_of(data) for data in bench.take()] == [wp.INITIATION]


def test_a_packet_that_waits_when_the_private_key_arrives_begins_a_handshake() -> None:
    bench = Bench()
    change_private_key(bench, None)
    packet = bench.node_sends()
    assert bench.take() == []

    change_private_key(bench, NEW_KEY)
    bench.run(DELAY)

    (initiation,) = bench.take()
    anew = wp.PaperPeer(bench.paper.private, wp.public(NEW_KEY))
    response, session = anew.respond(initiation)
    (data,) = bench.exchange(response)
    assert session.open(data).startswith(packet)


def test_a_packet_that_waits_for_the_former_identitys_handshake_begins_one_of_the_new() -> None:
    bench = Bench()
    bench.node_sends()
    assert len(bench.take()) == 1

    change_private_key(bench, NEW_KEY)
    bench.run(DELAY)

    assert [wp.type_of(data) for data in bench.take()] == [wp.INITIATION]


def test_a_private_key_that_arrives_while_nothing_waits_begins_no_handshake() -> None:
    bench = Bench()
    bench.establish()

    change_private_key(bench, NEW_KEY)
    bench.run(DELAY)

    assert bench.take() == []


def test_a_packet_that_was_given_up_begins_no_handshake_by_a_private_key() -> None:
    bench = Bench()
    bench.node_sends()
    bench.run(wp.REKEY_ATTEMPT_TIME + 2 * wp.REKEY_TIMEOUT)
    bench.take()

    change_private_key(bench, NEW_KEY)
    bench.run(DELAY)

    assert bench.take() == []


def test_after_a_new_private_key_old_sessions_still_receive() -> None:
    bench = Bench()
    session = bench.establish()
    change_private_key(bench, NEW_KEY)

    packet = bench.paper_packet()
    bench.exchange(session.seal(1, packet))

    assert bench.node.delivered == [packet]


def test_after_a_new_private_key_messages_to_the_old_one_get_no_answer() -> None:
    bench = Bench()
    change_private_key(bench, NEW_KEY)

    assert bench.exchange(bench.paper.initiation(bench.timestamp())) == []


def test_a_response_to_the_old_identity_is_refused() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    response, _ = bench.paper.respond(initiation)
    change_private_key(bench, NEW_KEY)
    bench.run(DELAY)  # the new identity's initiation

    assert bench.exchange(response) == []


def test_setting_the_same_private_key_disturbs_nothing() -> None:
    bench = Bench()
    session = bench.establish()

    change_private_key(bench, bench.node.private_key)

    packet = bench.node_sends()
    assert session.open(bench.take()[0]).startswith(packet)


def test_a_private_key_is_clamped() -> None:
    bench = Bench()

    change_private_key(bench, b"\xff" * 32)

    assert bench.node.engine.private_key == b"\xf8" + b"\xff" * 30 + b"\x7f"
    assert bench.node.engine.public_key == wp.public(b"\xff" * 32)


def test_a_peer_that_becomes_ourselves_by_a_new_private_key_is_removed() -> None:
    bench = Bench()

    change_private_key(bench, bench.paper.private)

    assert list(bench.node.engine.peers) == []
    assert bench.node.engine.peer(bench.peer.id) is None


def test_without_a_private_key_a_running_session_sends_nothing() -> None:
    bench = Bench()
    bench.establish()

    change_private_key(bench, None)
    bench.node_sends()
    bench.run(60 * wp.NS)

    assert bench.take() == []
    assert bench.node.engine.private_key is None
    assert bench.node.engine.public_key is None


# -- Preshared key -----------------------------------------------------------------------------------


def test_a_new_preshared_key_does_not_disturb_the_session() -> None:
    bench = Bench()
    session = bench.establish()

    bench.node.engine.set_preshared_key(bench.peer, b"\1" * 32)
    bench.node.settle()

    packet = bench.node_sends()
    assert session.open(bench.take()[0]).startswith(packet)


def test_a_new_preshared_key_counts_from_the_next_handshake_on() -> None:
    bench = Bench()
    bench.establish()
    bench.node.engine.set_preshared_key(bench.peer, b"\1" * 32)

    (response,) = bench.exchange(bench.paper.initiation(bench.timestamp()))
    with pytest.raises(wp.InvalidTag):
        bench.paper.consume_response(response)

    bench.paper.preshared = b"\1" * 32
    session = bench.establish()
    packet = bench.node_sends()
    assert session.open(bench.take()[0]).startswith(packet)


def test_a_preshared_key_set_while_a_handshake_is_under_way_counts_for_it() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    bench.node.engine.set_preshared_key(bench.peer, b"\1" * 32)
    bench.paper.preshared = b"\1" * 32

    response, session = bench.paper.respond(initiation)

    assert session.open(bench.exchange(response)[0]) != b""


# -- Endpoint ----------------------------------------------------------------------------------------


def test_a_new_endpoint_is_used_for_the_very_next_packet() -> None:
    bench = Bench()
    session = bench.establish()
    elsewhere = PAPER_AT._replace(address="203.0.113.7")
    bench.attach(elsewhere)

    bench.node.engine.set_endpoint(bench.peer, elsewhere, bench.node.now)
    bench.node.settle()
    packet = bench.node_sends()

    ((data, at),) = bench.inbox
    assert at == elsewhere
    assert session.open(data).startswith(packet)


def test_a_retry_of_a_handshake_goes_to_the_new_endpoint() -> None:
    bench = Bench()
    bench.node_sends()
    bench.take()
    elsewhere = PAPER_AT._replace(port=4444)
    bench.attach(elsewhere)
    bench.node.engine.set_endpoint(bench.peer, elsewhere, bench.node.now)
    bench.node.settle()

    bench.run(wp.REKEY_TIMEOUT + wp.JITTER)

    ((_, at),) = bench.inbox
    assert at == elsewhere


def test_a_peer_that_gets_its_first_endpoint_is_reached() -> None:
    bench = Bench(endpoint_known=False)
    bench.node.engine.set_endpoint(bench.peer, PAPER_AT, bench.node.now)
    bench.node.settle()

    bench.node_sends()

    assert [wp.type_of(data) for data in bench.take()] == [wp.INITIATION]
