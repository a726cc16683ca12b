"""Devices with any WireGuard app: they enter by a node, and reach what they may for as long as they may.

hub (coordinator, gateway)     web                  desk                 phone
br0 10.10.0.1/24 ───────────── eth0 10.10.0.2/24    eth0 10.10.0.3/24    eth0 10.10.0.4/24
   └──────────────────────────────────────────────────┴────────────────────┘

The phone is no node. It has the file that `wgpy mesh client add` prints, with wg-quick and wireguard-go or
with `wgpy up`.
"""

import re
from dataclasses import dataclass

import pytest

from tests.integration.exchange import TRAFFIC, assert_tcp_arrives_whole, assert_udp_comes_back
from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import Node, program
from tests.integration.meshlan import Lan
from tests.integration.ordinaryuser import admit, attempt_as_user, write_for_user
from tests.integration.peers import Implementation

_SIZE = 1 << 20
_FILE = "/run/phone.conf"
_WITHIN = 60  # seconds, on a slow machine
_ASK = """
import sys
from dns import message, query
for kind in ("A", "AAAA"):
    answer = query.udp(message.make_query(sys.argv[2], kind), sys.argv[1], timeout=30)
    print(*(record.to_text() for found in answer.answer for record in found))
"""
_UP = {
    "wg-quick": ("env", "WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go", "wg-quick", "up", _FILE),
    "wgpy": ("env", f"WG_QUICK_USERSPACE_IMPLEMENTATION={program('wgpyd')}", program("wgpy"), "up", _FILE),
}


@dataclass(frozen=True, slots=True)
class Ends:
    hub: Node
    web: Node
    desk: Node
    phone: Host

    def add(self, *arguments: str) -> str:
        """Make the phone a client, and give it its file."""
        endpoint = ("--endpoint", self.hub.inside)
        (file,) = self.hub.ask("client", "add", "phone", *endpoint, *arguments)["files"]
        lines = [line for line in file["text"].splitlines() if not line.startswith("DNS")]
        self.phone.write(_FILE, "\n".join(lines))  # wg-quick needs resolvconf for the others
        return str(file["address"])

    def up(self, how: str = "wg-quick") -> None:
        self.phone.run(*_UP[how])

    def up_until(self, node: Node, how: str = "wg-quick") -> None:
        """Bring the tunnel up, and return when a node is reached."""
        self.up(how)
        eventually(lambda: self.reaches(node), f"the phone reaches {node.name}", within=_WITHIN)

    def reaches(self, node: Node) -> bool:
        ping = ("ping", "-n", "-c", "1", "-W", "1", node.address())
        return self.phone.attempt(*ping).status == 0


@pytest.fixture
def ends(lab: Lab) -> Ends:
    lan = Lan(lab)
    hub = lan.add("hub")
    lan.init()
    web, desk = lan.joined("web", "--tag", "servers"), lan.joined("desk")
    return Ends(hub, web, desk, lan.add("phone").host)


@pytest.mark.parametrize("how", _UP)
def test_a_client_reaches_what_it_may_by_its_gateway(ends: Ends, how: str) -> None:
    ends.add("--to", "web")
    ends.up_until(ends.web, how)

    pings = ends.phone.run("ping", "-n", "-c", "3", "-i", "0.3", "-W", "9", ends.web.address())
    assert "Redirect" not in pings
    assert_tcp_arrives_whole(ends.phone, ends.web.host, ends.web.address(4), _SIZE)
    assert_tcp_arrives_whole(ends.phone, ends.web.host, ends.web.address(6), _SIZE)
    assert_udp_comes_back(ends.phone, ends.web.host, ends.web.address(4), [1, 1300, 4000])


def test_the_kernels_wireguard_takes_the_same_file(lab: Lab, ends: Ends, kernel: Implementation) -> None:
    phone = kernel.machine(lab, "kernel")
    connect(ends.hub.host, "w9", phone, "eth0")
    ends.hub.host.run("ip", "link", "set", "w9", "master", "br0")
    add_addresses(phone, "eth0", "10.10.0.9/24")
    ends.add("--to", "web")
    phone.write(_FILE, ends.phone.path(_FILE).read_text())

    phone.run("ln", "-s", "/proc/self/fd", "/dev/fd")  # which wg-quick's shell uses
    phone.run("wg-quick", "up", _FILE)

    ping = ("ping", "-n", "-c", "1", "-W", "2", ends.web.address())
    eventually(lambda: phone.attempt(*ping).status == 0, "the phone reaches web", within=_WITHIN)
    assert_tcp_arrives_whole(phone, ends.web.host, ends.web.address(6), _SIZE)


def test_a_client_reaches_nothing_else_whatever_its_file_says(ends: Ends) -> None:
    ends.add("--to", "web")
    ends.up_until(ends.web)
    peer = ends.phone.run("wg", "show", "phone", "peers").strip()
    ends.phone.run("wg", "set", "phone", "peer", peer, "allowed-ips", "0.0.0.0/0,::/0")
    for node in (ends.desk, ends.hub):
        ends.phone.run("ip", "route", "replace", node.address(), "dev", "phone")
    ends.phone.run("ip", "route", "replace", "198.51.100.1", "dev", "phone")

    eventually(lambda: ends.reaches(ends.web), "the phone reaches web", within=_WITHIN)
    assert not ends.reaches(ends.desk)
    assert not ends.reaches(ends.hub)


def test_a_client_reaches_a_site_that_overlaps_its_own_network(lab: Lab, ends: Ends) -> None:
    gateway, office, home = ends.web.host, lab.host("office"), lab.host("home")
    for one, card, other in ((gateway, "lan", office), (ends.phone, "wifi", home)):
        connect(one, card, other, "eth0")
        add_addresses(one, card, "192.168.7.1/24")
        add_addresses(other, "eth0", "192.168.7.9/24")
    ends.web.mesh("site", "add", "office", "192.168.7.0/24", "--mapped", "--firewall")
    ends.hub.mesh("approve", "web")
    eventually(lambda: _mapped(ends.hub) != "", "the site is in force", within=_WITHIN)
    address = _mapped(ends.hub).replace(".0/24", ".9")

    ends.add("--to", "office")
    ends.up()

    ping = ("ping", "-n", "-c", "1", "-W", "1", address)
    eventually(lambda: ends.phone.attempt(*ping).status == 0, "the office answers", within=_WITHIN)
    sink = office.start(*TRAFFIC, "tcp-sink", "192.168.7.9", "5001")
    sent = ends.phone.run(*TRAFFIC, "tcp-send", address, "5001", str(_SIZE), timeout=60)
    assert sink.wait(60).output == sent
    assert not ends.reaches(ends.web)


def _mapped(node: Node) -> str:
    """Return the prefix by which the mesh knows the office, "" if it does not."""
    found = [prefix for peer in node.status().peers for prefix in map(str, peer.routes)]
    return next((prefix for prefix in found if prefix.endswith(".0/24")), "")


def test_a_client_asks_its_gateway_for_the_names_of_what_it_may_reach(ends: Ends) -> None:
    ends.add("--to", "web")
    ends.up_until(ends.web)
    ask = (program("python"), "-c", _ASK, ends.hub.address())

    assert ends.phone.run(*ask, "web.lab.mesh").split() == [ends.web.address(), ends.web.address(6)]
    assert ends.phone.run(*ask, "desk.lab.mesh").split() == []


def test_a_program_of_an_ordinary_user_on_a_node_is_a_client_with_its_names(ends: Ends) -> None:
    admit(ends.desk.host)
    (file,) = ends.hub.ask("client", "add", "job", "--endpoint", ends.hub.inside, "--to", "web")["files"]
    write_for_user(ends.desk.host, "job.conf", file["text"])
    ping = f"ping -n -c 1 -W 9 web.lab.mesh && ! ping -n -c 1 -W 1 {ends.hub.address()}"

    done = attempt_as_user(ends.desk.host, program("wgpy"), "exec", "./job.conf", "--", "sh", "-c", ping)

    assert done.status == 0, done.output


def test_nodes_begin_to_a_client_where_no_rule_is(ends: Ends) -> None:
    address = ends.add()
    ends.up_until(ends.web)

    ends.web.host.run("ping", "-n", "-c", "1", "-W", "10", address)


def test_a_client_that_is_removed_reaches_nothing_any_more(ends: Ends) -> None:
    ends.add()
    ends.up_until(ends.web)

    assert "no node accepts its packets" in ends.hub.mesh("client", "remove", "phone")

    eventually(lambda: not ends.reaches(ends.web), "the phone reaches nothing", within=_WITHIN)
    assert not ends.reaches(ends.hub)
    eventually(lambda: _is_as_before(ends.hub.host), "the hub forwards no more", within=_WITHIN)


def _is_as_before(host: Host) -> bool:
    forwarding = host.run("sysctl", "-n", "net.ipv4.conf.mesh0.forwarding")
    return forwarding.strip() == "0" and "wgpy-clients" not in host.run("nft", "list", "tables")


def test_a_gateway_that_is_paused_leaves_nothing_behind(ends: Ends) -> None:
    ends.add()
    tables = ("nft", "list", "tables")
    eventually(lambda: "wgpy-clients" in ends.hub.host.run(*tables), "the hub forwards", within=_WITHIN)

    ends.hub.mesh("down")

    assert "wgpy-clients" not in ends.hub.host.run("nft", "list", "tables")


def test_a_client_that_expires_reaches_nothing_any_more(ends: Ends) -> None:
    ends.add("--expires", "40s")
    ends.up_until(ends.web)

    eventually(lambda: not ends.reaches(ends.web), "the phone reaches nothing", within=40 + _WITHIN)
    (listed,) = ends.hub.ask("client", "list", "--all")["clients"]
    assert listed["exclusion"] == "it has expired"


def test_a_gateway_that_forwards_for_clients_forwards_nothing_else(lab: Lab, ends: Ends) -> None:
    hub, office = ends.hub.host, lab.host("office")
    connect(hub, "lan", office, "eth0")
    add_addresses(hub, "lan", "192.168.7.1/24")
    add_addresses(office, "eth0", "192.168.7.9/24")
    ends.add()
    ends.up_until(ends.web)
    peer = ends.phone.run("wg", "show", "phone", "peers").strip()
    ends.phone.run("wg", "set", "phone", "peer", peer, "allowed-ips", "0.0.0.0/0,::/0")
    ends.phone.run("ip", "route", "replace", "192.168.7.0/24", "dev", "phone")

    ends.phone.attempt("ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", "192.168.7.9")
    assert _echoes(office) == 0
    (table,) = re.findall("inet wgpy-clients-[0-9]+", hub.run("nft", "list", "tables"))

    def arrives() -> bool:
        hub.attempt("nft", "delete", "table", *table.split())
        ends.phone.attempt("ping", "-n", "-c", "1", "-W", "1", "192.168.7.9")
        return _echoes(office) > 0

    eventually(arrives, "without the table of nft it would forward more", within=_WITHIN)


def _echoes(host: Host) -> int:
    """Return how many pings have asked a host."""
    names, numbers = (
        line.split() for line in host.run("cat", "/proc/net/snmp").splitlines() if "Icmp:" in line
    )
    return int(numbers[names.index("InEchos")])


def test_a_firewall_that_drops_what_clients_send_is_reported_with_what_to_do(ends: Ends) -> None:
    hub = ends.hub.host
    hub.run(
        "nft",
        "add table ip wall; add chain ip wall pass { type filter hook forward priority 0; policy drop; }",
    )
    ends.add()
    ends.up()
    drops = "drops what this host forwards from mesh0 to mesh0"

    def warnings() -> list[str]:
        return [warning for warning in ends.hub.status().warnings if drops in warning]

    eventually(lambda: warnings() != [], "the hub warns", within=_WITHIN)
    assert not ends.reaches(ends.web)
    hub.run("sh", "-c", warnings()[0].split("`")[1])

    eventually(lambda: ends.reaches(ends.web), "the phone reaches web", within=_WITHIN)


def test_a_client_with_two_gateways_has_a_file_and_an_address_for_each(ends: Ends) -> None:
    ends.web.mesh("endpoint", "203.0.113.2")
    ends.hub.mesh("endpoint", "203.0.113.1:4000")
    eventually(lambda: "203.0.113.2" in str(ends.hub.status().peers), "the hub knows web's", within=_WITHIN)

    made = ends.hub.ask(
        "client", "add", "phone", "--gateway", "hub", "--gateway", "web", "--out", "/run/phone.conf",
        "--to", "tag:servers", "--to", "desk",
    )  # fmt: skip

    assert made["to"] == ["desk", "tag:servers"]
    by_hub, by_web = made["files"]
    assert (by_hub["endpoint"], by_web["endpoint"]) == ("203.0.113.1:4000", "203.0.113.2:51820")
    assert by_hub["paths"] == ["/run/phone-hub.conf"]
    assert ends.hub.host.path("/run/phone-web.conf").read_text() == by_web["text"]
    assert ends.hub.host.run("stat", "-c", "%a", "/run/phone-web.conf").strip() == "600"
    for node in (ends.hub, ends.desk):
        for file in (by_hub, by_web):
            assert node.host.attempt("ip", "route", "get", file["address"]).status == 0
