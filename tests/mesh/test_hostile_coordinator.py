"""Whoever owns the coordinator withholds news, and achieves nothing else; nor does who holds a token.

What is tried stands in `hostile.Mallory`, and is tried here on the values alone.
"""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mesh.hostile import (
    ATTEMPTS,
    FALSE_NETWORK,
    FALSE_TOKEN,
    MALLORY,
    Attempt,
    Mallory,
    add_all,
    known,
)
from tests.mesh.network import DAY, EVERYTHING, NOW, Administrator, key_of, prefixes, sign
from tests.mesh.test_topology import histories
from wgmesh.snapshot import Snapshot
from wgmesh.transaction import Transaction
from wgpy.keys import PublicKey
from wgpy.mesh.admission import Exclusion
from wgpy.mesh.clock import written
from wgpy.mesh.ledger import MAX_RECORDS, MAX_UNKNOWN_NODES, Ledger, RecordRejected, RejectionReason, Verdict
from wgpy.mesh.records import Departure, Network, Token, Unknown, encode
from wgpy.mesh.signing import Signed, SigningKey
from wgpy.mesh.topology import Topology, derive

TOKEN, LATER_TOKEN, MALLORYS_TOKEN = key_of(2), key_of(3), key_of(5)
ANN, BOB, GONE, EVE = (key_of(number) for number in (10, 11, 12, 13))


@pytest.fixture
def honest() -> Administrator:
    return a_network()


def a_network() -> Administrator:
    """Ann moved once, Bob announces a route, and a third was removed."""
    one = Administrator()
    one.found()
    one.invite(TOKEN, tags=("edge",), routes=prefixes("10.42.0.0/16"))
    one.join(ANN, TOKEN)
    one.join(ANN, TOKEN, sequence=2, address=IPv4Address("100.80.0.9"))
    one.join(BOB, TOKEN, routes=prefixes("10.42.3.0/24"))
    one.join(GONE, TOKEN)
    one.remove(GONE)
    one.rule("tag:edge", "tag:edge")
    return one


# -- The coordinator -------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_a_hostile_coordinator_achieves_nothing_and_is_found_out(
    honest: Administrator, attempt: Callable[[Mallory], Attempt]
) -> None:
    ledger, before = honest.ledger(), honest.topology()
    tried = attempt(Mallory(honest))

    made = add_all(ledger, tried.records)

    after = derive(ledger, NOW)
    assert_nobody_lost_or_gained(before, after)
    if isinstance(tried.shows, Exclusion):
        assert after.excluded == {**before.excluded, MALLORY.verify_key(): tried.shows}
    else:
        assert made == [tried.shows] * len(tried.records)


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_it_achieves_no_more_if_it_speaks_before_anybody_else(
    honest: Administrator, attempt: Callable[[Mallory], Attempt]
) -> None:
    before, ledger = honest.topology(), Ledger(honest.key.verify_key())
    tried = attempt(Mallory(a_network()))

    add_all(ledger, tried.records)
    add_all(ledger, tuple(honest.records))

    assert_nobody_lost_or_gained(before, derive(ledger, NOW))


def test_whatever_is_changed_in_a_record_that_is_known_already_is_refused(honest: Administrator) -> None:
    """Even if it is older than what is known, so that every attempt is counted."""
    ledger = honest.ledger()

    for signed in honest.records:
        data = bytes(signed)
        for at in range(0, len(data), 3):
            changed = bytearray(data)
            changed[at] ^= 1 << at % 8
            with pytest.raises(RecordRejected):
                ledger.add(Signed.from_bytes(bytes(changed)))


def test_a_withheld_removal_is_learned_from_a_neighbour_that_knows_it(honest: Administrator) -> None:
    removal = honest.remove(BOB)
    knows, behind = honest.ledger(), Ledger(honest.key.verify_key())
    add_all(behind, tuple(signed for signed in honest.records if signed != removal))
    assert knows.state_digest() != behind.state_digest()

    add_all(behind, tuple(knows.for_everybody()))

    assert knows.state_digest() == behind.state_digest()
    assert derive(behind, NOW).excluded[BOB.verify_key()] is Exclusion.REMOVED


def test_where_no_neighbour_knows_of_a_removal_a_membership_ends_by_itself() -> None:
    honest = Administrator()
    honest.found()
    honest.invite(TOKEN, lifetime=DAY)
    honest.join(ANN, TOKEN)
    ledger = honest.ledger()
    honest.remove(ANN)  # and nobody says so

    assert [member.name for member in derive(ledger, NOW).members] == ["n10"]
    assert derive(ledger, NOW + DAY).members == ()


def forgeries(honest: Administrator) -> st.SearchStrategy[Signed]:
    """What can be made of records that one has, and of keys that are not the network's or a node's."""
    mine = st.sampled_from([MALLORY, FALSE_TOKEN, FALSE_NETWORK])
    heard = st.sampled_from(honest.records)

    @st.composite
    def build(draw: st.DrawFn) -> Signed:
        signed, key = draw(heard), draw(mine)
        changed = draw(changes(known(signed)))
        if draw(st.booleans()) and not isinstance(changed, Network):  # whose id is made from its signer
            changed = replace(changed, signer=key.verify_key())
        forged = sign(key, changed)
        match draw(st.sampled_from(["signed", "kept", "borrowed"])):
            case "kept" if forged.body != signed.body:
                return replace(forged, signature=signed.signature)
            case "borrowed" if (other := draw(heard)).body != forged.body:
                return replace(forged, signature=other.signature)
            case _:
                return forged

    return build()


def changes(record: Any) -> st.SearchStrategy[Any]:
    """A record with one of its fields as it is not."""
    keys = st.sampled_from([MALLORY.verify_key(), FALSE_TOKEN.verify_key(), ANN.verify_key()])
    others: dict[str, st.SearchStrategy[Any]] = {
        "sequence": st.sampled_from([0, 1, 2, 99, (1 << 53) - 1]),
        "time": st.sampled_from([0, NOW + 1000 * DAY]),
        "admitted": st.sampled_from([0, NOW, NOW + DAY]),
        "identity": keys,
        "token": keys,
        "routes": st.sampled_from([prefixes("0.0.0.0/0"), prefixes("10.42.3.0/24"), ()]),
        "address": st.sampled_from([IPv4Address("100.80.0.9"), IPv4Address("100.80.0.66")]),
        "key": keys if isinstance(record, Token) else st.just(PublicKey(bytes(range(32)))),
        "name": st.sampled_from(["n10", "evil"]),
        "expires": st.just(NOW + 1000 * DAY),
        "keep": st.just((MALLORY.verify_key(),)),
        "allowed": st.booleans(),
        "source": st.just("any"),
    }
    possible = [name for name in others if hasattr(record, name)]
    if not possible:
        return st.just(record)
    return st.sampled_from(possible).flatmap(
        lambda name: others[name].map(lambda value: replace(record, **{name: value}))
    )


@settings(deadline=None)
@given(data=st.data(), honest=histories())
def test_no_forgery_in_any_place_of_any_history_changes_who_is_who(
    data: st.DataObject, honest: Administrator
) -> None:
    before, ledger = honest.topology(), Ledger(honest.key.verify_key())
    forged = data.draw(st.lists(forgeries(honest), min_size=1, max_size=5))
    records = data.draw(st.permutations([*honest.records, *forged]))

    add_all(ledger, tuple(records))

    assert_nobody_lost_or_gained(before, derive(ledger, NOW))


# -- Who holds a token -----------------------------------------------------------------------------


@settings(deadline=None)
@given(
    data=st.data(), admitted=st.integers(0, NOW + 2 * DAY), sequence=st.integers(1, 99),
    name=st.sampled_from(["a", "b", "c", "eve"]), address=st.integers(0, 16),
    key=st.sampled_from([10, 11, 12, 13, 14, 15, 666]),
    routes=st.lists(
        st.sampled_from(["10.42.1.0/24", "10.42.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "100.80.0.10/32"])
    ),
)  # fmt: skip
def test_who_holds_only_a_newer_token_takes_nothing_from_anybody_whatever_it_says(
    data: st.DataObject, admitted: int, sequence: int, name: str, address: int, key: int, routes: list[str]
) -> None:
    honest = data.draw(histories())
    honest.invite(MALLORYS_TOKEN, routes=(*prefixes("0.0.0.0/0"), *EVERYTHING))
    before = honest.topology()

    honest.join(
        MALLORY, MALLORYS_TOKEN, admitted=admitted, sequence=sequence, name=name,
        address=IPv4Address("100.80.0.0") + address, key=PublicKey(key.to_bytes(32, "little")),
        routes=prefixes(*routes),
    )  # fmt: skip

    after = honest.topology()
    assert tuple(one for one in after.members if one.identity != MALLORY.verify_key()) == before.members


def test_of_two_records_with_one_sequence_everybody_chooses_the_same(honest: Administrator) -> None:
    says = [sign(ANN, honest.node(ANN, TOKEN, sequence=7, name=name)) for name in ("left", "right")]
    one, other = honest.ledger(), honest.ledger()

    add_all(one, (says[0], says[1]))
    add_all(other, (says[1], says[0]))

    assert derive(one, NOW) == derive(other, NOW)


def test_who_was_removed_is_not_back_by_another_token_nor_by_another_record(honest: Administrator) -> None:
    honest.invite(LATER_TOKEN)
    honest.join(GONE, LATER_TOKEN, sequence=99, admitted=NOW + 1, name="back")
    honest.join(GONE, TOKEN, sequence=100, admitted=1)

    assert honest.topology().excluded[GONE.verify_key()] is Exclusion.REMOVED


def test_an_admin_record_that_claims_the_future_is_not_believed_without_the_key(
    honest: Administrator,
) -> None:
    honest.invite(LATER_TOKEN, lifetime=DAY)
    honest.join(EVE, LATER_TOKEN)
    ledger = honest.ledger()
    token = known(honest.records[1])
    assert isinstance(token, Token)

    add_all(ledger, (sign(FALSE_NETWORK, replace(token, sequence=99, time=NOW + 1000 * DAY)),))

    assert ledger.judging_time(0) == NOW
    assert EVE.verify_key() not in derive(ledger, 0).excluded


# -- Who holds a token, at an honest coordinator ---------------------------------------------------


def snapshot_of(honest: Administrator) -> Snapshot:
    transaction = Transaction(Snapshot(Ledger(honest.key.verify_key())), NOW)
    for signed in honest.records:
        assert transaction.submit(signed).verdict == "new"
    return transaction.finished(1)


@settings(deadline=None)
@given(
    admitted=st.integers(0, NOW + DAY), name=st.sampled_from(["n10", "n11", "eve"]),
    address=st.sampled_from([9, 11, 66]), key=st.sampled_from([10, 11, 666]),
    speaker=st.sampled_from([ANN, EVE]),
    routes=st.lists(st.sampled_from(["10.42.3.0/24", "10.42.3.128/25", "10.42.0.0/16", "10.42.7.0/24"])),
)  # fmt: skip
def test_whoever_is_admitted_by_whatever_token_takes_nothing_from_anybody(
    admitted: int, name: str, address: int, key: int, speaker: SigningKey, routes: list[str]
) -> None:
    """By antedating itself, or by changing what it says of itself, though it was there first."""
    honest = a_network()
    transaction = Transaction(before := snapshot_of(honest), NOW)

    transaction.submit(honest.join(
        speaker, TOKEN, sequence=9, admitted=admitted, name=name, address=IPv4Address("100.80.0.0") + address,
        key=PublicKey(key.to_bytes(32, "little")), routes=prefixes(*routes),
    ))  # fmt: skip

    after = transaction.finished(2).topology
    others = [one for one in before.topology.members if one.identity != speaker.verify_key()]
    assert [after.member(one.identity) for one in others] == others


def test_a_token_that_has_expired_admits_nobody_by_an_earlier_date(honest: Administrator) -> None:
    transaction = Transaction(snapshot_of(honest), NOW + 2 * DAY)

    outcome = transaction.submit(honest.join(EVE, TOKEN, admitted=NOW))

    until, now = written(NOW + DAY), written(NOW + 2 * DAY)
    reason = f"the token has expired: it admitted until {until}, and the coordinator's clock says {now}"
    assert (outcome.verdict, outcome.reason) == ("refused", reason)


def test_unknown_nodes_leave_nothing_with_a_coordinator(honest: Administrator) -> None:
    transaction = Transaction(snapshot_of(honest), NOW)
    said = [honest.depart(MALLORY), of_a_later_version(honest, MALLORY), honest.join(MALLORY, FALSE_TOKEN)]

    assert [transaction.submit(signed).verdict for signed in said] == ["refused"] * 3


# -- Floods ----------------------------------------------------------------------------------------


def test_nodes_of_tokens_that_nobody_knows_are_few_and_leave_room_for_all_others(
    honest: Administrator,
) -> None:
    ledger, numbers = honest.ledger(), range(1000, 1000 + MAX_UNKNOWN_NODES)
    flood = [sign(key, honest.node(key, FALSE_TOKEN, name="sly")) for key in map(key_of, numbers)]

    assert set(add_all(ledger, flood)) == {Verdict.NEW}
    assert add_all(ledger, [sign(EVE, honest.node(EVE, FALSE_TOKEN))]) == [RejectionReason.TOO_MANY]
    assert add_all(ledger, [honest.join(EVE, TOKEN), honest.remove(BOB)]) == [Verdict.NEW] * 2


def test_departures_of_whoever_make_no_removal_one_too_many(
    honest: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_RECORDS, Departure, 10)
    monkeypatch.setitem(MAX_RECORDS, Unknown, 10)
    ledger, keys = honest.ledger(), [key_of(number) for number in range(1000, 1010)]

    for key in keys:
        assert add_all(ledger, [honest.depart(key), of_a_later_version(honest, key)]) == [Verdict.NEW] * 2

    too_many = [honest.depart(EVE), of_a_later_version(honest, EVE)]
    assert add_all(ledger, too_many) == [RejectionReason.TOO_MANY] * 2
    assert add_all(ledger, [honest.remove(BOB)]) == [Verdict.NEW]


def test_departures_of_whoever_leave_room_for_those_of_nodes(
    honest: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_RECORDS, Departure, 10)
    ledger = honest.ledger()

    add_all(ledger, [honest.depart(key_of(number)) for number in range(1000, 1010)])

    assert add_all(ledger, [honest.depart(EVE)]) == [RejectionReason.TOO_MANY]
    assert add_all(ledger, [honest.depart(BOB)]) == [Verdict.NEW]


# -- Helpers ---------------------------------------------------------------------------------------


def of_a_later_version(honest: Administrator, key: SigningKey) -> Signed:
    body = encode(Departure(network=honest.network, signer=key.verify_key()))
    return key.sign(body.replace(b'"version":1', b'"version":2'))


def assert_nobody_lost_or_gained(before: Topology, after: Topology) -> None:
    assert after.members == before.members
    assert set(after.rules) == set(before.rules)
    assert before.excluded.items() <= after.excluded.items()
