"""What a coordinator does not take, and the sentence that says why."""

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, CAROL, DAVE, NEW, TOKEN, Site, founded, in_a_loop
from tests.mesh.network import Administrator, key_of, prefixes
from wgpy.contract.endpoint import Endpoint
from wgpy.keys import PublicKey
from wgpy.mesh.clock import written
from wgpy.mesh.codec import BYTES, VERIFY_KEY
from wgpy.mesh.signing import Signed, SigningKey
from wgpy.node.coordinator_client import Denied, Outcome


def refused(reason: str) -> Outcome:
    return Outcome("refused", reason)


def unknown(site: Site, key: SigningKey) -> Signed:
    body = {
        "network": BYTES.write(site.administrator.network),
        "signer": VERIFY_KEY.write(key.verify_key()),
        "type": "later",
        "version": 1,
    }
    return key.sign(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


@in_a_loop
async def test_a_token_admits_as_many_identities_as_it_has_uses(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    token = key_of(1002)
    administrator = site.administrator
    used_up = "the token is used up: it has admitted 2"
    async with site.serve():
        await site.found()
        await site.submit(administrator.invite(token, uses=2))
        assert (
            await site.submit(administrator.join(ALICE, token), administrator.join(BOB, token)) == [NEW] * 2
        )

        assert await site.submit(administrator.join(CAROL, token)) == [refused(used_up)]
        assert await site.submit(administrator.join(ALICE, token, sequence=2)) == [NEW]
        with pytest.raises(Denied, match=used_up):
            async with site.ask(token) as coordinator:
                await coordinator.welcome()

    async with site.serve():
        await site.submit(administrator.remove(ALICE))
        assert await site.submit(administrator.join(DAVE, token)) == [refused(used_up)]


@in_a_loop
async def test_one_submission_cannot_use_a_token_more_often(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    token = key_of(1002)
    administrator = site.administrator
    async with site.serve():
        await site.found()
        administrator.invite(token, uses=1)

        outcomes = await site.submit(
            administrator.records[-1], administrator.join(ALICE, token), administrator.join(BOB, token)
        )

    assert [outcome.verdict for outcome in outcomes] == ["new", "new", "refused"]


@in_a_loop
async def test_a_token_that_has_expired_admits_nobody(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    token = key_of(1002)
    administrator = site.administrator
    async with site.serve():
        await site.found()
        await site.submit(administrator.invite(token, expires=administrator.now - 1))

        said_so = administrator.join(ALICE, token, admitted=administrator.now)
        antedated = administrator.join(BOB, token, admitted=administrator.now - 9)

        expired, joined = written(administrator.now - 1), written(administrator.now)
        assert await site.submit(said_so) == [
            refused(f"its token had expired when it joined: {expired}, and its record says {joined}")
        ]
        (outcome,) = await site.submit(antedated)
        assert outcome == refused(outcome.reason)
        assert outcome.reason.startswith("the token has expired: it admitted until ")
        with pytest.raises(Denied, match="the token has expired"):
            async with site.ask(token) as coordinator:
                await coordinator.welcome()


@in_a_loop
async def test_a_token_that_was_revoked_admits_nobody(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        await site.submit(site.administrator.revoke(TOKEN, ALICE.verify_key()))

        assert await site.submit(site.administrator.join(BOB, TOKEN)) == [refused("its token was revoked")]
        with pytest.raises(Denied, match="the token was revoked"):
            async with site.ask(TOKEN) as coordinator:
                await coordinator.welcome()
        async with site.follow(ALICE) as alice:
            await alice.received()


@in_a_loop
async def test_who_was_removed_does_not_come_back(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        await site.submit(site.administrator.remove(ALICE))

        again = site.administrator.join(ALICE, TOKEN, sequence=2)

        assert await site.submit(again) == [refused("it was removed")]


@in_a_loop
@pytest.mark.parametrize("route", ["0.0.0.0/1", "8000::/1", "10.0.0.0/7"])
async def test_a_large_part_of_a_default_route_is_in_no_token_approval_or_node(
    tmp_path: Path, route: str
) -> None:
    site = Site.create(tmp_path)
    administrator, reason = site.administrator, too_wide(route)
    async with site.serve():
        await site.found(ALICE)

        assert await site.submit(administrator.invite(key_of(5), routes=prefixes(route))) == [reason]
        assert await site.submit(administrator.approve(ALICE, "10.0.0.0/8", route)) == [reason]
        assert await site.submit(administrator.join(ALICE, TOKEN, sequence=2, routes=prefixes(route))) == [
            reason
        ]
        assert await site.submit(administrator.approve(ALICE, "10.0.0.0/8", "fd00::/8")) == [NEW]


@in_a_loop
@pytest.mark.parametrize("route", ["0.0.0.0/0", "::/0"])
async def test_a_default_route_may_be_allowed_for_an_exit_but_is_no_route_of_a_node(
    tmp_path: Path, route: str
) -> None:
    site = Site.create(tmp_path)
    administrator = site.administrator
    async with site.serve():
        await site.found(ALICE)

        assert await site.submit(administrator.invite(key_of(5), routes=prefixes(route))) == [NEW]
        assert await site.submit(administrator.approve(ALICE, "10.0.0.0/8", route)) == [NEW]
        assert await site.submit(administrator.join(ALICE, TOKEN, sequence=2, routes=prefixes(route))) == [
            too_wide(route)
        ]


def too_wide(route: str) -> Outcome:
    return refused(
        f"{route} cannot be announced: it is a default route or a large part of one, and nodes announce "
        "prefixes of /8 or longer"
    )


@in_a_loop
async def test_what_an_older_coordinator_stored_of_default_routes_goes_on(tmp_path: Path) -> None:
    """Where there is one, its node still publishes its endpoints, and a restored coordinator has it again."""
    site = Site.create(tmp_path)
    administrator = site.administrator
    wide, token = prefixes("0.0.0.0/0"), key_of(5)
    async with site.serve():
        await site.found(ALICE)
    store = site.store()
    store.mark_restored(administrator.now + 1)
    store.close()

    async with site.serve():
        assert await site.submit(administrator.invite(token, routes=wide)) == [NEW]
        assert await site.submit(administrator.join(BOB, token, routes=wide)) == [NEW]
    store = site.store()
    store.mark_restored(0)
    store.close()

    async with site.serve():
        moved = administrator.join(
            BOB, token, routes=wide, sequence=2, endpoints=(Endpoint("192.0.2.1", 51820),)
        )
        assert await site.submit(moved) == [NEW]


@in_a_loop
async def test_names_addresses_and_keys_belong_to_who_has_them(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        administrator = site.administrator

        name = administrator.join(BOB, TOKEN, name="n11")
        address = administrator.join(BOB, TOKEN, address=IPv4Address("100.80.0.11"))
        outside = administrator.join(BOB, TOKEN, address=IPv4Address("192.0.2.1"))
        key = administrator.join(BOB, TOKEN, key=PublicKey((11).to_bytes(32, "little")))

        assert await site.submit(name, address, outside, key) == [
            refused("the name n11 is another node's"),
            refused("its address is another node's, or not of the network"),
            refused("its address is another node's, or not of the network"),
            refused("its WireGuard key is another node's"),
        ]


@in_a_loop
async def test_a_date_before_others_takes_nothing_from_them(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        administrator = site.administrator
        early = administrator.now - 80_000

        name = administrator.join(BOB, TOKEN, name="n11", admitted=early)
        address = administrator.join(CAROL, TOKEN, address=IPv4Address("100.80.0.11"), admitted=early)

        assert await site.submit(name, address) == [
            refused("the name n11 is another node's"),
            refused("its address or key is that of n11"),
        ]


@in_a_loop
async def test_who_takes_another_name_does_not_take_that_of_a_junior(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, _):
        renamed = site.administrator.join(ALICE, TOKEN, name="n12", sequence=2)

        assert await site.submit(renamed) == [refused("the name n12 is another node's")]


@in_a_loop
async def test_no_node_joins_what_nobody_has_founded(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        site.administrator.invite(TOKEN)

        _, outcome = await site.submit(*site.administrator.records, site.administrator.join(ALICE, TOKEN))

    assert outcome.verdict == "refused"
    assert "the network's record is not here: submit it first" in outcome.reason


@in_a_loop
async def test_a_token_that_nobody_knows_admits_nobody(tmp_path: Path) -> None:
    async with founded(tmp_path) as (site, _):
        node = site.administrator.join(ALICE, key_of(1003))

        assert await site.submit(node) == [refused("its token is not of this network")]
        with pytest.raises(Denied, match="neither a node's nor a token's"):
            async with site.ask(key_of(1003)) as coordinator:
                await coordinator.welcome()


@in_a_loop
async def test_only_a_node_departs(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        assert await site.submit(site.administrator.depart(BOB)) == [
            refused("no node of this identity is known")
        ]
        assert await site.submit(site.administrator.depart(ALICE)) == [NEW]


@in_a_loop
async def test_what_is_of_an_unknown_type_is_passed_on_for_members(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, _), site.follow(BOB) as bob:
        await bob.received()

        assert await site.submit(unknown(site, CAROL)) == [
            refused("it is of an unknown type, and not of a member")
        ]
        of_alice, of_network = unknown(site, ALICE), unknown(site, site.administrator.key)
        assert await site.submit(of_alice, of_network) == [NEW, NEW]

        assert set((await bob.received()).records) == {of_alice, of_network}
    async with site.serve(), site.follow(BOB) as bob:
        assert {of_alice, of_network} < set((await bob.received()).records)


@in_a_loop
async def test_forged_and_foreign_records_are_refused_and_leave_no_trace(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    other = Administrator(key=key_of(2))
    async with site.serve():
        await site.found(ALICE)
        good = site.administrator.invite(key_of(1005))
        forged = Signed(good.body, bytes(64))
        async with site.follow(ALICE) as alice:
            await alice.received()

            outcomes = await site.submit(forged, other.found(), Signed(b"{}", bytes(64)))
            assert [outcome.reason.partition(":")[0] for outcome in outcomes] == [
                "not signed by the right key",
                "of another network",
                "a record is damaged",
            ]

            await site.submit(good)
            assert (await alice.received()).records == (good,)


@in_a_loop
async def test_what_is_there_is_known_and_what_is_older_is_old(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        first, second = (site.administrator.join(BOB, TOKEN, sequence=number) for number in (1, 2))

        assert await site.submit(second, second, first) == [NEW, Outcome("known", ""), Outcome("old", "")]
