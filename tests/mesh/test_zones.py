"""Zones of sites, about which the sites' own name servers are asked."""

import json
from dataclasses import replace
from ipaddress import ip_address

import pytest

from tests.mesh.network import Administrator, key_of, prefixes, site
from wgpy.mesh.records import MAX_ITEMS, AnnouncedSite, Approval, Sites, ZoneApproval, decode, encode, kind_of
from wgpy.mesh.signing import MAX_BODY, Signed
from wgpy.mesh.sites import Site
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


def with_gateways(*announced: AnnouncedSite) -> Administrator:
    """The token of Ann and Bob allows the prefix of the office."""
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, routes=prefixes(LAN))
    for key, each in zip((ANN, BOB), announced, strict=False):
        administrator.join(key, TOKEN)
        administrator.announce(key, each)
    return administrator


def office(administrator: Administrator) -> Site:
    (found,) = derive(administrator.ledger(), administrator.now).sites
    return found


def test_a_site_has_the_zones_of_its_first_gateway_with_any() -> None:
    later = site("office", LAN, servers=(SERVER,), zones=("lan",), since=OFFICE.since + 1)
    administrator = with_gateways(site("office", LAN), later)
    for key in (ANN, BOB):
        administrator.approve_zones(key, "lan", "office.example")

    assert office(administrator).zones == ("lan",)
    administrator.announce(ANN, OFFICE, sequence=2)
    assert office(administrator).zones == ("office.example",)


# -- Approval -----------------------------------------------------------------------------------------


def test_a_zone_that_nobody_approved_waits_and_no_server_is_asked() -> None:
    found = office(with_gateways(OFFICE))

    assert (found.servers, found.zones, found.waiting) == ((), (), ("office.example",))


@pytest.mark.parametrize(
    ("approved", "is_in_force"),
    [
        ("office.example", True),
        ("example.org", False),
        ("a.office.example", False),
        ("ice.example", False),
    ],
)
def test_a_zone_is_in_force_where_it_or_a_parent_of_it_is_approved(approved: str, is_in_force: bool) -> None:
    administrator = with_gateways(OFFICE)
    administrator.approve_zones(ANN, approved)

    assert bool(office(administrator).zones) is is_in_force
    assert bool(office(administrator).waiting) is not is_in_force


def test_an_approval_is_of_zones_below_its_own_too() -> None:
    deep = replace(OFFICE, zones=("lab.office.example", "bank.example"))
    administrator = with_gateways(deep)
    administrator.approve_zones(ANN, "office.example")

    found = office(administrator)

    assert (found.zones, found.waiting) == (("lab.office.example",), ("bank.example",))
    assert found.servers == (SERVER,)


def test_an_approval_of_another_gateway_gives_a_zone_no_force() -> None:
    administrator = with_gateways(OFFICE, site("office", LAN, since=OFFICE.since + 1))
    administrator.approve_zones(BOB, "office.example")

    assert office(administrator).zones == ()


def test_a_gateway_without_an_approval_does_not_hide_the_zones_of_one_that_has_it() -> None:
    later = site("office", LAN, servers=(SERVER,), zones=("lan",), since=OFFICE.since + 1)
    administrator = with_gateways(OFFICE, later)
    administrator.approve_zones(BOB, "lan")

    assert (office(administrator).zones, office(administrator).waiting) == (("lan",), ("office.example",))


def test_zones_are_no_more_in_force_once_the_approval_is_taken_back() -> None:
    administrator = with_gateways(OFFICE)
    administrator.approve_zones(ANN, "office.example")
    administrator.approve_zones(ANN)

    assert office(administrator).zones == ()


def approval(*zones: str) -> ZoneApproval:
    administrator = Administrator()
    return ZoneApproval(
        network=administrator.network, signer=administrator.key.verify_key(), sequence=1, time=0,
        identity=ANN.verify_key(), zones=zones,
    )  # fmt: skip


def test_zones_come_and_go_without_the_routes_that_are_approved() -> None:
    administrator = with_gateways(OFFICE)
    routes = decode(administrator.approve(ANN, "10.7.0.0/16").body)
    administrator.approve_zones(ANN, "office.example")
    administrator.approve_zones(ANN)

    assert administrator.ledger().find(Approval, bytes(ANN.verify_key())) == routes


def test_a_program_that_knows_no_zone_approvals_keeps_the_newest_of_a_node_and_the_routes() -> None:
    administrator = with_gateways(OFFICE)
    routes = administrator.approve(ANN, "10.7.0.0/16")
    ledger = administrator.ledger()
    old, new = (as_it_was_unknown(administrator, zone) for zone in ("a.example", "b.example"))
    for signed in (old, new):
        ledger.add(signed)

    assert old not in set(ledger)
    assert {new, routes} <= set(ledger.for_everybody())


def as_it_was_unknown(administrator: Administrator, *zones: str) -> Signed:
    """An approval of zones, of a type that this program does not know."""
    body = administrator.approve_zones(ANN, *zones).body
    return administrator.key.sign(body.replace(b'"zone-approval"', b'"later-approval"'))


@pytest.mark.parametrize(
    ("zones", "wrong"),
    [
        (("com",), "com is no zone of a site"),
        (tuple(f"z{one}.example" for one in range(257)), "more than 256 zones"),
        (tuple(f"{'a' * 60}.{'b' * 60}.{'c' * 60}.z{one}" for one in range(200)), "more than 32768 char"),
    ],
)
def test_no_approval_has_such_zones(zones: tuple[str, ...], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        approval(*zones)


def test_the_longest_approval_of_zones_has_room_in_a_body() -> None:
    zones = tuple(".".join((f"{number:03}", *["z" * 40] * 3, "x")) for number in range(MAX_ITEMS))

    assert len(encode(approval(*zones))) <= MAX_BODY


def test_the_audit_log_names_the_zones_that_are_approved() -> None:
    some, none = (kind_of(one).audit(one, None, lambda key: "web1") for one in (approval("lan"), approval()))

    assert some == "zone-approval of lan for sites of web1"
    assert none == "zone-approval of none for sites of web1"
