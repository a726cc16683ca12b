"""`wgpy mesh allow` and `disallow` with ports and sites, on a host with the network's key that is no node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mesh.coordinator import ALICE, BOB, Site, in_a_loop
from tests.mesh.key_host import KeyHost, copy_key
from tests.mesh.network import key_of, prefixes, site
from wgpy.keys import PublicKey
from wgpy.mesh.records import AnnouncedSite

GATEWAYS = key_of(1001)


@asynccontextmanager
async def a_host(
    folder: Path, capsys: pytest.CaptureFixture[str], *sites: AnnouncedSite
) -> AsyncIterator[KeyHost]:
    """In a network of alice, and of bob, the gateway of the site office, or of others."""
    coordinator = Site.create(folder / "site")
    one = coordinator.administrator
    async with coordinator.serve():
        await coordinator.found(ALICE)
        one.invite(GATEWAYS, routes=prefixes("192.168.1.0/24", "fd00:42::/64"))
        one.join(BOB, GATEWAYS, name="bob")
        mapped = ("100.96.4.0/24", "fd12:3456:1::/64")
        office = site("office", "192.168.1.0/24", "fd00:42::/64", mapped=mapped)
        one.announce(BOB, *(replace(each, since=one.now) for each in sites or (office,)))
        await coordinator.submit_all()
        yield KeyHost(coordinator, copy_key(coordinator, folder / "host"), capsys)


@in_a_loop
async def test_ports_are_shown_as_they_are_and_taken_back_as_they_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        made = await host.ask("allow", "n11", "bob:443,80/tcp,53", "-y")
        assert made == {
            "allowed": "node:n11 node:bob:53/tcp,80/tcp,443/tcp,53/udp",
            "rules": [made["allowed"]],
        }
        assert "is allowed already" in await host.refusal("allow", "n11", "bob:53,80,443/tcp,53/udp")
        assert "there is no rule n11 to bob;" in await host.refusal("disallow", "n11", "bob")

        assert (await host.refusal("disallow", "n11", "bob:53/tcp,80/tcp,443/tcp,53/udp")).startswith(
            "this is the last rule, without which every node may begin to every other one: give --yes"
        )
        taken_back = await host.ask("disallow", "n11", "bob:53/tcp,80/tcp,443/tcp,53/udp", "--yes")

        assert taken_back == {"disallowed": made["allowed"], "rules": []}


@in_a_loop
async def test_a_site_is_an_end_by_its_name_and_with_a_prefix_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        for destination in ("node:n11", "any", "tag:web"):
            await host.ask("allow", "n11", destination, "-y", "--anyway")
        for given, shown in (
            ("office:5432/tcp", "site:office:5432/tcp"),
            ("site:office", "site:office"),
            ("office/192.168.1.10", "site:office/192.168.1.10/32"),
            ("office/192.168.1.0/28:22/tcp", "site:office/192.168.1.0/28:22/tcp"),
            ("office/[fd12:3456:1::5]:22/tcp", "site:office/[fd12:3456:1::5/128]:22/tcp"),
        ):
            assert (await host.ask("allow", "n11", given, "-y"))["allowed"] == f"node:n11 {shown}"
        assert (await host.ask("allow", "office", "n11"))["allowed"] == "site:office node:n11"
        for part in ("office", "office/192.168.1.10", "office/192.168.1.0/28:22/tcp"):
            assert (await host.ask("disallow", "n11", part))["disallowed"].startswith("node:n11 site:office")


@in_a_loop
async def test_a_site_that_is_not_there_or_has_no_such_prefix_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        assert "192.168.2.10/32 is not of office, which is 192.168.1.0/24, " in await host.refusal(
            "allow", "n11", "office/192.168.2.10", "-y"
        )
        assert "of IPv6 give it as the mesh knows it" in await host.refusal(
            "allow", "n11", "office/[fd00:42::5]", "-y"
        )
        assert "there is no site lab yet" in await host.refusal("allow", "n11", "site:lab", "-y")
        assert "there is no site lab yet" in await host.refusal("allow", "n11", "lab/10.0.0.1", "-y")
        assert "there is no node lab" in await host.refusal("allow", "n11", "lab", "-y")
        assert (await host.ask("allow", "n11", "site:lab:22/tcp", "-y", "--anyway"))["allowed"]


@in_a_loop
async def test_what_has_a_name_of_another_kind_is_said_as_a_rule_takes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        await host.site.submit(one.client(PublicKey(bytes((5,)) + bytes(31)), BOB, name="phone"))

        for given, sentence in (
            ("site:bob", "there is no site bob, but a node: say `node:bob`."),
            ("tag:bob", "no node has tag bob, but a node: say `node:bob`."),
            ("phone", "there is no node phone, but a client: say `client:phone`."),
            ("client:bob", "there is no client bob, but a node: say `node:bob`."),
            ("site:phone:22/tcp", "there is no site phone, but a client: say `client:phone`."),
        ):
            assert await host.refusal("allow", "n11", given, "-y") == sentence


@in_a_loop
async def test_a_prefix_of_a_site_with_bits_behind_its_length_is_answered_with_the_one_that_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        with pytest.raises(SystemExit):
            await host.run("allow", "n11", "office/192.168.1.10/28")

    meant = "`192.168.1.10/28` has bits behind its length: 192.168.1.0/28 is the prefix"
    assert meant in capsys.readouterr().err


@in_a_loop
async def test_a_rule_for_nobody_is_said_to_let_nobody_reach_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_host(tmp_path, capsys) as host:
        one = host.site.administrator
        await host.site.submit(one.client(PublicKey(bytes((5,)) + bytes(31)), BOB, name="phone"))

        _, said, _ = await host.run("allow", "tag:nobody", "any", "--anyway", "--dry-run")

    assert "No rule joins any two nodes then: nobody reaches anything.\n" in said
    assert "The client phone can no longer begin to anything.\n" in said
