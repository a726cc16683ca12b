"""What changes around a node while its tunnels stand: nothing is restarted, and all is reached again.

web 192.168.10.2 ── lan │ web-nat 203.0.113.10 ── net ── hub 203.0.113.2 and 2001:db8::2
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK, Node
from tests.integration.topologies import move

pytestmark = [pytest.mark.xdist_group("mesh_changes"), pytest.mark.slow]

_WITHIN = 60.0  # seconds: hosts are slow where many tests run


@dataclass(frozen=True, slots=True)
class World:
    net: Internet
    hub: Node
    web: Node
    router: Host


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    net = Internet.build(module_lab)
    hub = net.public("hub", 2)
    net.plug6(hub.host, "eth6", 2)
    web, router = net.behind_nat("web", 10)
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    web.join(hub.token())
    eventually(lambda: web.reaches(hub), "web reaches hub", _WITHIN)
    return World(net, hub, web, router)


def test_a_routers_restart_that_gives_it_another_address_is_survived(world: World) -> None:
    world.router.run("ip", "link", "set", "wan", "down")
    assert not world.web.reaches(world.hub)
    move(world.router, "wan", "203.0.113.10/24", "203.0.113.11/24")

    world.router.run("ip", "link", "set", "wan", "up")

    _is_connected_again(world, "after the router's restart")


def test_another_network_is_survived(world: World) -> None:
    world.router.run("ip", "address", "add", "192.168.99.1/24", "dev", "lan")
    world.web.host.run("ip", "address", "delete", "192.168.10.2/24", "dev", "eth0")
    time.sleep(1)  # without any
    add_addresses(world.web.host, "eth0", "192.168.99.2/24")
    world.web.host.run("ip", "route", "add", "default", "via", "192.168.99.1")

    _is_connected_again(world, "in another network")


def test_another_network_with_ipv6_alone_is_survived(world: World) -> None:
    world.web.host.run("ip", "address", "delete", "192.168.99.2/24", "dev", "eth0")
    time.sleep(1)

    world.net.plug6(world.web.host, "eth6", 10)

    _is_connected_again(world, "with IPv6 alone")
    (peer,) = world.web.status().peers
    assert peer.endpoint == "[2001:db8::2]:51820"


def _is_connected_again(world: World, when: str) -> None:
    _measured(lambda: world.web.reaches(world.hub), f"web reaches hub {when}")
    _measured(lambda: world.hub.reaches(world.web), f"hub reaches web {when}")


def _measured(holds: Callable[[], bool], what: str) -> None:
    began = time.monotonic()
    eventually(holds, what, _WITHIN)
    print(f"{what}, after {time.monotonic() - began:.1f} s")
