"""What an interface translates for the sites of its node, and what its host is to pass on."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network
from socket import IPPROTO_TCP, IPPROTO_UDP
from typing import Any

from tests.mesh.network import key_of, prefixes
from wgpy.contract.constants import MAX_CLOSED_PORTS
from wgpy.contract.orders import LocalPort, Translation
from wgpy.mesh.plan import LinkPlan, LocalView, NodePlan, Routing
from wgpy.mesh.rules import allowed_ip
from wgpy.mesh.sites import Gateway, Site
from wgpyd.agent.reconcile.gateway import (
    masquerade,
    mesh_of,
    prefixes_of,
    read_own_addresses,
    translations,
)

LOCAL = key_of(3).verify_key()
UDP, TCP = (IPPROTO_UDP, 51820), (IPPROTO_TCP, 443)
REAL = prefixes("192.168.1.0/24", "fd40::/64")
MAPPED = prefixes("100.96.4.0/24", "fd12:3456:3:7::/64")
OWN = {
    "lan": (ip_interface("192.168.1.1/24"), ip_interface("fd40::1/64")),
    "wan": (ip_interface("203.0.113.7/24"),),
}


def site(name: str, *, mapped: bool = True, is_routed: bool = False, real: tuple[str, ...] = ()) -> Site:
    own = prefixes(*real) if real else REAL
    return Site(name, own, MAPPED if mapped else own, (Gateway(LOCAL, 100, is_routed),))


def plan_of(*sites: Site, routes: tuple[str, ...] = ("10.20.0.0/24",)) -> NodePlan:
    view = LocalView(LOCAL, IPv4Address("10.20.0.1"), {}, frozenset(), frozenset(), Routing(7, 8))
    link = LinkPlan(1380, (ip_interface("10.20.0.1/24"), ip_interface("fd12::5/32")))
    return replace(NodePlan.empty(), view=view, link=link, routes=prefixes(*routes), own_sites=sites)


def test_each_prefix_of_a_mapped_site_is_translated() -> None:
    wanted = translations([site("office"), site("plant", mapped=False, real=("10.7.0.0/16",))], {}, [])

    assert wanted.translations == tuple(
        Translation(allowed_ip(face), allowed_ip(real)) for face, real in zip(MAPPED, REAL, strict=True)
    )


def test_the_meshs_own_ports_are_closed_at_the_hosts_addresses_in_a_mapped_site() -> None:
    wanted = translations([site("office")], OWN, [UDP, TCP])

    lan = (ip_address("192.168.1.1").packed, ip_address("fd40::1").packed)
    assert wanted.closed == tuple(LocalPort(address, *port) for address in lan for port in (UDP, TCP))


def test_of_more_addresses_than_can_be_closed_those_with_neighbours_count() -> None:
    single = tuple(ip_interface(f"192.168.1.{number}/32") for number in range(2, 200))

    wanted = translations([site("office")], {"dummy": single, "lan": OWN["lan"][:1]}, [UDP])

    assert len(wanted.closed) == MAX_CLOSED_PORTS
    assert wanted.closed[0] == LocalPort(ip_address("192.168.1.1").packed, *UDP)


def test_what_the_mesh_routes_is_masqueraded_for_sites_without_a_route_back() -> None:
    routed = site("plant", mapped=False, is_routed=True, real=("10.7.0.0/16",))

    wanted = masquerade(plan_of(site("office"), routed, routes=("10.20.0.0/24", "0.0.0.0/0")), "mesh0")

    assert wanted.interface == "mesh0"
    assert wanted.own == (ip_address("10.20.0.1"), ip_address("fd12::5"))
    assert wanted.sources == prefixes("10.20.0.0/24")
    assert wanted.real == (*REAL, *prefixes("10.7.0.0/16"))
    assert wanted.masqueraded == REAL


def test_hosts_of_a_site_with_another_gateway_get_an_address_of_this_one_for_what_they_begin() -> None:
    alone, exit_ = site("office"), site("internet", mapped=False, real=("0.0.0.0/0",))
    routed = site("plant", is_routed=True, real=("10.7.0.0/16",))
    other = Gateway(key_of(4).verify_key(), 100, False)
    both = [replace(one, gateways=(*one.gateways, other)) for one in (alone, routed, exit_)]

    assert masquerade(plan_of(alone, routed, exit_), "mesh0").lent == ()
    assert masquerade(plan_of(*both), "mesh0").lent == REAL


def test_an_exit_is_no_way_to_what_no_site_may_have() -> None:
    exit_ = site("internet", mapped=False, real=("0.0.0.0/0", "::/0"))

    assert masquerade(plan_of(site("office")), "mesh0").closed == ()
    closed = masquerade(plan_of(site("office"), exit_), "mesh0").closed
    assert {*prefixes("169.254.0.0/16", "fd00:ec2::254/128", "fe80::/10")} <= {*closed}


def test_only_sites_that_are_named_are_opened() -> None:
    sites = [site("office"), site("plant", real=("10.7.0.0/16",), mapped=False)]

    assert prefixes_of(sites, {"plant"}) == list(prefixes("10.7.0.0/16"))
    assert prefixes_of(sites) == [*REAL, ip_network("10.7.0.0/16")]


def test_another_member_is_never_this_one() -> None:
    assert mesh_of(plan_of(), "mesh0").members == {4: ip_address("10.20.0.2"), 6: ip_address("fd12::1")}


def test_the_addresses_of_the_mesh_are_not_of_a_site() -> None:
    links: list[dict[str, Any]] = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
        {"ifname": "mesh0", "addr_info": [{"local": "10.20.0.1", "prefixlen": 24}]},
        {"ifname": "lan", "addr_info": [{"local": "192.168.1.1", "prefixlen": 24}, {"family": "inet6"}]},
        {"ifname": "down"},
    ]

    assert read_own_addresses(links, "mesh0") == {
        "lo": (ip_interface("127.0.0.1/8"),),
        "lan": (ip_interface("192.168.1.1/24"),),
        "down": (),
    }
