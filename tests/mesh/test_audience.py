"""Whom a coordinator tells of a change of a node: those that a rule joins with it, and nobody else.

Alice (office) may begin to Bob (servers); no rule joins Carol with anybody. Dave is Bob's peer, too.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.mesh.coordinator import ALICE, BOB, CAROL, DAVE, Follower, Site, in_a_loop
from tests.mesh.network import Administrator, key_of, prefixes
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.records import Node, decode
from wgpy.mesh.signing import Signed, SigningKey
from wgpy.node.coordinator_client import Unreachable

OFFICE, SERVERS, OTHERS = (key_of(number) for number in (1001, 1002, 1003))
EVE = key_of(15)


def bob(administrator: Administrator, **fields: object) -> Signed:
    return administrator.join(BOB, SERVERS, sequence=2, **fields)


Change = Callable[[Administrator], Signed]

CHANGES: Final[dict[str, Change]] = {
    "join": lambda one: one.join(EVE, SERVERS),
    "name": lambda one: bob(one, name="renamed"),
    "WireGuard key": lambda one: bob(one, key=PublicKey(bytes(31) + b"\x07")),
    "routes": lambda one: bob(one, routes=prefixes("10.42.3.0/24")),
    "requested routes": lambda one: bob(one, routes=prefixes("192.168.7.0/24")),
    "endpoints": lambda one: bob(one, endpoints=(Endpoint("192.0.2.1", 5),)),
    "all at once": lambda one: bob(
        one, name="renamed", endpoints=(Endpoint("192.0.2.1", 5),), routes=prefixes("10.42.3.0/24")
    ),
    "tags": lambda one: one.tag(BOB, "new", "servers"),
    "approval": lambda one: one.approve(BOB, "192.168.7.0/24"),
    "revocation": lambda one: one.revoke(SERVERS, BOB.verify_key()),
    "removal": lambda one: one.remove(BOB),
    "departure": lambda one: one.depart(BOB),
    "another rule": lambda one: one.rule("tag:servers", "tag:office"),
    "a rule less": lambda one: one.rule("tag:office", "tag:servers", allowed=False),
}


@asynccontextmanager
async def a_site(folder: Path) -> AsyncIterator[Site]:
    site = Site.create(folder)
    one = site.administrator
    async with site.serve():
        one.found()
        one.invite(OFFICE, tags=("office",))
        one.invite(SERVERS, tags=("servers",), routes=prefixes("10.42.0.0/16"))
        one.invite(OTHERS)
        for identity, token in ((ALICE, OFFICE), (BOB, SERVERS), (CAROL, OTHERS), (DAVE, OFFICE)):
            one.join(identity, token)
        one.rule("tag:office", "tag:servers")
        one.rule("tag:boss", "tag:servers")
        await site.submit_all()
        yield site


@pytest.mark.parametrize("change", CHANGES)
@in_a_loop
async def test_whom_no_rule_joins_is_told_of_no_other_node(tmp_path: Path, change: str) -> None:
    async with a_site(tmp_path) as site:
        async with site.follow(CAROL) as carol:
            first = await carol.received()
            assert nodes([*first.records]) <= {"n13"}

            await site.submit(CHANGES[change](site.administrator))
            told = await all_received(site, carol)

        assert nodes(told) <= {"n13"}
        async with site.follow(CAROL, since=first.revision) as carol:
            assert nodes(await all_received(site, carol)) <= {"n13"}


@pytest.mark.parametrize("change", CHANGES)
@in_a_loop
async def test_whom_no_rule_joins_is_told_of_no_other_node_when_it_changes_itself(
    tmp_path: Path, change: str
) -> None:
    async with a_site(tmp_path) as site:
        async with site.follow(CAROL) as carol:
            known = (await carol.received()).revision
        await site.submit(CHANGES[change](site.administrator))
        await site.submit(site.administrator.join(CAROL, OTHERS, sequence=2, name="carol"))
        await site.submit(site.administrator.tag(CAROL, "bystander"))

        async with site.follow(CAROL, since=known) as carol:
            assert nodes(await all_received(site, carol)) == {"carol"}


@in_a_loop
async def test_whom_no_rule_joins_is_told_of_no_other_node_when_a_membership_expires(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site, site.follow(CAROL) as carol:
        await carol.received()
        token, now = key_of(1004), int(time.time())
        await site.submit(site.administrator.invite(token, lifetime=60, tags=("servers",)))
        await site.submit(site.administrator.join(EVE, token, admitted=now - 50))

        async with site.follow(EVE) as eve:
            await eve.received()
            with pytest.raises(Unreachable):
                await eve.received()

        assert nodes(await all_received(site, carol)) == set()


@pytest.mark.parametrize("change", ["join", "name", "WireGuard key", "routes", "endpoints", "all at once"])
@in_a_loop
async def test_whom_a_rule_joins_is_told_of_each_change(tmp_path: Path, change: str) -> None:
    async with a_site(tmp_path) as site, site.follow(ALICE) as alice:
        first = await alice.received()
        assert nodes([*first.records]) == {"n11", "n12"}

        signed = CHANGES[change](site.administrator)
        await site.submit(signed)
        told = await all_received(site, alice)

    assert signed in told


@in_a_loop
async def test_whom_a_tag_joins_is_told_of_the_node_as_it_is_now(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site, site.follow(CAROL) as carol:
        await carol.received()
        await site.submit(bob(site.administrator, name="renamed"))

        await site.submit(site.administrator.tag(CAROL, "boss"))

        assert nodes(await all_received(site, carol)) == {"n13", "renamed"}


def nodes(records: list[Signed]) -> set[str]:
    """Return the names of the nodes that records are of."""
    return {record.name for record in (decode(signed.body) for signed in records) if isinstance(record, Node)}


async def all_received(site: Site, follower: Follower) -> list[Signed]:
    """Return what a node is told until it is told of a token that is made now."""
    mark: SigningKey = key_of(2000 + site.administrator.sequence)
    signed = site.administrator.invite(mark)
    await site.submit(signed)
    told: list[Signed] = []
    while signed not in told:
        told += (await follower.received()).records
    return told
