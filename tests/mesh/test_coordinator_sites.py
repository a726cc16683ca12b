"""A coordinator proposes what is free for a site, and stores no announcement that takes one from others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.coordinator import ALICE, BOB, CAROL, NEW, TOKEN, Site, in_a_loop
from tests.mesh.network import DAY, key_of, prefixes, site
from wgpy.mesh.mapping import Proposal, WantedSite
from wgpy.mesh.records import AnnouncedSite, Sites, decode
from wgpy.mesh.signing import Signed, SigningKey
from wgpy.node.coordinator_client import Denied

LAN = "192.168.1.0/24"
POOR_TOKEN = key_of(1002)
NOW = int(time.time())


def announced(name: str = "office", *real: str, **fields: Any) -> AnnouncedSite:
    return site(name, *(real or (LAN,)), **{"since": NOW, **fields})


@asynccontextmanager
async def a_network(folder: Path) -> AsyncIterator[Site]:
    """Alice and Bob may announce all that is private, Carol nothing."""
    world = Site.create(folder)
    one = world.administrator
    async with world.serve():
        one.found()
        one.invite(TOKEN, routes=prefixes("10.0.0.0/8", "192.168.0.0/16"))
        one.invite(POOR_TOKEN)
        one.join(ALICE, TOKEN, name="alice")
        one.join(BOB, TOKEN, name="bob")
        one.join(CAROL, POOR_TOKEN, name="carol")
        await world.submit_all()
        yield world


def announcement(world: Site, key: SigningKey, *sites: AnnouncedSite, sequence: int = 1) -> Signed:
    """Announce sites, at their times after NOW as if that were when the network began."""
    begun = world.administrator.now - NOW
    timely = (replace(site, since=site.since + begun) for site in sites)
    return world.administrator.announce(key, *timely, sequence=sequence)


async def reason(world: Site, key: SigningKey, *sites: AnnouncedSite, sequence: int = 1) -> str:
    """Announce sites; return why not."""
    (outcome,) = await world.submit(announcement(world, key, *sites, sequence=sequence))
    return outcome.reason


async def proposed(
    world: Site, key: SigningKey, *wanted: str, name: str = "office", face: str = "either"
) -> Proposal:
    async with world.ask(key) as coordinator:
        found, now = await coordinator.propose_site(WantedSite(name, prefixes(*wanted), face))
    assert abs(now - time.time()) < 60
    return found


@in_a_loop
async def test_a_member_is_told_what_it_may_announce(tmp_path: Path) -> None:
    async with a_network(tmp_path) as world:
        assert await proposed(world, BOB, LAN) == Proposal(prefixes(LAN))
        await world.submit(announcement(world, ALICE, announced("home")))

        found = await proposed(world, BOB, LAN)

    assert found == Proposal(prefixes("100.96.0.0/24"), "home already is 192.168.1.0/24")


@in_a_loop
async def test_fifty_nodes_that_ask_at_one_moment_announce_what_is_proposed(
    tmp_path: Path,
) -> None:
    async with a_network(tmp_path) as world:
        token, nodes = key_of(1003), {f"site{number}": key_of(2000 + number) for number in range(50)}
        world.administrator.invite(token, uses=len(nodes), routes=prefixes("192.168.0.0/16"))
        for key in nodes.values():
            world.administrator.join(key, token)
        await world.submit_all()

        found = await asyncio.gather(
            *(proposed(world, key, LAN, name=name, face="mapped") for name, key in nodes.items())
        )
        reasons = await asyncio.gather(
            *(
                reason(world, key, announced(name, mapped=tuple(map(str, proposal.mapped))))
                for (name, key), proposal in zip(nodes.items(), found, strict=True)
            )
        )

    assert reasons == [""] * len(nodes)


@in_a_loop
async def test_what_no_node_can_announce_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with a_network(tmp_path) as world:
        with pytest.raises(Denied, match="100.80.1.0/24 overlaps 100.80.0.0/16, the range of prod itself"):
            await proposed(world, BOB, "100.80.1.0/24")
        with pytest.raises(Denied, match="this request is for a member, and the key is the network's"):
            await proposed(world, world.administrator.key, LAN)


@in_a_loop
async def test_a_site_reaches_all_nodes_that_a_rule_joins_with_its_gateway(tmp_path: Path) -> None:
    async with a_network(tmp_path) as world:
        one = world.administrator
        await world.submit(one.rule(ALICE, BOB))
        async with world.follow(ALICE) as alice, world.follow(CAROL) as carol:
            await alice.received()
            await carol.received()
            await world.submit(announcement(world, BOB, announced()))
            (record,) = [decode(signed.body) for signed in (await alice.received()).records]
            await world.submit(one.rule(BOB, ALICE))
            others = [decode(signed.body) for signed in (await carol.received()).records]

    assert isinstance(record, Sites)
    assert not [other for other in others if isinstance(other, Sites)]


@in_a_loop
async def test_a_site_without_the_right_waits_and_takes_nothing_from_others(tmp_path: Path) -> None:
    async with a_network(tmp_path) as world:
        assert await reason(world, CAROL, announced("home")) == ""
        assert await reason(world, BOB, announced("office")) == ""


@pytest.mark.parametrize(
    ("later", "why"),
    [
        (
            announced("home", since=NOW + 9),
            "home cannot be announced: it overlaps what the mesh routes to another node",
        ),
        (
            announced("office", "10.1.0.0/16", since=NOW + 9),
            "office cannot be announced: another site has its name",
        ),
        (announced("lab", "10.0.0.0/16", mapped=("10.8.0.0/16",)), "are not of the network's pool"),
        (announced("lab", "10.0.0.0/16", since=NOW - DAY), "lab is announced since"),
        (announced("lab", "10.0.0.0/16", since=NOW + DAY), "lab is announced since"),
    ],
)
def test_an_announcement_that_is_in_the_way_is_not_stored(
    tmp_path: Path, later: AnnouncedSite, why: str
) -> None:
    @in_a_loop
    async def scenario() -> None:
        async with a_network(tmp_path) as world:
            assert await reason(world, ALICE, announced("office")) == ""
            assert why in await reason(world, BOB, later)
            async with world.ask(world.administrator.key) as coordinator:
                records = [decode(signed.body) for signed in await coordinator.records()]
        assert [record.signer for record in records if isinstance(record, Sites)] == [ALICE.verify_key()]

    scenario()


@in_a_loop
async def test_of_two_announcements_of_one_second_the_one_that_is_stored_stays(tmp_path: Path) -> None:
    first, second = sorted((ALICE, BOB), key=lambda key: bytes(key.verify_key()), reverse=True)
    async with a_network(tmp_path) as world:
        assert await reason(world, first, announced("office")) == ""

        assert await reason(world, second, announced("home")) == "it is in the way of the site office"


@in_a_loop
async def test_a_site_that_is_there_may_change_its_options_and_go_on(tmp_path: Path) -> None:
    old = announced("office", since=NOW - 60)
    async with a_network(tmp_path) as world:
        assert await reason(world, ALICE, old) == ""
        changed = announced("office", since=NOW - 60, priority=5, is_routed=True)
        assert await reason(world, ALICE, changed, sequence=2) == ""
        assert await reason(world, BOB, announced("office", priority=7)) == ""
        assert await reason(world, ALICE, sequence=3) == ""
        assert await reason(world, ALICE, announced("home"), sequence=4) != ""


@in_a_loop
async def test_another_gateway_announces_a_site_as_the_first_did_and_keeps_it_so(tmp_path: Path) -> None:
    mapped = announced("office", mapped=("100.96.7.0/24",))
    async with a_network(tmp_path) as world:
        assert await reason(world, ALICE, mapped) == ""
        other = "office already is reached as 100.96.7.0/24: announce it again"
        assert await reason(world, BOB, announced("office", since=NOW + 9)) == other
        assert await reason(world, BOB, mapped, sequence=2) == ""

        assert await reason(world, ALICE, sequence=2) == ""
        assert (await proposed(world, ALICE, LAN)).mapped == prefixes("100.96.7.0/24")


@in_a_loop
async def test_a_gateway_may_withdraw_a_site_even_if_an_approval_made_another_one_of_it(
    tmp_path: Path,
) -> None:
    async with a_network(tmp_path) as world:
        assert await reason(world, CAROL, announced("office")) == ""
        assert await reason(world, ALICE, announced("office", mapped=("100.96.7.0/24",), since=NOW - 9)) == ""
        await world.submit(world.administrator.approve(CAROL, LAN))

        assert await reason(world, ALICE, sequence=2) == ""


@in_a_loop
async def test_a_route_of_a_node_takes_nothing_from_a_site(tmp_path: Path) -> None:
    async with a_network(tmp_path) as world:
        one = world.administrator
        await world.submit(announcement(world, BOB, announced()))
        record = one.join(ALICE, TOKEN, name="alice", sequence=2, routes=prefixes("192.168.0.0/16"))
        (outcome,) = await world.submit(record)

    assert outcome.reason == (
        "a route of alice overlaps what the mesh routes to the site office: leave it out, or have the site "
        "removed first"
    )


@in_a_loop
async def test_no_node_takes_the_name_of_a_site(tmp_path: Path) -> None:
    async with a_network(tmp_path) as world:
        one = world.administrator
        await world.submit(announcement(world, BOB, announced()))
        (outcome,) = await world.submit(one.join(ALICE, TOKEN, name="office", sequence=2))

    assert outcome.reason == "office is the name of a site: choose another name"


@in_a_loop
async def test_only_a_node_that_is_known_announces_sites(tmp_path: Path) -> None:
    async with a_network(tmp_path) as world:
        assert await reason(world, key_of(77), announced()) == "no node of this identity is known"
        (outcome,) = await world.submit(announcement(world, ALICE, announced()))

    assert outcome == NEW
