"""A node behind a router whose firewall lets nothing in by IPv6 but what answers, unless PCP asks for it.

web 2001:db8:30::2 ── lan │ web-nat  2001:db8::30 and 44.128.0.30, miniupnpd ── net ── hub 2001:db8::2

web sends no keepalives, and its router soon forgets, so only what the router lets in leads to it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.integration.hosts import Lab, add_addresses, eventually
from tests.integration.internet import Internet, add_bridge, attach
from tests.integration.meshlab import NETWORK, PORT, Node
from tests.integration.test_mesh_port_mapping import Router, forget, reached, restart
from wgpy.node.network_check import PortMapping

pytestmark = [pytest.mark.xdist_group("mesh_pinhole"), pytest.mark.slow]

_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_FORGETTING = 3  # seconds, as `forget` waits for
_WEB, _HUB = "2001:db8:30::2", "2001:db8::2"
_ENDPOINT = f"[{_WEB}]:{PORT}"


@dataclass(frozen=True, slots=True)
class World:
    hub: Node
    web: Node
    router: Router

    def pinhole(self) -> PortMapping:
        return self.web.status().pinhole

    def is_open(self) -> bool:
        rules = self.router.host.run("nft", "list", "chain", "inet", "upnp", "miniupnpd")
        return f"dport {PORT}" in rules

    def serve(self) -> None:
        self.router.serve()
        self.router.host.run("nft", "insert rule inet upnp in meta l4proto ipv6-icmp accept")


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    net = Internet.build(module_lab, "44.128.0")
    hub, host, router = net.public("hub", 2), module_lab.host("web"), module_lab.host("web-nat")
    add_addresses(hub.host, "eth0", f"{_HUB}/64")
    net.plug(router, "wan", 30)
    add_bridge(router, "lan")
    attach(host, "eth0", router, "lan")
    add_addresses(router, "wan", "2001:db8::30/64")
    add_addresses(router, "lan", "192.168.30.1/24", "2001:db8:30::1/64", "fe80::1/64")
    add_addresses(host, "eth0", f"{_WEB}/64")
    host.run("ip", "route", "add", "default", "via", "fe80::1", "dev", "eth0")
    hub.host.run("ip", "route", "add", "2001:db8:30::/64", "via", "2001:db8::30")
    timeouts = [f"net.netfilter.nf_conntrack_udp_timeout{kind}={_FORGETTING}" for kind in ("", "_stream")]
    router.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", *timeouts)
    built = World(hub, Node("web", host, _WEB, _WEB), Router(router))
    built.serve()
    hub.mesh("init", NETWORK, "--public", _HUB, "--name", "hub")
    built.web.join(hub.token(), "--keepalive", "off")
    return built


def is_let_in(world: World) -> Callable[[], bool]:
    return lambda: world.pinhole().endpoint == _ENDPOINT


def test_a_node_that_is_let_in_is_reached_after_any_silence(world: World) -> None:
    eventually(is_let_in(world), "the router lets web in", _WITHIN)
    assert (world.pinhole().protocol, world.is_open()) == ("PCP", True)

    forget()

    assert world.hub.ping(world.web, within=20) > 0
    assert reached(world.hub, world.web) == (_ENDPOINT, "")


def test_commands_say_what_the_firewall_lets_in(world: World) -> None:
    assert f"let in by IPv6: {_ENDPOINT} by PCP, until 2" in world.web.mesh("status")
    assert f"{_ENDPOINT} by PCP, until 2" in world.web.mesh("netcheck")


def test_a_node_that_was_killed_asks_again_and_takes_the_firewall_for_no_less(world: World) -> None:
    restart(world.web)

    eventually(is_let_in(world), "the router lets web in", _WITHIN)
    eventually(lambda: bool(world.web.status().registered), "web is reached by relays as well", _WITHIN)
    assert world.web.status().filtered


def test_a_node_that_is_told_so_asks_for_none(world: World) -> None:
    world.web.mesh("down")
    world.serve()  # as it was: miniupnpd 2.3.1 takes nobody for who asked for a pinhole, and so keeps it

    world.web.mesh("up", "--no-port-mapping")

    eventually(lambda: world.web.status().filtered, "web knows of the firewall", _WITHIN)
    assert world.pinhole().trouble == "not asked for, as --no-port-mapping says"
    assert not world.is_open()
