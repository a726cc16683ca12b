"""What others break on a node's host is whole again soon, and what is theirs stays theirs.

Each is done to a running node under traffic: it pings another through the mesh without a pause, by both
versions of IP, at the other's own addresses and at those behind it.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_network
from pathlib import Path

import pytest

from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import program as beside
from tests.mesh.nodes import Network
from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.addressing import node_address6
from wgpy.node.underlay import table_of

pytestmark = pytest.mark.xdist_group("mesh_reconcile")

PORT = 51820
FOLDER = "/var/lib/wgpyd/mesh/prod"
PODS, PODS6 = "10.42.2.0/24", "fd42:2::/64"
POD, POD6 = "10.42.2.1", "fd42:2::1"
TABLE = table_of(Network.found(0).administrator.key.verify_key())
STARTED = 30.0  # seconds, on a busy machine
REPAIRED = 2.0  # seconds
CHILDREN_FAULTS, CPU_TICKS = 7, slice(10, 14)  # of `stat`
QUIET = 0.5  # seconds, in which one more line of the log would come


@dataclass
class Scene:
    """
    one                             two
    eth0 10.10.0.1/24 ───────────── eth0 10.10.0.2/24
    mesh0 100.80.0.1/16             mesh0 100.80.0.2/16
                                    lo 10.42.2.1, fd42:2::1; announces their prefixes
    """

    one: Host
    daemon: HostProcess
    own6: str
    pings: dict[str, HostProcess]

    def log(self) -> list[str]:
        return self.daemon.log.read_text().splitlines()

    def addresses(self) -> set[str]:
        (link,) = json.loads(self.one.run("ip", "-json", "address", "show", "dev", "mesh0"))
        return {f"{found['local']}/{found['prefixlen']}" for found in link["addr_info"] if "local" in found}

    def routes(self, *selector: str) -> set[str]:
        """The prefixes of those routes, of both versions of IP."""
        return {
            route["dst"]
            for version in ("-4", "-6")
            for route in json.loads(
                self.one.run("ip", "-json", version, "route", "show", "table", "all", *selector)
            )
        }

    def is_whole(self) -> bool:
        return (
            {"100.80.0.1/16", f"{self.own6}/32"} <= self.addresses()
            and {PODS, PODS6, "100.80.0.0/16", "fd12:3456::/32"} <= self.routes("dev", "mesh0")
            and {PODS, PODS6} <= self.routes("dev", "mesh0", "proto", "151")
            and all(f"lookup {TABLE}" in self.one.run("ip", version, "rule") for version in ("-4", "-6"))
        )

    def answered(self) -> dict[str, int]:
        return {address: ping.log.read_text().count("bytes from") for address, ping in self.pings.items()}

    def is_whole_again(self, within: float = REPAIRED) -> None:
        """See that host and traffic are, and wait until the log has all of it."""
        eventually(self.is_whole, "the host is as it was", within=within)
        before = self.answered()
        eventually(
            lambda: all(self.answered()[address] > before[address] for address in before),
            "every ping is answered again",
        )
        time.sleep(QUIET)


@pytest.fixture(scope="module")
def running(module_lab: Lab) -> Scene:
    network = Network.found(int(time.time()), routes=(ip_network(PODS), ip_network(PODS6)))
    one, two = hosts = [module_lab.host("one"), module_lab.host("two")]
    connect(one, "eth0", two, "eth0")
    add_addresses(two, "lo", f"{POD}/32", f"{POD6}/128")
    for number, host in enumerate(hosts, 1):
        add_addresses(host, "eth0", f"10.10.0.{number}/24")
        routes = (ip_network(PODS), ip_network(PODS6)) if host is two else ()
        network.join(Endpoint(f"10.10.0.{number}", PORT), port=PORT, routes=routes)
    for node, host in zip(network.nodes, hosts, strict=True):
        network.store(node, host.path(FOLDER))
    daemons = [host.start(beside("wgpyd"), "-f", "--mesh", "prod") for host in hosts]
    own6, other6 = (
        str(node_address6(IPv6Network("fd12:3456::/32"), node.identity.verify_key()))
        for node in network.nodes
    )
    scene = Scene(one, daemons[0], own6, {})
    eventually(
        lambda: one.attempt("ip", "link", "show", "mesh0").status == 0 and scene.is_whole(),
        "it is up",
        within=STARTED,
    )
    for address in ("100.80.0.2", other6, POD, POD6):
        scene.pings[address] = one.start("ping", "-n", "-i", "0.05", address)
    return scene


@pytest.fixture
def scene(running: Scene) -> Iterator[Scene]:
    """Everything is whole, and every ping is answered."""
    running.is_whole_again(within=10)
    yield running
    for prefix in (PODS, PODS6):
        running.one.attempt("ip", "route", "delete", prefix, "dev", "eth0")


def new_lines(scene: Scene, before: list[str]) -> list[str]:
    return scene.log()[len(before) :]


# -- What is broken is repaired ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "ip link set mesh0 down; ip link set mesh0 up",
        "ip link set mesh0 down",
        f"ip route delete {PODS} table {TABLE}; ip route delete {PODS6} table {TABLE}",
        f"ip route flush table {TABLE}",
        f"ip route flush table {TABLE}; ip -6 route flush table {TABLE}",
        f"ip route delete 100.80.0.0/16 table {TABLE}",
        f"ip rule delete lookup {TABLE}; ip -6 rule delete lookup {TABLE}",
        f"ip rule delete lookup {TABLE}; ip rule add lookup {TABLE} preference 40000 protocol 151",
        "ip address delete 100.80.0.1/16 dev mesh0",
        "ip -6 address flush dev mesh0 scope global",
        f"ip address flush dev mesh0; ip route flush table {TABLE}",
        "ip link set mesh0 mtu 1500",
    ],
)
def test_what_others_broke_is_whole_again_and_the_log_has_one_line(scene: Scene, damage: str) -> None:
    before = scene.log()

    scene.one.run("sh", "-c", damage)

    scene.is_whole_again()
    eventually(lambda: new_lines(scene, before) != [], "the log tells it")  # a moment after it is done
    lines = new_lines(scene, before)
    assert len(lines) == 1, lines
    assert "repaired the host: " in lines[0]
    assert json.loads(scene.one.run("ip", "-json", "link", "show", "mesh0"))[0]["mtu"] == 1380


def test_without_a_change_nothing_is_read_and_nothing_is_logged(scene: Scene) -> None:
    time.sleep(2 * QUIET)  # until the second look, once the host has settled
    before, children = scene.log(), stat(scene.daemon)[CHILDREN_FAULTS]

    time.sleep(2 * QUIET)

    assert new_lines(scene, before) == []
    assert stat(scene.daemon)[CHILDREN_FAULTS] == children, "no program was run"


# -- What is another's stays -------------------------------------------------------------------------


def status(scene: Scene) -> str:
    return scene.one.run(beside("wgpy"), "mesh", "status")


def test_a_route_of_the_host_that_comes_later_is_kept_until_it_goes_by_itself(scene: Scene) -> None:
    before = scene.log()
    conflict = f"{PODS} is not used here: this host routes it via 10.10.0.2 by eth0"

    scene.one.run("ip", "route", "replace", PODS, "via", "10.10.0.2", "dev", "eth0")
    eventually(lambda: conflict in status(scene), "status says it")

    assert conflict in scene.one.run(beside("wgpy"), "mesh", "why", "n2")
    assert PODS not in scene.routes("dev", "mesh0")
    assert PODS in scene.routes("dev", "eth0")
    assert [conflict in line for line in new_lines(scene, before)] == [True]
    before = scene.log()
    scene.one.run("ip", "route", "delete", PODS, "dev", "eth0")
    scene.is_whole_again()
    assert len(new_lines(scene, before)) == 1
    assert conflict not in status(scene)


@pytest.mark.parametrize("metric", ["10", "5000"])
def test_a_route_of_the_host_is_kept_whatever_its_metric(scene: Scene, metric: str) -> None:
    scene.one.run("ip", "-6", "route", "add", PODS6, "dev", "eth0", "metric", metric)

    eventually(lambda: PODS6 not in scene.routes("dev", "mesh0"), "ours gives way")

    assert PODS6 in scene.routes("dev", "eth0")
    scene.one.run("ip", "-6", "route", "delete", PODS6, "dev", "eth0")
    scene.is_whole_again()


def test_a_route_that_leads_nowhere_while_the_mesh_is_away_is_kept_below_ours(scene: Scene) -> None:
    scene.one.run("ip", "route", "add", "blackhole", PODS, "metric", "5000")
    try:
        time.sleep(QUIET)
        assert scene.is_whole()
    finally:
        scene.one.run("ip", "route", "delete", "blackhole", PODS)


def test_a_storm_of_other_routes_costs_a_bounded_share_of_time(scene: Scene) -> None:
    """One part in ten for reading, and as much again for the programs that read."""
    before = scene.log()
    storm = scene.one.start(
        "sh", "-c", "while :; do ip route add 10.99.0.0/24 dev eth0; ip route delete 10.99.0.0/24; done"
    )
    try:
        time.sleep(QUIET)
        began, used = time.monotonic(), cpu_seconds(scene.daemon)
        time.sleep(4 * QUIET)
        share = (cpu_seconds(scene.daemon) - used) / (time.monotonic() - began)
    finally:
        storm.kill()
        storm.wait()

    assert share < 0.4
    assert new_lines(scene, before) == []


def cpu_seconds(process: HostProcess) -> float:
    """Of the daemon and the children that it waited for."""
    return sum(stat(process)[CPU_TICKS]) / 100


def stat(process: HostProcess) -> list[int]:
    """The fields that follow the state. proc_pid_stat(5)"""
    return list(map(int, process.proc("stat").rpartition(")")[2].split()[1:]))


# -- Its own life ------------------------------------------------------------------------------------


def test_two_networks_with_the_same_route_take_nothing_from_each_other(lab: Lab) -> None:
    """
    hub                             far
    eth0 10.10.0.1/24 ───────────── eth0 10.10.0.2/24
    mesh0 of prod, mesh1 of dev     mesh0 of prod, mesh1 of dev; announces 10.42.2.0/24 to both
    """
    hub, far = lab.host("hub"), lab.host("far")
    connect(hub, "eth0", far, "eth0")
    for number, host in enumerate((hub, far), 1):
        add_addresses(host, "eth0", f"10.10.0.{number}/24")
    add_addresses(far, "lo", f"{POD}/32")
    wgpy = beside("wgpy")
    for network, port, interface in (("prod", "51820", "mesh0"), ("dev", "51900", "mesh1")):
        options = ("--interface", interface, "--listen-port", port)
        hub.run(wgpy, "mesh", "init", network, "--public", f"10.10.0.1:{port}", "--name", "hub", *options)
        made = hub.run(wgpy, "mesh", "token", "--network", network, "--routes", PODS, "--json")
        token = json.loads(made[made.index("{") :])["token"]
        far.run(wgpy, "mesh", "join", token, "--name", "far", "--routes", PODS, *options)

    eventually(lambda: way(hub) == "mesh0", "prod was first")
    eventually(
        lambda: (
            "another network of this host has it, on mesh0"
            in hub.run(wgpy, "mesh", "status", "--network", "dev")
        ),
        "dev says why it is not",
    )
    hub.run("ping", "-c", "1", "-W", "5", POD)

    hub.run(wgpy, "mesh", "leave", "--network", "prod")

    eventually(lambda: way(hub) == "mesh1", "dev has it now", within=REPAIRED)
    hub.run("ping", "-c", "1", "-W", "5", POD)
    assert Path(hub.path("/var/lib/wgpyd/mesh/dev/node.json")).exists()


def way(host: Host) -> str:
    """The interface that a packet to the pods leaves by, "" if there is none."""
    found = host.attempt("ip", "-json", "route", "get", POD)
    return "" if found.status else str(json.loads(found.output)[0].get("dev", ""))
