"""The mesh's own datagrams keep to the underlay, whatever ranges nodes announce; nothing else leaves there.

A node announces the range that it stands in, or that of the coordinator: all are connected all the same, also
after a restart, and the tunnels carry what is for them and nothing of themselves.
"""

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, eventually, put_behind
from tests.integration.meshlab import Node, program

Routes = tuple[str, ...]

pytestmark = pytest.mark.xdist_group("mesh_underlay")

SITE, SITE6 = "198.51.100.0/24", "2001:db8:100::/64"
PODS, POD = "10.42.9.0/24", "10.42.9.1"
IN_POOL = "100.64.0.1"  # `init` takes the first /12 of 100.64.0.0/10 that is free
CONNECTED = 30.0  # seconds, by which a node has found its coordinator again
# A node's endpoints may be in its prefixes; datagrams of WireGuard go there.
_COUNTING = f"""
table netdev hub {{
 chain from {{
  type filter hook ingress device to-hub priority 0
  udp sport 51820 return
  ip daddr {{ 100.64.0.0/10, {PODS} }} counter
  ip6 daddr fc00::/7 counter
 }}
}}"""
_NAME_SERVER = """
import socket
import dns.message, dns.rrset

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("192.88.99.53", 53))
while True:
    data, source = server.recvfrom(2000)
    answer = dns.message.make_response(dns.message.from_wire(data))
    if answer.question[0].rdtype == 1:
        answer.answer.append(dns.rrset.from_text(answer.question[0].name, 60, "IN", "A", "203.0.113.10"))
    server.sendto(answer.to_wire(), source)
"""
QUIET_PACKETS = 200  # of two tunnels in some seconds with a ping or two


@dataclass
class Scene:
    """
    hub  203.0.113.10 ── router ── 198.51.100.7  site
                           │
                         192.0.2.9 third

    The same in 2001:db8:113::/64, 2001:db8:100::/64 and 2001:db8:192::/64. The hub coordinates.
    """

    router: Host
    hub: Node
    site: Node
    third: Node

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.hub, self.site, self.third

    def restart(self, node: Node) -> None:
        """Kill its daemon, as a crash does, and start it again."""
        kill(node)
        node.host.run(program("wgpyd"), "--mesh", "lab")
        eventually(lambda: has_answer(node), f"the agent of {node.name} answers", within=CONNECTED)

    def assert_all_is_well(self) -> None:
        for node in self.nodes:
            eventually(
                lambda node=node: node.status().connected,  # type: ignore[misc]
                f"{node.name} is connected to its coordinator", within=CONNECTED,
            )  # fmt: skip
        for node in self.nodes:
            for other in self.nodes:
                if other is not node:
                    eventually(
                        lambda node=node, other=other: node.reaches(other),  # type: ignore[misc]
                        f"{node.name} reaches {other.name}", within=CONNECTED,
                    )  # fmt: skip
        before = [sent(node) for node in self.nodes]
        self.hub.ping(self.site)
        assert all(
            sent(node) - packets < QUIET_PACKETS for node, packets in zip(self.nodes, before, strict=True)
        )


def has_answer(node: Node) -> bool:
    try:
        node.status()
    except OSError:
        return False
    return True


def kill(node: Node) -> None:
    """End its daemon without a chance to clean up."""
    node.host.run("sh", "-c", "kill -9 $(pidof -x wgpyd)")
    eventually(lambda: node.host.attempt("pidof", "-x", "wgpyd").status != 0, "it has ended")


def sent(node: Node) -> int:
    """Packets that went into its tunnels."""
    (link,) = json.loads(node.host.run("ip", "-json", "-statistics", "link", "show", "dev", "mesh0"))
    return int(link["stats64"]["tx"]["packets"])


def leave(node: Node) -> None:
    for network in ("lab", "other"):
        if (node.folder.parent / network / "node.json").exists():
            node.mesh("leave", "--force", "--network", network)


@pytest.fixture(scope="module")
def underlay(module_lab: Lab) -> Scene:
    lab = module_lab
    router = lab.host("router")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    nodes = []
    for name, network, network6, number in (
        ("hub", "203.0.113", "2001:db8:113:", 10),
        ("site", "198.51.100", "2001:db8:100:", 7),
        ("third", "192.0.2", "2001:db8:192:", 9),
    ):
        host = lab.host(name)
        put_behind(router, host, f"{network}.{number}/24", f"{network6}:{number}/64")
        nodes.append(Node(name, host, f"{network}.{number}", f"{network}.{number}"))
    return Scene(router, *nodes)


@pytest.fixture
def scene(underlay: Scene) -> Iterator[Scene]:
    """Hosts in no network; afterwards again."""
    yield underlay
    for node in reversed(underlay.nodes):
        leave(node)
    hub = underlay.hub.host
    hub.attempt("sh", "-c", "kill $(pidof -x wgmesh); rm -rf /var/lib/wgmesh /var/lib/wgpyd/mesh")
    for node in underlay.nodes:
        assert "151" not in node.host.run("ip", "rule") + node.host.run("ip", "-6", "rule")
        assert node.host.run("ip", "route", "show", "table", "all", "proto", "151") == ""
        assert node.host.run("ip", "-6", "route", "show", "table", "all", "proto", "151") == ""


def found(scene: Scene, public: str = "203.0.113.10", *, site: Routes = (), third: Routes = ()) -> None:
    """Make the network. site, third: what these announce."""
    scene.hub.mesh("init", "lab", "--public", public, "--name", "hub")
    for node, routes in ((scene.site, site), (scene.third, third)):
        given = ("--routes", *routes) if routes else ()
        node.join(scene.hub.token(*given), *given)


@pytest.mark.parametrize("public", ["203.0.113.10", "2001:db8:113::10"])
def test_a_node_announces_the_range_that_it_stands_in(scene: Scene, public: str) -> None:
    found(scene, public, site=(SITE, SITE6))

    scene.assert_all_is_well()
    scene.restart(scene.third)
    scene.restart(scene.site)
    scene.assert_all_is_well()


@pytest.mark.parametrize("public", ["203.0.113.10", "2001:db8:113::10"])
def test_a_node_announces_a_coordinator_that_it_has_nothing_to_do_with(scene: Scene, public: str) -> None:
    found(scene, public, third=("203.0.113.10/32", "203.0.113.0/24", "2001:db8:113::10/128"))

    scene.assert_all_is_well()
    scene.restart(scene.site)
    scene.restart(scene.hub)
    scene.assert_all_is_well()


def test_a_network_whose_range_covers_the_coordinator_is_no_trap(scene: Scene) -> None:
    scene.hub.host.run("ip", "address", "add", "100.64.0.1/32", "dev", "lo")
    scene.router.run("ip", "route", "add", "100.64.0.1", "via", "203.0.113.10")
    scene.hub.mesh("init", "lab", "--public", "100.64.0.1", "--addresses", "100.96.0.0/16", "--name", "hub")
    scene.site.join(scene.hub.token("--routes", "100.64.0.0/10"), "--routes", "100.64.0.0/10")
    scene.third.join(scene.hub.token())

    scene.assert_all_is_well()
    scene.hub.host.run("ip", "address", "delete", "100.64.0.1/32", "dev", "lo")


def test_the_coordinators_name_is_found_though_a_node_announces_the_name_server(scene: Scene) -> None:
    add_addresses(scene.router, "lo", "192.88.99.53/32")
    server = scene.router.start(sys.executable, "-c", _NAME_SERVER)
    for node in scene.nodes:
        node.host.write("/run/resolv.conf", "nameserver 192.88.99.53\n")
        node.host.run("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")
    found(scene, "coordinator.test", site=("192.88.99.0/24",))

    eventually(lambda: way(scene.third.host, "192.88.99.53") == "mesh0", "the mesh covers the server")
    scene.restart(scene.third)
    scene.assert_all_is_well()
    made = scene.hub.ask("init", "other", "--public", "coordinator.test", "--name", "hub")
    joined = scene.third.mesh("join", made["token"], "--name", "third", "--endpoint", "coordinator.test:4000")
    assert "cannot be resolved" not in joined
    for node in scene.nodes:
        node.host.run("umount", "-l", "/etc/resolv.conf")
    server.kill()


def test_what_is_for_the_mesh_never_leaves_by_the_underlay_while_the_daemon_is_away(scene: Scene) -> None:
    add_addresses(scene.site.host, "lo", f"{POD}/32")
    found(scene, site=(PODS,))
    scene.assert_all_is_well()
    count_what_leaks(scene.router)

    scene.hub.host.run("ping", "-c", "1", "-W", "5", POD)
    targets = [POD, scene.site.address(), scene.site.address(6), IN_POOL]
    ping = scene.hub.host.start("ping", "-i", "0.01", POD)
    for number in (signal.SIGKILL, signal.SIGTERM):
        scene.hub.host.run("sh", "-c", f"kill -{number} $(pidof -x wgpyd)")
        eventually(lambda: scene.hub.host.attempt("pidof", "-x", "wgpyd").status != 0, "it has ended")
        for target in targets:
            assert scene.hub.host.attempt("ping", "-c", "1", "-W", "1", target).status != 0
        scene.hub.host.run(program("wgpyd"), "--mesh", "lab")
        eventually(lambda: scene.hub.reaches(scene.site), "it is back", within=CONNECTED)
    ping.kill()

    assert leaked(scene.router) == 0


def test_what_has_no_way_into_the_mesh_any_more_leaves_by_no_other(scene: Scene) -> None:
    found(scene, site=(PODS,))
    hub = scene.hub.host
    eventually(lambda: way(hub, POD) == "mesh0", "the site's range leads into the mesh", within=CONNECTED)
    count_what_leaks(scene.router)
    assert is_unreachable(hub, IN_POOL)

    scene.site.mesh("route", "remove", PODS)
    eventually(lambda: is_unreachable(hub, POD), "it is withdrawn", within=CONNECTED)
    scene.restart(scene.hub)
    assert is_unreachable(hub, POD)
    assert hub.attempt("ping", "-c", "1", "-W", "1", POD).status != 0

    scene.site.mesh("route", "add", PODS)
    eventually(lambda: not is_unreachable(hub, POD), "it is announced again", within=CONNECTED)
    assert way(hub, POD) == "mesh0"

    scene.hub.mesh("remove", "site")
    eventually(lambda: is_unreachable(hub, POD), "who announced it is removed", within=CONNECTED)
    scene.restart(scene.hub)
    for target in (POD, IN_POOL):
        assert hub.attempt("ping", "-c", "1", "-W", "1", target).status != 0
    assert leaked(scene.router) == 0

    hub.run("ip", "route", "add", PODS, "via", "203.0.113.1")
    eventually(lambda: not is_unreachable(hub, POD), "the host's own route goes first")
    assert way(hub, POD) == "eth0"
    hub.run("ip", "route", "delete", PODS)


def is_unreachable(host: Host, address: str) -> bool:
    return host.attempt("ip", "route", "get", address).status != 0


def count_what_leaks(router: Host) -> None:
    """From now on."""
    router.attempt("nft", "delete", "table", "netdev", "hub")
    router.run("nft", _COUNTING)


def leaked(router: Host) -> int:
    """Packets for the mesh that came from the hub as they were."""
    tables = json.loads(router.run("nft", "-j", "list", "table", "netdev", "hub"))["nftables"]
    rules = [entry["rule"]["expr"] for entry in tables if "rule" in entry]
    return sum(part["counter"]["packets"] for rule in rules for part in rule if "counter" in part)


def test_the_hosts_own_more_specific_route_wins_and_is_followed(scene: Scene) -> None:
    found(scene, site=("10.42.0.0/16",))
    hub = scene.hub.host
    eventually(lambda: way(hub, POD) == "mesh0", "it leads into the mesh")

    hub.run("ip", "route", "add", PODS, "via", "203.0.113.1")
    eventually(lambda: way(hub, POD) == "eth0", "the host's own is longer")
    assert way(hub, "10.42.1.1") == "mesh0"

    hub.run("ip", "route", "delete", PODS)
    eventually(lambda: way(hub, POD) == "mesh0", "and it is gone")


def test_full_tunnels_rules_that_come_later_leave_the_mesh_where_it_was(scene: Scene) -> None:
    found(scene, site=("10.42.0.0/16",))
    hub = scene.hub.host
    hub.run("ip", "route", "add", "default", "via", "203.0.113.77", "table", "51820")
    hub.run("ip", "rule", "add", "not", "fwmark", "51820", "table", "51820")
    hub.run("ip", "rule", "add", "table", "main", "suppress_prefixlength", "0")

    eventually(lambda: way(hub, POD) == "mesh0", "the mesh comes before the default route")
    assert "via 203.0.113.77" in hub.run("ip", "route", "get", "8.8.8.8")
    assert way(hub, scene.site.address()) == "mesh0"
    for rule in (
        ["not", "fwmark", "51820", "table", "51820"],
        ["table", "main", "suppress_prefixlength", "0"],
    ):
        hub.run("ip", "rule", "delete", *rule)
    hub.run("ip", "route", "flush", "table", "51820")


def way(host: Host, address: str) -> str:
    """The interface that a packet leaves by."""
    (route,) = json.loads(host.run("ip", "-json", "route", "get", address))
    return str(route["dev"])


def test_a_table_and_a_mark_of_the_operators_own(scene: Scene) -> None:
    scene.hub.mesh("init", "lab", "--public", "203.0.113.10", "--table", "4711", "--fwmark", "0x7")
    scene.third.join(scene.hub.token())

    status = scene.hub.status()
    assert (status.table, status.fwmark) == (4711, 7)
    assert "not from all fwmark 0x7 lookup 4711" in scene.hub.host.run("ip", "rule")
    eventually(lambda: scene.third.reaches(scene.hub), "they reach each other")
