"""Which face a new site gets, what it is mapped to, and what no node can announce."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import EVERYTHING, Administrator, key_of, prefixes, site
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.mapping import Proposal, SiteRefused, WantedSite, check_prefixes, is_proposal, propose
from wgpy.mesh.records import AnnouncedSite, Network
from wgpy.mesh.sites import is_mappable

TOKEN, ANN, BOB, EVE = key_of(2), key_of(10), key_of(11), key_of(12)
LAN = "192.168.1.0/24"


@pytest.fixture
def administrator() -> Administrator:
    """Ann announces a route and is at an address of her own LAN; Bob and Eve announce nothing."""
    one = Administrator()
    one.found()
    one.invite(TOKEN, routes=EVERYTHING)
    endpoints = (Endpoint("203.0.113.5", 51820), Endpoint("192.168.7.20", 51820))
    one.join(ANN, TOKEN, name="ann", routes=prefixes("10.42.1.0/24"), endpoints=endpoints)
    one.join(BOB, TOKEN, name="bob", endpoints=(Endpoint("192.168.9.5", 51820),))
    one.join(EVE, TOKEN, name="eve")
    return one


def charter(administrator: Administrator) -> Network:
    network = administrator.ledger().charter()
    assert network is not None
    return network


def proposed(
    administrator: Administrator, *wanted: str, name: str = "office", face: str = "either"
) -> Proposal:
    """Return what Bob is told."""
    asked = WantedSite(name, check_prefixes(prefixes(*wanted)), face)
    network, topology = charter(administrator), administrator.topology()
    found = propose(network, topology, BOB.verify_key(), asked)
    assert is_proposal(network, asked, found)
    return found


def announce(administrator: Administrator, *sites: AnnouncedSite) -> None:
    """Have Ann announce sites."""
    administrator.announce(ANN, *sites)


# -- The face ----------------------------------------------------------------------------------------


def test_a_site_that_overlaps_nothing_has_its_real_face(administrator: Administrator) -> None:
    assert proposed(administrator, LAN, "2001:db8::/32") == Proposal(prefixes(LAN, "2001:db8::/32"))


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ("192.168.1.0/24", "home already is 192.168.1.0/24"),
        ("192.168.0.0/16", "home already is 192.168.1.0/24"),
        ("192.168.1.7/32", "home already is 192.168.1.0/24"),
        ("10.1.0.0/16", "lab already is 10.1.0.0/16"),
        ("10.42.0.0/16", "ann already announces 10.42.1.0/24"),
        ("192.168.7.0/24", "ann itself is at 192.168.7.20"),
    ],
)
def test_a_site_that_overlaps_what_is_known_is_mapped_and_the_reason_is_given(
    administrator: Administrator, wanted: str, reason: str
) -> None:
    announce(administrator, site("home", LAN), site("lab", "10.1.0.0/16", mapped=("100.97.0.0/16",)))

    assert proposed(administrator, wanted).reason == reason


def test_where_the_gateway_is_itself_is_in_nobodys_way(administrator: Administrator) -> None:
    assert proposed(administrator, "192.168.9.0/24") == Proposal(prefixes("192.168.9.0/24"))


def test_one_prefix_that_overlaps_maps_all_of_the_site(administrator: Administrator) -> None:
    announce(administrator, site("home", LAN))

    found = proposed(administrator, "10.7.0.0/16", LAN)

    assert found.mapped == prefixes("100.96.0.0/16", "100.97.0.0/24")


def test_a_face_that_is_asked_for_is_given(administrator: Administrator) -> None:
    mapped = proposed(administrator, LAN, face="mapped")
    real = proposed(administrator, "192.168.7.0/24", face="real")

    assert mapped == Proposal(prefixes("100.96.0.0/24"), "that was asked for")
    assert real == Proposal(prefixes("192.168.7.0/24"))


def test_a_real_face_that_the_mesh_routes_elsewhere_is_refused(administrator: Administrator) -> None:
    announce(administrator, site("home", LAN))

    with pytest.raises(SiteRefused, match="because home already is 192.168.1.0/24: leave out --real"):
        proposed(administrator, LAN, face="real")


def test_whom_no_rule_joins_with_a_node_has_no_name_for_it(administrator: Administrator) -> None:
    announce(administrator, site("home", LAN))
    administrator.rule(BOB, EVE)

    assert proposed(administrator, LAN).reason == "another site already is 192.168.1.0/24"
    assert proposed(administrator, "10.42.0.0/16").reason == "another node already announces 10.42.1.0/24"
    assert proposed(administrator, "192.168.7.0/24").reason == "another node is there itself"


# -- Another gateway ---------------------------------------------------------------------------------


def test_another_gateway_follows_the_first(administrator: Administrator) -> None:
    announce(administrator, site("office", LAN, mapped=("100.99.7.0/24",)))

    found = proposed(administrator, LAN)

    assert found == Proposal(prefixes("100.99.7.0/24"), "office has another gateway already")
    with pytest.raises(SiteRefused, match="as its first gateway announced it: leave out --real"):
        proposed(administrator, LAN, face="real")


def test_a_name_with_other_prefixes_is_taken(administrator: Administrator) -> None:
    announce(administrator, site("office", LAN))

    with pytest.raises(SiteRefused, match="office already is 192.168.1.0/24: give another name, or exactly"):
        proposed(administrator, "10.7.0.0/16")
    with pytest.raises(SiteRefused, match="ann is the name of a node: choose another name for the site"):
        proposed(administrator, "10.7.0.0/16", name="ann")


# -- What is free ------------------------------------------------------------------------------------


def test_the_pool_is_filled_without_gaps_that_larger_sites_would_need(administrator: Administrator) -> None:
    taken = ("100.96.0.0/24", "100.96.2.0/24", "100.97.0.0/16")
    sites = [site(f"s{i}", f"10.{i}.0.0/{one[-2:]}", mapped=(one,)) for i, one in enumerate(taken)]
    announce(administrator, *sites)

    assert proposed(administrator, LAN, face="mapped").mapped == prefixes("100.96.1.0/24")
    assert proposed(administrator, "10.8.0.0/15", face="mapped").mapped == prefixes("100.98.0.0/15")
    assert proposed(administrator, "10.9.9.9/32", face="mapped").mapped == prefixes("100.96.1.0/32")


def test_sites_that_wait_for_an_approval_keep_their_faces_apart() -> None:
    one = without_rights()
    one.announce(ANN, site("blue", "10.42.0.0/16", "10.43.0.0/16", mapped=("100.96.0.0/16", "100.97.0.0/16")))

    green = proposed(one, "10.42.0.0/16", "10.43.0.0/16", name="green", face="mapped")
    beside_blue = proposed(one, "10.42.0.0/16", "10.43.0.0/16", name="blue", face="mapped")

    assert green.mapped == prefixes("100.98.0.0/16", "100.99.0.0/16")
    assert beside_blue.mapped == prefixes("100.96.0.0/16", "100.97.0.0/16")


def test_a_site_that_waits_with_its_real_face_has_later_ones_mapped_and_refuses_no_real_one() -> None:
    one = without_rights()
    one.announce(ANN, site("home", LAN))

    found = proposed(one, LAN)

    assert found == Proposal(prefixes("100.96.0.0/24"), "home waits for an approval as 192.168.1.0/24")
    assert proposed(one, LAN, face="real") == Proposal(prefixes(LAN))


def test_what_waits_for_an_approval_uses_up_no_pool() -> None:
    one = without_rights()
    one.announce(ANN, site("all", "10.16.0.0/12", mapped=("100.96.0.0/12",)))

    assert proposed(one, LAN, face="mapped").mapped == prefixes("100.96.0.0/24")


def without_rights() -> Administrator:
    """Ann and Bob may announce nothing without an approval."""
    one = Administrator()
    one.found()
    one.invite(TOKEN)
    one.join(ANN, TOKEN, name="ann")
    one.join(BOB, TOKEN, name="bob")
    return one


def test_a_pool_that_is_used_up_is_said_to_be(administrator: Administrator) -> None:
    announce(administrator, site("all", "10.16.0.0/13", mapped=("100.96.0.0/13",)))

    assert proposed(administrator, "10.32.0.0/13", face="mapped").mapped == prefixes("100.104.0.0/13")
    with pytest.raises(SiteRefused, match=r"prod has no /12 left in its pool 100.96.0.0/12 for 10.32.0.0/12"):
        proposed(administrator, "10.32.0.0/12", face="mapped")
    with pytest.raises(SiteRefused, match="has no /8 left"):
        proposed(administrator, "11.0.0.0/8", face="mapped")


def test_a_site_of_ipv6_has_a_48_of_its_own_and_keeps_its_places_in_it(administrator: Administrator) -> None:
    announce(administrator, site("home", "fd00:7::/64", mapped=("fd12:3456:1::/64",)))

    found = proposed(
        administrator, "2001:db8:1:2::/64", "2001:db8:1:3::/112", "2001:db8:2:2::/64", face="mapped"
    )

    assert found.mapped == prefixes("fd12:3456:2:2::/64", "fd12:3456:2:3::/112", "fd12:3456:3:2::/64")


def test_a_prefix_that_is_wider_than_a_site_of_ipv6_is_not_mapped(administrator: Administrator) -> None:
    with pytest.raises(SiteRefused, match="2001:db8::/47 is wider than a site's /48"):
        proposed(administrator, "2001:db8::/47", face="mapped")


@given(
    taken=st.lists(st.tuples(st.integers(0, (1 << 20) - 1), st.integers(14, 32)), max_size=20),
    length=st.integers(14, 32),
)
def test_a_proposal_is_free_and_the_first_that_is(taken: list[tuple[int, int]], length: int) -> None:
    one = Administrator()
    used: list[IPv4Network] = []
    one.found()
    one.invite(TOKEN, routes=EVERYTHING)
    one.join(ANN, TOKEN)
    pool = IPv4Network("100.96.0.0/12")
    for place, bits in taken:
        mapped = IPv4Network((int(pool.network_address) + place, bits), strict=False)
        if not any(mapped.overlaps(other) for other in used):
            used.append(mapped)
    sites = [site(f"s{i}", _real(mapped), mapped=(str(mapped),)) for i, mapped in enumerate(used)]
    one.announce(ANN, *sites)
    wanted = WantedSite("office", (IPv4Network((0x0B000000, length)),), "mapped")
    candidates = pool.subnets(new_prefix=length) if length <= 24 else iter(())
    free = next((one for one in candidates if not any(map(one.overlaps, used))), None)

    try:
        (found,) = propose(charter(one), one.topology(), ANN.verify_key(), wanted).mapped
    except SiteRefused:
        assert free is None
        assert length < 24
        return

    assert is_mappable(charter(one), found)
    assert not any(found.overlaps(other) for other in used)
    assert free in (None, found)


def _real(mapped: IPv4Network) -> str:
    """Return a prefix of 10.0.0.0/8 for one of the pool."""
    return f"{IPv4Address(int(mapped.network_address) ^ 0x6E000000)}/{mapped.prefixlen}"


# -- Exits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", ["either", "real"])
def test_an_exit_is_default_routes_as_they_are(administrator: Administrator, face: str) -> None:
    announce(administrator, site("office", LAN))

    found = proposed(administrator, "::/0", "0.0.0.0/0", name="internet", face=face)

    assert found == Proposal(prefixes("0.0.0.0/0", "::/0"))


def test_an_exit_cannot_be_mapped(administrator: Administrator) -> None:
    with pytest.raises(SiteRefused, match="internet is an exit, .*: leave out --mapped"):
        proposed(administrator, "0.0.0.0/0", name="internet", face="mapped")


def test_another_gateway_of_an_exit_announces_the_same(administrator: Administrator) -> None:
    administrator.approve(ANN, "0.0.0.0/0")
    announce(administrator, site("internet", "0.0.0.0/0"))

    assert proposed(administrator, "0.0.0.0/0", name="internet").mapped == prefixes("0.0.0.0/0")
    with pytest.raises(SiteRefused, match="internet already is"):
        proposed(administrator, "0.0.0.0/0", "::/0", name="internet")


@pytest.mark.parametrize("face", ["either", "mapped", "real"])
def test_no_site_is_in_the_way_of_an_exit_nor_the_reverse(administrator: Administrator, face: str) -> None:
    before = proposed(administrator, LAN, face=face)
    administrator.approve(ANN, "0.0.0.0/0", "::/0")
    announce(administrator, site("internet", "0.0.0.0/0", "::/0"))

    assert proposed(administrator, LAN, face=face) == before


# -- What no node can announce -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (["192.168.0.0/16", LAN], "192.168.0.0/16 and 192.168.1.0/24 overlap: name one of them"),
        ([LAN, LAN], "a prefix is named twice: name it once"),
        (["0.0.0.0/1"], "0.0.0.0/1 cannot be announced: it is a default route"),
        (["0.0.0.0/0", "10.7.0.0/24"], "default routes alone make an exit: give the other prefixes"),
        (["::/1"], "::/1 cannot be announced: it is a default route"),
        (["127.0.0.0/8"], "127.0.0.0/8 cannot be announced: it overlaps 127.0.0.0/8, which is loopback"),
        (["169.254.169.254/32"], "which is link-local, with a cloud's metadata"),
        (["100.80.1.0/24"], "100.80.1.0/24 overlaps 100.80.0.0/16, the range of prod itself"),
        (["100.0.0.0/8"], "100.0.0.0/8 overlaps 100.80.0.0/16, the range of prod itself"),
        (["100.97.0.0/24"], "100.97.0.0/24 overlaps 100.96.0.0/12, the pool of prod itself"),
        (["fd12:3456:7::/48"], "fd12:3456:7::/48 overlaps fd12:3456::/32, the range of prod itself"),
    ],
)
@pytest.mark.parametrize("face", ["either", "mapped", "real"])
def test_what_nobody_can_announce_is_refused_with_what_to_do(
    administrator: Administrator, wanted: list[str], sentence: str, face: str
) -> None:
    with pytest.raises(SiteRefused) as refused:
        proposed(administrator, *wanted, face=face)

    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "mapped", [(), ("100.96.0.0/25",), ("10.0.0.0/24",), ("100.96.0.0/24", "100.96.1.0/24"), ("fd12::/24",)]
)
def test_a_node_takes_no_proposal_of_other_lengths_or_of_no_pool(
    administrator: Administrator, mapped: tuple[str, ...]
) -> None:
    wanted = WantedSite("office", prefixes(LAN), "mapped")

    assert not is_proposal(charter(administrator), wanted, Proposal(prefixes(*mapped)))
