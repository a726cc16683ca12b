"""Nodes whose network lets no UDP through, one of which has nothing but an HTTP proxy.

plain   ── plain-nat    no UDP          ──┐
proxied ── proxied-nat  a proxy alone   ──┼── net ── hub (coordinator, a relay)
other   ── other-nat    an ordinary NAT ──┘
"""

from dataclasses import dataclass

import pytest

from tests.integration.hosts import Host, Lab, eventually
from tests.integration.internet import Internet, forward_nothing
from tests.integration.meshlab import NETWORK, Node, program

pytestmark = [pytest.mark.xdist_group("mesh_udp_blocked"), pytest.mark.slow]

_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_PROXY_PORT = 3128
_BLOCKED = "no UDP passes from this host"


@dataclass(frozen=True, slots=True)
class World:
    hub: Node
    plain: Node
    proxied: Node
    other: Node
    router: Host  # of plain


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    net = Internet.build(module_lab)
    hub = net.public("hub", 2)
    (plain, router), (proxied, proxy), (other, _) = (
        net.behind_nat(name, number) for name, number in (("plain", 10), ("proxied", 20), ("other", 30))
    )
    forward_nothing(router, "ip protocol udp")
    forward_nothing(proxy)
    _serve_proxy(proxy)
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    for node in (plain, other):
        node.join(hub.token())
    url = f"https_proxy=http://192.168.20.1:{_PROXY_PORT}"
    proxied.host.run("env", url, program("wgpy"), "mesh", "join", hub.token(), "--name", "proxied")
    return World(hub, plain, proxied, other, router)


def _serve_proxy(router: Host) -> None:
    """Serve an HTTP proxy to the inside."""
    router.run("nft", f"insert rule ip nat in iifname lan tcp dport {_PROXY_PORT} accept")
    router.run("nft", "insert rule ip nat in ct state established accept")
    file = router.write("/run/tinyproxy.conf", f"Port {_PROXY_PORT}\nListen 192.168.20.1\n")
    router.start("tinyproxy", "-d", "-c", file)
    eventually(lambda: str(_PROXY_PORT) in router.run("ss", "-ltn"), "the proxy listens")


def test_a_node_without_udp_is_reached_by_the_coordinators_connection(world: World) -> None:
    eventually(lambda: world.plain.reaches(world.hub), "plain reaches the relay", _WITHIN)
    eventually(lambda: world.plain.reaches(world.other), "plain reaches a node behind a NAT", _WITHIN)
    assert world.other.reaches(world.plain)
    world.other.tcp(world.plain)


def test_it_says_so(world: World) -> None:
    eventually(lambda: _is_told(world.plain), "plain says that no UDP passes", _WITHIN)
    assert not _is_told(world.other)
    checked = world.plain.attempt("netcheck")
    assert checked.status == 1
    assert "does not pass: datagrams go by a TLS connection to the coordinator" in checked.output
    assert "203.0.113.2:51820, no answer" in checked.output
    for name, by in (("hub", "TLS"), ("other", "TLS and the relay hub")):
        assert f"1  by {by}  " in world.plain.mesh("ping", name, "-c", "1")
        found = world.plain.ask("ping", name, "--all-paths")["paths"]
        assert [path["by_connection"] for path in found if path["milliseconds"]] == [True]


def test_a_proxy_is_enough(world: World) -> None:
    eventually(lambda: world.proxied.reaches(world.other), "proxied reaches other", _WITHIN)
    eventually(lambda: world.plain.reaches(world.proxied), "both without UDP reach each other", _WITHIN)


def test_when_udp_passes_again_it_is_used(world: World) -> None:
    world.router.run("nft", "delete table ip shut")
    world.plain.kill()
    world.plain.start()

    eventually(lambda: world.plain.reaches(world.other), "plain reaches other", _WITHIN)
    eventually(lambda: not _is_told(world.plain), "plain says nothing of UDP any more", _WITHIN)


def test_a_node_with_nearer_relays_registers_with_the_only_one_of_a_node_without_udp(lab: Lab) -> None:
    """It is reached by that relay alone, which forwards nothing to whom it reaches by another relay."""
    net = Internet.build(lab)
    hub, *relays = (net.public(name, number) for name, number in (("hub", 2), ("near1", 3), ("near2", 4)))
    (plain, wall), (other, router) = net.behind_nat("plain", 10), net.behind_nat("other", 30)
    forward_nothing(wall, "ip protocol udp")
    forward_nothing(router, f"ip daddr {hub.outside} ip protocol udp")  # as if hub were far away
    hub.mesh("init", NETWORK, "--public", hub.outside, "--name", "hub")
    for relay in relays:
        relay.join(hub.token("--relay"))
    other.join(hub.token())
    eventually(lambda: set(other.status().registered) == {"near1", "near2"}, "other registers", _WITHIN)
    router.run("nft", "delete table ip shut")

    plain.join(hub.token())

    eventually(lambda: plain.reaches(other), "plain reaches other", _WITHIN)
    assert other.reaches(plain)
    assert "hub" in other.status().registered


def _is_told(node: Node) -> bool:
    return any(_BLOCKED in warning for warning in node.status().warnings)
