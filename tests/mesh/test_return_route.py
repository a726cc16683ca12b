"""The return route of a host of a site that is a node itself: by the gateway of the site, in its network."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from tests.mesh.network import EVERYTHING, Administrator, key_of, prefixes, site
from wgpy.address import Address
from wgpy.mesh.addressing import DEFAULT_ROUTES
from wgpy.mesh.plan import LocalView, NodePlan, Routing, plan
from wgpy.mesh.return_route import ReturnRoute
from wgpy.mesh.signing import SigningKey
from wgpyd.agent.reconcile.routes import Route, return_changes, route_changes

TOKEN, ANN, BOB = map(key_of, (2, 11, 12))
PODS = ("10.42.0.0/16", "fd00:42::/48")
BLUE = site("blue", *PODS, mapped=("100.96.0.0/16", "fd12:3456:1::/48"), is_routed=True)
GATEWAY, GATEWAY6 = ip_address("192.168.7.1"), ip_address("fd00:7::1")
TABLE, MESH_TABLE = 153_000_007, 151_000_007


def network() -> Administrator:
    """Ann is the gateway of blue, and Bob a host of it."""
    administrator = Administrator()
    administrator.found()
    administrator.invite(TOKEN, routes=(*EVERYTHING, *DEFAULT_ROUTES))
    for key in (ANN, BOB):
        administrator.join(key, TOKEN)
    administrator.announce(ANN, BLUE, site("internet", "0.0.0.0/0"))
    return administrator


def planned(name: str, *gateways: Address, node: SigningKey = BOB) -> ReturnRoute | None:
    administrator = network()
    topology, charter = administrator.topology(), administrator.ledger().charter()
    member = topology.member(node.verify_key())
    assert member is not None
    assert charter is not None
    own = {ip_network("192.168.7.0/24"): "a network of eth0"}
    view = LocalView(
        member.identity, member.address, own, frozenset(), frozenset({4, 6}), Routing(MESH_TABLE, 8),
        return_site=name, return_gateways=gateways,
    )  # fmt: skip
    return plan(charter, topology, view, NodePlan.empty()).return_route


def by(*gateways: Address) -> ReturnRoute:
    found = planned("blue", *gateways)
    assert found is not None
    return found


def test_a_node_that_was_not_told_to_has_no_return_route() -> None:
    assert planned("") is None


def test_what_bears_an_address_of_the_site_reaches_nodes_and_mapped_sites_by_its_gateway() -> None:
    found = by(GATEWAY, GATEWAY6)

    assert (found.sources, found.trouble) == (prefixes(*PODS), "")
    assert found.destinations == prefixes("100.96.0.0/12", "100.80.0.0/16", "fd12:3456::/32")


def test_only_the_version_of_ip_of_which_the_gateway_has_an_address_has_one() -> None:
    found = by(GATEWAY)

    assert (found.sources, found.destinations) == (
        prefixes("10.42.0.0/16"), prefixes("100.96.0.0/12", "100.80.0.0/16"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "node", "why"),
    [
        ("green", BOB, "no node that is known here is a gateway of it"),
        ("internet", BOB, "it is an exit"),
        ("blue", ANN, "this node is a gateway of it itself"),
    ],
)
def test_a_return_route_that_cannot_be_is_none_and_a_warning_says_why(
    name: str, node: SigningKey, why: str
) -> None:
    found = planned(name, GATEWAY, node=node)

    assert found is not None
    assert (found.sources, found.destinations) == ((), ())
    assert why in found.warning
    assert "`wgpy mesh site return --none`" in found.warning


LINES = [
    f"route add 100.80.0.0/16 via 192.168.7.1 table {TABLE} proto 151",
    f"route add 100.96.0.0/12 via 192.168.7.1 table {TABLE} proto 151",
    f"route add fd12:3456::/32 via fd00:7::1 table {TABLE} proto 151",
]
FOUND = [
    Route(ip_network("100.80.0.0/16"), "eth0", "192.168.7.1", "151", 0, "1", str(TABLE)),
    Route(ip_network("100.96.0.0/12"), "eth0", "192.168.7.1", "151", 0, "1", str(TABLE)),
    Route(ip_network("fd12:3456::/32"), "eth0", "fd00:7::1", "151", 1024, "1", str(TABLE)),
]


def test_its_table_has_the_ranges_of_the_mesh_by_the_gateway() -> None:
    wanted = by(GATEWAY, GATEWAY6)

    assert return_changes([], wanted, TABLE) == tuple(LINES)
    assert return_changes(FOUND, wanted, TABLE) == ()


def test_by_another_gateway_the_former_routes_go() -> None:
    lines = return_changes(FOUND[:2], by(ip_address("192.168.7.9")), TABLE)

    assert lines == tuple(
        line.replace("add", verb).replace("192.168.7.1", gateway)
        for verb, gateway in (("delete", "192.168.7.1"), ("add", "192.168.7.9"))
        for line in LINES[:2]
    )


def test_without_it_nothing_of_it_stays_and_what_is_anothers_does() -> None:
    others = [replace(FOUND[0], table=str(MESH_TABLE)), replace(FOUND[1], protocol="4")]

    assert len(return_changes([*FOUND, *others], None, TABLE)) == len(FOUND)


def test_a_return_route_takes_nothing_from_what_leads_into_the_interface() -> None:
    changes = route_changes(FOUND, prefixes("100.80.0.0/16"), "mesh0", MESH_TABLE, prefixes("100.96.0.0/12"))

    assert changes.conflicts == {}
    assert len(changes.lines) == 3
