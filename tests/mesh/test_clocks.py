"""Wrong clocks: of who signs, of a coordinator, of a node and of a joiner. None of them hurts others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, NEW, TOKEN, Site, in_a_loop
from tests.mesh.network import DAY, NOW, Administrator, key_of
from tests.mesh.test_agent import Scene, scene, until
from tests.mesh.wallclock import set_clock
from wgmesh.auth import Role, authorize
from wgmesh.snapshot import Snapshot
from wgmesh.transaction import Transaction
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh.clock import check_clock
from wgpy.cli.mesh.membership import admission_time
from wgpy.mesh.admission import Exclusion
from wgpy.mesh.clock import MAX_DIFFERENCE, RELEASED, judging_time, written
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Rule, Token, decode
from wgpy.mesh.signing import Signed
from wgpy.mesh.topology import derive

LIMITED, LATER = key_of(2), key_of(3)
ANN, EVE = key_of(10), key_of(12)
FAR = 400 * DAY


@pytest.fixture
def hurt() -> Administrator:
    """Who signed a rule with a clock 400 days ahead, in a network of limited memberships."""
    one = Administrator()
    one.found()
    one.invite(LIMITED, lifetime=30 * DAY)
    one.join(ANN, LIMITED)
    one.now += FAR
    one.rule("any", "any")
    one.now -= FAR
    return one


# -- Nodes ----------------------------------------------------------------------------------------


def test_a_clock_counts_unless_it_was_never_set() -> None:
    assert judging_time(NOW, NOW + FAR) == NOW
    assert judging_time(NOW + FAR, NOW) == NOW + FAR
    assert judging_time(RELEASED, NOW) == RELEASED
    assert judging_time(RELEASED - 1, NOW) == NOW
    assert judging_time(0, 0) == 0


def test_a_record_of_the_future_ends_no_membership(hurt: Administrator) -> None:
    assert hurt.topology(NOW).excluded == {}


def test_a_host_that_boots_in_1970_goes_by_the_newest_record_and_not_by_the_latest(
    hurt: Administrator,
) -> None:
    assert hurt.topology(0).excluded == {ANN.verify_key(): Exclusion.MEMBERSHIP_EXPIRED}

    hurt.rule("any", "any", allowed=False)  # with a clock that is right

    assert hurt.topology(0).excluded == {}


def test_a_record_of_the_past_revives_nothing(hurt: Administrator) -> None:
    hurt.now -= FAR
    hurt.rule("any", "any", allowed=False)

    assert hurt.topology(NOW + 31 * DAY).excluded == {ANN.verify_key(): Exclusion.MEMBERSHIP_EXPIRED}


def test_a_clock_that_jumps_forth_and_back_changes_nothing_for_good(hurt: Administrator) -> None:
    ledger = hurt.ledger()
    before = derive(ledger, NOW)

    there = derive(ledger, NOW + FAR, before)
    back = derive(ledger, NOW, there)

    assert there.excluded == {ANN.verify_key(): Exclusion.MEMBERSHIP_EXPIRED}
    assert back == before
    assert before.holds_at(NOW)
    assert not before.holds_at(NOW + FAR)
    assert not there.holds_at(NOW)


@dataclass(slots=True)
class Clock:
    """Of a host. offset: seconds by which it is ahead."""

    offset: int = 0

    def __call__(self) -> float:
        return time.time() + self.offset


@asynccontextmanager
async def limited(tmp_path: Path) -> AsyncIterator[Scene]:
    """A node in a network of limited memberships."""
    async with asyncio.timeout(60), scene(tmp_path, lifetime=30 * DAY) as world:
        yield world


@pytest.mark.parametrize("offset", [FAR, 40 * DAY])
def test_a_node_that_judged_itself_expired_judges_again_when_its_clock_is_set(
    tmp_path: Path, offset: int
) -> None:
    async def play() -> None:
        clock = Clock(offset)
        async with limited(tmp_path) as world, world.agent(clock) as agent:
            status = await until(agent, lambda status: not status.member)
            assert (status.exclusion, status.peers) == ("its membership has expired", ())

            clock.offset = 0
            set_clock()

            status = await until(agent, lambda status: status.member)
            assert len(status.peers) == 2

    asyncio.run(play())


def test_a_node_notices_when_its_clock_is_set_behind_the_end_of_its_membership(tmp_path: Path) -> None:
    async def play() -> None:
        clock = Clock()
        async with limited(tmp_path) as world, world.agent(clock) as agent:
            await until(agent, lambda status: status.member)

            clock.offset = FAR
            set_clock()

            await until(agent, lambda status: not status.member)

    asyncio.run(play())


# -- Who signs ------------------------------------------------------------------------------------


def newest(signed: Signed) -> Rule:
    record = decode(signed.body)
    assert isinstance(record, Rule)
    return record


def test_a_clock_that_agrees_with_the_coordinators_signs(hurt: Administrator) -> None:
    check_clock(NOW, MAX_DIFFERENCE, None)
    check_clock(NOW, -MAX_DIFFERENCE, newest(hurt.rule("any", "any")))
    check_clock(NOW + FAR, 0, newest(hurt.rule("any", "any")))  # for a year nobody changed anything


@pytest.mark.parametrize("ahead", [FAR, -FAR, MAX_DIFFERENCE + 1, -MAX_DIFFERENCE - 1])
def test_a_clock_that_differs_from_the_coordinators_signs_nothing_and_both_are_named(ahead: int) -> None:
    with pytest.raises(CommandError) as refused:
        check_clock(NOW, ahead, None, trusted=True)

    assert str(refused.value) == (
        f"this host's clock says {written(NOW)} and the coordinator's {written(NOW - ahead)}: set the one "
        "that is wrong, and run the command again"
    )


@pytest.mark.parametrize(("ahead", "agrees"), [(0, ", as does the coordinator's"), (None, "")])
def test_a_clock_behind_the_newest_record_signs_only_if_it_is_said_to_be_right(
    hurt: Administrator, ahead: int | None, agrees: str
) -> None:
    record = newest(hurt.records[-1])

    with pytest.raises(CommandError) as refused:
        check_clock(NOW, ahead, record)

    assert str(refused.value) == (
        f"this host's clock says {written(NOW)}{agrees}, and the newest admin record was signed at "
        f"{written(NOW + FAR)}: set the clock if it is wrong; if it is right, run the command again with "
        "--trust-clock"
    )
    check_clock(NOW, ahead, record, trusted=True)


def test_a_clock_that_was_never_set_signs_nothing() -> None:
    with pytest.raises(CommandError, match=r"says 1970-01-01 00:01:40 UTC, so it was never set: set it"):
        check_clock(100, 0, None, trusted=True)


def test_where_no_coordinator_tells_its_time_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    check_clock(NOW, None, None)

    assert "tells no time: only the newest record confirms the clock" in capsys.readouterr().err


# -- Who joins ------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [0, 100, NOW - FAR, NOW + FAR])
def test_a_host_with_a_wrong_clock_joins_at_the_coordinators_time_and_is_warned(
    now: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admission_time(now, now - NOW) == NOW

    warning = capsys.readouterr().err
    assert written(now) in warning
    assert written(NOW) in warning


def test_a_host_with_a_right_clock_joins_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert admission_time(NOW + 3, 3) == NOW
    assert admission_time(NOW, None) == NOW
    assert capsys.readouterr().err == ""


# -- Coordinators ---------------------------------------------------------------------------------


def at(administrator: Administrator, now: int) -> Transaction:
    return Transaction(Snapshot(Ledger(administrator.key.verify_key())), now)


def test_a_coordinator_refuses_a_record_of_the_future_and_tells_both_times(hurt: Administrator) -> None:
    transaction = at(hurt, NOW)

    outcomes = [transaction.submit(signed) for signed in hurt.records]

    assert [outcome.verdict for outcome in outcomes] == ["new", "new", "new", "refused"]
    assert outcomes[-1].reason == (
        f"it was signed at {written(NOW + FAR)}, and the coordinator's clock says {written(NOW)}: set the "
        "clock that is wrong"
    )


def test_clocks_that_differ_by_minutes_are_both_right(hurt: Administrator) -> None:
    hurt.records.pop()
    hurt.now += MAX_DIFFERENCE
    hurt.rule("any", "any")
    transaction = at(hurt, NOW)

    assert {transaction.submit(signed).verdict for signed in hurt.records} == {"new"}


def test_a_restored_coordinator_is_given_back_a_record_of_the_future_that_a_newer_one_follows(
    hurt: Administrator,
) -> None:
    hurt.rule("any", "any", allowed=False)
    hurt.rule("tag:a", "any")
    *before, future, correction, other = hurt.records
    transaction = at(hurt, NOW)

    for signed in (*before, other):
        assert transaction.submit(signed).verdict == "new"

    assert [transaction.submit(signed).verdict for signed in (future, correction)] == ["new", "new"]


def test_in_a_hurt_network_tokens_admit_and_members_are_served(hurt: Administrator) -> None:
    snapshot = Snapshot(Ledger(hurt.key.verify_key()))
    # The last by the coordinator's clock, too: it was of an older version, or had the same wrong clock.
    for revision, (signed, now) in enumerate(zip(hurt.records, (NOW, NOW, NOW, NOW + FAR), strict=True)):
        transaction = Transaction(snapshot, now)
        assert transaction.submit(signed).verdict == "new"
        snapshot = transaction.finished(revision)
    token = snapshot.ledger.admin_records(Token)[bytes(LIMITED.verify_key())]

    transaction = Transaction(snapshot, NOW)

    assert snapshot.token_trouble(token, NOW) == ""
    assert authorize(ANN.verify_key(), snapshot, NOW).role is Role.MEMBER
    assert authorize(LIMITED.verify_key(), snapshot, NOW).role is Role.TOKEN
    assert transaction.submit(hurt.join(EVE, LIMITED)).verdict == "new"
    assert transaction.submit(hurt.remove(ANN)).verdict == "new"
    assert not snapshot.holds_at(NOW)


def test_a_coordinator_in_1970_admits_nobody_by_a_token_that_has_expired() -> None:
    one = Administrator()
    one.found()
    one.invite(LIMITED, expires=NOW - 1)
    one.rule("any", "any")
    transaction = at(one, NOW)
    for signed in one.records:
        transaction.submit(signed)

    snapshot = transaction.finished(1)
    token = snapshot.ledger.admin_records(Token)[bytes(LIMITED.verify_key())]

    assert snapshot.token_trouble(token, 100) == (
        f"the token has expired: it admitted until {written(NOW - 1)}, and the coordinator's clock says "
        f"{written(NOW)}"
    )


@in_a_loop
async def test_a_coordinator_tells_its_time(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(), site.ask() as coordinator:
        assert coordinator.ahead is not None
        assert abs(coordinator.ahead) <= 2


@in_a_loop
async def test_a_coordinator_judges_again_when_its_clock_is_set(tmp_path: Path) -> None:
    """Its snapshot is of a time that its clock has not reached any more."""
    site = Site.create(tmp_path)
    site.administrator.found()
    site.administrator.invite(TOKEN, lifetime=30 * DAY)
    site.administrator.join(ALICE, TOKEN)
    site.administrator.join(BOB, TOKEN)
    async with site.serve() as served:
        await site.submit_all()
        service = served.service
        service.snapshot = Transaction(service.snapshot, int(time.time()) + FAR).finished(
            service.snapshot.revision
        )
        assert service.snapshot.topology.members == ()

        set_clock()

        async with asyncio.timeout(10):
            while not service.snapshot.topology.members:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0)
        assert await site.submit(site.administrator.join(ALICE, TOKEN, sequence=2)) == [NEW]
