"""Networks behind gateways: two have the same addresses, and every node reaches the hosts of both.

hub                 gate1                             gate2
br0 10.10.0.1/24 ── eth0 10.10.0.2/24      ────────── eth0 10.10.0.3/24
                    lan  192.168.1.1/24               lan  192.168.1.1/24
                    │                                 │
                    tv   192.168.1.10/24              printer 192.168.1.10/24

Neither tv nor printer has another route.
"""

import re
import sys
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, Result, add_addresses, connect, eventually
from tests.integration.meshlab import Node
from tests.integration.meshlan import Lan

LAN = "192.168.1.0/24"
_PAGES = (sys.executable, str(Path(__file__).with_name("webpods.py")))
_PORT = "8080"
_WITHIN = 60  # seconds: other tests may run beside this one


@dataclass(frozen=True, slots=True)
class World:
    lan: Lan
    gate1: Node
    gate2: Node

    @property
    def hub(self) -> Node:
        return self.lan.hub


@pytest.fixture
def world(lab: Lab) -> World:
    """A network of a hub and two nodes, each beside a LAN; nobody forwards."""
    lan = Lan(lab)
    lan.add("hub")
    lan.init()
    routes = ("--routes", "192.168.0.0/16", "10.7.0.0/16")
    world = World(lan, *(lan.joined(name, *routes) for name in ("gate1", "gate2")))
    for gate, name in ((world.gate1, "tv"), (world.gate2, "printer")):
        _serve(lab.host(name), gate.host, name)
    return world


def _serve(host: Host, gate: Host, name: str) -> None:
    """Set a host into the LAN of a gateway, with pages of its name."""
    connect(gate, "lan", host, "eth0")
    add_addresses(gate, "lan", "192.168.1.1/24")
    add_addresses(host, "eth0", "192.168.1.10/24")
    host.start(*_PAGES, "serve", "192.168.1.10", _PORT, name)
    eventually(lambda: _page(gate, "192.168.1.10") == name, f"{name} serves pages", within=_WITHIN)


def test_two_networks_with_the_same_addresses_are_reached_beside_each_other(world: World) -> None:
    hub, gate1, gate2 = world.hub, world.gate1, world.gate2
    gate2.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")

    said = gate1.mesh("site", "add", "home", LAN, "--firewall", "--real")  # as gate2 is in such a LAN, too
    assert said == f"home is reached as {LAN}.\n"
    added = gate2.ask("site", "add", "office", LAN)

    assert added["reason"] == f"home already is {LAN}"
    mapped = ip_network(added["site"]["mapped"][0])
    printer, router = str(mapped[10]), str(mapped[1])
    for node in (hub, gate1):
        eventually(lambda node=node: _page(node.host, printer) == "printer", "it answers", within=_WITHIN)  # type: ignore[misc]
    eventually(lambda: _page(hub.host, "192.168.1.10") == "tv", "it answers", within=_WITHIN)
    assert _page(gate1.host, "192.168.1.10") == "tv", "a gateway is in its site itself"
    assert _page(gate2.host, "192.168.1.10") == "printer"
    for address in (router, "192.168.1.1"):
        hub.host.run("ping", "-n", "-c", "1", "-W", "10", address)  # the gateways themselves

    _shows(world, str(mapped), printer)

    assert gate2.mesh("site", "remove", "office") == "gate2 is no gateway of office any more.\n"
    eventually(lambda: [site.name for site in hub.status().sites] == ["home"], "hub knows", within=_WITHIN)
    eventually(lambda: not _page(hub.host, printer), "the site is not reached", within=_WITHIN)
    assert "dev mesh0" not in hub.host.run("ip", "route", "get", "fibmatch", "192.168.1.10").replace(
        f"{LAN} dev mesh0", ""
    )


def _shows(world: World, mapped: str, printer: str) -> None:
    """Check what commands show of both sites."""
    hub, gate2 = world.hub, world.gate2
    assert hub.why("office")["reachable"]
    why = hub.why(printer)
    assert why["reachable"]
    assert why["findings"]["site"]["text"] == "192.168.1.10 of office, behind gate2"
    for node in (hub, gate2):
        sites = {site["name"]: site for site in node.ask("site", "list")["sites"]}
        assert (sites["home"]["mapped"], sites["office"]["mapped"]) == ([LAN], [mapped])
        assert sites["home"]["real"] == sites["office"]["real"] == [LAN]
    assert re.search(rf"office +{LAN} +{mapped} +gate2 +in force, by gate2\n", hub.mesh("status"))
    left_out = f"gate1: {LAN} of home is not used here: it overlaps {LAN}, "
    assert left_out in gate2.mesh("status")
    assert "masquerade" not in hub.mesh("site", "show", "office")
    assert "this node is a gateway of it" in gate2.mesh("site", "show", "office")
    assert "this node is a gateway of office" in sentence(gate2.attempt("why", "office"))


def test_a_site_without_the_right_waits_and_a_host_that_does_not_forward_announces_none(world: World) -> None:
    hub, gate = world.hub, world.lan.joined("gate3")
    attic = "192.168.9.0/24"
    add_addresses(gate.host, "eth0", "192.168.9.1/24")
    closed = sentence(gate.attempt("site", "add", "office", attic))
    assert "does not forward IPv4" in closed
    assert closed.endswith("or --firewall has the node see to that.\n")
    gate.host.run("ip", "route", "add", "unreachable", "192.168.77.0/24")
    for options in ((), ("--firewall",)):
        lost = sentence(gate.attempt("site", "add", "office", "192.168.77.0/24", *options))
        assert lost.startswith("this host has no way to 192.168.77.0/24 (")
        assert lost.endswith("): add an address or a route of it.\n")
    for wanted, told in (
        ("127.0.0.0/8", "which is loopback"),
        (str(gate.status().address) + "/32", "itself, which no site can be in"),
    ):
        assert told in sentence(gate.attempt("site", "add", "office", wanted)), wanted
    assert gate.ask("site", "list")["sites"] == []

    said = gate.mesh("site", "add", "office", attic, "--firewall")

    assert said == (
        "gate3 may not announce office yet: `wgpy mesh approve office` allows it; "
        f"then office is reached as {attic}.\n"
    )
    eventually(lambda: "nobody has approved it" in hub.mesh("site", "list"), "hub knows", within=_WITHIN)
    assert "is a site, which is approved as it is" in sentence(hub.attempt("approve", "office", "10.0.0.0/8"))
    assert hub.mesh("approve", "office") == f"office is reached as {attic} by gate3.\n"
    eventually(lambda: [site.used for site in hub.status().sites] == ["gate3"], "it is used", within=_WITHIN)
    assert f"office is in force already: {attic} by gate3" in sentence(hub.attempt("approve", "office"))
    gate.mesh("site", "add", "office", attic, "--routed")
    (changed,) = gate.ask("site", "add", "office", attic, "--priority", "5")["site"]["gateways"]
    assert (changed["is_routed"], changed["priority"]) == (True, 5)
    hub.mesh("approve", "gate3", "--none")
    eventually(lambda: "nobody has approved it" in hub.mesh("site", "list"), "it waits", within=_WITHIN)
    said = hub.mesh("approve", "gate3")
    assert said == f"gate3 may announce {attic}.\noffice is reached as {attic} by gate3.\n"


def test_a_site_that_cannot_be_is_one_sentence_and_nothing_is_changed(world: World) -> None:
    gate1, gate2 = world.gate1, world.gate2
    for gate in (gate1, gate2):
        gate.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    gate1.mesh("site", "add", "home", LAN, "--real")

    for arguments, told in (
        (
            ("home", "10.7.0.0/24"),
            "home already is 192.168.1.0/24: give another name, or exactly these",
        ),
        (("office", LAN, "--real"), "because home already is 192.168.1.0/24: leave out --real"),
        (("gate1", LAN), "gate1 is the name of a node: choose another name for the site"),
        (("office", "0.0.0.0/1"), "0.0.0.0/1 cannot be announced: it is"),
        (("office", LAN, "192.168.1.0/25"), "192.168.1.0/24 and 192.168.1.0/25 overlap: name one of them"),
    ):
        assert told in sentence(gate2.attempt("site", "add", *arguments, "--firewall")), arguments
        assert [site["name"] for site in gate2.ask("site", "list")["sites"]] == ["home"]
    assert "gate2 is no gateway" not in gate2.attempt("site", "remove", "home").output
    assert "this node is no gateway of a site home" in sentence(gate2.attempt("site", "remove", "home"))
    assert "no site attic is known here; there are home" in sentence(gate2.attempt("site", "show", "attic"))
    assert "office" not in gate2.host.run("nft", "list", "ruleset")


def _page(host: Host, address: str) -> str:
    """Return whose page it is, "" if none comes."""
    done = host.attempt(*_PAGES, "ask", address, _PORT, "1")
    return done.output.strip() if done.status == 0 else ""


def sentence(result: Result) -> str:
    """Return the one sentence of a command that failed."""
    assert result.status == 1, result
    assert re.fullmatch(r"wgpy: .*\.\n", result.output), result.output
    return result.output.removeprefix("wgpy: ")
