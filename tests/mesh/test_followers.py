"""Whom a change concerns is told from which revision on there is news, and nobody of what it has."""

import asyncio

from tests.mesh.coordinator import ALICE, BOB, CAROL, in_a_loop
from wgmesh.followers import Follower, Followers


@in_a_loop
async def test_who_is_told_of_several_changes_hears_from_the_first_one_on() -> None:
    followers = Followers()
    alice, bob = (followers.add(one.verify_key()) for one in (ALICE, BOB))
    await told_of_something(followers, alice, bob)

    followers.tell([ALICE.verify_key()], 1)
    followers.tell(None, 2)
    followers.tell([BOB.verify_key()], 3)

    assert [await alice.wait(), await bob.wait()] == [1, 2]


@in_a_loop
async def test_who_begins_between_changes_of_all_is_told_of_those_that_follow() -> None:
    followers = Followers()
    alice = followers.add(ALICE.verify_key())
    await told_of_something(followers, alice)

    followers.tell(None, 1)
    bob = followers.add(BOB.verify_key())
    followers.tell(None, 2)
    carol = followers.add(CAROL.verify_key())

    assert [await alice.wait(), await bob.wait()] == [1, 2]
    followers.tell(None, 3)
    assert [await alice.wait(), await bob.wait(), await carol.wait()] == [3, 3, 3]


@in_a_loop
async def test_who_ended_meanwhile_is_not_told() -> None:
    followers = Followers()
    alice, bob = (followers.add(one.verify_key()) for one in (ALICE, BOB))
    await told_of_something(followers, alice, bob)

    followers.tell(None, 1)
    carol = followers.add(CAROL.verify_key())
    followers.tell([ALICE.verify_key()], 2)
    for identity, follower in ((ALICE, alice), (CAROL, carol)):
        followers.remove(identity.verify_key(), follower)

    assert await bob.wait() == 1
    waiting = [asyncio.ensure_future(one.wait()) for one in (alice, carol)]
    followers.tell(None, 3)
    assert await bob.wait() == 3
    assert not any(one.done() for one in waiting)
    for one in waiting:
        one.cancel()


# -- Helpers --------------------------------------------------------------------------------------


async def told_of_something(followers: Followers, *waiting: Follower) -> None:
    """Begin the pause in which what is told is told later."""
    followers.tell(None, 0)
    for follower in waiting:
        assert await follower.wait() == 0
