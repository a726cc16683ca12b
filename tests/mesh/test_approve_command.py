"""`wgpy mesh approve` of the zones of sites, on a host with the network's key that is no node."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.mesh.coordinator import in_a_loop
from tests.mesh.key_host import KeyHost
from tests.mesh.network import site
from tests.mesh.test_rule_commands import a_host

LAN, LAB = "192.168.1.0/24", "10.7.0.0/16"
IN_FORCE = site("office", LAN, servers=(ip_address("192.168.1.53"),), zones=("office.example", "lan"))
REFUSED = site("lab", LAB, servers=(ip_address("10.7.0.53"),), zones=("lab.example",))

Printed = pytest.CaptureFixture[str]


async def zones(host: KeyHost, name: str) -> Any:
    """Return why a site is not in force, its zones that are, and those that wait."""
    (found,) = [one for one in (await host.ask("site", "list"))["sites"] if one["name"] == name]
    return found["exclusion"], found["zones"], found["waiting"]


@in_a_loop
async def test_a_sites_zones_are_approved_by_its_name_where_its_prefixes_need_nothing(
    tmp_path: Path, capsys: Printed
) -> None:
    async with a_host(tmp_path, capsys, IN_FORCE) as host:
        assert await zones(host, "office") == ("", [], ["office.example", "lan"])

        status, out, error = await host.run("approve", "office")

        assert (status, error) == (0, "")
        assert out == (
            "office is reached as 192.168.1.0/24 by bob.\n"
            "For names at and below office.example, lan nodes ask 192.168.1.53.\n"
        )
        assert await zones(host, "office") == ("", ["office.example", "lan"], [])
        assert "office is in force already" in await host.refusal("approve", "office")


@in_a_loop
async def test_a_site_without_the_right_is_approved_with_its_zones_and_others_stay(
    tmp_path: Path, capsys: Printed
) -> None:
    async with a_host(tmp_path, capsys, IN_FORCE, REFUSED) as host:
        await host.ask("approve", "office")
        await host.ask("approve", "lab")

        assert await zones(host, "lab") == ("", ["lab.example"], [])
        assert await zones(host, "office") == ("", ["office.example", "lan"], [])


@in_a_loop
async def test_a_node_is_approved_with_the_zones_of_its_sites_and_the_answer_says_so(
    tmp_path: Path, capsys: Printed
) -> None:
    async with a_host(tmp_path, capsys, IN_FORCE, REFUSED) as host:
        _, out, _ = await host.run("approve", "bob")

        assert out.splitlines()[:2] == [
            f"bob may announce {LAN}, {LAB}.",
            "Its sites may have the DNS zones office.example, lan, lab.example.",
        ]
        assert await zones(host, "lab") == ("", ["lab.example"], [])


@in_a_loop
async def test_prefixes_of_a_node_change_without_its_zones_and_none_takes_all_back(
    tmp_path: Path, capsys: Printed
) -> None:
    async with a_host(tmp_path, capsys, IN_FORCE) as host:
        await host.ask("approve", "office")

        changed = await host.ask("approve", "bob", LAB)
        assert (changed["approved"], changed["zones"]) == ([LAB], ["office.example", "lan"])
        beside = await host.ask("approve", "bob")
        assert beside["approved"] == [LAB, LAN]
        nothing = await host.ask("approve", "bob", "--none")
        assert (nothing["approved"], nothing["zones"]) == ([], [])
        assert await zones(host, "office") == ("", [], ["office.example", "lan"])


@in_a_loop
async def test_prefixes_beside_the_name_of_a_site_are_refused_and_its_zones_wait(
    tmp_path: Path, capsys: Printed
) -> None:
    async with a_host(tmp_path, capsys, IN_FORCE) as host:
        sentence = await host.refusal("approve", "office", LAB)

        assert "is a site, which is approved as it is" in sentence
        assert await zones(host, "office") == ("", [], ["office.example", "lan"])


@in_a_loop
async def test_a_name_of_nobody_is_answered_with_what_waits(tmp_path: Path, capsys: Printed) -> None:
    async with a_host(tmp_path, capsys, IN_FORCE, REFUSED) as host:
        assert await host.refusal("approve", "ofice") == (
            "there is no node and no site ofice; the sites that wait are lab, office, the nodes with routes "
            "that wait none."
        )
