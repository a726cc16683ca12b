"""A host with IPv6 alone behind a NAT64, in a network of hosts with IPv4 alone.

                                             ┌── hub 203.0.113.2 (coordinator, a relay)
six  eth6 2001:db8::10 ───────────── net ────┼── box 203.0.113.10 and 2001:db8::110 (tayga, dnsmasq)
web  192.168.20.2 ── web-nat 203.0.113.20 ───┘

web is in IPv4 first, and then behind the NAT64 as well.
"""

import re
import shutil
from dataclasses import dataclass
from functools import partial

import pytest

from tests.integration.access import put_behind_nat64
from tests.integration.hosts import Lab, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK, Node
from tests.integration.topologies import NAT64_PREFIX

pytestmark = [
    pytest.mark.xdist_group("mesh_nat64"),
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tayga") is None, reason="needs tayga: apt-get install tayga"),
]

_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_HUB = f"[{NAT64_PREFIX}cb00:7102]:51820"


@dataclass(frozen=True, slots=True)
class World:
    net: Internet
    hub: Node
    six: Node
    web: Node


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    net = Internet.build(module_lab)
    hub, (web, _) = net.public("hub", 2), net.behind_nat("web", 20)
    six = put_behind_nat64(net, module_lab.host("six"), 10)
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    token = hub.token("--uses", "2")
    six.join(token)
    web.join(token)
    return World(net, hub, six, web)


def test_a_host_with_ipv6_alone_reaches_hosts_with_ipv4_alone(world: World) -> None:
    hub, six, web = world.hub, world.six, world.web

    for one, other in ((six, hub), (hub, six), (six, web), (web, six)):
        eventually(partial(one.reaches, other), f"{one.name} and {other.name}", _WITHIN)
    eventually(lambda: _is_direct(six, web) and _is_direct(web, six), "both send directly", _WITHIN)

    assert _endpoint(six, hub) == _HUB
    assert _endpoint(web, six).startswith("203.0.113.10:")
    assert six.status().nat == "203.0.113.10"


def test_commands_say_by_what_it_reaches_them(world: World) -> None:
    found, said = world.six.ask("netcheck"), world.six.mesh("netcheck")

    assert (found["nat64"], found["nats"]["IPv6"]) == (
        f"{NAT64_PREFIX}/96",
        "unknown, as no node has answered",
    )
    assert found["nats"]["IPv4"].startswith("a NAT, 203.0.113.10, ")
    assert re.search(r"^UDP +passes$", said, re.MULTILINE)
    assert re.search(rf"^NAT64 +.* {NAT64_PREFIX}/96$", said, re.MULTILINE)
    assert f"answered from {_HUB}" in world.six.why("hub")["findings"]["UDP"]["text"]


def test_a_change_to_a_network_with_ipv6_alone_is_survived(world: World) -> None:
    hub, web = world.hub, world.web
    assert web.reaches(hub)

    web.host.run("ip", "link", "delete", "eth0")
    put_behind_nat64(world.net, web.host, 30)

    for one, other in ((web, hub), (hub, web), (web, world.six)):
        eventually(partial(one.reaches, other), f"{one.name} and {other.name}", _WITHIN)
    eventually(lambda: _endpoint(web, hub) == _HUB, "web reaches hub by UDP", _WITHIN)


def _is_direct(one: Node, other: Node) -> bool:
    (peer,) = (peer for peer in one.status().peers if peer.name == other.name)
    if peer.relay:
        one.ping(other, within=5)
    return not peer.relay


def _endpoint(one: Node, other: Node) -> str:
    (peer,) = (peer for peer in one.status().peers if peer.name == other.name)
    return peer.endpoint
