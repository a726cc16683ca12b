"""A site's own DNS zone is resolved by every node, as the mesh reaches what its names stand for.

hub                 gate                         office (dnsmasq, pages)
br0 10.10.0.1/24 ── eth0 10.10.0.2/24
                    lan  192.168.1.1/24 ──────── eth0 192.168.1.10/24, 192.168.1.53/24
"""

import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import Node
from tests.integration.meshlan import Lan

LAN = "192.168.1.0/24"
_ZONE = ("--dns", "192.168.1.53", "--zone", "office.example")
_PAGES = (sys.executable, str(Path(__file__).with_name("webpods.py")))
_PORT = "8080"
_WITHIN = 60  # seconds: other tests may run beside this one
_HTTPS = "00010000010003026832000400" + "04c0a8010a"  # 1 . alpn=h2 ipv4hint=192.168.1.10
_RECORDS = (
    "--host-record=www.office.example,192.168.1.10,2001:db8::10,3600",
    "--cname=alias.office.example,www.office.example",
    "--host-record=outside.office.example,203.0.113.7",
    f"--dns-rr=www.office.example,65,{_HTTPS}",
    "--local=/cluster.local/",  # as a cluster's name server
    "--host-record=web.shop.svc.cluster.local,192.168.1.10",
)
_ASK = """
import sys, dns.message, dns.query, dns.rcode
server, name, kind, way = sys.argv[1:]
answer = getattr(dns.query, way)(dns.message.make_query(name, kind), server, timeout=20)
print(dns.rcode.to_text(answer.rcode()), *sorted(found.to_text() for found in answer.answer), sep="\\n")
"""


@pytest.fixture
def office(lab: Lab) -> Host:
    return lab.host("office")


@pytest.fixture
def lan(lab: Lab, office: Host) -> Lan:
    """A hub, and a gateway beside an office that has a name server."""
    lan = Lan(lab)
    lan.add("hub")
    lan.init()
    gate = lan.joined("gate", "--routes", LAN)
    connect(gate.host, "lan", office, "eth0")
    add_addresses(gate.host, "lan", "192.168.1.1/24")
    add_addresses(office, "eth0", "192.168.1.10/24", "192.168.1.53/24")
    office.start(*_PAGES, "serve", "192.168.1.10", _PORT, "www")
    options = ("--keep-in-foreground", "--no-resolv", "--no-hosts", "--local=/office.example/")
    office.start("dnsmasq", *options, *_RECORDS, "--user=root", "--pid-file=/run/dnsmasq.pid")
    eventually(
        lambda: _answer(gate.host, "192.168.1.53", "www.office.example") != "", "it serves", within=_WITHIN
    )
    return lan


def test_names_of_a_mapped_site_are_resolved_by_its_own_server_into_mapped_addresses(
    lan: Lan, office: Host
) -> None:
    hub, gate = lan.nodes
    added = gate.ask("site", "add", "office", LAN, "--mapped", "--firewall", *_ZONE)["site"]
    assert (added["zones"], added["waiting"]) == ([], ["office.example"])
    www = str(ip_network(added["mapped"][0])[10])
    waits = "zone office.example waits for `wgpy mesh approve office`"
    for node in lan.nodes:
        eventually(lambda: waits in node.mesh("status"), "status says so", within=_WITHIN)  # noqa: B023
        assert waits in node.mesh("site", "show", "office")
    assert not _resolves(hub.host, "www.office.example")
    said = hub.mesh("approve", "office")
    assert said.endswith("\nFor names at and below office.example nodes ask 192.168.1.53.\n")
    (shown,) = hub.ask("site", "show", "office")["sites"]
    assert (shown["servers"], shown["zones"]) == (["192.168.1.53"], ["office.example"])

    eventually(lambda: _resolves(hub.host, "www.office.example") == [www], "hub resolves it", within=_WITHIN)
    assert _page(hub.host, www) == "www"
    assert _resolves(hub.host, "alias.office.example") == [www]
    assert _resolves(gate.host, "www.office.example") == ["192.168.1.10"]
    assert not _resolves(hub.host, "outside.office.example")
    for way in ("udp", "tcp"):
        _says(hub, "www.office.example", "A", way, f"NOERROR\nwww.office.example. 60 IN A {www}\n")
    _says(hub, "www.office.example", "AAAA", "udp", "NOERROR\n")
    hints = f'NOERROR\nwww.office.example. 0 IN HTTPS 1 . alpn="h2" ipv4hint="{www}"\n'
    _says(hub, "www.office.example", "HTTPS", "udp", hints)
    _says(hub, "nobody.office.example", "A", "udp", "NXDOMAIN\n")
    assert _answer(gate.host, hub.address(), "www.office.example") == "REFUSED\n", (
        "a node asks for its host alone"
    )
    assert "office.example, by 192.168.1.53" in hub.mesh("site", "show", "office")

    said = gate.mesh("site", "add", "office", LAN, "--firewall", *_ZONE)
    assert said.endswith("\nFor names at and below office.example nodes ask 192.168.1.53.\n")

    _check_cluster(hub, gate, office, www)
    gate.mesh("site", "remove", "office")
    eventually(lambda: not _resolves(hub.host, "www.office.example"), "it is gone", within=_WITHIN)


def _check_cluster(hub: Node, gate: Node, office: Host, mapped: str) -> None:
    """Names of cluster.local are below the name of the site, for nodes and for hosts of the site."""
    domain = hub.status().domain
    name = f"web.shop.svc.office.{domain}"
    gate.mesh("site", "add", "office", LAN, "--dns", "192.168.1.53", "--zone", "cluster.local")

    eventually(lambda: _resolves(hub.host, name) == [mapped], "hub resolves a service", within=_WITHIN)
    eventually(
        lambda: _resolves(gate.host, name) == ["192.168.1.10"], "the gateway resolves it", within=_WITHIN
    )
    assert not _resolves(hub.host, "web.shop.svc.cluster.local")
    for way in ("udp", "tcp"):
        _says(hub, name, "A", way, f"NOERROR\n{name}. 0 IN A {mapped}\n")
    _says(hub, f"nobody.shop.svc.office.{domain}", "A", "udp", "NXDOMAIN\n")
    office.run("ip", "route", "add", gate.address(), "via", "192.168.1.1")
    assert _answer(office, gate.address(), name) == f"NOERROR\n{name}. 0 IN A 192.168.1.10\n"
    assert _answer(office, gate.address(), "www.example") == "REFUSED\n"
    assert f"{domain} {{ forward . {gate.address()} }}" in gate.mesh("site", "show", "office")


def test_a_zone_that_cannot_be_is_one_sentence_and_nothing_is_changed(lan: Lan) -> None:
    _, gate = lan.nodes

    for options, told in (
        (("--zone", "office.example"), "go together: give both, --dns ADDRESS and --zone ZONE."),
        (("--dns", "192.168.2.53", "--zone", "lan"), "192.168.2.53 is no address of the site"),
        (("--dns", "ns.office", "--zone", "lan"), "`ns.office` is not an address"),
        (("--dns", "192.168.1.53", "--zone", "com"), "com is no zone of a site"),
    ):
        result = gate.attempt("site", "add", "office", LAN, "--firewall", *options)
        assert (result.status, told in result.output) == (2, True), result
    assert gate.ask("site", "list")["sites"] == []


def _says(node: Node, name: str, kind: str, way: str, expected: str) -> None:
    assert _answer(node.host, node.address(), name, kind, way) == expected


def _answer(host: Host, server: str, name: str, kind: str = "A", way: str = "udp") -> str:
    """Return what a server says, "" for nothing."""
    done = host.attempt(sys.executable, "-c", _ASK, server, name, kind, way)
    return done.output if done.status == 0 else ""


def _resolves(host: Host, name: str) -> list[str]:
    """Return the addresses that programs of a host get for a name."""
    found = host.attempt("getent", "ahosts", name)
    lines = found.output.splitlines() if found.status == 0 else []
    return list(dict.fromkeys(line.split()[0] for line in lines))


def _page(host: Host, address: str) -> str:
    """Return whose page it is."""
    return host.run(*_PAGES, "ask", address, _PORT, "1").strip()
