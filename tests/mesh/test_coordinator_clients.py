"""What a coordinator makes of clients: whom it refuses, and which nodes learn of each other for one."""

import time
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from tests.mesh.coordinator import ALICE, BOB, CAROL, NEW, Site, in_a_loop
from tests.mesh.network import Administrator, key_of
from tests.mesh.test_audience import all_received, nodes
from tests.mesh.test_clients import ingress
from wgpy.keys import PublicKey
from wgpy.mesh.records import node_selector
from wgpy.node.coordinator_client import Outcome

TOKEN = key_of(1001)
PHONE, LAPTOP = (PublicKey(bytes((number,)) + bytes(31)) for number in (5, 6))
NODES = ((ALICE, "alice"), (BOB, "bob"), (CAROL, "carol"))


async def found(site: Site) -> Administrator:
    """Alice, Bob and Carol are nodes, and no rule joins any of them."""
    one = site.administrator
    one.found()
    one.invite(TOKEN)
    for identity, name in NODES:
        one.join(identity, TOKEN, name=name)
    one.rule("tag:nobody", "any")
    await site.submit_all()
    return one


@in_a_loop
async def test_a_client_that_takes_a_name_or_an_address_is_refused(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        one = await found(site)
        assert await site.submit(one.client(PHONE, ALICE, name="phone")) == [NEW]
        taken = replace(ingress(ALICE), address=IPv4Address("100.80.200.5"))

        assert await site.submit(one.client(LAPTOP, ALICE, name="phone")) == [
            Outcome("refused", "phone cannot be a client: its name is another's")
        ]
        assert await site.submit(one.client(LAPTOP, ALICE, name="bob")) == [
            Outcome("refused", "bob cannot be a client: its name is another's")
        ]
        assert await site.submit(one.client(LAPTOP, ALICE, name="laptop", ingresses=(taken,))) == [
            Outcome(
                "refused",
                "laptop cannot be a client: none of its gateways is a node of the network, or none of its "
                "addresses there is its own",
            )
        ]
        assert await site.submit(one.client(LAPTOP, ALICE, name="laptop", expires=one.now - 1)) == [
            Outcome("refused", "laptop cannot be a client: it has expired")
        ]
        assert await site.submit(one.client(PHONE, ALICE, name="phone", removed=True)) == [NEW]


@in_a_loop
async def test_a_node_that_takes_the_name_or_the_address_of_a_client_is_refused(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        one = await found(site)
        await site.submit(one.client(PHONE, ALICE, name="phone"))
        reason = Outcome("refused", "its name, its address or its key is that of the client phone")

        assert await site.submit(one.join(BOB, TOKEN, sequence=2, name="phone")) == [reason]
        address = IPv4Address("100.80.200.5")
        assert await site.submit(one.join(BOB, TOKEN, sequence=2, name="bob", address=address)) == [reason]
        assert await site.submit(one.join(BOB, TOKEN, sequence=2, name="bob", key=PHONE)) == [reason]
        assert await site.submit(one.join(BOB, TOKEN, sequence=2, name="robert")) == [NEW]


@in_a_loop
async def test_who_joins_is_told_the_names_and_addresses_of_clients(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        one = await found(site)
        await site.submit(one.client(PHONE, ALICE, name="phone"))

        async with site.ask(TOKEN) as coordinator:
            welcome = await coordinator.welcome()

    assert set(welcome.names) == {"phone", *(name for _, name in NODES)}
    assert IPv4Address("100.80.200.5") in welcome.addresses


@in_a_loop
async def test_a_gateway_and_whom_its_client_may_reach_are_told_of_each_other(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        one = await found(site)
        async with site.follow(ALICE) as alice, site.follow(BOB) as bob, site.follow(CAROL) as carol:
            for follower, name in ((alice, "alice"), (bob, "bob"), (carol, "carol")):
                assert nodes([*(await follower.received()).records]) == {name}

            destination = (node_selector(BOB.verify_key()),)
            assert await site.submit(one.client(PHONE, ALICE, destinations=destination)) == [NEW]

            assert nodes(await all_received(site, alice)) == {"bob"}
            assert nodes(await all_received(site, bob)) == {"alice"}
            assert nodes(await all_received(site, carol)) == set()


@in_a_loop
async def test_whoever_follows_later_is_told_the_same(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        one = await found(site)
        expires = int(time.time()) + 3600
        destination = (node_selector(BOB.verify_key()),)
        await site.submit(one.client(PHONE, ALICE, destinations=destination, expires=expires))

        async with site.follow(ALICE) as alice, site.follow(CAROL) as carol:
            assert nodes([*(await alice.received()).records]) == {"alice", "bob"}
            assert nodes([*(await carol.received()).records]) == {"carol"}
