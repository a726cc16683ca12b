"""The database: what is acknowledged is there, whatever happens, and it goes from version to version."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Connection, text

from tests.mesh.coordinator import ALICE, BOB, NEW, TOKEN, Site, in_a_loop, kinds
from tests.mesh.network import key_of
from wgmesh import backup
from wgmesh.errors import MeshError, StoreError
from wgmesh.schema import STEPS, Step
from wgmesh.settings import DATABASE, TLS_KEY, Settings, create, lock
from wgmesh.store import Store
from wgpy.mesh.invitation import BY_NAME
from wgpy.node.coordinator_client import Denied

ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000


# -- Versions --------------------------------------------------------------------------------------


def add_colour(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE audit ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'"))


def fail(connection: Connection) -> None:
    add_colour(connection)
    raise OSError("the power is gone")


def url_of(site: Site) -> str:
    return f"sqlite:///{site.folder / DATABASE}"


def reopen(site: Site, steps: Sequence[Step]) -> None:
    Store(url_of(site), site.administrator.key.verify_key(), steps).close()


def columns(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [row[1] for row in database.execute("PRAGMA table_info(audit)")]


@in_a_loop
async def test_an_older_database_is_brought_up_to_date_after_a_backup(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        await site.found(ALICE)

    reopen(site, (*STEPS, add_colour))

    assert "colour" in columns(tmp_path / DATABASE)
    kept = tmp_path / f"{DATABASE}.version-{len(STEPS)}"
    assert "colour" not in columns(kept)
    assert kept.stat().st_mode & 0o777 == 0o600
    store = Store(f"sqlite:///{kept}", site.administrator.key.verify_key())
    assert len(store.load(NOW).ledger) == 3
    store.close()


@in_a_loop
async def test_an_update_that_breaks_off_changes_nothing(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        await site.found(ALICE)

    with pytest.raises(StoreError, match="the power is gone"):
        reopen(site, (*STEPS, fail))

    assert "colour" not in columns(tmp_path / DATABASE)
    async with site.serve() as served:
        assert len(served.service.snapshot.ledger) == 3


@in_a_loop
async def test_a_store_is_closed_once_its_calls_have_ended_also_those_of_callers_that_were_cancelled(
    tmp_path: Path,
) -> None:
    store = Site.create(tmp_path).store()
    begun, may_end, ended = Event(), Event(), Event()

    def read() -> None:
        begun.set()
        assert may_end.wait(60)
        store.load(NOW)
        ended.set()

    caller = asyncio.create_task(store.in_thread(read))
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    closing = asyncio.create_task(asyncio.to_thread(store.close))
    closed_before, _ = await asyncio.wait([closing], timeout=0.2)
    may_end.set()
    await closing

    assert caller.cancelled()
    assert not closed_before
    assert ended.is_set()


def test_an_older_binary_refuses_a_newer_database(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    reopen(site, (*STEPS, add_colour))

    with pytest.raises(StoreError, match=r"is of a newer wgmesh \(version 2, this one: 1\): update wgmesh"):
        site.store()


def test_a_database_of_another_network_is_refused(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    site.store().close()

    with pytest.raises(StoreError, match="of another network"):
        Store(url_of(site), key_of(2).verify_key())


def test_a_damaged_database_is_said_to_be(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    (tmp_path / DATABASE).write_bytes(b"not a database, although it is long enough to be one" * 100)

    with pytest.raises(StoreError, match="is damaged: restore a backup by `wgmesh restore`"):
        site.store()


def test_a_folder_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened: check that its folder exists"):
        Store(f"sqlite:///{tmp_path}/none/{DATABASE}", key_of(2).verify_key())


@in_a_loop
async def test_a_damaged_record_is_left_out_and_can_be_given_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        await site.found(ALICE)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("UPDATE records SET signature = zeroblob(64) WHERE kind = 'token'")
        database.commit()

    async with site.serve():
        assert "a record of type token is damaged: not signed by the right key" in caplog.text
        outcomes = await site.submit(*site.administrator.records)
        assert [outcome.verdict for outcome in outcomes] == ["known", "new", "known"]
        async with site.follow(ALICE) as alice:
            assert kinds(await alice.received()) == ["n11", "prod", "token"]


@in_a_loop
async def test_what_is_damaged_beside_the_records_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        await site.found(ALICE, BOB)
        async with site.follow(ALICE), site.follow(BOB):
            pass
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        alice = str(ALICE.verify_key())
        for table in "admissions", "seen":
            database.execute(f"UPDATE {table} SET identity = 'x' WHERE identity = ?", (alice,))
        database.commit()

    async with site.serve():
        assert "a use of a token is damaged" in caplog.text
        async with site.ask(site.administrator.key) as coordinator:
            assert [bool(health.heard) for health in await coordinator.nodes()] == [False, True]


@in_a_loop
async def test_two_coordinators_do_not_write_to_one_database(tmp_path: Path) -> None:
    site = Site.create(tmp_path)
    async with site.serve():
        await site.found()
        first = site.address
        async with site.serve():
            await site.submit(site.administrator.invite(key_of(7)))
        site.address = first

        with pytest.raises(Denied, match="another coordinator writes to"):
            await site.submit(site.administrator.invite(key_of(8)))


# -- Backups ---------------------------------------------------------------------------------------


@in_a_loop
async def test_nodes_give_back_what_a_restored_backup_does_not_know(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "prod")
    file = tmp_path / "backup"
    token = key_of(1002)
    administrator = site.administrator
    async with site.serve():
        await site.found(ALICE)
        backup.back_up(site.folder, file)
        await site.submit(
            administrator.invite(token, expires=administrator.now - 60),
        )
        lost = administrator.join(BOB, TOKEN)
        await site.submit(lost, administrator.invite(key_of(7)))
        async with site.follow(ALICE) as alice:
            seen = (await alice.received()).revision

    kept = backup.restore(site.folder, file, int(time.time()))

    assert kept is not None
    assert kept.exists()
    async with site.serve(), site.follow(ALICE, since=seen) as alice:
        assert alice.greeting.state_digest != administrator.ledger().state_digest()
        await alice.received()
        with pytest.raises(Denied, match="neither a node's"):
            async with site.follow(BOB, since=seen):
                pass
        assert await site.submit(lost) == [NEW]
        again = await alice.received()
        assert kinds(again) == ["n12"]
        assert again.revision > seen


@in_a_loop
async def test_who_joined_after_the_backup_returns_although_its_token_has_expired(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "prod")
    file = tmp_path / "backup"
    token = key_of(1002)
    administrator = site.administrator
    async with site.serve():
        await site.found(ALICE)
        await site.submit(administrator.invite(token, expires=administrator.now - 60))
        backup.back_up(site.folder, file)
    before = administrator.join(BOB, token, admitted=administrator.now - 120)

    async with site.serve():
        (outcome,) = await site.submit(before)
        assert outcome.reason.startswith("the token has expired: it admitted until ")
    backup.restore(site.folder, file, administrator.now)
    async with site.serve():
        assert await site.submit(before) == [NEW]


@in_a_loop
async def test_a_backup_makes_the_same_coordinator_on_another_host(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "here")
    async with site.serve():
        await site.found(ALICE)
        backup.back_up(site.folder, tmp_path / "backup")

    there = tmp_path / "there"
    assert backup.restore(there, tmp_path / "backup", NOW) is None

    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    assert (there / TLS_KEY).stat().st_mode & 0o777 == 0o600
    site.folder = there
    async with site.serve(), site.follow(ALICE) as alice:
        assert kinds(await alice.received()) == ["n11", "prod", "token"]


def test_nothing_is_restored_while_it_is_served(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "prod")
    site.store().close()
    backup.back_up(site.folder, tmp_path / "backup")

    with lock(site.folder), pytest.raises(MeshError, match="serves .* already: stop it first"):
        backup.restore(site.folder, tmp_path / "backup", NOW)


@pytest.mark.parametrize("content", [b"", b"something else" * 1000])
def test_what_is_no_backup_is_not_restored(tmp_path: Path, content: bytes) -> None:
    site = Site.create(tmp_path / "prod")
    site.store().close()
    (tmp_path / "backup").write_bytes(content)

    with pytest.raises(MeshError, match="is not a backup of a coordinator"):
        backup.restore(site.folder, tmp_path / "backup", NOW)
    with pytest.raises(MeshError, match="is not there"):
        backup.restore(site.folder, tmp_path / "other", NOW)
    site.store().close()


def test_a_backup_of_another_network_is_not_restored(tmp_path: Path) -> None:
    site, other = Site.create(tmp_path / "prod"), tmp_path / "other"
    create(other, key_of(2).verify_key(), "127.0.0.1", "127.0.0.1:0")
    site.store().close()
    backup.back_up(site.folder, tmp_path / "backup")

    with pytest.raises(MeshError, match="of another network"):
        backup.restore(other, tmp_path / "backup", NOW)
    assert not (other / DATABASE).exists()


def test_a_damaged_database_is_kept_when_a_backup_takes_its_place(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "prod")
    site.store().close()
    backup.back_up(site.folder, tmp_path / "backup")
    (site.folder / DATABASE).write_bytes(b"damaged")

    kept = backup.restore(site.folder, tmp_path / "backup", NOW)

    assert kept is not None
    assert kept.read_bytes() == b"damaged"
    site.store().close()


# -- The folder ------------------------------------------------------------------------------------


def test_a_folder_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "prod"
    address = create(folder, key_of(1).verify_key(), "vpn.example.com", "[::]:51820")

    assert address.url == "https://vpn.example.com"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert Settings.load(folder).public == "vpn.example.com:51820"
    with pytest.raises(MeshError, match="is a coordinator's folder already"):
        create(folder, key_of(1).verify_key(), "vpn.example.com", "[::]:51820")


@pytest.mark.parametrize(
    ("public", "url"),
    [
        ("vpn.example.com:443", "https://vpn.example.com:443"),
        ("[2001:db8::1]", "https://[2001:db8::1]"),
        ("192.0.2.1:51821", "https://192.0.2.1:51821"),
    ],
)
def test_an_address_names_its_port_unless_it_is_the_usual_one(tmp_path: Path, public: str, url: str) -> None:
    assert create(tmp_path / "x", key_of(1).verify_key(), public, "127.0.0.1:0").url == url


@pytest.mark.parametrize("public", ["", "host:port", "2001:db8::1", "host:99999", ":443"])
def test_what_is_no_address_makes_no_folder(tmp_path: Path, public: str) -> None:
    with pytest.raises(MeshError, match="is no HOST:PORT"):
        create(tmp_path / "x", key_of(1).verify_key(), public, "127.0.0.1:0")
    assert not (tmp_path / "x").exists()


def test_an_operators_certificate_is_judged_by_name(tmp_path: Path) -> None:
    own = tmp_path / "own"
    create(own, key_of(1).verify_key(), "vpn.example.com", "127.0.0.1:0")
    certificate, key = own / "tls.crt", own / "tls.key"

    address = create(
        tmp_path / "prod", key_of(1).verify_key(), "vpn.example.com", "127.0.0.1:0", certificate, key
    )

    assert address.key_hash == BY_NAME
    assert Settings.load(tmp_path / "prod").certificate == str(certificate)
    with pytest.raises(MeshError, match="are not a certificate and its key"):
        create(tmp_path / "z", key_of(1).verify_key(), "vpn.example.com", "127.0.0.1:0", key, key)
    with pytest.raises(MeshError, match="cannot be read"):
        create(tmp_path / "z", key_of(1).verify_key(), "vpn.example.com", "127.0.0.1:0", own / "none", key)
