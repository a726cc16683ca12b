"""What a change costs does not grow with those whom it does not concern."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mesh.change import CHANGES, costs, open_snapshot
from benchmarks.mesh.followers import WGMESH, follow
from benchmarks.mesh.network import GROUP, make
from benchmarks.mesh.storms import storms
from tests.mesh.coordinator import in_a_loop
from tests.mesh.network import NOW, Administrator, key_of
from wgmesh.snapshot import Snapshot
from wgmesh.transaction import Transaction
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.topology import derive

FEW, MANY = 40, 160
ROOM = 1.02  # for names and numbers, which are longer


@pytest.mark.parametrize("change", ["a node joins", "a node moves"])
def test_what_concerns_a_group_costs_the_same_bytes_however_many_others_there_are(change: str) -> None:
    few, many = ({cost.change: cost for cost in costs(make(size, grouped=True))} for size in (FEW, MANY))

    assert few[change].concerned == many[change].concerned <= GROUP + 1
    assert many[change].sent <= few[change].sent * ROOM


@pytest.mark.parametrize("grouped", [False, True])
def test_each_that_is_concerned_is_told_the_same_bytes_however_many_there_are(grouped: bool) -> None:
    few, many = (list(costs(make(size, grouped=grouped))) for size in (FEW, MANY))

    for one, other in zip(few, many, strict=True):
        if one.change != "a rule":  # which sends the records of new peers
            assert other.sent / other.concerned <= one.sent / one.concerned * ROOM
    assert {cost.change for cost in few} == set(CHANGES)


@st.composite
def lives(draw: st.DrawFn) -> Administrator:
    """Nodes of two tags that come, are renamed and go, while rules come and go."""
    one, tokens = Administrator(), (key_of(2), key_of(3))
    one.found()
    for token, tag in zip(tokens, ("x", "y"), strict=True):
        one.invite(token, tags=(tag,))
    selectors = st.sampled_from(["any", "tag:x", "tag:y", "node:n10", "node:n11", "node:new"])
    for sequence in range(1, draw(st.integers(2, 15))):
        number = draw(st.integers(10, 14))
        match draw(st.sampled_from(["join", "join", "rename", "rule", "rule", "no rule", "remove"])):
            case "join" | "rename" as said:
                name = f"n{number}" if said == "join" else "new"
                one.join(key_of(number), tokens[number % 2], sequence=sequence, name=name)
            case "remove":
                one.remove(key_of(number))
            case said:
                one.rule(draw(selectors), draw(selectors), allowed=said == "rule")
    return one


@settings(deadline=None)
@given(administrator=lives())
def test_who_is_told_only_what_is_newer_knows_what_who_is_told_everything_knows(
    administrator: Administrator,
) -> None:
    _know_what_they_are_told(administrator)


def test_a_rule_of_an_older_version_joins_nobody_with_who_had_its_name_before() -> None:
    one, x, y = Administrator(), key_of(2), key_of(3)
    one.found()
    one.invite(x, tags=("x",))
    one.invite(y, tags=("y",))
    one.join(key_of(10), x, name="new")
    one.join(key_of(11), y, name="n11")
    one.rule("tag:x", "tag:x")  # no peers any more, so who is renamed does not tell
    one.join(key_of(10), x, sequence=2, name="n10")
    one.rule("any", "node:new")

    _know_what_they_are_told(one)


def _know_what_they_are_told(administrator: Administrator) -> None:
    network = administrator.key.verify_key()
    snapshot, ledgers, since = Snapshot(Ledger(network)), dict[VerifyKey, Ledger](), dict[VerifyKey, int]()

    for revision, signed in enumerate(administrator.records, 1):
        transaction, before = Transaction(snapshot, NOW), snapshot
        if transaction.submit(signed).verdict == "new":
            snapshot = transaction.finished(revision)
            _check_who_is_concerned(before, snapshot)
        for member in snapshot.topology.members:
            ledger = ledgers.setdefault(member.identity, Ledger(network))
            for entry in snapshot.news(member.identity, since.get(member.identity, 0)):
                ledger.add(entry.signed)
            since[member.identity] = snapshot.revision
            known = derive(ledger, NOW, viewer=member.identity).peers(member.identity)
            assert set(known) == set(snapshot.topology.peers(member.identity))


def _check_who_is_concerned(before: Snapshot, snapshot: Snapshot) -> None:
    concerned = snapshot.concerned(before)
    if concerned is None:
        return
    for member in before.topology.members:
        is_over = snapshot.topology.member(member.identity) is None
        has_news = bool(snapshot.news(member.identity, before.revision))
        assert member.identity in concerned or not (is_over or has_news)


def test_of_a_join_only_the_peers_of_the_node_are_told() -> None:
    model = make(FEW, grouped=True)
    before = open_snapshot(model)
    transaction = Transaction(before, model.now)
    transaction.submit(model.join())
    snapshot = transaction.finished(before.revision + 1)

    identity = model.identities[-1].verify_key()
    peers = {peer.identity for peer in snapshot.topology.peers(identity)}

    assert snapshot.concerned(before) == frozenset((identity, *peers))
    assert len(peers) == GROUP


@in_a_loop
async def test_a_hundred_followers_of_a_coordinator_as_it_is_run_are_told_of_a_change() -> None:
    followed = await follow(100, changes=2)

    assert followed.followers == 100
    assert len(followed.deliveries) == 2
    assert followed.busy < 150 << 20


@in_a_loop
async def test_a_storm_is_over_when_all_nodes_know_all() -> None:
    found = [storm async for storm in storms(20, 1, {"wgmesh": WGMESH})]

    assert [storm.what for storm in found] == ["joins", "returns"]
    assert all(storm.settled > 0 for storm in found)
