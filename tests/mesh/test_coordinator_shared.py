"""Several coordinators of one network, and one database.

east ──┐
       ├── database: a file in SQLite, and a server of PostgreSQL
west ──┘
"""

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.mesh.coordinator import ALICE, BOB, CAROL, NEW, TOKEN, Site, in_a_loop, kinds
from tests.mesh.network import key_of
from tests.mesh.postgresql import PostgreSQL
from tests.mesh.processes import Process
from wgmesh.errors import StoreError
from wgmesh.main import main
from wgmesh.presence_table import Seen
from wgmesh.store import Store
from wgpy.mesh.signing import Signed, SigningKey
from wgpy.node.coordinator_client import Address, CoordinatorError, Denied, Outcome, Unreachable

KILLS = 4
SOON = 5  # seconds: a look each half second, and a busy host
NUMBERS = count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL.running() as server:
        yield server


@pytest.fixture(autouse=True)
def no_connection_is_left_open() -> Iterator[None]:
    """Have a connection to PostgreSQL that is open once nobody uses it fail the test that opened it."""
    yield
    gc.collect()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shared.sqlite"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.database(f"test{next(NUMBERS)}")


@pytest.fixture
def east(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    # A busy host takes longer than 10 s for 40 submissions at once that wait for one row.
    monkeypatch.setattr("wgpy.node.coordinator_client._TIMEOUT", 55)
    site = Site.create(tmp_path / "east")
    site.share(url)
    return site


@pytest.fixture
def west(east: Site, tmp_path: Path) -> Site:
    return east.copy(tmp_path / "west")


def guests(number: int) -> list[SigningKey]:
    return [key_of(100 + one) for one in range(number)]


# -- News --------------------------------------------------------------------------------------------


@in_a_loop
async def test_what_is_handed_in_at_one_is_told_by_the_other(east: Site, west: Site) -> None:
    async with east.serve(), west.serve():
        await east.found(ALICE)
        async with east.follow(ALICE) as at_east, west.follow(ALICE) as at_west:
            assert (
                kinds(await at_east.received()) == kinds(await at_west.received()) == ["n11", "prod", "token"]
            )

            async with asyncio.timeout(SOON):
                await west.submit(east.administrator.join(BOB, TOKEN))
                assert kinds(await at_east.received()) == ["n12"]
                await east.submit(east.administrator.join(CAROL, TOKEN))
                assert kinds(await at_west.received()) == ["n12"]
                assert kinds(await at_west.received()) == ["n13"]


@in_a_loop
async def test_what_one_acknowledged_the_other_knows_at_once(east: Site, west: Site) -> None:
    async with east.serve(), west.serve():
        await east.found(ALICE)
        for number, token in enumerate(guests(10)):
            here, there = (east, west) if number % 2 else (west, east)

            await here.submit(east.administrator.invite(token))

            async with there.ask(token) as coordinator:
                assert len((await coordinator.welcome()).records) == number + 3
        await west.submit(east.administrator.remove(ALICE))
        with pytest.raises(Denied, match="it was removed"):
            async with east.follow(ALICE):
                pass


@in_a_loop
async def test_a_node_that_moves_to_the_other_goes_on_where_it_was(east: Site, west: Site) -> None:
    async with east.serve(), west.serve():
        await east.found(ALICE)
        async with east.follow(ALICE) as alice:
            revision = (await alice.received()).revision
        await west.submit(east.administrator.join(BOB, TOKEN))

        async with west.follow(ALICE, revision) as alice:
            assert kinds(await alice.received()) == ["n12"]


# -- Both at once ------------------------------------------------------------------------------------


@in_a_loop
async def test_a_token_has_its_uses_only_once_however_many_ask_at_both(east: Site, west: Site) -> None:
    async with east.serve(), west.serve():
        token = key_of(1002)
        east.administrator.invite(token, uses=5)
        await east.found(ALICE)
        joins = [east.administrator.join(guest, token) for guest in guests(16)]

        answers = await asyncio.gather(
            *((east, west)[number % 2].submit(join) for number, join in enumerate(joins))
        )

        verdicts = [outcome.verdict for (outcome,) in answers]
        reasons = {outcome.reason for (outcome,) in answers}
        assert sorted(verdicts) == ["new"] * 5 + ["refused"] * 11
        assert reasons == {"", "the token is used up: it has admitted 5"}


@in_a_loop
async def test_a_name_is_given_to_one_of_two_who_ask_at_both(east: Site, west: Site) -> None:
    async with east.serve(), west.serve():
        await east.found(ALICE)
        twins = [east.administrator.join(guest, TOKEN, name="twin") for guest in guests(2)]

        answers = await asyncio.gather(east.submit(twins[0]), west.submit(twins[1]))

        assert sorted(outcome.verdict for (outcome,) in answers) == ["new", "refused"]


@in_a_loop
async def test_nothing_that_was_acknowledged_is_lost_and_both_know_the_same(east: Site, west: Site) -> None:
    async with east.serve() as one, west.serve() as other:
        token = key_of(1002)
        east.administrator.invite(token, uses=40)
        await east.found(ALICE)
        joins = [east.administrator.join(guest, token) for guest in guests(40)]

        answers = await asyncio.gather(
            *((east, west)[number % 2].submit(join) for number, join in enumerate(joins))
        )

        assert answers == [[NEW]] * 40
        await one.service.catch_up()
        await other.service.catch_up()
        assert one.service.snapshot.revision == other.service.snapshot.revision
        assert (
            set(one.service.snapshot.ledger)
            == set(other.service.snapshot.ledger)
            == set(east.administrator.records)
        )
        assert one.service.snapshot.topology.members == other.service.snapshot.topology.members
        assert one.service.snapshot.admitted == other.service.snapshot.admitted
        with closing(east.store()) as store:
            stored = store.load(int(time.time()))
            assert stored.entries == one.service.snapshot.entries == other.service.snapshot.entries
            assert len(store.audit()) == len(east.administrator.records)


@in_a_loop
async def test_a_name_with_several_addresses_leads_to_one_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.2 takes connections and is silent; nobody is at 127.0.0.3."""
    site = Site.create(tmp_path)
    async with site.serve() as served:
        port = served.address.port
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", port)) for last in (2, 3, 1)
        ]
        monkeypatch.setattr("wgpy.node.coordinator_client._TIMEOUT", 3)
        monkeypatch.setattr("wgpy.node.connection.TIMEOUT", 3)
        with socket.create_server(("127.0.0.2", port)), monkeypatch.context() as context:
            context.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
            site.address = Address(f"https://vpn.example.com:{port}", site.address.key_hash)

            assert await site.submit(site.administrator.found()) == [NEW]


# -- Who is there ------------------------------------------------------------------------------------


async def connected(site: Site) -> list[bool]:
    async with site.ask(site.administrator.key) as coordinator:
        return [health.connected for health in await coordinator.nodes()]


async def until_connected(site: Site, *expected: bool) -> None:
    while await connected(site) != [*expected]:  # noqa: ASYNC110 - it is in the answer to a request
        await asyncio.sleep(0.05)


@in_a_loop
async def test_each_tells_who_follows_the_other(
    east: Site, west: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wgmesh.presence._WRITE_DELAY", 0.2)
    async with east.serve(), west.serve():
        await east.found(ALICE, BOB)
        assert await connected(west) == [False, False]
        async with east.follow(ALICE):
            await until_connected(west, True, False)
            async with west.follow(ALICE):  # it moves
                await asyncio.sleep(0.5)
        await until_connected(west, False, False)


@in_a_loop
async def test_followers_of_a_coordinator_that_died_are_not_there(east: Site) -> None:
    now = int(time.time())
    async with east.serve():
        await east.found(ALICE, BOB)
    with closing(east.store()) as store:
        store.presence.write_alive("dead", now - 60)
        store.presence.write_alive("alive", now + 60)
        store.presence.write({ALICE.verify_key(): Seen(7, "192.0.2.7", "dead")}, "dead")
        store.presence.write({BOB.verify_key(): Seen(7, "192.0.2.8", "alive")}, "alive")

    async with east.serve():
        assert await connected(east) == [False, True]


# -- What goes wrong ---------------------------------------------------------------------------------


@in_a_loop
async def test_a_backup_of_a_shared_database_is_restored_while_both_serve(
    east: Site,
    west: Site,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup, folder = tmp_path / "backup", str(east.folder)
    async with east.serve() as one, west.serve() as other:
        await east.found(ALICE)
        assert await asyncio.to_thread(main, ["backup", folder, str(backup)]) == 0
        await west.submit(lost := east.administrator.join(BOB, TOKEN))
        async with east.follow(ALICE) as at_east, west.follow(ALICE) as at_west:
            received = await at_east.received()
            assert kinds(received) == kinds(await at_west.received()) == ["n11", "n12", "prod", "token"]

            assert await asyncio.to_thread(main, ["restore", folder, str(backup)]) == 0

            for follower in at_east, at_west:
                with pytest.raises(Unreachable):
                    await follower.received()
        assert lost not in one.service.snapshot.ledger
        assert lost not in other.service.snapshot.ledger
        assert min(one.service.snapshot.revision, other.service.snapshot.revision) > received.revision
        assert await west.submit(lost) == [NEW]
        async with east.follow(ALICE, received.revision) as alice:
            assert "n12" in kinds(await alice.received())

    output = capsys.readouterr().out
    kept = Path(output.split("The previous database is in ")[1].split(".\n")[0])
    with closing(Store(f"sqlite:///{kept}", east.administrator.key.verify_key())) as store:
        assert lost in store.load(int(time.time())).ledger
        assert len(store.audit()) == 4
    assert main(["audit", folder]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4  # three of the backup, and what came back


@in_a_loop
async def test_a_network_moves_from_its_own_file_into_a_shared_database(url: str, tmp_path: Path) -> None:
    site = Site.create(tmp_path / "prod")
    async with site.serve():
        await site.found(ALICE)
    assert await asyncio.to_thread(main, ["backup", str(site.folder), str(tmp_path / "backup")]) == 0

    site.share(url)
    assert await asyncio.to_thread(main, ["restore", str(site.folder), str(tmp_path / "backup")]) == 0

    async with site.serve(), site.follow(ALICE) as alice:
        assert kinds(await alice.received()) == ["n11", "prod", "token"]
        assert await site.submit(site.administrator.join(BOB, TOKEN)) == [NEW]


@in_a_loop
async def test_while_the_database_is_away_what_is_known_goes_on_counting(
    postgresql: PostgreSQL, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site.create(tmp_path)
    site.share(postgresql.database("away"))
    async with site.serve():
        await site.found(ALICE)
        late = site.administrator.join(BOB, TOKEN)
        await asyncio.to_thread(postgresql.stop)
        try:
            async with site.follow(ALICE) as alice:
                assert kinds(await alice.received()) == ["n11", "prod", "token"]
                with pytest.raises(
                    Denied, match="the coordinator cannot store the records: postgresql://wgmesh@/away"
                ):
                    await site.submit(late)
        finally:
            await asyncio.to_thread(postgresql.start)

        assert await site.submit(late) == [NEW]
    assert "the records in memory stay in force" in caplog.text


@in_a_loop
async def test_whichever_is_killed_nothing_that_was_acknowledged_is_lost(
    east: Site, west: Site, seed: int
) -> None:
    random = Random(seed)
    token = key_of(1002)
    sites = [east, west]
    processes = [Process(site) for site in sites]
    east.administrator.invite(token, uses=10_000)
    await east.found(ALICE)
    done = asyncio.Event()

    async def join(numbers: range) -> set[Signed]:
        """Join one guest after another, by whom of both acknowledges it."""
        acknowledged = set()
        for number in numbers:
            node = east.administrator.join(key_of(number), token, address=IPv4Address("100.80.0.0") + number)
            outcomes: list[Outcome] = []
            while not outcomes:
                with suppress(CoordinatorError):
                    outcomes = await random.choice(sites).submit(node)
            assert outcomes[0].verdict in {"new", "known"}
            acknowledged.add(node)
            if done.is_set():
                break
        return acknowledged

    joining = [asyncio.create_task(join(range(first, first + 1000))) for first in (1000, 2000, 3000)]
    for _ in range(KILLS):
        await asyncio.sleep(random.random())
        victim = random.randrange(2)
        processes[victim].kill()
        await asyncio.sleep(random.random())
        processes[victim] = await asyncio.to_thread(Process, sites[victim])
    done.set()
    acknowledged = set.union(*await asyncio.gather(*joining))

    for site, process in zip(sites, processes, strict=True):
        async with site.ask(site.administrator.key) as coordinator:
            assert set(await coordinator.records()) == acknowledged | set(site.administrator.records)
        assert (await asyncio.to_thread(process.end, signal.SIGTERM))[0] == 0


# -- What is asked for -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://wgmesh@/prod?host=/nowhere", "postgresql://wgmesh@/prod.* cannot be used: .*/nowhere"),
        ("what:secret@/", "cannot be read: want one such as postgresql://user@host/name"),
        ("nosql://x:secret@y/z", "nosql://x:\\*\\*\\*@y/z cannot be used: Can't load plugin"),
        ("mssql+pyodbc://x:secret@y/z", "mssql.*needs pyodbc, which is not installed"),
    ],
)
def test_a_database_that_cannot_be_had_is_said_to_be(url: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason) as refused:
        Store(url, key_of(1).verify_key())

    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
