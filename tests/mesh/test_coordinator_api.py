"""The interface: who may ask what, what is too much, and how it is described."""

import asyncio
import json
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.coordinator import ALICE, BOB, CAROL, NEW, TOKEN, Site, founded, in_a_loop, kinds
from tests.mesh.coordinator_port import free_port, scraped
from tests.mesh.network import key_of
from wgmesh.limits import MAX_BODY, Allowance
from wgpy.mesh.wire import RECORDS_PER_LINE, Delta, proof
from wgpy.node.coordinator_client import Address, Coordinator, Denied, Unreachable
from wgpy.node.http import Client, HttpError


async def http(site: Site, method: str, target: str, authorization: str = "", body: Any = None) -> Any:
    """Ask without the client that knows how to. Raises HttpError."""
    host, _, port = site.address.url.removeprefix("https://").rpartition(":")
    tls = _anybody()
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    try:
        client = Client(reader, writer, host)
        request = client.request(method, target, authorization=authorization, body=body)
        return json.loads(b"".join([data async for data in request]))
    finally:
        writer.close()


def _anybody() -> Any:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@in_a_loop
async def test_a_token_learns_what_it_needs_to_join(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _), site.ask(TOKEN) as coordinator:
        welcome = await coordinator.welcome()

    assert kinds(Delta(0, welcome.records)) == ["prod", "token"]
    assert welcome.names == {"n11"}
    assert list(map(str, welcome.addresses)) == ["100.80.0.11"]
    assert welcome.seen == "127.0.0.1"


@in_a_loop
async def test_the_network_key_gets_all_records_and_a_member_its_own_view(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB, CAROL) as (site, _):
        await site.submit(site.administrator.rule("node:n11", "node:n12"))

        async with site.ask(site.administrator.key) as coordinator:
            everything = await coordinator.records()
        async with site.ask(CAROL) as coordinator:
            own = await coordinator.records()

    assert set(everything) == set(site.administrator.records)
    assert kinds(Delta(0, tuple(own))) == ["n13", "prod", "rule", "token"]


@in_a_loop
async def test_health_says_who_follows_and_who_was_there(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    key = site.administrator.key
    async with site.serve():
        await site.found(ALICE, BOB, CAROL)
        async with site.follow(BOB):
            pass
        async with site.follow(ALICE), site.ask(key) as coordinator:
            health = {one.identity: one for one in await coordinator.nodes()}

    assert health[ALICE.verify_key()].connected
    assert health[ALICE.verify_key()].heard >= site.administrator.now
    assert not health[CAROL.verify_key()].heard
    async with site.serve(), site.ask(key) as coordinator:
        later = {one.identity: one for one in await coordinator.nodes()}
        assert not later[ALICE.verify_key()].connected
        assert later[BOB.verify_key()].heard >= site.administrator.now
        assert later[BOB.verify_key()].seen == "127.0.0.1"


@in_a_loop
async def test_a_member_hears_of_the_health_of_its_peers_only(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE, BOB, CAROL) as (site, _):
        await site.submit(site.administrator.rule("node:n11", "node:n12"))

        async with site.ask(ALICE) as coordinator:
            health = await coordinator.nodes()

    assert {one.identity for one in health} == {ALICE.verify_key(), BOB.verify_key()}


@in_a_loop
async def test_every_change_stands_in_the_audit_log(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        administrator = site.administrator
        await site.submit(administrator.join(ALICE, TOKEN, name="office", sequence=2))
        await site.submit(administrator.rule("tag:web", "any"), administrator.approve(ALICE, "10.0.0.0/8"))
        await site.submit(administrator.rule("tag:web", "any", allowed=False), administrator.remove(ALICE))
        await site.submit(administrator.remove(ALICE))
        async with site.ask(administrator.key) as coordinator:
            entries = await coordinator.audit()

    token = str(TOKEN.verify_key())[:8]
    assert [(entry["who"], entry["what"]) for entry in entries] == [
        ("network key", "network prod"),
        ("network key", f"token {token} for 9 nodes"),
        ("n11", f"n11 joined with 100.80.0.11 by token {token}"),
        ("office", "office, which was n11, changed: name"),
        ("network key", "rule tag:web to any"),
        ("network key", "approval of 10.0.0.0/8 for office"),
        ("network key", "rule tag:web to any taken back"),
        ("network key", "removal of office"),
        ("network key", "removal of office"),
    ]
    assert {entry["from"] for entry in entries} == {"127.0.0.1"}
    assert all(entry["time"] >= administrator.now for entry in entries)


@in_a_loop
async def test_each_key_may_ask_what_is_for_it(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    network = site.administrator.key
    async with site.serve():
        await site.found(ALICE)

        for key, ask in (
            (ALICE, "welcome"), (network, "welcome"),
            (TOKEN, "records"), (TOKEN, "nodes"),
            (TOKEN, "audit"), (ALICE, "audit"),
        ):  # fmt: skip
            async with site.ask(key) as coordinator:
                with pytest.raises(Denied, match="this request is for"):
                    await getattr(coordinator, ask)()


@in_a_loop
async def test_who_proves_nothing_is_told_nothing(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    network = site.administrator.network
    async with site.serve():
        await site.found(ALICE)
        challenge = (await http(site, "GET", "/v1/hello"))["challenge"]
        good = proof(ALICE, network, challenge)
        assert await http(site, "GET", "/v1/nodes", good)

        for authorization in (
            "", "wgpy", "Bearer abc", good[:-8] + "AAAAAAA=",
            proof(ALICE, bytes(16), challenge), proof(ALICE, network, "1-00"), proof(ALICE, network, "x-y"),
            proof(ALICE, network, "0" + challenge),
        ):  # fmt: skip
            with pytest.raises(HttpError) as failure:
                await http(site, "GET", "/v1/nodes", authorization)
            assert failure.value.status == 401


@in_a_loop
async def test_too_much_at_once_is_refused_with_a_sentence(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        records = [{"body": "", "signature": ""}] * (RECORDS_PER_LINE + 1)
        with pytest.raises(HttpError, match="at most 200 items") as failure:
            await http(site, "POST", "/v1/records", body={"records": records})
        assert failure.value.status == 422

        with pytest.raises(HttpError, match="too large") as failure:
            await http(site, "POST", "/v1/records", body={"records": "x" * MAX_BODY})
        assert failure.value.status == 413


async def refusal(site: Site, body: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as failure:
        await http(site, "POST", "/v1/records", body=body)
    return failure.value.status, failure.value.reason


@in_a_loop
async def test_who_sends_without_end_is_told_to_wait_and_what_it_asks_is_answered(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, _):
        answers = [await refusal(site, {"records": "x" * (MAX_BODY - 100)}) for _ in range(4)]
        assert answers[0][0] == 422
        assert (429, "too much comes from this address: try again in a minute") in answers
        async with site.follow(ALICE) as alice:
            assert kinds(await alice.received()) == ["n11", "prod", "token"]


@pytest.mark.parametrize(
    ("address", "same_source", "other_source"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"),
    ],
)
def test_an_allowance_is_an_addresss_own_and_comes_back(
    address: str, same_source: str, other_source: str
) -> None:
    allowance = Allowance()

    assert allowance.take(address, 2 * MAX_BODY, 100)
    assert not allowance.take(same_source, 1, 100)
    assert allowance.take(other_source, 2 * MAX_BODY, 100)
    assert not allowance.take(address, 2 << 18, 101)
    assert allowance.take(same_source, 2 << 18, 102)
    assert not allowance.take(address, 1, 102)
    assert allowance.take(address, 2 * MAX_BODY, 1000)


def test_allowances_of_many_addresses_take_no_more_than_so_much_memory() -> None:
    allowance = Allowance()
    for number in range(20_000):
        allowance.take(str(ip_address(number)), 1, 0)

    assert allowance.take("0.0.0.1", 2 * MAX_BODY, 0)  # long forgotten
    assert not allowance.take(str(ip_address(19_999)), 2 * MAX_BODY, 0)


@in_a_loop
async def test_what_cannot_be_understood_is_refused_with_a_sentence(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        bodies: list[Any] = [[], {}, {"records": 1}, {"records": [{"body": "x"}]}]
        bodies.append({"records": [{"body": "x", "signature": "?"}]})
        bodies.append({"records": [{"body": "\u20ac", "signature": "AA=="}]})
        for body in bodies:
            with pytest.raises(HttpError) as failure:
                await http(site, "POST", "/v1/records", body=body)
            assert failure.value.status == 422
            assert failure.value.reason
        assert await site.submit() == []


@in_a_loop
async def test_all_that_can_be_asked_is_described_with_examples(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        description = await http(site, "GET", "/openapi.json")
        with pytest.raises(HttpError) as failure:
            await http(site, "GET", "/docs")

    assert failure.value.status == 404
    asked = {(method, path) for path, methods in description["paths"].items() for method in methods}
    assert asked == {
        ("get", "/v1/hello"), ("get", "/v1/welcome"), ("post", "/v1/records"), ("get", "/v1/records"),
        ("get", "/v1/follow"), ("get", "/v1/nodes"), ("get", "/v1/audit"), ("post", "/v1/site-proposals"),
        ("get", "/v1/datagrams"),
    }  # fmt: skip
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], path
            is_open = (method, path) in (("get", "/v1/hello"), ("post", "/v1/records"))
            assert ("security" in operation) != is_open, path
    own = {name: model for name, model in description["components"]["schemas"].items() if "Error" not in name}
    assert [name for name, model in own.items() if "example" not in model] == []


@in_a_loop
async def test_a_coordinator_with_another_key_is_not_asked_anything(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        there = Address(site.address.url, bytes([1]) * 32)

        with pytest.raises(Denied, match="another key"):
            async with Coordinator(there, site.administrator.key.verify_key()):
                pass
        with pytest.raises(Denied, match="another network"):
            async with Coordinator(site.address, key_of(5).verify_key()):
                pass


@in_a_loop
async def test_metrics_count_what_happens(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    port = free_port()
    async with site.serve(metrics=f"127.0.0.1:{port}"):
        await site.found(ALICE, BOB)
        await site.submit(site.administrator.depart(CAROL))
        async with site.follow(ALICE) as alice:
            await alice.received()
            await site.submit(site.administrator.invite(key_of(1009)))
            await alice.received()
            lines = await scraped(port)

    assert "wgmesh_followers 1" in lines
    assert 'wgmesh_records{type="node"} 2' in lines
    assert 'wgmesh_submissions_total{verdict="new"} 5' in lines
    assert 'wgmesh_submissions_total{verdict="refused"} 1' in lines
    assert "wgmesh_delivery_seconds_count 1" in lines


@in_a_loop
async def test_an_answer_is_not_lost_with_who_waited_for_it(tmp_path: Path) -> None:
    async with founded(tmp_path) as (site, served):
        submission = asyncio.create_task(
            served.service.submit([site.administrator.join(ALICE, TOKEN)], "::1")
        )
        await asyncio.sleep(0)
        submission.cancel()

    async with site.serve(), site.follow(ALICE) as alice:
        assert "n11" in kinds(await alice.received())


@in_a_loop
async def test_who_hands_in_at_the_same_time_is_served_one_after_the_other(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    token = key_of(1002)
    async with site.serve():
        await site.found()
        await site.submit(site.administrator.invite(token, uses=3))
        nodes = [site.administrator.join(key_of(100 + number), token) for number in range(10)]

        outcomes = await asyncio.gather(*(site.submit(node) for node in nodes))

    assert sum(outcome == [NEW] for outcome in outcomes) == 3


@in_a_loop
async def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    from wgmesh.errors import MeshError
    from wgmesh.server import serving
    from wgmesh.settings import Settings

    site = Site.create(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        store = site.store()
        with pytest.raises(MeshError, match=f"cannot listen at {where}: another process has the port"):
            async with serving(site.folder, Settings.load(site.folder), store, where, ""):
                pass
        store.close()


@in_a_loop
async def test_who_is_away_is_unreachable(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        pass

    with pytest.raises(Unreachable):
        await site.submit()


@in_a_loop
async def test_who_breaks_off_follows_no_more(tmp_path: Path) -> None:
    async with founded(tmp_path, ALICE) as (site, served):
        async with site.follow(ALICE):
            assert served.service.presence.followers() == 1

        while served.service.presence.followers():
            await served.service.audit()  # anything that takes a turn of the loop


@in_a_loop
async def test_a_port_that_nobody_has_is_told_in_the_systems_words() -> None:
    with pytest.raises(Unreachable, match=r"^https://127\.0\.0\.1:1 does not answer: Connection refused$"):
        async with Coordinator(Address("https://127.0.0.1:1", bytes(32)), key_of(1).verify_key()):
            pass
