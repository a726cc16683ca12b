"""A subscription gets what concerns its node, once, as it comes."""

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, CAROL, DAVE, TOKEN, Site, founded, in_a_loop, kinds
from tests.mesh.coordinator_port import HELLO, connect
from tests.mesh.network import key_of
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.clock import written
from wgpy.mesh.wire import Greeting, decode_line, proof
from wgpy.node.coordinator_client import CoordinatorError, Denied, Unreachable


@in_a_loop
async def test_who_begins_is_told_of_everything_that_concerns_it(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, _), site.follow(ALICE) as alice:
        news = await alice.received()

    assert kinds(news) == ["n11", "n12", "prod", "token"]
    assert alice.greeting.state_digest == site.administrator.ledger().state_digest()
    assert alice.greeting.node_digest == site.administrator.records[2].digest
    assert alice.greeting.seen == "127.0.0.1"


@in_a_loop
async def test_a_change_reaches_every_follower_as_a_delta(tmp_path: Path) -> None:
    async with (
        founded(tmp_path, ALICE, BOB) as (site, _),
        site.follow(ALICE) as alice,
        site.follow(BOB) as bob,
    ):
        first, _ = await alice.received(), await bob.received()

        await site.submit(site.administrator.join(CAROL, TOKEN))
        news = await alice.received()

        assert kinds(news) == ["n13"]
        assert news.revision > first.revision
        assert await bob.received() == news


@in_a_loop
async def test_after_a_gap_only_what_is_newer_is_told(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, _):
        async with site.follow(ALICE) as alice:
            known = (await alice.received()).revision
        await site.submit(site.administrator.join(CAROL, TOKEN))

        async with site.follow(ALICE, since=known) as alice:
            assert kinds(await alice.received()) == ["n13"]


@in_a_loop
async def test_a_gap_across_a_restart_is_a_gap_like_others(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, _):
        async with site.follow(ALICE) as alice:
            known = (await alice.received()).revision
        await site.submit(site.administrator.join(CAROL, TOKEN))

    async with site.serve(), site.follow(ALICE, since=known) as alice:
        assert kinds(await alice.received()) == ["n13"]


@in_a_loop
async def test_rules_decide_who_is_told_of_whom(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        site.administrator.rule(ALICE, BOB)
        await site.found(ALICE, BOB, CAROL)

        async with site.follow(ALICE) as alice, site.follow(BOB) as bob, site.follow(CAROL) as carol:
            assert kinds(await alice.received()) == ["n11", "n12", "prod", "rule", "token"]
            assert kinds(await bob.received()) == ["n11", "n12", "prod", "rule", "token"]
            assert kinds(await carol.received()) == ["n13", "prod", "rule", "token"]


@in_a_loop
async def test_a_new_rule_brings_the_records_of_the_peers_that_it_makes(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        site.administrator.rule(ALICE, BOB)
        await site.found(ALICE, BOB, CAROL)
        async with site.follow(CAROL) as carol:
            known = (await carol.received()).revision

            await site.submit(site.administrator.rule(CAROL, BOB))

            assert kinds(await carol.received()) == ["n12", "rule"]
        async with site.follow(CAROL, since=known) as carol:
            assert kinds(await carol.received()) == ["n12", "rule"]
    async with site.serve(), site.follow(CAROL, since=known) as carol:
        assert kinds(await carol.received()) == ["n12", "rule"]


@in_a_loop
async def test_a_name_that_a_rule_of_an_older_version_names_brings_nobody(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        site.administrator.rule("node:web", BOB)
        await site.found(ALICE, BOB)
        async with site.follow(ALICE) as alice, site.follow(BOB) as bob:
            assert "n12" not in kinds(await alice.received())
            assert "n11" not in kinds(await bob.received())

            taken = site.administrator.join(ALICE, TOKEN, name="web", sequence=2)
            (outcome,) = await site.submit(taken)

            assert outcome.verdict == "refused"
            assert outcome.reason.startswith("a rule of an older version is for whoever has the name web: ")
            await site.submit(site.administrator.rule("tag:a", "tag:a"))
            assert kinds(await alice.received()) == kinds(await bob.received()) == ["rule"]


@in_a_loop
async def test_a_member_that_takes_the_name_of_another_reaches_nothing_new(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    administrator = site.administrator
    async with site.serve():
        administrator.rule(CAROL, BOB)
        await site.found(ALICE, BOB, CAROL)
        async with site.follow(ALICE) as alice:
            await alice.received()
            await site.submit(administrator.join(CAROL, TOKEN, name="other", sequence=2))

            await site.submit(administrator.join(ALICE, TOKEN, name="n13", sequence=2))

            told: list[str] = []
            while "n13" not in told:  # its own
                told += kinds(await alice.received())
            assert "n12" not in told


@in_a_loop
async def test_a_tag_that_a_rule_names_brings_the_peers_that_it_makes(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        site.administrator.rule("tag:web", BOB)
        await site.found(ALICE, BOB, CAROL)
        async with site.follow(ALICE) as alice, site.follow(BOB) as bob, site.follow(CAROL) as carol:
            for follower in (alice, bob, carol):
                await follower.received()

            await site.submit(site.administrator.tag(ALICE, "web"))

            assert kinds(await alice.received()) == ["n11", "n12", "tags"]
            assert kinds(await bob.received()) == ["n11", "n12", "tags"]
            assert kinds(await carol.received()) == ["n13", "tags"]


@in_a_loop
async def test_a_new_endpoint_is_told_to_peers_and_brings_nothing_else(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        site.administrator.rule(ALICE, BOB)
        await site.found(ALICE, BOB, CAROL)
        async with site.follow(ALICE) as alice, site.follow(BOB) as bob, site.follow(CAROL) as carol:
            for follower in (alice, bob, carol):
                await follower.received()

            await site.submit(
                site.administrator.join(BOB, TOKEN, endpoints=(Endpoint("192.0.2.1", 5),), sequence=2)
            )
            await site.submit(site.administrator.invite(key_of(77)))

            assert kinds(await alice.received()) == ["n12"]
            assert kinds(await bob.received()) == ["n12"]
            assert kinds(await carol.received()) == ["token"]


@in_a_loop
async def test_who_is_removed_is_told_so_and_let_go(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, _):
        async with site.follow(ALICE) as alice, site.follow(BOB) as bob:
            await alice.received()
            await bob.received()

            await site.submit(site.administrator.remove(ALICE))

            assert kinds(await alice.received()) == ["removal"]
            assert kinds(await bob.received()) == ["removal"]
            with pytest.raises(Unreachable):
                await alice.received()
        with pytest.raises(Denied, match="it was removed"):
            async with site.follow(ALICE):
                pass


@in_a_loop
async def test_who_left_is_let_go(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        await site.submit(site.administrator.depart(ALICE))

        with pytest.raises(Denied, match="it left"):
            async with site.follow(ALICE):
                pass


@in_a_loop
async def test_a_membership_ends_by_itself(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        token = key_of(1002)
        site.administrator.invite(token, lifetime=60)
        await site.found(BOB)
        node = site.administrator.join(ALICE, token, admitted=site.administrator.now - 61)

        (outcome,) = await site.submit(node)

        expired, says = both_times(outcome.reason)
        assert (outcome.verdict, outcome.reason) == (
            "refused", f"its membership has expired: {expired}, and the coordinator's clock says {says}"
        )  # fmt: skip
        assert expired == written(site.administrator.now - 1)


@in_a_loop
async def test_who_follows_when_its_membership_ends_is_let_go(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        token = key_of(1002)
        site.administrator.invite(token, lifetime=60)
        await site.found(BOB)
        await site.submit(site.administrator.join(ALICE, token, admitted=int(time.time()) - 55))
        async with site.follow(ALICE) as alice:
            await alice.received()

            with pytest.raises(Unreachable):
                await alice.received()
        with pytest.raises(Denied) as denied:
            async with site.follow(ALICE):
                pass
        expired, says = both_times(str(denied.value))
        assert str(denied.value) == (
            f"this node is no member: its membership has expired: {expired}, and the coordinator's clock "
            f"says {says}"
        )
        assert expired <= says


def both_times(sentence: str) -> tuple[str, str]:
    expired, says = re.findall("[0-9-]{10} [0-9:]{8} UTC", sentence)
    return expired, says


@in_a_loop
async def test_an_unknown_node_follows_nothing(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        for key in (BOB, TOKEN, site.administrator.key):
            with pytest.raises(Denied):
                async with site.follow(key):
                    pass


@in_a_loop
async def test_much_is_told_in_lines_of_which_only_the_last_says_how_far(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        for part in range(3):
            await site.submit(*(site.administrator.invite(key_of(5000 + part * 100 + n)) for n in range(100)))

        async with site.follow(ALICE) as alice:
            first, second = await alice.received(), await alice.received()

    assert first.revision == 0
    assert second.revision > 0
    assert len(first.records) + len(second.records) == 303


@in_a_loop
async def test_a_follower_that_reads_nothing_holds_nobody_up(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB) as (site, _), site.follow(ALICE), site.follow(BOB) as bob:
        await bob.received()
        for number in range(20):
            tokens = [site.administrator.invite(key_of(6000 + number * 50 + n)) for n in range(50)]
            await site.submit(*tokens)
            received = 0
            while received < len(tokens):
                received += len((await bob.received()).records)


@in_a_loop
async def test_hundred_followers_are_told_of_one_change(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    nodes = [key_of(100 + number) for number in range(100)]

    async def follow(identity: object, ready: asyncio.Semaphore) -> list[str]:
        async with site.follow(identity) as follower:  # type: ignore[arg-type]
            await follower.received()
            ready.release()
            return kinds(await follower.received())

    async with site.serve() as served:
        site.administrator.found()
        site.administrator.invite(TOKEN, uses=200)
        for node in nodes:
            site.administrator.join(node, TOKEN)
        await site.submit_all()
        ready = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(follow(node, ready)) for node in nodes]
        for _ in nodes:
            await ready.acquire()
        assert served.service.presence.followers() == 100

        await site.submit(site.administrator.join(DAVE, TOKEN))

        assert await asyncio.gather(*tasks) == [["n14"]] * 100


@in_a_loop
async def test_who_was_told_more_than_the_coordinator_knows_is_told_everything(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        ahead = time.time_ns() // 1000 + 3600 * 1_000_000

        async with site.follow(ALICE, since=ahead) as alice:
            everything = await alice.received()
            assert kinds(everything) == ["n11", "prod", "token"]
            assert everything.revision >= ahead
            await site.submit(site.administrator.join(BOB, TOKEN))
            assert (await alice.received()).revision > everything.revision

    async with site.serve() as served:
        assert served.service.snapshot.revision > ahead


@in_a_loop
async def test_a_revision_that_leaves_no_room_is_not_gone_above(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        async with site.follow(ALICE, since=(1 << 53) - 1) as alice:
            assert kinds(await alice.received()) == ["n11", "prod", "token"]

        assert served.service.snapshot.revision < 1 << 52


@in_a_loop
async def test_the_end_of_the_coordinator_waits_for_no_follower(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _), site.ask(ALICE) as coordinator:
        lines = coordinator.follow(0)
        await anext(lines)
        await anext(lines)
        waiting = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)

    with pytest.raises(CoordinatorError):
        await waiting


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@in_a_loop
async def test_lines_are_in_chunks_where_the_version_of_http_has_them(tmp_path: Path, version: str) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        reader, writer = await connect(site)
        writer.write(HELLO)
        length = re.search(rb"content-length: ([0-9]+)", await reader.readuntil(b"\r\n\r\n"))
        assert length is not None
        challenge = json.loads(await reader.readexactly(int(length[1])))["challenge"]
        header = proof(ALICE, site.administrator.ledger().network, challenge)

        writer.write(f"GET /v1/follow HTTP/{version}\r\nHost: x\r\nAuthorization: {header}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        size = int(await reader.readline(), 16) if version == "1.1" else 0
        line = await reader.readline()

        assert isinstance(decode_line(line), Greeting)
        if size:
            assert (size, await reader.readline()) == (len(line), b"\r\n")
        writer.close()


@in_a_loop
async def test_who_is_gone_is_no_follower_any_more(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        async with site.follow(ALICE):
            assert served.service.presence.followers() == 1
        while served.service.presence.followers():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
