"""How much of a relay one peer, one pair and all of them may take, and for how long."""

from itertools import combinations

import pytest

from tests.datapath.kinds import DataPathUnderTest, MakeDataPath, drop_counts
from tests.datapath.relayed import (
    ALICE,
    BOB,
    CAROL,
    HOMES,
    add_peer,
    data,
    forwarded,
    give,
    initiation,
    open_session,
    public_key,
    relay,
    response,
)
from tests.datapath.remote import NOW, SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint

ANSWER_TIME = 10 * SECOND
REPLACE_TIME = SECOND
INDEX_LIFETIME = 185 * SECOND
MAX_INDICES = 8
MAX_UNANSWERED = 4
MAX_PAIRS = 4096
SEARCHES_PER_SECOND = 20_000
A, B, C = 0xA0, 0xB0, 0xC0  # indices


@pytest.fixture
def path(datapath: MakeDataPath) -> DataPathUnderTest:
    return relay(datapath)


def test_an_initiation_may_be_answered_for_ten_seconds(path: DataPathUnderTest) -> None:
    give(path, ALICE, initiation(public_key(BOB), A), initiation(public_key(BOB), A + 1))
    path.take_datagrams()

    give(path, BOB, response(public_key(ALICE), B, A), now=NOW + ANSWER_TIME - 1)
    give(path, BOB, response(public_key(ALICE), B + 1, A + 1), now=NOW + ANSWER_TIME)

    assert forwarded(path) == [(response(public_key(ALICE), B, A), HOMES[ALICE], 0)]


def test_a_session_is_forwarded_for_its_life_and_not_longer(datapath: MakeDataPath) -> None:
    path = relay(datapath, CAROL)
    for peer in (ALICE, BOB):
        add_peer(path, peer, life=600 * SECOND)
    open_session(path, ALICE, BOB, (A, B))

    for sender, index in ((ALICE, B), (BOB, A)):
        give(path, sender, data(index), now=NOW + INDEX_LIFETIME - 1)
        give(path, sender, data(index, 1), now=NOW + INDEX_LIFETIME)

    assert forwarded(path) == [(data(B), HOMES[BOB], 0), (data(A), HOMES[ALICE], 0)]


def test_few_initiations_of_a_pair_may_be_unanswered(path: DataPathUnderTest) -> None:
    give(path, ALICE, *(initiation(public_key(BOB), number) for number in range(MAX_UNANSWERED + 2)))
    give(path, CAROL, initiation(public_key(BOB), 100))

    assert len(forwarded(path)) == MAX_UNANSWERED + 1
    assert drop_counts(path) == {DropReason.RELAY_RATE_LIMITED: 2}


@pytest.mark.parametrize("unanswered", [MAX_UNANSWERED, MAX_UNANSWERED + 1])
def test_the_oldest_unanswered_initiation_gives_way_to_another_after_a_second(
    path: DataPathUnderTest, unanswered: int
) -> None:
    give(path, ALICE, *(initiation(public_key(BOB), A + number) for number in range(MAX_UNANSWERED)))
    give(path, ALICE, initiation(public_key(BOB), 100), now=NOW + REPLACE_TIME - 1)
    path.take_datagrams()
    for number in range(unanswered):
        give(path, ALICE, initiation(public_key(BOB), 101 + number), now=NOW + REPLACE_TIME)

    assert len(forwarded(path)) == MAX_UNANSWERED
    assert drop_counts(path) == {DropReason.RELAY_RATE_LIMITED: 1 + unanswered - MAX_UNANSWERED}
    for index in (*range(A, A + MAX_UNANSWERED), 100, 101):
        give(path, BOB, response(public_key(ALICE), B + index, index), now=NOW + REPLACE_TIME)
    assert forwarded(path) == [(response(public_key(ALICE), B + 101, 101), HOMES[ALICE], 0)]


def test_an_initiation_among_those_of_who_sends_three_a_second_as_if_from_an_end_is_forwarded(
    path: DataPathUnderTest,
) -> None:
    for third in range(60):
        give(path, ALICE, initiation(public_key(BOB), 0x1_0000 + third), now=NOW + third * SECOND // 3)
    path.take_datagrams()

    give(path, ALICE, initiation(public_key(BOB), A), now=NOW + 59 * SECOND // 3 + 1)
    give(path, BOB, response(public_key(ALICE), B, A), now=NOW + 60 * SECOND // 3)

    assert [to for _, to, _ in forwarded(path)] == [HOMES[BOB], HOMES[ALICE]]


def test_who_sends_initiations_as_if_from_an_end_has_few_forwarded_and_ends_no_session(
    path: DataPathUnderTest,
) -> None:
    """A hundred a second for a minute from Alice's own endpoint, also with indices that are in use."""
    open_session(path, ALICE, BOB, (A, B))
    forged = [initiation(public_key(BOB), index) for index in (A, B, *range(0x1_0000, 0x1_0000 + 98))]
    initiations = 0
    for second in range(60):
        now = NOW + second * SECOND
        give(path, ALICE, *forged, now=now)
        initiations += len(forwarded(path))

        give(path, ALICE, data(B, second), now=now)
        give(path, BOB, data(A, second), now=now)
        assert [to for _, to, _ in forwarded(path)] == [HOMES[BOB], HOMES[ALICE]]

    assert initiations == MAX_UNANSWERED * 60 * SECOND // REPLACE_TIME


def test_of_many_sessions_of_a_pair_the_oldest_gives_way(path: DataPathUnderTest) -> None:
    for number in range(MAX_INDICES + 1):
        open_session(path, ALICE, BOB, (A + number, B + 100 + number), now=NOW + number)

    now = NOW + MAX_INDICES + 1
    give(path, BOB, data(A), *(data(A + number) for number in range(1, MAX_INDICES + 1)), now=now)

    assert len(forwarded(path)) == MAX_INDICES
    assert drop_counts(path) == {DropReason.UNKNOWN_INDEX: 1}


def test_a_way_of_a_pair_has_its_rate(datapath: MakeDataPath) -> None:
    path = relay(datapath, rate=10_000)
    open_session(path, ALICE, BOB, (A, B))
    open_session(path, CAROL, BOB, (C, B + 1))
    given = 0
    for tick in range(1000):  # of 10 ms
        give(path, ALICE, data(B, tick, 1000), now=NOW + tick * 10**7)
        given += len(forwarded(path))

    assert 95 <= given <= 103
    assert drop_counts(path) == {DropReason.RELAY_RATE_LIMITED: 1000 - given}
    give(path, CAROL, data(B + 1), now=NOW + 10 * SECOND)
    give(path, BOB, data(A), now=NOW + 10 * SECOND)
    assert len(forwarded(path)) == 2


def test_a_source_has_a_budget_of_searches(datapath: MakeDataPath) -> None:
    """Initiations to nobody are what costs most: each is tried with the mac1 key of each peer."""
    path = relay(datapath)
    attempts = SEARCHES_PER_SECOND // len(HOMES)

    give(path, ALICE, *(initiation(b"?" * 32, number) for number in range(attempts + 100)))

    assert forwarded(path) == []
    assert drop_counts(path) == {
        DropReason.RELAY_NO_ADDRESSEE: attempts,
        DropReason.RELAY_SEARCH_LIMITED: 100,
    }
    give(path, BOB, initiation(public_key(ALICE), B))
    give(path, ALICE, initiation(public_key(BOB), A), now=NOW + SECOND)
    assert len(forwarded(path)) == 2


def test_there_are_at_most_so_many_pairs_until_some_have_no_session_any_more(
    datapath: MakeDataPath,
) -> None:
    ends = range(10, 102)  # of whom there are more pairs than MAX_PAIRS
    path = relay(datapath, ALICE)
    for end in ends:
        HOMES.setdefault(end, Endpoint("203.0.113.1", end))
        add_peer(path, end)
    now, forwarded_at_once = NOW, 0

    for number, (one, other) in enumerate(combinations(ends, 2)):
        now += 2 * 10**6  # so that searches are no limit
        give(path, one, initiation(public_key(other), number), now=now)
        forwarded_at_once += len(forwarded(path))
        if now >= NOW + ANSWER_TIME - SECOND:
            break
    give(path, ALICE, initiation(public_key(10), 0xFFFF), now=now)

    assert forwarded_at_once == MAX_PAIRS
    assert forwarded(path) == []
    assert set(drop_counts(path)) == {DropReason.RELAY_FULL}
    give(path, ALICE, initiation(public_key(10), 0xFFFF), now=now + ANSWER_TIME)
    assert len(forwarded(path)) == 1
