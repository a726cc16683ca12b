"""What one peer sends to another by way of this data path, and what is refused."""

import pytest

from tests.datapath.kinds import DataPathUnderTest, MakeDataPath, drop_counts, prefix
from tests.datapath.relayed import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    HOMES,
    OWN_KEY,
    RATE,
    add_peer,
    cookie_reply,
    data,
    forwarded,
    give,
    give_from,
    initiation,
    local_index,
    open_session,
    public_key,
    relay,
    remote,
    response,
)
from tests.datapath.remote import NOW, SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import EndpointChanged, RelayCounts, SessionNeeded
from wgpy.contract.orders import (
    RemoveKeypair,
    RemovePeer,
    SetEndpoint,
    SetRelay,
    SetRoute,
    UseKeypair,
)

A, B, C = 0xA0, 0xB0, 0xC0  # indices
TOS = 0x8A
AWAY = Endpoint("203.0.113.7", 1007)


@pytest.fixture
def path(datapath: MakeDataPath) -> DataPathUnderTest:
    return relay(datapath)


# -- What is forwarded -------------------------------------------------------------------------------


def test_an_initiation_goes_to_whom_its_mac1_names(path: DataPathUnderTest) -> None:
    message = initiation(public_key(BOB), A)

    give(path, ALICE, message, tos=TOS)

    assert forwarded(path) == [(message, HOMES[BOB], TOS)]
    assert path.next_handshake() is None


def test_a_response_a_cookie_reply_and_data_go_by_their_receiver_index(path: DataPathUnderTest) -> None:
    give(path, ALICE, initiation(public_key(BOB), A))
    answers = [cookie_reply(A), response(public_key(ALICE), B, A)]
    give(path, BOB, *answers)
    path.take_datagrams()

    give(path, ALICE, data(B), cookie_reply(B))
    there = forwarded(path)
    give(path, BOB, data(A))
    back = forwarded(path)

    assert there == [(data(B), HOMES[BOB], 0), (cookie_reply(B), HOMES[BOB], 0)]
    assert back == [(data(A), HOMES[ALICE], 0)]
    assert not drop_counts(path)


def test_data_passes_between_ip_versions(path: DataPathUnderTest) -> None:
    open_session(path, CAROL, ALICE, (C, A))

    give(path, CAROL, data(A), tos=TOS)
    there = forwarded(path)
    give(path, ALICE, data(C), tos=TOS)
    back = forwarded(path)

    assert there == [(data(A), HOMES[ALICE], TOS)]
    assert back == [(data(C), HOMES[CAROL], TOS)]


def test_each_ecn_field_and_dscp_is_kept(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))

    for counter in range(8):
        give(path, ALICE, data(B, counter), tos=counter // 2)

    assert [tos for _, _, tos in forwarded(path)] == [counter // 2 for counter in range(8)]


def test_sessions_of_one_source_are_told_apart_by_their_index(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))
    open_session(path, ALICE, CAROL, (A + 1, C))

    messages = [data(index, counter) for counter in range(4) for index in (B, C)]
    give(path, ALICE, *messages)

    to = {B: HOMES[BOB], C: HOMES[CAROL]}
    assert sorted(forwarded(path)) == sorted((one, to[one[4]], 0) for one in messages)


def test_two_peers_behind_one_nat_reach_each_other(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, DAVE, (A, B))

    give(path, ALICE, data(B))

    assert forwarded(path) == [(data(B), HOMES[DAVE], 0)]


def test_datagrams_of_many_sizes_are_forwarded_in_order(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))
    sizes = [1452] * 70 + [32] * 130 + [1000, 900, 900, 800, 1000]
    messages = [data(B, counter, size) for counter, size in enumerate(sizes)]

    give(path, ALICE, *messages)

    assert [message for message, _, _ in forwarded(path)] == messages
    assert path.relay_counts() == RelayCounts(2 + len(sizes), 148 + 92 + sum(sizes))


def test_data_for_the_relay_itself_may_come_between(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))
    own = remote(ALICE)

    give(path, ALICE, data(B, 1, 132), own.seal(bytes(100)), data(B, 2, 132), own.seal(bytes(100)))

    assert [message for message, _, _ in forwarded(path)] == [data(B, 1, 132), data(B, 2, 132)]
    assert path.activity(ALICE).rx_bytes == 2 * 132


# -- The relay itself --------------------------------------------------------------------------------


def test_handshake_messages_for_the_relay_itself_wait_for_its_engine(path: DataPathUnderTest) -> None:
    own = [initiation(OWN_KEY, A), response(OWN_KEY, A, 7), cookie_reply(7)]

    give(path, ALICE, *own)

    assert {path.next_handshake() for _ in own} == {(message, HOMES[ALICE]) for message in own}
    assert forwarded(path) == []


def test_an_index_of_the_relays_own_session_is_not_learnt(path: DataPathUnderTest) -> None:
    give(path, ALICE, initiation(public_key(BOB), local_index(BOB)))

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.RELAY_INDEX_IN_USE: 1}


def test_an_index_that_becomes_the_relays_own_is_its_own(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))
    session = remote(ALICE)
    session.local_index = B
    path.apply(session.keypair(ALICE), NOW)

    give(path, ALICE, session.seal(bytes(20)))

    assert forwarded(path) == []
    assert path.activity(ALICE).rx_bytes > 0


def test_nothing_is_forwarded_before_there_is_a_rate_nor_after(datapath: MakeDataPath) -> None:
    path = relay(datapath, rate=0)
    give(path, ALICE, initiation(public_key(BOB), A))
    assert path.take_datagrams() == []

    path = relay(datapath)
    open_session(path, ALICE, BOB, (A, B))
    path.apply(SetRelay(0), NOW)
    give(path, ALICE, data(B))

    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.UNKNOWN_INDEX: 1}
    assert path.relay_counts() == RelayCounts()


# -- Ends that move, end and begin -------------------------------------------------------------------


def test_what_an_end_sends_from_elsewhere_is_not_forwarded_until_its_session_moved(
    path: DataPathUnderTest,
) -> None:
    open_session(path, ALICE, BOB, (A, B))

    give_from(path, AWAY, data(B))
    assert forwarded(path) == []
    give_from(path, AWAY, remote(ALICE).seal())
    give_from(path, AWAY, data(B, 1))
    there = forwarded(path)
    give(path, BOB, data(A))

    assert there == [(data(B, 1), HOMES[BOB], 0)]
    assert forwarded(path) == [(data(A), AWAY, 0)]
    assert EndpointChanged(ALICE, AWAY) in path.take_events()
    assert drop_counts(path) == {DropReason.UNKNOWN_INDEX: 1}


def test_an_order_moves_an_end(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))
    path.apply(SetEndpoint(BOB, AWAY), NOW)

    give(path, ALICE, data(B))

    assert forwarded(path) == [(data(B), AWAY, 0)]


def test_who_is_seen_at_the_endpoint_of_another_takes_nothing_from_it(path: DataPathUnderTest) -> None:
    """A NAT may give one host the port of another, and a member may forge the source of what it sends."""
    open_session(path, ALICE, BOB, (A, B))
    open_session(path, DAVE, BOB, (C, B + 1))

    give_from(path, HOMES[ALICE], remote(DAVE).seal())
    give(path, ALICE, data(B))
    give(path, ALICE, data(B + 1))

    give(path, ALICE, initiation(public_key(CAROL), 7))

    assert forwarded(path) == [
        (data(B), HOMES[BOB], 0),
        (data(B + 1), HOMES[BOB], 0),
        (initiation(public_key(CAROL), 7), HOMES[CAROL], 0),
    ]
    path.apply(SetEndpoint(DAVE, HOMES[DAVE]), NOW)
    give(path, CAROL, response(public_key(ALICE), 8, 7))
    assert forwarded(path) == [(response(public_key(ALICE), 8, 7), HOMES[ALICE], 0)]


@pytest.mark.parametrize("who", [ALICE, BOB])
def test_nothing_is_forwarded_from_or_to_an_end_whose_session_is_over(
    datapath: MakeDataPath, who: int
) -> None:
    path = relay(datapath, *{ALICE, BOB} - {who})
    add_peer(path, who, life=60 * SECOND)
    open_session(path, ALICE, BOB, (A, B))

    give(path, ALICE, data(B), now=NOW + 60 * SECOND - 1)
    before = forwarded(path)
    give(path, ALICE, data(B), initiation(public_key(BOB), A + 1), now=NOW + 60 * SECOND)

    assert len(before) == 1
    assert forwarded(path) == []
    if who == ALICE:
        assert drop_counts(path) == {DropReason.UNKNOWN_INDEX: 1, DropReason.INVALID_MAC1: 1}
    else:
        assert drop_counts(path) == {DropReason.RELAY_NO_SESSION: 2}
        assert SessionNeeded(BOB) in path.take_events()


def test_only_an_initiation_of_an_end_asks_for_a_session_with_its_addressee(datapath: MakeDataPath) -> None:
    path = relay(datapath, ALICE, CAROL)
    add_peer(path, BOB, life=60 * SECOND)
    open_session(path, ALICE, BOB, (A, B))
    path.take_events()

    later = NOW + 60 * SECOND
    give(path, ALICE, data(B), initiation(public_key(ALICE), 5), initiation(b"?" * 32, 6), now=later)
    give_from(path, AWAY, initiation(public_key(BOB), 7))
    assert path.take_events() == []
    for number in range(8, 12):
        give(path, ALICE, initiation(public_key(BOB), number), now=later)

    assert path.take_events() == [SessionNeeded(BOB)], "many initiations, one flag"
    assert forwarded(path) == []


@pytest.mark.parametrize("end", ["keypair is removed", "keypair is not used"])
def test_an_end_without_a_sending_keypair_has_no_session(path: DataPathUnderTest, end: str) -> None:
    open_session(path, ALICE, BOB, (A, B))

    path.apply(
        RemoveKeypair(BOB, local_index(BOB)) if end == "keypair is removed" else UseKeypair(BOB, None), NOW
    )
    give(path, ALICE, data(B))

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.RELAY_NO_SESSION: 1}


def test_an_end_begins_with_the_first_authentic_message_on_a_new_keypair(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))
    path.apply(UseKeypair(BOB, None), NOW)
    session = remote(BOB)
    session.local_index = 0x7777
    path.apply(session.keypair(BOB), NOW)

    give(path, BOB, session.seal())
    give(path, ALICE, data(B))

    assert forwarded(path) == [(data(B), HOMES[BOB], 0)]


def test_an_initiation_right_behind_the_first_message_of_a_session_is_forwarded(
    path: DataPathUnderTest,
) -> None:
    path.apply(UseKeypair(ALICE, None), NOW)
    session = remote(ALICE)
    session.local_index = 0x7777
    path.apply(session.keypair(ALICE), NOW)
    message = initiation(public_key(BOB), A)

    give(path, ALICE, session.seal(), message)

    assert forwarded(path) == [(message, HOMES[BOB], 0)]


def test_an_initiation_right_behind_what_tells_where_an_end_is_now_is_forwarded(
    path: DataPathUnderTest,
) -> None:
    message = initiation(public_key(BOB), A)

    give_from(path, AWAY, remote(ALICE).seal(), message)

    assert forwarded(path) == [(message, HOMES[BOB], 0)]


def test_a_peer_that_is_removed_is_forgotten(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))
    open_session(path, CAROL, BOB, (C, B + 1))

    path.apply(RemovePeer(BOB), NOW)
    give(path, ALICE, data(B), initiation(public_key(BOB), A + 1))
    give(path, CAROL, data(B + 1))

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.UNKNOWN_INDEX: 2, DropReason.RELAY_NO_ADDRESSEE: 1}
    open_session(path, ALICE, CAROL, (A, C + 1))


# -- What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", [AWAY, HOMES[ALICE]._replace(port=9), HOMES[ALICE]._replace(address="203.0.113.9")], ids=str
)
def test_nothing_of_an_unknown_source_is_forwarded(path: DataPathUnderTest, source: Endpoint) -> None:
    open_session(path, ALICE, BOB, (A, B))
    messages = [initiation(public_key(BOB), 5), response(public_key(ALICE), 6, A), data(B)]

    for message in messages:
        give_from(path, source, message)

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.INVALID_MAC1: 2, DropReason.UNKNOWN_INDEX: 1}


def test_an_initiation_to_nobody_or_to_its_sender_is_dropped(path: DataPathUnderTest) -> None:
    give(path, ALICE, initiation(b"?" * 32, A), initiation(public_key(ALICE), A))

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.RELAY_NO_ADDRESSEE: 1, DropReason.RELAY_NO_SESSION: 1}


def test_an_index_that_is_in_use_is_not_learnt_again(path: DataPathUnderTest) -> None:
    """So nobody leads what Bob sends to Alice elsewhere, and a replayed initiation is nothing."""
    open_session(path, ALICE, BOB, (A, B))
    message = initiation(public_key(BOB), A)

    give(path, ALICE, message)
    give(path, CAROL, message)
    give(path, BOB, response(public_key(ALICE), B, A))
    give(path, BOB, data(A))

    assert forwarded(path) == [(data(A), HOMES[ALICE], 0)]
    assert drop_counts(path) == {DropReason.RELAY_INDEX_IN_USE: 3}


def test_data_by_an_index_that_the_sender_does_not_know_is_dropped(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))

    give(path, CAROL, data(A), data(B))
    give(path, ALICE, data(A))
    give(path, BOB, data(B))

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.UNKNOWN_INDEX: 4}


def test_a_response_without_the_initiators_mac1_is_dropped(path: DataPathUnderTest) -> None:
    give(path, ALICE, initiation(public_key(BOB), A))
    path.take_datagrams()

    give(path, BOB, response(public_key(CAROL), B, A))

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.INVALID_MAC1: 1}


@pytest.mark.parametrize("size", [4, 16, 31])
def test_data_that_is_too_short_is_malformed(path: DataPathUnderTest, size: int) -> None:
    open_session(path, ALICE, BOB, (A, B))

    give(path, ALICE, data(B)[:size])

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.MALFORMED: 1}


@pytest.mark.parametrize(
    "message", [initiation(public_key(BOB), A), response(public_key(BOB), A, B), cookie_reply(A)]
)
@pytest.mark.parametrize("error", [-1, 1])
def test_a_handshake_message_of_another_size_is_malformed(
    path: DataPathUnderTest, message: bytes, error: int
) -> None:
    give(path, ALICE, (message + b"!")[: len(message) + error])

    assert forwarded(path) == []
    assert drop_counts(path) == {DropReason.MALFORMED: 1}


# -- Orders beside it -----------------------------------------------------------------------------------


def test_a_rate_may_change(path: DataPathUnderTest) -> None:
    open_session(path, ALICE, BOB, (A, B))
    path.apply(SetRelay(2 * RATE), NOW)

    give(path, ALICE, data(B))

    assert forwarded(path) == [(data(B), HOMES[BOB], 0)]


def test_a_peer_without_a_route_is_relayed_and_routes_change_nothing(path: DataPathUnderTest) -> None:
    path.apply(SetRoute(ALICE, prefix("10.0.0.1")), NOW)
    open_session(path, ALICE, BOB, (A, B))

    give(path, ALICE, data(B))

    assert path.take_packets() == []
    assert len(forwarded(path)) == 1
