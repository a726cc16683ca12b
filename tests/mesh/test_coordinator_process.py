"""`wgmesh` as a process: what it acknowledged outlives it, and it ends when it is asked to."""

import asyncio
import signal
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

from tests.mesh.coordinator import ALICE, TOKEN, Site, in_a_loop
from tests.mesh.network import key_of
from tests.mesh.processes import Process
from wgpy.mesh.signing import Signed
from wgpy.node.coordinator_client import CoordinatorError, Unreachable

KILLS = 3


@in_a_loop
async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path, seed: int) -> None:
    site = Site.create(tmp_path)
    random = Random(seed)
    administrator = site.administrator
    acknowledged: set[Signed] = set()

    async def hand_in(first: int, enough: int) -> None:
        async with site.ask() as coordinator:
            for number in range(first, first + 1000):
                records = [
                    administrator.join(key_of(number), TOKEN, address=IPv4Address("100.80.0.0") + number),
                    administrator.invite(key_of(100_000 + number)),
                ]
                outcomes = await coordinator.submit(records)
                assert [outcome.verdict for outcome in outcomes] == ["new", "new"]
                acknowledged.update(records)
                if number == first + enough:
                    in_the_middle.set()

    process = Process(site)
    administrator.found()
    administrator.invite(TOKEN, uses=10_000)
    await site.submit_all()
    for kill in range(KILLS):
        in_the_middle = asyncio.Event()
        task = asyncio.create_task(hand_in(1000 * (kill + 1), random.randrange(40)))
        await in_the_middle.wait()
        process.kill()
        (failure,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(failure, CoordinatorError)

        process = Process(site)
        async with site.ask(administrator.key) as coordinator:
            stored = set(await coordinator.records())
        assert acknowledged <= stored <= set(administrator.records)
    process.kill()


@in_a_loop
async def test_it_ends_when_asked_and_waits_for_nobody(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    process = Process(site)
    await site.found(ALICE)
    async with site.follow(ALICE) as alice:
        await alice.received()

        status, log = await asyncio.to_thread(process.end, signal.SIGTERM)

        assert status == 0
        assert "n11: n11 joined" in log
        assert str(ALICE.verify_key()) not in log
        try:
            await alice.received()
            raise AssertionError("it goes on")
        except Unreachable:
            pass
