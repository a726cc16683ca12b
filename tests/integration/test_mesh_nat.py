"""A node behind a router that translates addresses, lets nothing in by itself, and soon forgets.

web                      router                                        hub (coordinator)
eth0 192.168.1.2/24 ──── lan 192.168.1.1/24 │ wan 203.0.113.1/24 ──── eth0 203.0.113.2/24
                            masquerade
"""

import os
import re
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.internet import Internet
from tests.integration.meshlab import NETWORK, Node
from tests.integration.topologies import masquerade
from wgpy.contract.constants import SECOND
from wgpy.paths.selection import KEEPING_TIME
from wgpyd.agent.keepalives import NAT_INTERVAL

_TOOL = str(Path(__file__).with_name("pinghost.py"))
_MAPPING_SECONDS = 3
_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_SILENCE = 6.0  # seconds: the router forgets
_AFTER_USE = KEEPING_TIME / SECOND + 10.0  # seconds
_LONG_SILENCE = float(os.environ.get("WGPY_SILENCE_SECONDS", "150"))


@dataclass(slots=True)
class Scene:
    hub: Node
    web: Node
    router: Host


@pytest.fixture
def scene(lab: Lab) -> Scene:
    """Two hosts, the first of which has a network."""
    hub, web, router = lab.host("hub"), lab.host("web"), lab.host("router")
    connect(web, "eth0", router, "lan")
    connect(router, "wan", hub, "eth0")
    for host, card, address in (
        (web, "eth0", "192.168.1.2/24"),
        (router, "lan", "192.168.1.1/24"),
        (router, "wan", "203.0.113.1/24"),
        (hub, "eth0", "203.0.113.2/24"),
    ):
        add_addresses(host, card, address)
    web.run("ip", "route", "add", "default", "via", "192.168.1.1")
    masquerade(router, "wan", _MAPPING_SECONDS)
    router.run("nft", "add chain ip nat in { type filter hook input priority 0; policy drop; }")
    node = Node("hub", hub, "203.0.113.2", "")
    node.mesh("init", NETWORK, "--public", "203.0.113.2", "--name", "hub")
    return Scene(node, Node("web", web, "192.168.1.2", "203.0.113.1"), router)


def test_a_node_behind_a_nat_sends_keepalives_by_itself_and_no_other_node_does(scene: Scene) -> None:
    scene.web.join(scene.hub.token())

    status = scene.web.status()
    assert (status.nat, status.keepalive) == ("203.0.113.1", NAT_INTERVAL)
    eventually(lambda: _intervals(scene.web) == [str(NAT_INTERVAL)], "its interface has the interval")
    assert (scene.hub.status().nat, scene.hub.status().keepalive) == ("", 0)
    assert _intervals(scene.hub) == ["off"]


def test_a_node_behind_a_nat_is_reached_after_silence_as_long_as_it_sends_keepalives(scene: Scene) -> None:
    scene.web.join(scene.hub.token(), "--keepalive", "1")
    eventually(lambda: scene.hub.reaches(scene.web), "hub reaches web")

    time.sleep(_SILENCE)
    assert scene.hub.reaches(scene.web, within=2)

    said = scene.web.mesh("keepalive", "off")
    assert said == "Keepalives of this node: off.\n"
    eventually(lambda: _intervals(scene.web) == ["off"], "its interface has none")
    time.sleep(_SILENCE)
    assert not scene.hub.reaches(scene.web, within=2), "the router has forgotten"

    scene.web.mesh("keepalive", "1")
    eventually(lambda: scene.hub.reaches(scene.web), "hub reaches web again")


@pytest.mark.slow
@pytest.mark.timeout(600 + _LONG_SILENCE)
def test_after_a_long_silence_the_first_packet_of_a_public_node_arrives(lab: Lab) -> None:
    """What nodes do by themselves is enough for Linux, as it is and with less; without it nothing arrives.

    Towards its relay a node does it always, and towards others only for a while.
    """
    net = Internet.build(lab)
    hub, other = net.public("hub", 2), net.public("other", 3)
    web, (usual, router), (dark, dark_router) = (
        net.behind_nat("web", 10)[0], net.behind_nat("usual", 11), net.behind_nat("dark", 12)
    )  # fmt: skip
    for each in (router, dark_router):
        each.run("sysctl", "-qw", *_timeouts(unanswered=30, answered=120))  # the kernel's own
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    for node in (other, web, usual):
        node.join(hub.token())
    dark.join(hub.token(), "--keepalive", "off")
    for node in (web, usual):
        eventually(partial(_is_registered, node), f"{node.name} registers", _WITHIN)
        for one in (hub, other):
            eventually(partial(one.reaches, node), f"{one.name} reaches {node.name}", _WITHIN)
    eventually(partial(dark.reaches, hub), "dark reaches hub", _WITHIN)
    assert hub.reaches(dark, within=10)

    time.sleep(max(_LONG_SILENCE, _AFTER_USE))
    only_hub = [str(NAT_INTERVAL), *["off"] * 3]
    eventually(lambda: sorted(_intervals(web)) == only_hub, "other has none", _WITHIN)

    for node in (web, usual):
        assert hub.reaches(node, within=10), node.name
        assert other.reaches(node, within=10), node.name
    assert not hub.reaches(dark, within=10), "its router has forgotten"


def test_a_node_tries_with_a_relay_how_long_its_nat_keeps_a_mapping(scene: Scene) -> None:
    scene.web.join(scene.hub.token())
    scene.router.run("sysctl", "-qw", *_timeouts(unanswered=4, answered=6))
    key = scene.web.host.run("wg", "show", "mesh0", "private-key").strip()
    hub = scene.hub.status()

    found = scene.web.host.run(
        sys.executable, _TOOL, "silence", key, str(hub.key), "203.0.113.2", str(hub.listen_port), "5", "9"
    )

    assert found.split() == ["SURVIVED", "FORGOTTEN"]


# -- A firewall without a NAT --------------------------------------------------------------------------


def test_a_node_behind_a_stateful_firewall_counts_as_one_that_nobody_can_dial(lab: Lab) -> None:
    """hub 203.0.113.2 ──── walled 203.0.113.9, which lets established flows in and no others."""
    hosts = lab.host("hub"), lab.host("walled")
    connect(hosts[0], "eth0", hosts[1], "eth0")
    hub, walled = Node("hub", hosts[0], "203.0.113.2", ""), Node("walled", hosts[1], "203.0.113.9", "")
    for node in (hub, walled):
        add_addresses(node.host, "eth0", f"{node.inside}/24")
    rule = "add rule ip wall in iifname eth0 ct state != established drop"
    chain = "{ type filter hook input priority 0; }"
    walled.host.run("nft", f"add table ip wall; add chain ip wall in {chain}; {rule}")
    hub.mesh("init", NETWORK, "--public", hub.inside, "--name", "hub")

    walled.join(hub.token())

    eventually(lambda: walled.status().filtered, "walled knows of the firewall", _WITHIN)
    eventually(lambda: walled.status().registered == ("hub",), "walled registers", _WITHIN)
    eventually(lambda: _intervals(walled) == [str(NAT_INTERVAL)], "walled sends keepalives", _WITHIN)
    assert (walled.status().nat, hub.status().filtered) == ("", False)
    assert hub.reaches(walled)
    assert re.search(
        "^firewall +lets nothing in that was not asked for$", walled.mesh("netcheck"), re.MULTILINE
    )
    walled.host.run("nft", "delete table ip wall")
    walled.kill()
    walled.start()
    eventually(lambda: walled.status().keepalive == 0, "nothing is in front of walled any more", _WITHIN)


# -- why ---------------------------------------------------------------------------------------------


def test_why_names_the_nat_and_the_ways(scene: Scene) -> None:
    scene.web.join(scene.hub.token(), "--keepalive", "1")
    eventually(lambda: scene.hub.reaches(scene.web), "hub reaches web")

    here = scene.web.why("hub")
    there = scene.hub.why(scene.web.address())

    assert here["reachable"] is True
    assert "behind 203.0.113.1, and sends keepalives every 1 s" in here["findings"]["NAT"]["text"]
    assert here["findings"]["inner way"]["text"] == "by mesh0"
    assert here["findings"]["outer way"]["text"] == "by eth0, gateway 192.168.1.1"
    assert "answered from 203.0.113.2:51820" in here["findings"]["UDP"]["text"]
    assert there["reachable"] is True
    assert "web is probably behind a NAT" in there["findings"]["endpoint"]["text"]
    assert scene.hub.mesh("why", "web").startswith("web is reachable.\n")


def test_a_node_that_went_dark_is_not_reachable_however_young_its_handshake(scene: Scene) -> None:
    scene.web.join(scene.hub.token())
    eventually(lambda: scene.hub.reaches(scene.web), "hub reaches web")
    scene.web.kill()

    found = scene.hub.why("web")

    assert found["reachable"] is False
    assert found["findings"]["handshake"]["good"] is True, "that is not what decides"
    assert "nothing else came" in found["findings"]["ping"]["text"]
    assert scene.hub.attempt("why", "web").output.startswith("web is not reachable.\n")


def test_a_route_that_another_takes_is_named(scene: Scene) -> None:
    scene.web.join(scene.hub.token())
    eventually(lambda: scene.hub.reaches(scene.web), "hub reaches web")
    scene.hub.host.run("ip", "route", "add", f"{scene.web.address()}/32", "via", "203.0.113.1")
    eventually(lambda: not scene.hub.reaches(scene.web, within=1), "the node leaves it to the route")

    found = scene.hub.why("web")

    assert found["reachable"] is False
    assert found["findings"]["inner way"]["text"] == "by eth0, gateway 203.0.113.1, and not by mesh0"


def test_an_endpoint_without_a_way_is_named(scene: Scene) -> None:
    scene.web.join(scene.hub.token())
    eventually(lambda: scene.web.reaches(scene.hub), "web reaches hub")
    scene.web.host.run("ip", "route", "add", "unreachable", "203.0.113.2/32")

    found = scene.web.why("hub")

    assert found["reachable"] is False
    assert found["findings"]["outer way"]["good"] is False
    assert "no way: No route to host" in found["findings"]["outer way"]["text"]


def test_a_node_that_was_removed_is_not_reachable(scene: Scene) -> None:
    scene.web.join(scene.hub.token())
    scene.hub.mesh("remove", "web")
    eventually(lambda: not scene.hub.status().peers, "hub knows")

    found = scene.hub.why("web")

    assert found["reachable"] is False
    assert found["findings"]["node"]["text"] == "no member: it was removed"


def _is_registered(node: Node) -> bool:
    return node.status().registered == ("hub",)


def _timeouts(unanswered: int, answered: int) -> list[str]:
    """Return settings of the kernel's connection tracking, in seconds."""
    name = "net.netfilter.nf_conntrack_udp_timeout"
    return [f"{name}={unanswered}", f"{name}_stream={answered}"]


def _intervals(node: Node) -> list[str]:
    """Return the keepalives that its interface has, of each peer."""
    lines = node.host.run("wg", "show", "mesh0", "persistent-keepalive").splitlines()
    return [line.split("\t")[1] for line in lines]
