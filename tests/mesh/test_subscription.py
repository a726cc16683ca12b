"""How long a coordinator may take for a line, and what becomes of a record of ours that it refuses."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

from tests.mesh.coordinator import in_a_loop
from tests.mesh.network import key_of
from tests.mesh.scripted import REFUSAL
from tests.mesh.test_agent import Scene, in_a_scene
from tests.mesh.test_hostile_answers import CHUNKED, CRUMB, GREETING, HELLO, NETWORK, hostile, whole
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.wire import Delta, Greeting
from wgpy.node.coordinator_client import Coordinator, Unreachable
from wgpyd.agent.identity import LocalIdentity
from wgpyd.agent.store import RecordStore
from wgpyd.agent.subscription import CALLED_PAUSE, FIRST_PAUSE, Subscription
from wgpyd.agent.withholding_detector import WithholdingDetector

MANY = 100  # lines


@dataclass(slots=True)
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def before_each(self, seconds: float, *pieces: bytes) -> Iterator[bytes]:
        """Give pieces, each so much later than the one before."""
        for piece in pieces:
            self.now += seconds
            yield piece


# -- A line ----------------------------------------------------------------------------------------


@in_a_loop
async def test_a_line_that_does_not_come_to_its_end_within_a_minute_ends_the_connection(
    tmp_path: Path,
) -> None:
    clock = Clock()
    answer = chain([CHUNKED, chunk(GREETING)], clock.before_each(1, *[CRUMB] * 1000))

    async with following(tmp_path, clock, answer) as lines:
        with pytest.raises(Unreachable, match="sends a line too slowly"):
            assert [line async for line in lines]

    assert clock.now > 60


@in_a_loop
async def test_a_line_may_come_after_hours(tmp_path: Path) -> None:
    assert await lines_taken(tmp_path, 3600, [GREETING] * MANY) == MANY


@in_a_loop
async def test_many_lines_may_take_hours_though_what_arrives_never_ends_with_one(tmp_path: Path) -> None:
    """As over a slow link, where each read has the end of one line and the beginning of the next."""
    middle = len(GREETING) // 2
    pieces = [GREETING[:middle], *[GREETING[middle:] + GREETING[:middle]] * (MANY - 1), GREETING[middle:]]

    assert await lines_taken(tmp_path, 50, pieces) == MANY


async def lines_taken(folder: Path, pause: float, pieces: Sequence[bytes]) -> int:
    """Return how many lines a node takes, with such a pause after each of them. pause: seconds."""
    clock, taken = Clock(), []

    async def take(lines: AsyncIterator[Greeting | Delta]) -> None:
        async for line in lines:
            taken.append(line)
            clock.now += pause

    async with following(folder, clock, [CHUNKED, *map(chunk, pieces), b"0\r\n\r\n"]) as lines:
        with pytest.raises(Unreachable, match="ended the connection"):
            await take(lines)
    return len(taken)


@asynccontextmanager
async def following(
    folder: Path, clock: Clock, answer: Iterable[bytes]
) -> AsyncIterator[AsyncIterator[Greeting | Delta]]:
    """Follow a coordinator that answers so."""
    async with (
        hostile(folder, whole(HELLO), answer) as served,
        Coordinator(served.address, NETWORK, key_of(7), clock) as coordinator,
    ):
        yield coordinator.follow(0)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# -- A refused record ------------------------------------------------------------------------------


@in_a_scene
async def test_a_refused_record_is_submitted_again_until_it_is_taken(world: Scene) -> None:
    coordinator = world.coordinator
    coordinator.refuses = True
    coordinator.ledger = Ledger(world.node.network)  # it does not know the node's record
    async with subscribed(world, retry_time=0.01) as subscription:
        while coordinator.given.count(world.own) < 3:
            await coordinator.changed()
        assert subscription.refused == REFUSAL

        coordinator.refuses = False
        while subscription.refused:
            await coordinator.changed()

    assert coordinator.given.count(world.own) > 3


# -- Pauses ----------------------------------------------------------------------------------------


@in_a_scene
async def test_while_unknown_nodes_call_a_pause_is_short_and_not_shorter(world: Scene) -> None:
    coordinator, loop = world.coordinator, asyncio.get_running_loop()
    async with subscribed(world, first_pause=1000) as subscription:
        await coordinator.until(1)
        began = loop.time()
        coordinator.hang_up()
        while len(coordinator.followed) == 1:
            subscription.unknown_called()
            await asyncio.sleep(0)

    assert loop.time() - began >= CALLED_PAUSE


@asynccontextmanager
async def subscribed(
    world: Scene, retry_time: float = 300, first_pause: float = FIRST_PAUSE
) -> AsyncIterator[Subscription]:
    store = RecordStore(world.folder, world.node.network, world.node.identity.verify_key())
    identity = LocalIdentity(world.folder, world.node, store.ledger)
    subscription = Subscription(
        identity, store, WithholdingDetector(store.ledger), lambda: None, retry_time, first_pause
    )
    running = asyncio.create_task(subscription.run())
    try:
        yield subscription
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
