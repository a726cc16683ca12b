"""Where what leads into a mesh meets the networks and routes of a host."""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import prefixes
from wgpy.address import Prefix
from wgpy.node.overlaps import (
    describe_overlaps,
    loses,
    overlapping,
    read_gateways,
    read_route_prefixes,
)
from wgpyd.agent.host_check import unforwarded
from wgpyd.agent.host_networks import NOWHERE, HostNetworks

RANGE = ip_network("100.80.0.0/16")
ONE_OF_BOTH = "from here only one of the two can be reached"
NO_NODE = "no node can be reached at these addresses"
NOT_THAT = "of that, nothing can be reached at these addresses"
RANGE6 = ip_network("fd12:3456::/32")


def route(destination: str, device: str = "eth1", **fields: Any) -> dict[str, Any]:
    """As `ip -json -N route show` prints it."""
    return {"dst": destination, "dev": device, "protocol": "4", **fields}


@pytest.mark.parametrize(
    ("host", "says"),
    [
        (
            "100.80.0.0/16",
            f"{RANGE} is the range of prod and also a route by eth1: {ONE_OF_BOTH}",
        ),
        (
            "100.80.3.0/24",
            f"100.80.3.0/24, a route by eth1, is within {RANGE}, the range of prod: {NO_NODE}",
        ),
        (
            "100.64.0.0/10",
            f"{RANGE}, the range of prod, is within 100.64.0.0/10, a route by eth1: {NOT_THAT}",
        ),
    ],
    ids=["equal", "narrower", "wider"],
)
def test_an_overlap_is_one_sentence_that_says_what_cannot_be_reached(host: str, says: str) -> None:
    (found,) = describe_overlaps({RANGE: "the range of prod"}, {ip_network(host): "a route by eth1"})

    assert (found.mesh, found.host, found.text) == (RANGE, ip_network(host), says)


@pytest.mark.parametrize("host", ["100.81.0.0/16", "10.0.0.0/8", "fd12:3457::/32"])
def test_what_does_not_overlap_is_not_named(host: str) -> None:
    ranges = dict.fromkeys((RANGE, RANGE6), "the range of prod")

    assert describe_overlaps(ranges, {ip_network(host): "a network of eth0"}) == []


def _prefixes(shift: int) -> st.SearchStrategy[Prefix]:
    """Prefixes of a version of IP, so few that many overlap."""
    return st.builds(
        lambda bits, length: ip_network((bits << shift, length), strict=False),
        st.integers(0, 255),
        st.integers(0, 10),
    )


_PREFIXES = st.one_of(_prefixes(24), _prefixes(120))


@given(st.sets(_PREFIXES, max_size=12), st.sets(_PREFIXES, max_size=12))
def test_the_pairs_are_those_that_overlap_one_by_one(ones: set[Prefix], others: set[Prefix]) -> None:
    found = sorted(overlapping(ones, others), key=str)

    assert found == sorted(
        (
            (one, other)
            for one in ones
            for other in others
            if one.version == other.version and one.overlaps(other)
        ),
        key=str,
    )


def test_routes_are_those_of_the_host_beside_default_routes_networks_and_the_mesh() -> None:
    answer = [
        route("default", gateway="192.168.7.1"),
        route("192.168.7.0/24", "eth0", protocol="2"),
        route("10.0.0.0/8"),
        route("10.9.8.7"),
        route("100.80.0.0/16", "mesh0"),
        route("fe80::/64"),
        route("ff00::/8"),
        {"type": "blackhole", "dst": "10.42.0.0/16"},
    ]

    assert read_route_prefixes(answer, "mesh0") == {
        ip_network("10.0.0.0/8"): "a route by eth1",
        ip_network("10.9.8.7/32"): "a route by eth1",
        ip_network("10.42.0.0/16"): "a route of this host",
    }


def test_gateways_are_those_of_all_default_routes() -> None:
    answer = [
        route("default", gateway="192.168.7.1"),
        route("default", via={"family": "inet6", "host": "fe80::1"}),
        route("default", nexthops=[{"gateway": "10.0.0.1"}, {"gateway": "10.0.0.2"}]),
        route("default"),
        route("10.0.0.0/8", gateway="10.0.0.9"),
    ]

    assert list(map(str, read_gateways(answer))) == ["192.168.7.1", "fe80::1", "10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    ("networks", "is_lost"),
    [((), True), (("100.64.0.0/10",), True), (("100.80.0.0/16",), True), (("100.80.7.0/24",), False)],
    ids=["none", "wider", "equal", "narrower"],
)
def test_an_address_within_a_range_is_lost_unless_the_host_has_a_narrower_network(
    networks: tuple[str, ...], is_lost: bool
) -> None:
    lost = loses(ip_address("100.80.7.1"), [RANGE6, RANGE], prefixes(*networks))

    assert lost == (RANGE if is_lost else None)


def test_an_address_outside_of_the_ranges_is_not_lost() -> None:
    assert loses(ip_address("192.0.2.1"), [RANGE, RANGE6], []) is None
    assert loses(ip_address("2001:db8::1"), [RANGE, RANGE6], []) is None


# -- Forwarding --------------------------------------------------------------------------------------


@pytest.fixture
def sysctls(tmp_path: Path) -> Path:
    for name in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("0\n")
    return tmp_path


def test_who_announces_and_does_not_forward_is_told_so_for_each_version(sysctls: Path) -> None:
    announced = prefixes("10.42.0.0/24", "10.43.0.0/24", "fd42::/64")

    first, second = unforwarded(announced, NOWHERE, sysctls)

    assert first == (
        "this node announces 10.42.0.0/24, 10.43.0.0/24, but its host does not forward IPv4: "
        "`sysctl -w net.ipv4.ip_forward=1`, and a file in /etc/sysctl.d, let packets through"
    )
    assert (
        "fd42::/64, but its host does not forward IPv6: `sysctl -w net.ipv6.conf.all.forwarding=1`" in second
    )


def test_who_forwards_or_announces_only_its_own_address_is_told_nothing(sysctls: Path) -> None:
    own = HostNetworks(dict.fromkeys(prefixes("10.42.0.1/32"), "a network of lo"), ())
    assert unforwarded(prefixes("10.42.0.1/32"), own, sysctls) == []
    assert unforwarded((), NOWHERE, sysctls) == []
    (sysctls / "net/ipv4/ip_forward").write_text("1\n")

    assert unforwarded(prefixes("10.42.0.0/24"), NOWHERE, sysctls) == []


def test_where_there_is_no_such_version_of_ip_nothing_is_said(tmp_path: Path) -> None:
    assert unforwarded(prefixes("10.42.0.0/24", "fd42::/64"), NOWHERE, tmp_path) == []
