"""Hosts with one identity, as a copied machine makes them, and what the administrator is told of them."""

from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, Site, founded, in_a_loop
from tests.mesh.coordinator_port import free_port, scraped
from tests.mesh.network import NOW, Administrator, key_of
from wgmesh import clones
from wgmesh.clones import AGE, Clones
from wgpy.cli.mesh.nodes import rows_of, table
from wgpy.node.coordinator_client import Health

WEB, DESK = key_of(11).verify_key(), key_of(12).verify_key()
FIRST, SECOND = "198.51.100.7", "203.0.113.5"


def test_two_connections_that_last_are_two_hosts() -> None:
    known = Clones()

    assert not known.connect(WEB, FIRST, 0)
    assert known.connect(WEB, SECOND, 1000)

    assert known.identities(1000 + AGE - 1) == set()
    assert known.identities(1000 + AGE) == {WEB}
    assert known.addresses(WEB, 1000 + AGE) == [FIRST, SECOND]


def test_two_hosts_behind_one_address_are_two_hosts() -> None:
    known = Clones()
    known.connect(WEB, FIRST, 0)
    known.connect(WEB, FIRST, 1)

    assert known.addresses(WEB, 1 + AGE) == [FIRST, FIRST]


def test_a_host_that_connects_again_before_it_is_missed_is_one() -> None:
    """Its old connection ends when the kernel notices."""
    known = Clones()
    known.connect(WEB, FIRST, 0)
    for moved in range(1000, 2000, 100):
        known.connect(WEB, SECOND, moved)
        known.disconnect(WEB, FIRST if moved == 1000 else SECOND)
        assert known.identities(moved + AGE) == set()


def test_a_host_that_reconnects_at_one_address_for_ever_is_one() -> None:
    known = Clones()
    known.connect(WEB, FIRST, 0)
    for moved in range(100, 2000, 100):
        known.connect(WEB, FIRST, moved)
        known.disconnect(WEB, FIRST)

    assert known.identities(2000 + AGE) == set()


def test_different_nodes_at_one_address_are_no_clones() -> None:
    known = Clones()
    known.connect(WEB, FIRST, 0)
    known.connect(DESK, FIRST, 0)

    assert known.identities(AGE) == set()


def test_a_clone_is_forgotten_when_one_of_the_hosts_is_gone() -> None:
    known = Clones()
    known.connect(WEB, FIRST, 0)
    known.connect(WEB, SECOND, 0)
    known.disconnect(WEB, FIRST)

    assert known.identities(AGE) == set()


@in_a_loop
async def test_the_administrator_is_told_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clones, "AGE", 0.1)
    site, port = Site.create(tmp_path), free_port()
    async with site.serve(metrics=f"127.0.0.1:{port}"):
        await site.found(ALICE, BOB)
        async with site.follow(ALICE), site.follow(ALICE), site.follow(BOB):
            async with site.ask(site.administrator.key) as coordinator:
                while (audit := (await coordinator.audit())[-1])["who"] != "coordinator":
                    pass
                health = {found.identity: found.cloned for found in await coordinator.nodes()}
            metrics = await scraped(port)

    assert audit["what"] == (
        "n11 is 2 hosts with one identity, from 127.0.0.1, 127.0.0.1: one is a copy; remove n11, and join "
        "each host by itself"
    )
    assert health == {ALICE.verify_key(): True, BOB.verify_key(): False}
    assert "wgmesh_cloned_nodes 1" in metrics


@in_a_loop
async def test_a_clone_that_is_gone_in_time_is_in_no_audit_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clones, "AGE", 0.1)
    async with founded(tmp_path, ALICE, BOB) as (site, serving), site.follow(ALICE):
        async with site.follow(ALICE):
            pass
        async with site.follow(BOB), site.follow(BOB):  # a later clone, which is told later
            while not (told := [one for one in await serving.service.audit() if one.who == "coordinator"]):
                pass

    assert [entry.what.split()[0] for entry in told] == ["n12"]


def test_node_list_says_what_to_do_about_a_clone() -> None:
    administrator = Administrator()
    administrator.found()
    administrator.invite(key_of(2))
    administrator.join(ALICE, key_of(2))
    health = Health(ALICE.verify_key(), True, NOW, FIRST, True)

    shown = table(list(rows_of(administrator.ledger(), [health]))).splitlines()

    assert "several hosts, see below" in shown[1]
    assert shown[2] == (
        "n11 is several hosts with one identity: one is a copy. `wgpy mesh remove n11`, and join each host "
        "by itself."
    )
