"""Whose request is served before whose, where many wait."""

import asyncio
from pathlib import Path

from tests.mesh.coordinator import ALICE, NEW, TOKEN, Site, founded, in_a_loop
from tests.mesh.coordinator_port import (
    connected,
    is_heard,
)
from tests.mesh.network import key_of
from wgmesh.errors import Denial
from wgmesh.limits import Limits, Slots
from wgpy.mesh.signing import Signed

MANY = 1_000  # nodes: more than are written in two turns


@in_a_loop
async def test_a_source_that_asks_much_waits_for_itself_and_others_do_not(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with (
        site.serve(limits=Limits(slots=Slots(1))),
        connected(site, *["127.0.0.2"] * 20, "127.0.0.3") as opened,
    ):
        order: list[int] = []

        async def ask(number: int) -> None:
            assert await is_heard(opened[number])
            order.append(number)

        await asyncio.gather(*map(ask, range(21)))

    assert order.index(20) < 10
    assert len(order) == 21


@in_a_loop
async def test_who_follows_takes_no_slot_of_its_source(tmp_path: Path) -> None:
    async with (
        founded(tmp_path, ALICE, limits=Limits(slots=Slots(1))) as (site, _),
        site.follow(ALICE) as alice,
    ):
        await alice.received()

        assert await site.submit() == []


@in_a_loop
async def test_the_administrator_is_served_before_all_that_wait(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        administrator = site.administrator
        order: list[str] = []
        begun = asyncio.Event()

        async def submit(name: str, *records: object) -> None:
            outcomes = await served.service.submit(records, "192.0.2.1")  # type: ignore[arg-type]
            assert {outcome.verdict for outcome in outcomes} == {"new"}
            order.append(name)
            begun.set()

        token = key_of(1002)
        await site.submit(administrator.invite(token, uses=MANY))
        async with asyncio.TaskGroup() as group:
            for number in range(0, MANY, 20):
                nodes = [administrator.join(key_of(100 + number + i), token) for i in range(20)]
                group.create_task(submit("nodes", *nodes))
            await begun.wait()
            group.create_task(submit("administrator", administrator.remove(ALICE)))

    assert order.index("administrator") < len(order) - 1  # a turn that is written, and one that had come


@in_a_loop
async def test_who_has_proven_a_key_is_served_before_who_has_not(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        administrator = site.administrator
        token = key_of(1002)
        await site.submit(administrator.invite(token, uses=MANY))
        order: list[str] = []

        async def unknown(*records: Signed) -> None:
            await served.service.submit(records, "192.0.2.1")
            order.append("unknown")

        async with site.ask(ALICE) as alice, asyncio.TaskGroup() as group:
            for number in range(0, MANY, 20):
                nodes = [administrator.join(key_of(100 + number + i), token) for i in range(20)]
                group.create_task(unknown(*nodes))
            outcomes = await alice.submit([administrator.join(ALICE, TOKEN, sequence=2)])
            order.append("alice")

    assert outcomes == [NEW]
    assert order.index("alice") < len(order) - 1


@in_a_loop
async def test_what_waits_at_the_same_time_is_written_at_once(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        nodes = [site.administrator.join(key_of(100 + number), TOKEN) for number in range(5)]

        outcomes = await asyncio.gather(
            *(served.service.submit([node], f"192.0.2.{number}") for number, node in enumerate(nodes))
        )
        entries = list(served.service.snapshot.entries.values())[-5:]
        audit = await served.service.audit()

    assert [one.verdict for (one,) in outcomes] == ["new"] * 5
    assert len({entry.revision for entry in entries}) < 5
    assert {entry.source for entry in audit[-5:]} == {f"192.0.2.{number}" for number in range(5)}


@in_a_loop
async def test_a_long_submission_lets_the_administrator_in_between(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        administrator = site.administrator
        token = key_of(1002)
        await site.submit(administrator.invite(token, uses=MANY))
        nodes = [administrator.join(key_of(100 + number), token) for number in range(MANY)]

        async with site.follow(ALICE) as alice:
            await alice.received()
            long = asyncio.create_task(served.service.submit(nodes, "192.0.2.1"))
            await alice.received()  # of the first of them
            await served.service.submit([administrator.invite(key_of(1009))], "192.0.2.1")

        assert not long.done()
        assert {outcome.verdict for outcome in await long} == {"new"}


@in_a_loop
async def test_where_too_many_wait_the_administrator_does_not(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        administrator = site.administrator
        forged = [Signed(administrator.join(key_of(12), TOKEN).body, bytes(64))]
        submissions = [asyncio.create_task(served.service.submit(forged, "192.0.2.1")) for _ in range(1100)]
        await asyncio.sleep(0)

        outcomes = await served.service.submit([administrator.remove(ALICE)], "192.0.2.1")
        answers = await asyncio.gather(*submissions, return_exceptions=True)

    assert [outcome.verdict for outcome in outcomes] == ["new"]
    refused = [str(answer) for answer in answers if isinstance(answer, Denial)]
    assert 0 < len(refused) <= 100
    assert set(refused) == {"too many submissions wait: try again in a minute"}
