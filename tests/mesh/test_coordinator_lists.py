"""What one key may ask of a coordinator, so that it keeps time for all others."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, TOKEN, Site, founded, in_a_loop
from tests.mesh.network import key_of
from wgmesh.limits import MAX_LISTED, MAX_SUBSCRIPTIONS, Lists
from wgpy.node.coordinator_client import Coordinator, Unreachable


async def _follow(coordinator: Coordinator) -> None:
    await anext(coordinator.follow(0))


ASK = {
    "records": lambda coordinator: coordinator.records(),
    "nodes": lambda coordinator: coordinator.nodes(),
    "follow": _follow,
}
LENGTH = {"records": 4, "nodes": 2, "follow": 4}


@pytest.mark.parametrize("what", ASK)
@in_a_loop
async def test_who_asks_for_lists_again_and_again_is_refused_and_others_are_not(
    tmp_path: Path, what: str
) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, served):
        served.service.lists = Lists(rate=0, burst=LENGTH[what])

        async with site.ask(ALICE) as alice:
            await ASK[what](alice)
        async with site.ask(ALICE) as alice:
            with pytest.raises(Unreachable, match="this key asks for too much"):
                await ASK[what](alice)

        async with site.ask(BOB) as bob:
            await ASK[what](bob)
        async with site.ask(site.administrator.key) as administrator:
            assert len(await administrator.records()) == 4


@in_a_loop
async def test_who_holds_a_token_is_welcomed_no_more_often_than_lists_are_given(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        served.service.lists = Lists(rate=0, burst=3)

        async with site.ask(TOKEN) as host:
            await host.welcome()
            with pytest.raises(Unreachable, match="this key asks for too much"):
                await host.welcome()


@in_a_loop
async def test_a_welcome_counts_as_what_is_in_it_as_many_hosts_may_join_by_one_token(tmp_path: Path) -> None:
    async with founded(tmp_path, *(key_of(number) for number in range(100, 108))) as (site, served):
        served.service.lists = Lists(
            rate=0, burst=20
        )  # two records and 16 members, not 18 records, each time

        async with site.ask(TOKEN) as host:
            for _ in range(2):
                assert len((await host.welcome()).names) == 8


@in_a_loop
async def test_a_node_that_has_all_follows_again_whatever_it_has_had(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        served.service.lists = Lists(rate=0, burst=0)

        async with site.follow(ALICE, served.service.snapshot.revision):
            pass


@in_a_loop
async def test_a_node_that_claims_to_be_ahead_raises_the_revision_no_more_often_than_it_is_given_lists(
    tmp_path: Path,
) -> None:
    site = Site.create(tmp_path)
    async with site.serve() as served:
        await site.found(ALICE)
        served.service.lists = Lists(rate=0, burst=MAX_LISTED)

        async with site.follow(ALICE, served.service.snapshot.revision + 1):
            raised = served.service.snapshot.revision
        async with site.ask(ALICE) as alice:
            with pytest.raises(Unreachable, match="this key asks for too much"):
                await anext(alice.follow(raised + 1))

        assert served.service.snapshot.revision == raised


@in_a_loop
async def test_a_node_has_so_many_connections_that_follow_and_no_more(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve(), AsyncExitStack() as stack:
        await site.found(ALICE, BOB)
        for _ in range(MAX_SUBSCRIPTIONS):
            await stack.enter_async_context(site.follow(ALICE))

        async with site.ask(ALICE) as alice:
            with pytest.raises(Unreachable, match="are several hosts copies of one"):
                await anext(alice.follow(0))

        async with site.follow(BOB):
            pass


def test_what_a_key_had_is_forgotten_in_time_and_no_list_is_too_long_for_ever() -> None:
    lists, key = Lists(), key_of(7).verify_key()

    assert [lists.take(key, 1_000_000, 0) for _ in range(9)] == [True] * 8 + [False]
    assert not lists.take(key, 1, 0)
    assert lists.take(key, 1_000_000, 10)
