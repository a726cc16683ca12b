"""The holders of the network's key: several commands at once, on one host and on several."""

import asyncio
from argparse import Namespace
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, NEW, Site, founded, in_a_loop
from tests.mesh.key_host import copy_key
from tests.mesh.network import DAY, selector_of
from wgmesh.transaction import Transaction
from wgpy.cli.errors import CommandError
from wgpy.cli.mesh import rules, tokens
from wgpy.cli.mesh.administrator import Administrator, administrator
from wgpy.mesh.records import Rule, decode
from wgpy.mesh.signing import Signed
from wgpy.node.coordinator_client import Outcome
from wgpy.node.files import NetworkKeyFile, StorageError, locked


def at(key: Path, *, trust_clock: bool = False) -> AbstractAsyncContextManager[Administrator]:
    return administrator(Namespace(key=str(key), trust_clock=trust_clock))


async def allow(key: Path, source: str) -> None:
    async with at(key) as admin:
        await admin.publish(Rule, source=source, destination="any", allowed=True)


async def invite(key: Path) -> None:
    async with at(key) as admin:
        await tokens.make(admin, uses=1, expires=DAY)


def store_all(site: Site, now: int) -> None:
    """Store what was signed, as a coordinator does whose clock says now."""
    with closing(site.store()) as store:
        snapshot = store.load(now)
        transaction = Transaction(snapshot, now)
        assert {transaction.submit(signed).verdict for signed in site.administrator.records} == {"new"}
        store.commit(transaction, snapshot, ())


def sequences(records: Iterable[Signed]) -> list[int]:
    return [getattr(decode(signed.body), "sequence", 0) for signed in records]


async def stored(site: Site) -> list[int]:
    """The sequence numbers of the coordinator's admin records."""
    async with site.ask(site.administrator.key) as coordinator:
        return sequences(await coordinator.records())


@in_a_loop
async def test_six_tokens_at_once_on_one_host_have_six_sequence_numbers(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    async with site.serve():
        await site.found()
        key = copy_key(site, tmp_path / "host")

        await asyncio.gather(*(invite(key) for _ in range(6)))

        assert await stored(site) == list(range(1, 9))
    assert NetworkKeyFile.load(key).sequence == 8


@in_a_loop
async def test_commands_at_once_on_several_hosts_have_a_sequence_number_each(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    async with site.serve():
        await site.found()
        keys = [copy_key(site, tmp_path / f"host{number}") for number in range(4)]

        await asyncio.gather(*(allow(key, f"tag:t{number}") for number, key in enumerate(keys)))

        assert len(set(await stored(site))) == 6


@in_a_loop
async def test_a_record_on_what_another_host_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    async with site.serve():
        await site.found()
        one, other = (copy_key(site, tmp_path / name) for name in ("one", "other"))

        async with at(one) as admin:
            await allow(other, "tag:a")
            with pytest.raises(
                CommandError, match="another administrator has just changed the same; run the"
            ):
                await admin.publish(Rule, source="tag:a", destination="any", allowed=False)

        assert await stored(site) == [1, 2, 3]


@in_a_loop
async def test_a_coordinator_takes_a_sequence_number_once(tmp_path: Path) -> None:
    async with founded(tmp_path) as (site, _):
        administrator = site.administrator
        first = administrator.rule("tag:a", "any")
        administrator.sequence -= 1
        second = administrator.rule("tag:b", "any")
        administrator.sequence -= 1
        same_subject = administrator.rule("tag:a", "any", allowed=False)
        taken = Outcome("refused", "another admin record has its sequence number 3: sign with a higher one")

        assert await site.submit(first, second) == [NEW, taken]
        assert (await site.submit(second))[0] == taken
        assert (await site.submit(same_subject))[0].verdict in ("refused", "old")
        assert (await site.submit(first))[0].verdict == "known"
        assert await site.submit(administrator.rule("tag:b", "any")) == [NEW]


@in_a_loop
async def test_after_a_record_of_the_future_one_command_with_the_right_clock_is_the_way_out(
    tmp_path: Path,
) -> None:
    site = Site.create(tmp_path / "site")
    site.administrator.found()
    future = site.administrator
    future.now += 400 * DAY
    future.rule("any", "any")
    store_all(site, now=future.now)
    async with site.serve():
        key = copy_key(site, tmp_path / "host")
        with pytest.raises(CommandError, match="--trust-clock"):
            await allow(key, "tag:a")

        async with at(key, trust_clock=True) as admin:
            await admin.publish(Rule, source="any", destination="any", allowed=False)

        await allow(key, "tag:a")
        await invite(key)
        assert await stored(site) == [1, 3, 4, 5]


def options(key: Path, source: str, destination: str) -> Namespace:
    return Namespace(
        key=str(key), source=source, destination=destination, yes=True, anyway=False, dry_run=False, json=True
    )


@in_a_loop
async def test_a_rule_of_an_older_version_is_bound_to_its_node_when_it_is_given_anew(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    async with site.serve():
        await site.found(ALICE, BOB)
        await site.submit(site.administrator.rule("node:n11", "node:n12"))
        key = copy_key(site, tmp_path / "host")

        await asyncio.to_thread(rules.allow, options(key, "node:n11", "node:n12"))

        async with at(key) as admin:
            in_force = [(rule.source, rule.destination) for rule in admin.topology.rules]
            assert in_force == [(selector_of(ALICE), selector_of(BOB))]

        await asyncio.to_thread(rules.disallow, options(key, "node:n11", f"node:{BOB.verify_key()}"))

        async with at(key) as admin:
            assert admin.topology.rules == ()


@in_a_loop
async def test_a_rule_for_a_name_that_no_node_has_is_refused(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    async with site.serve():
        await site.found(ALICE)
        key = copy_key(site, tmp_path / "host")

        with pytest.raises(CommandError, match="no node web, and a rule is for a node .* or use a tag"):
            await asyncio.to_thread(rules.allow, options(key, "node:web", "any"))


@in_a_loop
async def test_a_folder_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone cannot be read: No such file or directory"):
        async with locked(tmp_path / "gone"):
            pass


@in_a_loop
async def test_who_locks_a_folder_waits_for_who_has_it(tmp_path: Path) -> None:
    order = []

    async def use(name: str) -> None:
        async with locked(tmp_path):
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    await asyncio.gather(use("a"), use("b"))

    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])
