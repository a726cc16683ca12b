"""Zones of sites, about which the sites' own name servers are asked."""

import json
from ipaddress import ip_address

import pytest

from tests.mesh.network import Administrator, key_of, prefixes, site
from wgpy.mesh.records import AnnouncedSite, Sites, decode, encode
from wgpy.mesh.topology import derive
from wgpy.mesh.zones import MAX_SERVERS, MAX_ZONES, zone_trouble

ANN, BOB, TOKEN = key_of(3), key_of(4), key_of(2)
LAN = "192.168.1.0/24"
SERVER = ip_address("192.168.1.53")
OFFICE = site("office", LAN, servers=(SERVER,), zones=("office.example",))


def record(*sites: AnnouncedSite) -> Sites:
    administrator = Administrator()
    return Sites(network=administrator.network, signer=ANN.verify_key(), sequence=1, sites=sites)


def test_a_site_without_zones_is_written_as_it_always_was() -> None:
    (written,) = json.loads(encode(record(site("office", LAN))))["sites"]

    assert sorted(written) == ["face", "is_routed", "mapped", "name", "priority", "real", "since"]


def test_zones_and_name_servers_are_written_so() -> None:
    (written,) = json.loads(encode(record(OFFICE)))["sites"]

    assert (written["servers"], written["zones"]) == (["192.168.1.53"], ["office.example"])


def test_zones_and_name_servers_are_read_as_they_were_written() -> None:
    assert decode(encode(record(OFFICE))) == record(OFFICE)


@pytest.mark.parametrize(
    "zone", ["office.example", "lan", "corp", "a.b.c.example", "_x.example", "home.arpa"]
)
def test_a_site_may_have_these_zones(zone: str) -> None:
    assert zone_trouble(zone) == ""


@pytest.mark.parametrize(
    ("zone", "wrong"),
    [
        ("", "is no DNS zone"),
        ("com", "of top-level domains it may have corp, home, "),
        ("Office.example", "is no DNS zone"),
        ("büro.example", "in letters of ASCII"),
        ("office..example", "is no DNS zone"),
        ("-a.example", "is no DNS zone"),
        (f"{'a' * 64}.example", "is no DNS zone"),
        (".".join(["a" * 63] * 4), "is no DNS zone"),
        ("prod.mesh", "names below mesh are answered elsewhere"),
        ("168.192.in-addr.arpa", "names below arpa are answered elsewhere"),
        ("localhost", "names below localhost are answered elsewhere"),
    ],
)
def test_a_site_has_no_such_zone(zone: str, wrong: str) -> None:
    assert wrong in zone_trouble(zone)
    with pytest.raises(ValueError, match="zone"):
        site("office", LAN, servers=(SERVER,), zones=(zone,))


@pytest.mark.parametrize(
    ("servers", "zones", "wrong"),
    [
        (("192.168.1.53",), (), "give both"),
        ((), ("office.example",), "give both"),
        (("192.168.2.53",), ("office.example",), "192.168.2.53 is no address of the site"),
        (("fd00::53",), ("office.example",), "fd00::53 is no address of the site"),
        (("192.168.1.53",) * 2, ("office.example",), "once"),
        (("192.168.1.53",), ("office.example",) * 2, "once"),
        (tuple(f"192.168.1.{last}" for last in range(MAX_SERVERS + 1)), ("lan",), "at most 4 name servers"),
        (("192.168.1.53",), tuple(f"z{one}.example" for one in range(MAX_ZONES + 1)), "at most .* 16 zones"),
    ],
)
def test_name_servers_and_zones_fit_the_site(
    servers: tuple[str, ...], zones: tuple[str, ...], wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        site("office", LAN, servers=tuple(map(ip_address, servers)), zones=zones)


def test_an_exit_has_no_zones() -> None:
    with pytest.raises(ValueError, match="an exit has no zones"):
        site("internet", "0.0.0.0/0", servers=(SERVER,), zones=("office.example",))


@pytest.mark.parametrize(
    ("sites", "zones", "length", "wrong"),
    [(5, 15, 8, "more than 64 zones"), (3, 15, 200, "more than 4096 characters")],
)
def test_the_zones_of_a_node_are_bounded(sites: int, zones: int, length: int, wrong: str) -> None:
    below = ".".join(["a" * 47] * (length // 48) + ["example"])
    many = [
        site(
            f"s{number}", f"10.{number}.0.0/16", servers=(ip_address(f"10.{number}.0.1"),),
            zones=tuple(f"z{zone}.{below}" for zone in range(zones)),
        )
        for number in range(sites)
    ]  # fmt: skip

    with pytest.raises(ValueError, match=wrong):
        record(*many)


def test_a_site_has_the_zones_of_its_first_gateway_with_any() -> None:
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, routes=prefixes(LAN))
    for key in (ANN, BOB):
        administrator.join(key, TOKEN)
    administrator.announce(ANN, site("office", LAN))
    administrator.announce(
        BOB, site("office", LAN, servers=(SERVER,), zones=("lan",), since=OFFICE.since + 1)
    )

    def zones() -> tuple[str, ...]:
        (found,) = derive(administrator.ledger(), administrator.now).sites
        return found.zones

    assert zones() == ("lan",)
    administrator.announce(ANN, OFFICE, sequence=2)
    assert zones() == ("office.example",)
