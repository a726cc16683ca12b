"""Chapter 6: cookies and load. Whitepaper 5.3 and 5.4.7; the limits are the kernel's."""

from socket import AF_INET, inet_pton

import pytest

from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import SetCookieSecret, SetMac1Key

from . import whitepaper as wp
from .harness import DELAY, PAPER_AT, Bench, Pair


def loaded() -> Bench:
    """A node with so many handshake messages waiting that it is under load."""
    bench = Bench()
    bench.node.backlog = wp.UNDER_LOAD_DEPTH
    return bench


def fetch_cookie(bench: Bench, source: Endpoint = PAPER_AT) -> None:
    """Let the paper's end hold a cookie for this source, and show it from now on."""
    bench.paper.cookie = b""
    (reply,) = bench.exchange(bench.paper.initiation(bench.timestamp()), source)
    bench.paper.cookie = bench.paper.open_cookie_reply(reply)


def kinds(datagrams: list[bytes]) -> list[int]:
    return [wp.type_of(data) for data in datagrams]


# -- The loaded end ----------------------------------------------------------------------------------


def test_under_load_an_initiation_without_mac2_gets_a_cookie_and_no_session() -> None:
    bench = loaded()
    initiation = bench.paper.initiation(bench.timestamp())

    (reply,) = bench.exchange(initiation)

    assert wp.type_of(reply) == wp.COOKIE_REPLY
    assert wp.receiver_of(reply) == wp.sender_of(initiation)
    assert len(bench.paper.open_cookie_reply(reply)) == 16


def test_under_load_an_initiation_with_the_cookie_gets_a_response() -> None:
    bench = loaded()
    fetch_cookie(bench)

    (response,) = bench.exchange(bench.paper.initiation(bench.timestamp()))

    session = bench.paper.consume_response(response)
    packet = bench.paper_packet()
    bench.exchange(session.seal(0, packet))
    assert bench.node.delivered == [packet]


def test_below_the_load_no_cookie_is_asked_for() -> None:
    bench = Bench()
    bench.node.backlog = wp.UNDER_LOAD_DEPTH - 1

    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()))) == [wp.RESPONSE]


def test_without_load_mac2_is_not_looked_at() -> None:
    bench = Bench()
    bench.paper.cookie = b"no cookie of you"

    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()))) == [wp.RESPONSE]


def test_under_load_a_wrong_mac2_is_as_good_as_none() -> None:
    bench = loaded()
    bench.paper.cookie = b"no cookie of you"

    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()))) == [wp.COOKIE_REPLY]


def test_under_load_a_wrong_mac1_gets_nothing_at_all_not_even_a_cookie() -> None:
    bench = loaded()
    fetch_cookie(bench)
    initiation = bytearray(bench.paper.initiation(bench.timestamp()))
    initiation[-20] ^= 1

    assert bench.exchange(bytes(initiation)) == []


@pytest.mark.parametrize(
    "elsewhere",
    [PAPER_AT._replace(address="192.0.2.98"), PAPER_AT._replace(port=51821)],
    ids=["address", "port"],
)
def test_a_cookie_is_for_one_address_and_one_port(elsewhere: Endpoint) -> None:
    bench = loaded()
    bench.attach(elsewhere)
    fetch_cookie(bench)

    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()), elsewhere)) == [wp.COOKIE_REPLY]


def test_a_cookie_holds_no_longer_than_120_s() -> None:
    bench = loaded()
    fetch_cookie(bench)
    bench.run(wp.COOKIE_SECRET_LIFE)

    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()))) == [wp.COOKIE_REPLY]


def test_a_cookie_still_holds_after_115_s() -> None:
    bench = loaded()
    fetch_cookie(bench)
    bench.run(wp.COOKIE_USED_FOR)

    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()))) == [wp.RESPONSE]


@pytest.mark.parametrize(
    ("age", "answer"), [(wp.UNDER_LOAD_HOLD - 1, wp.COOKIE_REPLY), (wp.UNDER_LOAD_HOLD, wp.RESPONSE)]
)
def test_the_load_is_held_for_1_s(age: int, answer: int) -> None:
    bench = loaded()
    began = bench.now
    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()))) == [wp.COOKIE_REPLY]
    bench.node.backlog = 0

    bench.run(began + age - bench.now)

    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()))) == [answer]


def test_under_load_a_response_needs_a_cookie_too() -> None:
    bench = loaded()
    bench.node_sends()
    (initiation,) = bench.take()
    response, _ = bench.paper.respond(initiation)

    (reply,) = bench.exchange(response)
    assert wp.type_of(reply) == wp.COOKIE_REPLY
    bench.paper.cookie = bench.paper.open_cookie_reply(reply)

    answers = bench.exchange(bench.paper.with_macs(response[:-32]))
    assert kinds(answers) == [wp.TRANSPORT]


def test_under_load_data_flows_as_ever() -> None:
    bench = Bench()
    session = bench.establish()
    bench.node.backlog = wp.UNDER_LOAD_DEPTH

    packet = bench.paper_packet()
    bench.exchange(session.seal(1, packet))

    assert bench.node.delivered == [packet]


def test_a_cookie_reply_is_never_answered() -> None:
    bench = loaded()
    bench.node_sends()
    (initiation,) = bench.take()

    assert bench.exchange(bench.paper.cookie_reply(initiation, b"c" * 16)) == []


# -- The rate limit ----------------------------------------------------------------------------------


def flood(bench: Bench, sources: list[Endpoint]) -> None:
    """One initiation with the right mac2 from each source, all within one instant."""
    messages = []
    for source in sources:
        bench.attach(source)
        fetch_cookie(bench, source)
        messages.append((source, bench.paper.initiation(bench.timestamp())))
    for source, message in messages:
        bench.simulation.network.send(source, bench.node.listen, message)
    bench.run(2 * DELAY)


def test_under_load_one_address_gets_a_burst_of_5() -> None:
    bench = loaded()

    flood(bench, [PAPER_AT._replace(port=port) for port in range(1000, 1012)])

    assert bench.dropped(DropReason.RATE_LIMITED) == 12 - wp.HANDSHAKE_BURST


def test_under_load_one_address_gets_20_a_second() -> None:
    bench = loaded()
    fetch_cookie(bench)

    for _ in range(2 * 100):  # one each 10 ms, for two seconds
        bench.simulation.network.send(PAPER_AT, bench.node.listen, bench.paper.initiation(bench.timestamp()))
        bench.run(10 * wp.MS)

    passed = 200 - bench.dropped(DropReason.RATE_LIMITED)
    assert abs(passed - (2 * wp.HANDSHAKES_PER_SECOND + wp.HANDSHAKE_BURST)) <= 1


def test_addresses_do_not_share_a_limit() -> None:
    bench = loaded()

    flood(bench, [PAPER_AT._replace(address=f"203.0.113.{n}") for n in range(1, 13)])

    assert bench.dropped(DropReason.RATE_LIMITED) == 0


def test_ipv6_addresses_of_one_64_share_a_limit() -> None:
    bench = loaded()

    flood(bench, [Endpoint(f"2001:db8:0:1::{n:x}", 51820) for n in range(1, 13)])

    assert bench.dropped(DropReason.RATE_LIMITED) == 12 - wp.HANDSHAKE_BURST


def test_ipv6_addresses_of_two_64s_do_not_share_a_limit() -> None:
    bench = loaded()

    flood(bench, [Endpoint(f"2001:db8:0:{n:x}::1", 51820) for n in range(1, 13)])

    assert bench.dropped(DropReason.RATE_LIMITED) == 0


def test_without_load_there_is_no_rate_limit() -> None:
    bench = Bench()

    for _ in range(40):
        bench.simulation.network.send(PAPER_AT, bench.node.listen, bench.paper.initiation(bench.timestamp()))
        bench.run(wp.INITIATION_INTERVAL)
    bench.run(wp.NS)

    assert kinds(bench.take()) == [wp.RESPONSE] * 40


def test_who_has_no_cookie_does_not_use_up_the_limit_of_who_has() -> None:
    bench = loaded()
    fetch_cookie(bench)
    cookie, bench.paper.cookie = bench.paper.cookie, b""
    for _ in range(100):
        bench.exchange(bench.paper.initiation(bench.timestamp()))
    bench.paper.cookie = cookie

    assert kinds(bench.exchange(bench.paper.initiation(bench.timestamp()))) == [wp.RESPONSE]


# -- The end that gets a cookie ------------------------------------------------------------------------


def test_a_cookie_reply_causes_no_retransmission() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()

    bench.exchange(bench.paper.cookie_reply(initiation, b"c" * 16))
    bench.run(wp.REKEY_TIMEOUT - wp.NS)

    assert bench.take() == []


def test_the_next_try_after_the_rekey_timeout_shows_the_cookie() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    cookie = b"c" * 16
    bench.exchange(bench.paper.cookie_reply(initiation, cookie))

    bench.run(wp.REKEY_TIMEOUT + wp.JITTER)

    (retry,) = bench.take()
    assert wp.mac2_of(retry) == wp.mac(cookie, retry[:-16])


def test_a_cookie_is_shown_for_115_s() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    bench.exchange(bench.paper.cookie_reply(initiation, b"c" * 16))
    given_at = bench.now - 100 * wp.MS + DELAY
    shown: list[tuple[int, bool]] = []

    for _ in range(180):
        bench.node_sends()
        bench.run(wp.NS - DELAY)
        shown += [(bench.now - given_at, any(wp.mac2_of(data))) for data in bench.take()]

    assert len(shown) > 30
    for age, with_mac2 in shown:
        if abs(age - wp.COOKIE_USED_FOR) > wp.NS:  # when exactly within the second it was sent is not known
            assert with_mac2 == (age < wp.COOKIE_USED_FOR)


def test_a_responder_that_gets_a_cookie_shows_it_in_its_next_response() -> None:
    bench = Bench()
    (response,) = bench.exchange(bench.paper.initiation(bench.timestamp()))
    cookie = b"c" * 16
    assert bench.exchange(bench.paper.cookie_reply(response, cookie)) == []

    (response,) = bench.exchange(bench.paper.initiation(bench.timestamp()))

    assert wp.mac2_of(response) == wp.mac(cookie, response[:-16])


def test_a_cookie_reply_never_moves_an_endpoint() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()

    bench.exchange(bench.paper.cookie_reply(initiation, b"c" * 16), PAPER_AT._replace(address="203.0.113.66"))

    assert bench.peer.endpoint == PAPER_AT


def retry_shows_cookie(bench: Bench) -> bool:
    bench.take()
    bench.run(wp.REKEY_TIMEOUT + wp.JITTER)
    return any(wp.mac2_of(bench.take()[0]))


def test_a_cookie_reply_for_another_index_is_ignored() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    reply = bytearray(bench.paper.cookie_reply(initiation, b"c" * 16))
    reply[4] ^= 1

    bench.exchange(bytes(reply))

    assert bench.dropped(DropReason.UNEXPECTED_COOKIE) == 1
    assert not retry_shows_cookie(bench)


@pytest.mark.parametrize("position", [8, 31, 32, 47, 48, 63])
def test_a_damaged_cookie_reply_is_ignored(position: int) -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    reply = bytearray(bench.paper.cookie_reply(initiation, b"c" * 16))
    reply[position] ^= 1

    bench.exchange(bytes(reply))

    assert bench.dropped(DropReason.INVALID_COOKIE) == 1
    assert not retry_shows_cookie(bench)


def test_a_cookie_from_who_did_not_see_our_message_is_ignored() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    unseen = initiation[:-32] + bytes(32)  # the right index, but not our mac1

    bench.exchange(bench.paper.cookie_reply(unseen, b"c" * 16))

    assert not retry_shows_cookie(bench)


def test_a_cookie_sealed_for_another_peer_is_ignored() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    other = wp.PaperPeer(wp.hash_(b"other"), bench.node.public_key)

    bench.exchange(other.cookie_reply(initiation, b"c" * 16))

    assert not retry_shows_cookie(bench)


def test_one_message_takes_one_cookie() -> None:
    bench = Bench()
    bench.node_sends()
    (initiation,) = bench.take()
    first, second = b"1" * 16, b"2" * 16
    bench.exchange(bench.paper.cookie_reply(initiation, first))

    bench.exchange(bench.paper.cookie_reply(initiation, second, nonce=b"n" * 24))

    bench.run(wp.REKEY_TIMEOUT + wp.JITTER)
    (retry,) = bench.take()
    assert wp.mac2_of(retry) == wp.mac(first, retry[:-16])


# -- What the data path is told, so that it can sort before the engine sees a message ----------------


def test_the_data_path_is_told_whose_mac1_counts() -> None:
    bench = Bench()
    bench.node.engine.set_private_key(None, bench.node.now)
    bench.node.engine.set_private_key(bench.node.private_key, bench.node.now)
    bench.node.settle()

    assert bench.actions_of(SetMac1Key)[-2:] == [SetMac1Key(None), SetMac1Key(bench.node.public_key)]


def test_the_data_path_is_told_the_secret_that_the_cookies_are_made_with() -> None:
    bench = loaded()
    fetch_cookie(bench)

    (told,) = bench.actions_of(SetCookieSecret)
    port = PAPER_AT.port.to_bytes(2, "big")
    assert bench.paper.cookie == wp.mac(told.secret, inet_pton(AF_INET, PAPER_AT.address) + port)


def test_the_data_path_is_told_of_every_new_secret_and_of_none_twice() -> None:
    bench = loaded()
    for _ in range(2):
        fetch_cookie(bench)
        fetch_cookie(bench)
        bench.run(wp.COOKIE_SECRET_LIFE)

    first, second = bench.actions_of(SetCookieSecret)
    assert first.secret != second.secret


def test_without_load_there_is_no_secret() -> None:
    bench = Bench()
    bench.exchange(bench.paper.initiation(bench.timestamp()))

    assert bench.actions_of(SetCookieSecret) == []


def test_a_cookie_secret_is_not_printed() -> None:
    assert "5ec2e7" not in repr(SetCookieSecret(b"5ec2e7"))


# -- Both ends ---------------------------------------------------------------------------------------


def test_a_loaded_end_and_an_honest_one_find_together_at_the_second_try() -> None:
    pair = Pair()
    pair.bob.backlog = wp.UNDER_LOAD_DEPTH

    packet = pair.alice_sends()
    pair.run(wp.REKEY_TIMEOUT + wp.JITTER + wp.NS)

    assert pair.bob.delivered == [packet]
    assert pair.wire.kinds() == [
        wp.INITIATION,
        wp.COOKIE_REPLY,
        wp.INITIATION,
        wp.RESPONSE,
        wp.TRANSPORT,
    ]


def test_two_loaded_ends_find_together_as_well() -> None:
    pair = Pair()
    pair.alice.backlog = pair.bob.backlog = wp.UNDER_LOAD_DEPTH

    packet = pair.alice_sends()
    pair.run(4 * (wp.REKEY_TIMEOUT + wp.JITTER))

    assert packet in pair.bob.delivered
