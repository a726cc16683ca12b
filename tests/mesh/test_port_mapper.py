"""Whether a node asks its router for a port mapping, and what it says of one that it has not."""

import asyncio
from dataclasses import replace

import pytest

from tests.mesh.test_keepalives import at_home, identity
from wgpy.cli.mesh.netcheck import router_text
from wgpy.cli.mesh.status import mapping_text
from wgpy.contract.endpoint import Endpoint
from wgpy.node.network_check import NO_ANSWER, NO_MAPPING, PortMapping, RouterCheck
from wgpyd.agent.identity import LocalIdentity
from wgpyd.agent.wanted_mapping import WantedMapping

NAT, GIVEN = "203.0.113.7", Endpoint("203.0.113.7", 51820)


def trouble(node: LocalIdentity, nat: str) -> str:
    async def scenario() -> str:
        mapper = WantedMapping(node, lambda: 51820, lambda: None)
        mapper.configure(nat, (), at_home())
        assert mapper.endpoints == ()
        return mapper.report().trouble

    return asyncio.run(scenario())


def pinhole_trouble(node: LocalIdentity, own6: str) -> str:
    async def scenario() -> str:
        mapper = WantedMapping(node, lambda: 51820, lambda: None)
        mapper.configure("", (), at_home(), own6)
        assert mapper.report().trouble
        return mapper.report(6).trouble

    return asyncio.run(scenario())


def with_file(**changes: object) -> LocalIdentity:
    node = identity("auto")
    node.node = replace(node.node, **changes)  # type: ignore[arg-type]
    return node


@pytest.mark.parametrize("nat", ["", "2001:db8::1"])
def test_a_node_that_is_behind_no_nat_asks_nobody(nat: str) -> None:
    assert trouble(with_file(), nat) == "not needed, as this host is behind no NAT of IPv4 that is known"


def test_a_node_whose_operator_does_not_want_it_asks_nobody() -> None:
    assert trouble(with_file(port_mapping=False), NAT) == "not asked for, as --no-port-mapping says"


def test_a_node_whose_endpoint_is_given_asks_nobody() -> None:
    assert trouble(with_file(endpoints=(GIVEN,)), NAT) == "not asked for, as this node's endpoint is given"


def test_a_node_behind_a_nat_asks() -> None:
    assert trouble(with_file(), NAT) == ""


def test_a_node_behind_a_firewall_of_ipv6_asks_if_its_operator_lets_it() -> None:
    own6 = "2001:db8::7"

    assert pinhole_trouble(with_file(), own6) == ""
    assert pinhole_trouble(with_file(), "") == "not needed, as no firewall of IPv6 is known"
    assert pinhole_trouble(with_file(port_mapping=False), own6).startswith("not asked for, as --no-port-")
    assert pinhole_trouble(with_file(endpoints=(GIVEN,)), own6).startswith("not asked for, as this node's")


# -- What commands say -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "text"),
    [
        (NO_MAPPING, "being asked for"),
        (PortMapping(trouble="the router 192.168.1.1 is of no use: it maps to port 0"),
         "the router 192.168.1.1 is of no use: it maps to port 0"),
        (PortMapping("203.0.113.7:51820", "PCP", 1 << 53),
         f"203.0.113.7:51820 by PCP, until {1 << 53}"),
    ],
)  # fmt: skip
def test_a_mapping_is_shown_or_why_there_is_none(mapping: PortMapping, text: str) -> None:
    assert mapping_text(mapping) == text


@pytest.mark.parametrize(
    ("address", "offers", "text"),
    [
        ("", {}, "none is asked"),
        ("192.168.1.1", {"PCP": "", "UPnP": ""}, "192.168.1.1 offers PCP, UPnP"),
        ("192.168.1.1", {"PCP": NO_ANSWER, "UPnP": NO_ANSWER}, "192.168.1.1 offers no port mapping"),
        ("192.168.1.1", {"PCP": "", "UPnP": "it fails"}, "192.168.1.1 offers PCP; UPnP: it fails"),
    ],
)  # fmt: skip
def test_what_a_router_offers_is_shown(address: str, offers: dict[str, str], text: str) -> None:
    assert router_text(RouterCheck(address, offers, NO_MAPPING)) == text
