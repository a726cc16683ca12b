"""Nodes and clients that send by another node what no other route has, and nothing of it by their own way."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.exchange import assert_tcp_arrives_whole
from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually, put_behind
from tests.integration.meshlab import NETWORK, Node, program

pytestmark = pytest.mark.xdist_group("mesh_exit")

NAME = "where.example.net"
WEB, WEB6, PORT = "192.88.99.80", "2001:db8:80::80", "8080"
PRINTER, PRINTER6 = "192.168.7.9", "2001:db8:7::9"
IN_TIME = 60.0  # seconds, on a busy machine
_SMALL = 1400  # bytes of a packet that a router lets through
_SCRIPT = str(Path(__file__).with_name("exithost.py"))
# What a node sends by its own way: WireGuard, to the coordinator, and to its neighbours on the link.
_COUNTING = """
table netdev leaks-{name} {{
 chain from {{
  type filter hook ingress device to-{name} priority 0
  udp dport 51820 return
  {also}
  ip daddr 203.0.113.10 tcp dport 51820 return
  ip6 daddr 2001:db8:113::10 tcp dport 51820 return
  ip6 daddr fe80::/10 return
  ip6 daddr ff00::/8 return
  icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} return
  meta protocol ip counter name four
  meta protocol ip6 counter name six
 }}
 counter four {{ }}
 counter six {{ }}
}}"""
_ASK = """
import sys
from dns import message, query
print(*query.udp(message.make_query(sys.argv[2], "A"), sys.argv[1], timeout=30).answer[0])
"""
_FILE = "/run/phone.conf"
_WGPY = ("env", f"WG_QUICK_USERSPACE_IMPLEMENTATION={program('wgpyd')}", program("wgpy"))


@dataclass
class Scene:
    """
    hub  203.0.113.10 ─── router ─── 192.0.2.9     desk ─── 192.168.7.9 printer
    gate 198.51.100.7 ──────┤─── 192.0.3.5 phone, which is no node
                       192.88.99.80 web

    The same in 2001:db8::/32. The hub coordinates; the desk filters by reverse path, strictly.
    """

    router: Host
    hub: Node
    gate: Node
    desk: Node
    web: Host
    phone: Node

    def seen(self, node: Node, address: str = WEB) -> str:
        """Return the address by which the web sees a node, "" if it does not."""
        done = node.host.attempt(sys.executable, _SCRIPT, "ask", address, PORT)
        return "" if done.status else done.output.strip()

    def leaks(self, *names: str) -> list[int]:
        """Return what the desk, or others, have sent past their tunnels since that was counted.

        Each in both versions of IP.
        """
        tables = [
            self.router.run("nft", "list", "table", "netdev", f"leaks-{name}") for name in names or ("desk",)
        ]
        counter = re.compile(r"counter (?:four|six) \{\s+packets (\d+)")
        return [int(packets) for found in tables for packets in counter.findall(found)]

    @contextmanager
    def no_leaks(self, sender: str = "desk", *others: str) -> Iterator[None]:
        """While a host sends to the web without a pause, in both versions. others: by which it goes."""
        names, node = (sender, *others), self.phone if sender == "phone" else self.desk
        flood = node.host.start(sys.executable, _SCRIPT, "flood", "9", WEB, WEB6)
        try:
            before = self.leaks(*names)
            yield
            assert self.leaks(*names) == before
            assert flood.is_running()
        finally:
            flood.kill()
            flood.wait()

    def assert_is_by_gate(self) -> None:
        eventually(lambda: self.seen(self.desk) == "198.51.100.7", "the web is reached", within=IN_TIME)
        assert self.seen(self.desk, WEB6) == "2001:db8:100::7"

    def assert_is_by_itself(self) -> None:
        eventually(lambda: self.seen(self.desk) == "192.0.2.9", "the web is reached", within=IN_TIME)
        assert self.seen(self.desk, WEB6) == "2001:db8:192::9"


def ours(node: Node, tables: str = "152") -> list[str]:
    """Return what of an exit is in the rules and tables of a host. tables: how their numbers begin."""
    found = [
        node.host.run("ip", "-N", family, *what.split())
        for family in ("-4", "-6")
        for what in ("rule", "route show table all")
    ]
    return [line for text in found for line in text.splitlines() if re.search(rf"\b{tables}\d{{6}}\b", line)]


@pytest.fixture(scope="module")
def scene(module_lab: Lab) -> Scene:
    lab = module_lab
    router = lab.host("router")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def stand(name: str, network: str, network6: str, number: int) -> Host:
        host = lab.host(name)
        put_behind(router, host, f"{network}.{number}/24", f"{network6}:{number}/64")
        return host

    hosts = {
        name: stand(name, *place)
        for name, place in {
            "hub": ("203.0.113", "2001:db8:113:", 10),
            "gate": ("198.51.100", "2001:db8:100:", 7),
            "desk": ("192.0.2", "2001:db8:192:", 9),
            "web": ("192.88.99", "2001:db8:80:", 80),
            "phone": ("192.0.3", "2001:db8:193:", 5),
        }.items()
    }
    hub, gate, desk, phone = (Node(name, hosts[name], "", "") for name in ("hub", "gate", "desk", "phone"))
    printer = lab.host("printer")
    connect(desk.host, "lan", printer, "eth0")
    add_addresses(desk.host, "lan", "192.168.7.1/24", "2001:db8:7::1/64")
    add_addresses(printer, "eth0", f"{PRINTER}/24", f"{PRINTER6}/64")
    for card in ("all", "eth0", "lan"):
        desk.host.run("sysctl", "-qw", f"net.ipv4.conf.{card}.rp_filter=1")
    gate.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    hosts["web"].start(sys.executable, _SCRIPT, "serve", PORT)
    for server, address in ((printer, "10.0.0.1"), (hosts["web"], "10.0.0.2")):
        serve_name(server, address)
    desk.host.write("/etc/resolv.conf", f"nameserver {PRINTER}\n")
    gate.host.write("/etc/resolv.conf", f"nameserver {WEB}\n")

    hub.mesh("init", NETWORK, "--public", "203.0.113.10", "--name", "hub")
    gate.join(hub.token("--routes", "0.0.0.0/0", "::/0"))
    desk.join(hub.token())
    eventually(lambda: desk.reaches(gate), "the desk reaches the gateway", within=IN_TIME)
    gate.mesh("site", "add", "internet", "0.0.0.0/0", "::/0")
    own = "ip saddr 203.0.113.10 return; ip6 saddr 2001:db8:113::10 return"  # it uses no exit itself
    for name, also in {"hub": own, "desk": "", "phone": ""}.items():
        router.run("nft", _COUNTING.format(name=name, also=also))
    return Scene(router, hub, gate, desk, hosts["web"], phone)


def serve_name(host: Host, address: str) -> None:
    """Have a host be a name server that gives a name an address of its own."""
    host.write("/run/hosts", f"{address} {NAME}\n")
    options = ("--keep-in-foreground", "--no-resolv", "--no-hosts", "--addn-hosts=/run/hosts")
    host.start("dnsmasq", *options, "--user=root", "--pid-file=/run/dnsmasq.pid")


def resolved(scene: Scene) -> str:
    """Return what the desk resolves the name to, which says who was asked."""
    found = scene.desk.host.attempt("getent", "ahostsv4", NAME).output.split()
    return found[0] if found else ""


def used(scene: Scene, name: str = "internet") -> None:
    """Have the desk use the exit, as soon as it knows of it."""
    eventually(lambda: scene.desk.attempt("use", name).status == 0, f"the desk uses {name}", within=IN_TIME)


def by_itself(scene: Scene) -> None:
    """Have the desk use none again, and its daemon run."""
    if not scene.desk.agents():
        scene.desk.host.run(program("wgpyd"), "--mesh", NETWORK)
        eventually(scene.desk.is_ready, "the desk is back", within=IN_TIME)
    scene.desk.mesh("use", "--none")


@pytest.fixture
def exit_scene(scene: Scene) -> Iterator[Scene]:
    """With the exit in use."""
    used(scene)
    scene.assert_is_by_gate()
    yield scene
    by_itself(scene)


def kill(node: Node) -> None:
    """End its daemon without a chance to clean up."""
    for pid in node.agents():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not node.agents(), "it has ended", within=IN_TIME)


def start(node: Node) -> None:
    node.host.run(program("wgpyd"), "--mesh", NETWORK)
    eventually(node.is_ready, f"{node.name} is back", within=IN_TIME)


def test_an_exit_takes_what_no_other_route_has_and_nothing_else(exit_scene: Scene) -> None:
    scene = exit_scene

    with scene.no_leaks():
        scene.assert_is_by_gate()
        for address in (PRINTER, PRINTER6):
            assert scene.desk.host.attempt("ping", "-n", "-c1", "-W5", address).status == 0
        assert scene.desk.reaches(scene.hub, within=5)

    status = scene.desk.status()
    assert (status.exit, status.exit_gateway, len(status.exit_routes)) == ("internet", "gate", 2)
    assert "internet by gate, IPv4 and IPv6" in scene.desk.mesh("status")
    assert scene.desk.why("internet")["reachable"]
    assert scene.desk.why(WEB)["findings"]["site"]["text"] == "internet, behind gate"
    assert scene.seen(scene.hub) == "203.0.113.10"  # which did not ask for it
    assert "which this node does not use" in scene.hub.attempt("why", "internet").output


def test_what_is_sent_by_an_exit_is_as_small_as_the_way_to_it_needs_it(exit_scene: Scene) -> None:
    """The router drops what is too large and says nothing: only the routes tell TCP."""
    desk, router = exit_scene.desk, exit_scene.router
    rule = f"add rule inet small out udp dport 51820 meta length > {_SMALL} drop"
    chain = "{ type filter hook forward priority 0; }"
    router.run("nft", f"add table inet small; add chain inet small out {chain}; {rule}")
    desk.host.run("ip", "link", "set", "eth0", "gso_max_segs", "1")  # the rule is not for several at once
    kill(desk)
    start(desk)
    eventually(lambda: len(small_routes(desk)) == 2, "the default routes have an MTU", within=IN_TIME)

    for address in (WEB, WEB6):
        assert_tcp_arrives_whole(desk.host, exit_scene.web, address, 1 << 20)

    router.run("nft", "delete table inet small")
    desk.host.run("ip", "link", "set", "eth0", "gso_max_segs", "65535")


def small_routes(node: Node) -> list[str]:
    """Return the default routes of an exit that have an MTU."""
    return [line for line in ours(node) if line.startswith("default dev mesh0") and " mtu " in line]


@pytest.mark.parametrize("family", [0, 1])
def test_without_an_exit_what_is_sent_is_counted(scene: Scene, family: int) -> None:
    """Or the other tests would prove nothing."""
    before = scene.leaks()[family]

    with pytest.raises(AssertionError), scene.no_leaks():
        eventually(lambda: scene.leaks()[family] > before, "datagrams leave", within=IN_TIME)

    assert scene.leaks()[family] > before


def test_names_are_asked_for_by_the_gateway_of_an_exit_while_it_is_used(scene: Scene) -> None:
    eventually(lambda: resolved(scene) == "10.0.0.1", "its own server is asked", within=IN_TIME)
    used(scene)
    try:
        eventually(lambda: resolved(scene) == "10.0.0.2", "the gateway's is asked", within=IN_TIME)
        assert [resolved(scene) for _ in range(5)] == ["10.0.0.2"] * 5
    finally:
        by_itself(scene)
    eventually(lambda: resolved(scene) == "10.0.0.1", "its own server is asked again", within=IN_TIME)


def test_an_exit_is_no_way_to_the_metadata_of_its_gateways_cloud(exit_scene: Scene) -> None:
    scene = exit_scene
    metadata, metadata6 = "169.254.169.254", "fd00:ec2::254"
    add_addresses(scene.router, "lo", f"{metadata}/32", f"{metadata6}/128")

    for address in (metadata, metadata6):
        ping = ("ping", "-n", "-c1", "-W2", address)
        assert scene.gate.host.attempt(*ping).status == 0
        assert scene.desk.host.attempt(*ping).status != 0


def test_nothing_leaks_while_the_daemon_is_dead_and_starts_again(exit_scene: Scene) -> None:
    scene = exit_scene

    with scene.no_leaks():
        kill(scene.desk)
        assert scene.seen(scene.desk) == scene.seen(scene.desk, WEB6) == ""

        start(scene.desk)
        scene.assert_is_by_gate()


def test_nothing_leaks_while_the_gateway_is_away_and_the_exit_is_back_with_it(exit_scene: Scene) -> None:
    scene = exit_scene

    with scene.no_leaks():
        kill(scene.gate)
        assert scene.seen(scene.desk) == scene.seen(scene.desk, WEB6) == ""
        eventually(lambda: _is_told(scene), "the status tells it", within=IN_TIME)

        start(scene.gate)
        scene.assert_is_by_gate()


def _is_told(scene: Scene) -> bool:
    """Return whether the status has what was sent just now as unanswered."""
    scene.seen(scene.desk)
    return "; gate does not answer" in scene.desk.mesh("status")


def test_an_exit_is_used_after_a_reboot_also_without_the_coordinator(exit_scene: Scene) -> None:
    scene = exit_scene
    kill(scene.desk)
    scene.desk.host.run("ip", "link", "delete", "mesh0")
    with scene.no_leaks():  # its own default route is there, and the rules are not a daemon's
        assert scene.seen(scene.desk) == ""
    forget(scene.desk)
    scene.router.run("nft", "add table ip cut; add chain ip cut f { type filter hook forward priority 0; };"
                     "add rule ip cut f tcp dport 51820 drop")  # fmt: skip
    try:
        start(scene.desk)
        with scene.no_leaks():
            scene.assert_is_by_gate()
    finally:
        scene.router.run("nft", "delete", "table", "ip", "cut")


def forget(node: Node) -> None:
    """Have the host lose what a reboot takes of its rules and routes."""
    for family in ("-4", "-6"):
        for rule in node.host.run("ip", "-N", family, "rule").splitlines():
            if "proto 151" in rule:
                node.host.run("ip", family, "rule", "delete", "preference", rule.split(":")[0])
        node.host.attempt("ip", family, "route", "flush", "table", "all", "proto", "151")
    assert ours(node) == []


def test_the_way_out_works_without_a_daemon(exit_scene: Scene) -> None:
    scene = exit_scene
    kill(scene.desk)

    scene.desk.mesh("use", "--none")

    scene.assert_is_by_itself()
    assert ours(scene.desk) == []
    start(scene.desk)
    scene.assert_is_by_itself()


@pytest.mark.parametrize("undo", ["down", "use --none"])
def test_nothing_stays_of_an_exit(scene: Scene, undo: str) -> None:
    before = scene.desk.host.run("ip", "rule")
    used(scene)
    scene.assert_is_by_gate()
    assert ours(scene.desk) != []

    scene.desk.mesh(*undo.split())

    assert ours(scene.desk) == []
    scene.assert_is_by_itself()
    if undo == "down":
        scene.desk.mesh("up")
        scene.assert_is_by_gate()  # it is what the node's file says
        by_itself(scene)
    assert scene.desk.host.run("ip", "rule") == before


def test_what_cannot_be_an_exit_is_refused_in_one_sentence_and_changes_nothing(scene: Scene) -> None:
    unknown = "no site of that name has a default route; the exits: internet"
    way_out = "`wgpy mesh use --none` ends the use of "
    cases = {
        ("use", "nowhere"): (scene.desk, 1, unknown),
        ("use", "none"): (scene.desk, 1, way_out + "an exit"),
        ("use", "internet"): (scene.gate, 1, "this node is a gateway of internet itself"),
        ("use", "internet", "--none"): (scene.desk, 2, way_out + "internet"),
        ("use",): (scene.desk, 2, "name a site of default routes"),
    }
    for arguments, (node, status, sentence) in cases.items():
        done = node.attempt(*arguments)
        assert done.status == status
        assert sentence in done.output
        assert len(done.output.strip().splitlines()) == 1
        assert ours(node) == []


def test_of_an_exit_with_one_version_of_ip_the_other_one_leaks_nothing(scene: Scene) -> None:
    scene.gate.mesh("site", "add", "four", "0.0.0.0/0")
    try:
        used(scene, "four")
        with scene.no_leaks():
            eventually(lambda: scene.seen(scene.desk) == "198.51.100.7", "it is used", within=IN_TIME)
            assert scene.seen(scene.desk, WEB6) == ""
    finally:
        by_itself(scene)
        scene.gate.mesh("site", "remove", "four")
    scene.assert_is_by_itself()


# -- Clients -----------------------------------------------------------------------------------------


@contextmanager
def entered(scene: Scene, gateway: Node, *to: str) -> Iterator[None]:
    """With the phone as a client that has its file and has brought its tunnel up."""
    arguments = ("phone", "--gateway", gateway.name, *(word for one in to for word in ("--to", one)))
    (file,) = scene.hub.ask("client", "add", *arguments)["files"]
    lines = [line for line in file["text"].splitlines() if not line.startswith("DNS")]
    scene.phone.host.write(_FILE, "\n".join(lines))  # the others need resolvconf
    scene.phone.host.run(*_WGPY, "up", _FILE)
    try:
        yield
    finally:
        scene.phone.host.run(*_WGPY, "down", _FILE)
        scene.hub.mesh("client", "remove", "phone")


@pytest.fixture
def phone_scene(scene: Scene) -> Iterator[Scene]:
    """With the phone at the hub, whose host forwards all packets, and which is no gateway of the exit."""
    scene.hub.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    with entered(scene, scene.hub, "internet"):
        assert_phone_is_by_gate(scene)
        assert of_clients(scene.hub) != []
        yield scene
    eventually(lambda: of_clients(scene.hub) == [], "nothing of it stays", within=IN_TIME)
    scene.hub.host.run("sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0")


def assert_phone_is_by_gate(scene: Scene) -> None:
    eventually(
        lambda: scene.seen(scene.phone) == "198.51.100.7", "the phone's web is reached", within=IN_TIME
    )
    assert scene.seen(scene.phone, WEB6) == "2001:db8:100::7"


def test_a_client_sends_by_the_exit_of_another_node_than_it_enters_by(phone_scene: Scene) -> None:
    scene = phone_scene

    with scene.no_leaks("phone", "hub"):
        assert_phone_is_by_gate(scene)
        assert name_by(scene, scene.hub) == "10.0.0.2"  # of the name server that the exit's gateway asks

    assert scene.seen(scene.hub) == "203.0.113.10"
    assert scene.seen(scene.hub, WEB6) == "2001:db8:113::10"
    for address in (scene.gate.address(), scene.desk.address(6), "2001:db8:113::10"):
        assert scene.phone.host.attempt("ping", "-n", "-c1", "-W1", address).status != 0


def name_by(scene: Scene, server: Node) -> str:
    """Return what the phone is answered about the name."""
    return scene.phone.host.run(program("python"), "-c", _ASK, server.address(), NAME).split()[-1]


def test_nothing_of_a_client_leaks_while_gateway_or_exit_are_away(phone_scene: Scene) -> None:
    scene = phone_scene

    with scene.no_leaks("phone", "hub"):
        kill(scene.gate)
        assert scene.seen(scene.phone) == scene.seen(scene.phone, WEB6) == ""
        kill(scene.hub)
        start(scene.hub)
        start(scene.gate)
        assert_phone_is_by_gate(scene)


def test_without_a_tunnel_what_the_phone_sends_is_counted(scene: Scene) -> None:
    """Or the other tests would prove nothing."""
    before = scene.leaks("phone")

    with pytest.raises(AssertionError), scene.no_leaks("phone"):
        eventually(lambda: all(map(int.__lt__, before, scene.leaks("phone"))), "they leave", within=IN_TIME)


def test_a_client_leaves_by_the_gateway_of_the_exit_that_it_enters_by(scene: Scene) -> None:
    scene.gate.mesh("endpoint", "198.51.100.7")
    with entered(scene, scene.gate, "internet"):
        assert_phone_is_by_gate(scene)


def of_clients(node: Node) -> list[str]:
    return ours(node, "153")
