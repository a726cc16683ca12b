"""Where a host is: what `ip` says of its links, and which of it others are told."""

from ipaddress import ip_address
from typing import Any

import pytest

from tests.mesh.network import prefixes
from wgpy.contract.endpoint import Endpoint
from wgpyd.agent.host_networks import (
    MAX_FOUND,
    NOWHERE,
    choose,
    dialled_versions,
    read_host_networks,
)

PORT = 51820
GIVEN = Endpoint("198.51.100.1", 443)
MESH = prefixes("100.80.0.0/16", "fd12:3456::/32")


def link(name: str, *addresses: str, kind: str = "", **fields: Any) -> dict[str, Any]:
    """A link that is up, as `ip -details -json address` prints it."""
    halves = (text.split("/") for text in addresses)
    found = [{"local": address, "prefixlen": int(length)} for address, length in halves]
    info = {"linkinfo": {"info_kind": kind}} if kind else {}
    return {"ifname": name, "flags": ["UP"], "addr_info": found, **info, **fields}


def endpoints(*addresses: str, port: int = PORT) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(address, port) for address in addresses)


def test_networks_are_those_of_all_links_but_the_meshs_own() -> None:
    links = [
        link("lo", "127.0.0.1/8", "::1/128"),
        link("eth0", "192.168.7.5/24", "fe80::1/64"),
        link("docker0", "172.17.0.1/16", kind="bridge"),
        link("mesh0", "100.80.0.1/16", kind="tun"),
    ]

    networks = read_host_networks(links, "mesh0").networks

    assert set(networks) == set(prefixes("192.168.7.0/24", "172.17.0.0/16"))
    assert networks[prefixes("172.17.0.0/16")[0]] == "a network of docker0"


@pytest.mark.parametrize(
    ("kind", "by", "is_contained", "found"),
    [
        ("tap", "eth0", True, "eth0"),
        ("tap", "eth0", False, ""),
        ("tap", "eth1", True, ""),
        ("tun", "eth0", True, ""),
    ],
    ids=["a rootless container", "a host", "beside the way out", "a VPN"],
)
def test_a_tap_by_which_a_container_reaches_all_is_a_network_in_user_space(
    kind: str, by: str, is_contained: bool, found: str
) -> None:
    tap = link("eth0", "10.0.2.100/24", kind="tun")
    tap["linkinfo"]["info_data"] = {"type": kind}
    routes = [{"dst": "default", "gateway": "10.0.2.2", "dev": by}]

    here = read_host_networks([tap], "mesh0", routes, is_contained=is_contained)

    assert here.user_mode == found
    assert here.addresses == ()


def test_in_a_rootless_container_a_bridge_leads_to_a_network_in_user_space_as_well() -> None:
    links = [link("eth0", "10.89.0.2/24", kind="veth")]
    routes = [{"dst": "default", "gateway": "10.89.0.1", "dev": "eth0"}]

    for is_rootless, found in ((True, "eth0"), (False, "")):
        here = read_host_networks(links, "mesh0", routes, is_contained=True, is_rootless=is_rootless)
        assert here.user_mode == found


@pytest.mark.parametrize(
    "links",
    [
        [link("lo", "127.0.0.1/8", "::1/128")],
        [link("eth0", "fe80::1/64", "169.254.1.1/16")],
        [link("wg0", "10.8.0.1/24", kind="wireguard")],
        [link("tun0", "10.9.0.1/24", kind="tun")],
        [link("flannel.1", "10.42.0.0/32", kind="vxlan")],
        [link("kube-ipvs0", "10.43.0.1/32", kind="dummy")],
        [link("eth1", "10.1.0.1/24", flags=["BROADCAST"])],
        [link("cni0", "10.42.1.1/24", kind="bridge"), link("veth1", kind="veth", master="cni0")],
    ],
    ids=lambda links: links[0]["ifname"],
)
def test_nobody_is_told_an_address_that_nobody_can_come_in_by(links: list[dict[str, Any]]) -> None:
    assert read_host_networks(links, "mesh0").addresses == ()


def test_a_bridge_with_a_card_in_it_leads_out() -> None:
    links = [link("br0", "10.0.0.5/24", kind="bridge"), link("eth0", master="br0")]

    assert read_host_networks(links, "mesh0").addresses == (ip_address("10.0.0.5"),)


@pytest.mark.parametrize("state", ["temporary", "deprecated", "tentative"])
def test_an_address_that_will_not_last_is_told_to_nobody(state: str) -> None:
    eth0 = link("eth0", "2001:4860::5/64")
    eth0["addr_info"][0][state] = True

    assert read_host_networks([eth0], "mesh0").addresses == ()


def test_addresses_of_the_internet_come_before_those_of_a_lan_whatever_the_order_of_links() -> None:
    links = [link("eth0", "192.168.7.5/24", "2001:4860::5/64"), link("eth1", "8.8.4.4/24")]

    for order in (links, links[::-1]):
        assert read_host_networks(order, "mesh0").addresses == tuple(
            map(ip_address, ("8.8.4.4", "2001:4860::5", "192.168.7.5"))
        )


def test_what_the_operator_gave_is_first_then_what_the_coordinator_saw() -> None:
    here = read_host_networks([link("eth0", "192.168.7.5/24")], "mesh0")

    assert choose([GIVEN], "203.0.113.9", here, PORT, MESH) == (
        GIVEN,
        *endpoints("203.0.113.9", "192.168.7.5"),
    )


def test_a_mapped_address_is_that_of_ipv4() -> None:
    assert choose([], "::ffff:203.0.113.9", NOWHERE, PORT, MESH) == endpoints("203.0.113.9")


@pytest.mark.parametrize("seen", ["", "127.0.0.1", "::1", "fe80::1", "100.80.0.7", "fd12:3456::7", "proxy"])
def test_what_the_coordinator_saw_may_be_of_no_use(seen: str) -> None:
    assert choose([], seen, NOWHERE, PORT, MESH) == ()


def test_an_address_of_this_host_that_others_are_not_to_have_is_not_told_because_it_was_seen() -> None:
    here = read_host_networks([link("wg0", "10.8.0.1/24", kind="wireguard")], "mesh0")

    assert choose([], "10.8.0.1", here, PORT, MESH) == ()


def test_there_are_not_too_many() -> None:
    here = read_host_networks([link("eth0", *(f"10.0.{number}.1/24" for number in range(100)))], "mesh0")

    assert len(choose([GIVEN], "", here, PORT, MESH)) == 1 + MAX_FOUND


@pytest.mark.parametrize(
    ("own", "seen", "versions"),
    [
        (["203.0.113.9/24"], "203.0.113.9", {4}),
        (["2001:db8::9/64"], "2001:db8::9", {6}),
        (["203.0.113.9/24", "2001:4860::9/64"], "2001:4860::9", {4, 6}),
        (["192.168.7.5/24"], "192.168.7.5", {4}),
        (["192.168.7.5/24", "2001:4860::9/64"], "2001:4860::9", {6}),  # a NAT may be before the former
        (["192.168.7.5/24", "2001:4860::9/64"], "::ffff:192.168.7.5", {4, 6}),
        (["192.168.7.5/24", "2001:4860::9/64"], "proxy", {4, 6}),
    ],
)
def test_a_private_address_is_dialled_where_the_coordinator_saw_no_nat(
    own: list[str], seen: str, versions: set[int]
) -> None:
    here = read_host_networks([link("eth0", *own)], "mesh0")

    assert dialled_versions(seen, [], here) == versions
    assert dialled_versions(seen, [GIVEN], here) == versions | {4}
