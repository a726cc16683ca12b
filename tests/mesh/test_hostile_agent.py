"""A node beside a hostile coordinator: it stays what it was, and says what was tried.

What is tried stands in `hostile.Mallory`.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mesh.hostile import ATTEMPTS, Attempt, Mallory
from tests.mesh.network import key_of
from tests.mesh.test_agent import TIMEOUT, Scene, configured, scene, until
from wgpy.mesh.ledger import Verdict
from wgpy.node.agent_client import Status
from wgpy.prometheus import exposition
from wgpyd.agent.agent import Agent
from wgpyd.agent.metrics import measures
from wgpyd.agent.store import OUTDATED

GONE = key_of(99)


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_a_node_stays_as_it_was_and_log_metrics_and_status_tell_of_the_attempt(
    attempt: Callable[[Mallory], Attempt], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        async with asyncio.timeout(TIMEOUT), scene(tmp_path) as world, world.agent() as agent:
            before = await settle(world, agent)
            tried = attempt(Mallory(world.network.administrator, world.node.identity))
            caplog.clear()

            world.coordinator.send(*tried.records)

            after = await until(agent, lambda status: noticed(status) > noticed(before))
            assert peers(after) == peers(before)
            assert (after.rules, after.member, after.routes) == (before.rules, True, before.routes)
            assert await configured(agent) == world.others
            assert reason(tried) in told(after) - told(before)
            assert reason(tried) in caplog.text
            assert f'reason="{reason(tried)}"' in metrics(agent, after)

    caplog.set_level(logging.WARNING, logger="wgpy")
    asyncio.run(play())


def test_what_it_is_told_of_itself_or_by_itself_does_not_make_a_node_another(tmp_path: Path) -> None:
    """Its own key is its alone, and an old word of its own is no news."""

    async def play() -> None:
        async with asyncio.timeout(TIMEOUT), scene(tmp_path) as world, world.agent() as agent:
            before = await settle(world, agent)
            stolen = replace(world.own, signature=bytes(64))

            world.coordinator.send(world.own, stolen, replace(world.own, body=world.own.body[:-1] + b" }"))

            after = await until(agent, lambda status: status.rejected_count >= before.rejected_count + 1)
            assert (after.name, after.address, after.key) == (before.name, before.address, before.key)

    asyncio.run(play())


def test_a_flood_of_falsehoods_leaves_a_node_that_listens(tmp_path: Path) -> None:
    async def play() -> None:
        async with asyncio.timeout(TIMEOUT), scene(tmp_path) as world, world.agent() as agent:
            before = await settle(world, agent)
            rule = world.network.administrator.rule("any", "any")
            size = (world.folder / "records.jsonl").stat().st_size

            world.coordinator.send(*(replace(rule, signature=bytes(64)) for _ in range(2000)), rule)

            after = await until(agent, lambda status: status.rules != ())
            assert after.rejected_count == before.rejected_count + 2000
            assert len(after.rejected) <= 50
            assert (world.folder / "records.jsonl").stat().st_size < size + 1000

    asyncio.run(play())


# -- Helpers ---------------------------------------------------------------------------------------


async def settle(world: Scene, agent: Agent) -> Status:
    """Let another node have spoken twice and one be removed, and all of that be known."""
    administrator, other = world.network.administrator, world.network.nodes[1]
    administrator.join(GONE, world.network.token)
    moved = replace(other, sequence=7).signed(())[1]
    world.coordinator.send(administrator.records[-1], administrator.remove(GONE), moved)
    administrator.records.append(moved)
    await until(agent, lambda status: status.sequence == administrator.sequence)
    await world.coordinator.until_given()  # where the node is
    return await until(agent, lambda status: len(status.excluded) == 1 and status.connected)


def reason(tried: Attempt) -> str:
    return OUTDATED if tried.shows is Verdict.OLD else tried.shows.value


def told(status: Status) -> set[str]:
    """What is said of others that is not well."""
    return {record.reason for record in status.rejected} | {one.reason for one in status.excluded}


def noticed(status: Status) -> int:
    return status.rejected_count + len(status.excluded)


def peers(status: Status) -> set[tuple[object, ...]]:
    return {
        (peer.name, peer.identity, peer.key, peer.address, peer.tags, peer.routes, peer.endpoint)
        for peer in status.peers
    }


def metrics(agent: Agent, status: Status) -> str:
    families = measures(status, agent.interface.counters(), agent.control.rejected.counts)
    return exposition(families).decode()
