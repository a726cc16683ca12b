"""Which sites are in force, by which gateways, and what nobody can take from a site that is there.

Ann and Bob came by a token that lets them announce anything, Eve by a later one that lets her nothing.
"""

import random
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

import pytest

from tests.mesh.network import DAY, EVERYTHING, NOW, Administrator, key_of, prefixes, site
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import AnnouncedSite, Network, Sites, encode
from wgpy.mesh.records.sites import MAX_ALL_ZONES, MAX_SITES
from wgpy.mesh.signing import MAX_BODY, SigningKey
from wgpy.mesh.sites import Gateway, Site, SiteExclusion, is_mappable, site_range
from wgpy.mesh.topology import Topology, derive

TOKEN, LATER_TOKEN = key_of(2), key_of(3)
ANN, BOB, EVE = key_of(10), key_of(11), key_of(12)
LAN = "192.168.1.0/24"
OFFICE = site("office", LAN)


@pytest.fixture
def administrator() -> Administrator:
    one = Administrator()
    one.found()
    one.invite(TOKEN, tags=("edge",), routes=EVERYTHING)
    one.join(ANN, TOKEN)
    one.join(BOB, TOKEN)
    one.now += DAY // 2
    one.invite(LATER_TOKEN)
    one.join(EVE, LATER_TOKEN)
    return one


def reasons(topology: Topology) -> list[SiteExclusion]:
    return [excluded.reason for excluded in topology.excluded_sites]


def gateway(key: SigningKey, announced: AnnouncedSite = OFFICE) -> Gateway:
    return Gateway(key.verify_key(), announced.priority, announced.is_routed)


def fields(announced: AnnouncedSite) -> dict[str, Any]:
    return {name: getattr(announced, name) for name in AnnouncedSite.__slots__}


def charter() -> Network:
    one = Administrator()
    one.found()
    network = one.ledger().charter()
    assert network is not None
    return network


# -- In force -------------------------------------------------------------------------------------


def test_a_site_is_in_force_once_a_node_with_the_right_announces_it(administrator: Administrator) -> None:
    administrator.announce(ANN, OFFICE)

    assert administrator.topology().sites == (Site("office", prefixes(LAN), prefixes(LAN), (gateway(ANN),)),)


def test_a_site_ends_when_its_node_announces_it_no_more_or_is_no_member(administrator: Administrator) -> None:
    administrator.announce(ANN, OFFICE)
    administrator.announce(BOB, site("lab", "10.1.0.0/16"))
    administrator.announce(ANN, sequence=2)
    administrator.remove(BOB)

    assert administrator.topology().sites == ()
    assert administrator.topology().excluded_sites == ()


def test_a_site_without_the_right_waits_for_an_approval_of_all_its_prefixes(
    administrator: Administrator,
) -> None:
    administrator.announce(EVE, site("office", LAN, "2001:db8::/48"))
    administrator.approve(EVE, LAN)
    assert reasons(administrator.topology()) == [SiteExclusion.NO_RIGHT]

    administrator.approve(EVE, "192.168.0.0/16", "2001:db8::/32")

    assert [one.name for one in administrator.topology().sites] == ["office"]


def test_a_site_that_is_mapped_needs_the_right_to_its_real_prefixes(administrator: Administrator) -> None:
    administrator.announce(EVE, site("office", LAN, mapped=("100.96.4.0/24",)))
    administrator.approve(EVE, "100.96.0.0/12")

    assert reasons(administrator.topology()) == [SiteExclusion.NO_RIGHT]


def test_sites_that_are_the_same_prefixes_live_beside_each_other_where_one_is_mapped(
    administrator: Administrator,
) -> None:
    administrator.announce(ANN, OFFICE)
    administrator.announce(BOB, site("home", LAN, mapped=("100.96.4.0/24",), since=NOW + 1))

    office, home = administrator.topology().sites

    assert (office.is_mapped, home.is_mapped) == (False, True)
    assert (home.real, home.mapped) == (prefixes(LAN), prefixes("100.96.4.0/24"))


def test_a_mapped_site_of_ipv6_is_of_a_48_of_its_own_behind_that_of_the_nodes(
    administrator: Administrator,
) -> None:
    administrator.announce(ANN, site("office", "2001:db8::/48", mapped=("fd12:3456:1::/48",)))
    administrator.announce(BOB, site("home", "2001:db8::/64", mapped=("fd12:3456:2:7::/64",), since=NOW + 1))

    assert [one.name for one in administrator.topology().sites] == ["office", "home"]


# -- Gateways -------------------------------------------------------------------------------------


def test_nodes_that_announce_a_name_with_the_same_prefixes_are_gateways_of_one_site(
    administrator: Administrator,
) -> None:
    first = site("office", LAN, mapped=("100.96.4.0/24",), priority=200)
    second = site("office", LAN, mapped=("100.96.4.0/24",), priority=50, is_routed=True, since=NOW + 1)
    administrator.announce(ANN, first)
    administrator.announce(BOB, second)

    (office,) = administrator.topology().sites

    assert office.gateways == (gateway(BOB, second), gateway(ANN, first))
    assert office.gateway(ANN.verify_key()) == gateway(ANN, first)
    assert office.gateway(EVE.verify_key()) is None


def test_of_gateways_with_one_priority_the_first_stays_the_first(administrator: Administrator) -> None:
    administrator.announce(BOB, OFFICE)
    administrator.announce(ANN, site("office", LAN, since=NOW + 1))

    (office,) = administrator.topology().sites

    assert [one.identity for one in office.gateways] == [BOB.verify_key(), ANN.verify_key()]


def test_the_first_gateway_settles_what_the_mesh_routes(administrator: Administrator) -> None:
    administrator.announce(ANN, site("office", LAN, mapped=("100.96.4.0/24",)))
    administrator.announce(BOB, site("office", LAN, since=NOW + 1, priority=0))

    (office,) = administrator.topology().sites

    assert office.mapped == prefixes("100.96.4.0/24")
    assert len(office.gateways) == 2


def test_when_the_first_gateway_goes_the_second_has_the_site(administrator: Administrator) -> None:
    administrator.announce(ANN, OFFICE)
    administrator.announce(BOB, site("office", LAN, since=NOW + 1))
    administrator.depart(ANN)

    (office,) = administrator.topology().sites

    assert office.gateways == (gateway(BOB),)


# -- What is taken --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (site("office", "10.1.0.0/16"), SiteExclusion.NAME_TAKEN),
        (site("office", "10.1.0.0/16", LAN), SiteExclusion.NAME_TAKEN),
        (site("home", LAN), SiteExclusion.OVERLAPS),
        (site("home", "192.168.0.0/16"), SiteExclusion.OVERLAPS),
        (site("home", "192.168.1.7/32"), SiteExclusion.OVERLAPS),
        (site("home", "10.7.0.0/24"), SiteExclusion.OVERLAPS),  # a route of Ann's
        (site("home", LAN, mapped=("100.112.0.0/24",)), SiteExclusion.NOT_OF_POOL),
        (site("home", "2001:db8::/48", mapped=("fd12:3456::/48",)), SiteExclusion.NOT_OF_POOL),
        (site("home", "2001:db8::/48", mapped=("fd99::/48",)), SiteExclusion.NOT_OF_POOL),
        (site("home", "100.80.1.0/24"), SiteExclusion.OVERLAPS),  # the nodes
        (site("home", "100.0.0.0/8"), SiteExclusion.OVERLAPS),
        (site("home", "100.97.0.0/16"), SiteExclusion.OVERLAPS),  # the pool
        (site("home", "fd12:3456:7::/48"), SiteExclusion.OVERLAPS),
        (site("home", "0.0.0.0/0"), SiteExclusion.NO_RIGHT),
        (site("home", "224.7.0.0/16", mapped=("100.97.0.0/16",)), SiteExclusion.NEVER),
        (site("home", "169.254.169.0/24", mapped=("100.97.0.0/24",)), SiteExclusion.NEVER),
    ],
    ids=lambda value: f"{value.name} {value.real[0]} {value.mapped[0]}" if hasattr(value, "real") else "",
)
def test_what_is_in_the_way_of_what_was_there_is_not_in_force(
    administrator: Administrator, later: AnnouncedSite, reason: SiteExclusion
) -> None:
    administrator.join(ANN, TOKEN, sequence=2, routes=prefixes("10.7.0.0/16"))
    administrator.announce(ANN, OFFICE)
    before = administrator.topology().sites
    administrator.announce(BOB, AnnouncedSite(**{**fields(later), "since": NOW + 1}))

    topology = administrator.topology()

    assert topology.sites == before
    assert reasons(topology) == [reason]


def test_two_sites_are_not_mapped_to_one_prefix(administrator: Administrator) -> None:
    administrator.announce(ANN, site("office", LAN, mapped=("100.96.4.0/24",)))
    administrator.announce(BOB, site("home", LAN, mapped=("100.96.4.0/24",), since=NOW + 1))

    assert reasons(administrator.topology()) == [SiteExclusion.OVERLAPS]


def test_an_announcement_from_before_its_token_takes_no_site_from_others(
    administrator: Administrator,
) -> None:
    administrator.now += DAY
    administrator.approve(EVE, LAN)
    administrator.announce(ANN, site("office", LAN))
    administrator.announce(EVE, site("home", LAN, since=1))

    topology = administrator.topology()

    assert [one.name for one in topology.sites] == ["office"]
    assert [one.site.name for one in topology.excluded_sites] == ["home"]


def test_what_is_in_force_does_not_depend_on_the_order_of_records(administrator: Administrator) -> None:
    administrator.announce(ANN, OFFICE, site("lab", "10.1.0.0/16"))
    administrator.announce(BOB, site("home", LAN, since=NOW + 1), site("lab", "10.1.0.0/16", since=NOW + 2))
    expected = administrator.topology()

    random.shuffle(administrator.records)

    assert administrator.topology().sites == expected.sites
    assert administrator.topology().excluded_sites == expected.excluded_sites


def test_a_topology_that_was_derived_before_learns_of_a_site(administrator: Administrator) -> None:
    ledger = administrator.ledger()
    before = derive(ledger, NOW)

    ledger.add(administrator.announce(ANN, OFFICE))

    assert derive(ledger, NOW, before).site("office") is not None
    assert derive(ledger, NOW, before) == derive(ledger, NOW)


def test_a_node_leaves_out_the_sites_of_nodes_that_no_rule_joins_with_it(
    administrator: Administrator,
) -> None:
    administrator.announce(ANN, OFFICE)
    administrator.announce(BOB, site("home", "10.1.0.0/16"))
    administrator.rule(EVE, BOB)

    topology = derive(administrator.ledger(), NOW + DAY, viewer=EVE.verify_key())

    assert [one.name for one in topology.sites] == ["home"]


# -- The record -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sites", "wrong"),
    [
        ([site("office", LAN), site("office", "10.1.0.0/16")], "once"),
        ([site("office", LAN), site("home", "192.168.0.0/16")], "192.168.0.0/16 and 192.168.1.0/24 overlap"),
        ([site(f"s{number}", f"10.{number}.0.0/16") for number in range(MAX_SITES + 1)], "200 sites"),
    ],
)
def test_a_node_announces_no_such_sites(sites: Sequence[AnnouncedSite], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Administrator().announce(ANN, *sites)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"name": "Büro"}, "is no name"),
        ({"face": "both"}, "'both' is not real, mapped, either"),
        ({"priority": 65_536}, "a priority is 0 to 65535"),
        ({"priority": -1}, "a priority is 0 to 65535"),
        ({"real": (), "mapped": ()}, "has prefixes"),
        ({"real": prefixes("10.1.0.0/16", "10.0.0.0/16")}, "in order"),
        ({"mapped": prefixes("100.96.0.0/25")}, "as long as the real one"),
        ({"mapped": prefixes("fd12::/24")}, "as long as the real one"),
        ({"mapped": prefixes("100.96.0.0/24", "100.96.1.0/24")}, "as long as the real one"),
    ],
)
def test_no_site_is_announced_so(changes: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        AnnouncedSite(**{**fields(OFFICE), **changes})


def test_a_default_route_overlaps_no_other_site_of_its_node() -> None:
    administrator = Administrator()

    administrator.announce(ANN, OFFICE, site("internet", "0.0.0.0/0", "::/0"))

    assert Ledger(administrator.key.verify_key()).judge(administrator.records[-1]).record.site("internet")


def longest_zones(prefix: str, number: int) -> dict[str, object]:
    """Return zones for as many sites as may have one with a server each."""
    if number >= MAX_ALL_ZONES // 2:
        return {}
    zone = ".".join(["z" * 41] * 3)
    return {"servers": (ip_network(prefix)[0],), "zones": (f"{zone}.x",)}


def test_the_longest_record_has_room_in_a_body() -> None:
    name, last = "n" * 59, (1 << 53) - 1
    real = [f"2001:db8:{number:x}:ffff:ffff:ffff:ffff:ffff/128" for number in range(4096, 4096 + 256)]
    mapped = [f"fd12:3456:{number:x}:ffff:ffff:ffff:ffff:ffff/128" for number in range(4096, 4096 + 256)]
    sites = [
        site(
            f"{name}-{number:03}", *real[number::MAX_SITES], mapped=tuple(mapped[number::MAX_SITES]),
            since=last, priority=65_535, **longest_zones(real[number], number),
        )
        for number in range(MAX_SITES)
    ]  # fmt: skip
    administrator = Administrator()
    record = Sites(network=administrator.network, signer=ANN.verify_key(), sequence=last, sites=tuple(sites))

    assert len(encode(record)) <= MAX_BODY


# -- The pool -------------------------------------------------------------------------------------


def test_a_site_has_the_48_of_its_number_and_there_are_no_more_than_fit() -> None:
    network = charter()

    assert site_range(network, 1) == prefixes("fd12:3456:1::/48")[0]
    assert site_range(network, 65_535) == prefixes("fd12:3456:ffff::/48")[0]
    with pytest.raises(ValueError, match="has no site 65536"):
        site_range(network, 65_536)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("100.96.0.0/12", True),
        ("100.111.255.255/32", True),
        ("100.96.0.0/11", False),
        ("10.0.0.0/24", False),
        ("fd12:3456:1::/48", True),
        ("fd12:3456:ffff:ffff::/64", True),
        ("fd12:3456::/64", False),
        ("fd12:3456::/47", False),
        ("fd12:3457:1::/48", False),
    ],
)
def test_a_site_is_mapped_to_the_pool_or_to_a_48_that_is_not_the_nodes(prefix: str, expected: bool) -> None:
    assert is_mappable(charter(), prefixes(prefix)[0]) is expected
