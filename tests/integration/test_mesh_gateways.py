"""An office LAN whose hosts know nothing of the mesh, behind two gateways, one of which dies.

dev  203.0.113.20 ──┐                 ┌── gw1 203.0.113.31, lan 192.168.1.1 ──┐
                    ├─ net 203.0.113 ─┤                                       ├── lan ── server 192.168.1.10
hub  203.0.113.10 ──┘                 └── gw2 203.0.113.32, lan 192.168.1.2 ──┘

The hub coordinates. The home network of dev is 192.168.1.0/24, too. No host forwards.
The server has a PostgreSQL.
"""

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_interface

import pytest

from tests.integration.exchange import TRAFFIC
from tests.integration.hosts import Host, HostProcess, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, Node
from tests.mesh.postgresql import PostgreSQL
from wgpy.node.agent_client import Count

pytestmark = [pytest.mark.xdist_group("mesh_gateways"), pytest.mark.slow]

_REAL = "192.168.1.0/24"
_PODS, _POD = "10.5.0.0/24", "10.5.0.7"
_WITHIN = 60.0  # seconds: hosts are slow where many tests run
_SETTINGS = ("net.ipv4.ip_forward", "net.ipv4.conf.lan.forwarding", "net.ipv6.conf.all.forwarding")
_ROWS, _ANSWER = 300, "500500"  # of the database
_ECHO = """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        print("from", self.client_address[0], flush=True)
        while data := self.request.recv(4096):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
with Server(("", 7001), Echo) as server:
    print("ready", flush=True)
    server.serve_forever()
"""
# Sends a line, waits until it comes back, and so on: the last one says whether all did.
_CONVERSE = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 7001), 120) as connection:
    for number in range(int(sys.argv[2])):
        line = b"%08d" % number
        connection.sendall(line)
        assert connection.recv(8, socket.MSG_WAITALL) == line
        print(number, flush=True)
        time.sleep(0.05)
print("all", flush=True)
"""


@dataclass(frozen=True, slots=True)
class World:
    hub: Node
    dev: Node
    gateways: tuple[Node, Node]
    server: Host

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.hub, self.dev, *self.gateways

    def mapped(self, real: str = "192.168.1.10") -> str:
        """What the mesh calls a host of the office."""
        (site,) = self.hub.ask("site", "list")["sites"]
        (mapped,) = site["mapped"]
        return f"{mapped.rpartition('.')[0]}.{real.rpartition('.')[2]}"

    def used(self) -> str:
        (site,) = self.dev.ask("site", "list")["sites"]
        return str(site["used"])

    def return_by(self, gateway: str) -> None:
        """Give the server a route to the mesh."""
        (card,) = json.loads(self.hub.host.run("ip", "-json", "address", "show", "mesh0"))
        (found,) = [one for one in card["addr_info"] if one["family"] == "inet"]
        mesh = ip_interface(f"{found['local']}/{found['prefixlen']}").network
        self.server.run("ip", "route", "replace", str(mesh), "via", gateway)

    def reaches(self, address: str) -> bool:
        return self.dev.host.attempt("ping", "-n", "-c", "1", "-W", "1", address).status == 0


@pytest.fixture(scope="module")
def hosts(module_lab: Lab) -> World:
    net, lan = module_lab.host("net"), module_lab.host("lan")
    for switch in (net, lan):
        switch.run("ip", "link", "add", "bridge", "type", "bridge")
        switch.run("ip", "link", "set", "bridge", "up")
    found = {name: module_lab.host(name) for name in ("hub", "dev", "gw1", "gw2", "server")}
    for name, number in (("hub", 10), ("dev", 20), ("gw1", 31), ("gw2", 32)):
        plug(net, found[name], name, "eth0", f"203.0.113.{number}/24")
    for name, number in (("gw1", 1), ("gw2", 2), ("server", 10)):
        plug(lan, found[name], name, "lan", f"192.168.1.{number}/24")
    dev = found["dev"]
    dev.run("ip", "link", "add", "home", "type", "veth", "peer", "name", "neighbour")
    dev.run("ip", "link", "set", "home", "up")
    add_addresses(dev, "home", "192.168.1.20/24")
    nodes = [
        Node(name, found[name], f"203.0.113.{number}", f"203.0.113.{number}")
        for name, number in (("hub", 10), ("dev", 20), ("gw1", 31), ("gw2", 32))
    ]
    return World(nodes[0], nodes[1], (nodes[2], nodes[3]), found["server"])


def plug(switch: Host, host: Host, name: str, card: str, address: str) -> None:
    connect(switch, f"to-{name}", host, card)
    switch.run("ip", "link", "set", f"to-{name}", "master", "bridge")
    add_addresses(host, card, address)


@pytest.fixture(scope="module")
def mesh(hosts: World) -> Iterator[World]:
    before = list(map(state, hosts.gateways))
    hosts.hub.mesh("init", NETWORK, "--public", hosts.hub.outside, "--name", "hub")
    hosts.dev.join(hosts.hub.token("--tag", "dev"))
    for node in hosts.gateways:  # by a token each, whose order says who was first, also within a second
        node.join(hosts.hub.token("--routes", _REAL))
    yield hosts
    add(hosts.gateways[0])
    for node in reversed(hosts.nodes):
        node.mesh("leave", "--force")
    assert list(map(state, hosts.gateways)) == before


@pytest.fixture(scope="module")
def database(hosts: World) -> Iterator[PostgreSQL]:
    with PostgreSQL.made() as made:
        service = hosts.server.start(*made.service("192.168.1.10"))
        eventually(lambda: "ready to accept" in service.log.read_text(), "PostgreSQL serves", within=_WITHIN)
        yield made
        service.kill(signal.SIGQUIT)
        service.wait()


@pytest.fixture
def world(mesh: World) -> Iterator[World]:
    before = list(map(state, mesh.gateways))
    yield mesh
    for node in mesh.gateways:
        node.attempt("site", "remove", "office")
    eventually(
        lambda: list(map(state, mesh.gateways)) == before, "the hosts are as they were", within=_WITHIN
    )


def state(node: Node) -> str:
    """What a gateway may change of its host."""
    return node.host.run("sysctl", *_SETTINGS) + node.host.run("nft", "list", "ruleset")


def serve(world: World) -> HostProcess:
    """Echo by TCP, and tell who connects."""
    server = world.server.start(sys.executable, "-c", _ECHO)
    eventually(lambda: "ready" in server.log.read_text(), "the server listens", within=_WITHIN)
    return server


def converse(world: World, address: str, lines: int) -> HostProcess:
    return world.dev.host.start(sys.executable, "-c", _CONVERSE, address, str(lines))


def add(node: Node, *options: str) -> str:
    return node.mesh("site", "add", "office", _REAL, "--mapped", "--firewall", *options)


def test_a_gateway_that_does_not_forward_is_refused_with_what_to_do(world: World) -> None:
    gateway = world.gateways[0]

    refused = gateway.attempt("site", "add", "office", _REAL)

    assert refused.status == 1
    assert "its host does not forward IPv4: `sysctl -w net.ipv4.ip_forward=1`" in refused.output
    assert world.hub.ask("site", "list")["sites"] == []


def test_a_firewall_that_the_daemon_may_not_read_is_told_of(world: World) -> None:
    gateway, legacy = world.gateways[0], "iptables-legacy"
    if shutil.which(legacy) is None:
        pytest.skip(f"{legacy} is missing")
    gateway.host.run(legacy, "-P", "FORWARD", "DROP")

    add(gateway)

    sentence = f"`{legacy} -I FORWARD -i mesh0 -o lan -j ACCEPT` lets it pass"
    eventually(lambda: sentence in gateway.mesh("status"), "it is told of", within=_WITHIN)
    gateway.host.run(legacy, "-P", "FORWARD", "ACCEPT")


def test_hosts_of_an_office_are_reached_and_all_is_taken_back(world: World) -> None:
    gateway = world.gateways[0]
    before = state(gateway)
    add(gateway)
    eventually(lambda: world.reaches(world.mapped()), "the server is reached", within=_WITHIN)
    server = serve(world)
    said = converse(world, world.mapped(), 3).wait(30)
    assert said.output.endswith("all\n")
    assert "from 192.168.1.1" in server.log.read_text()
    server.kill()
    assert gateway.host.run("sysctl", "-n", "net.ipv4.ip_forward").strip() == "0"

    # The gateway itself, as its LAN knows it.
    sink = gateway.host.start(*TRAFFIC, "tcp-sink", "192.168.1.1", "5001")
    world.dev.host.run(*TRAFFIC, "tcp-send", world.mapped("192.168.1.1"), "5001", "100000")
    assert sink.wait(30).status == 0

    gateway.host.run("nft", "flush", "ruleset")
    eventually(
        lambda: "masquerade" in gateway.host.run("nft", "list", "ruleset"), "it is made again", _WITHIN
    )
    eventually(lambda: world.reaches(world.mapped()), "the server is reached again", within=_WITHIN)

    gateway.kill()
    gateway.start()
    gateway.mesh("site", "remove", "office")
    eventually(lambda: state(gateway) == before, "the host is as it was", within=_WITHIN)


def test_a_gateway_that_dies_is_left_and_used_again_when_it_is_back(world: World) -> None:
    first, second = world.gateways
    add(first, "--priority", "10")
    add(second, "--priority", "20")
    eventually(lambda: world.used() == "gw1", "the first by priority is used", within=_WITHIN)
    eventually(lambda: world.reaches(world.mapped()), "the server is reached", within=_WITHIN)
    address = world.mapped()
    pings = world.dev.host.start("ping", "-n", "-i", "0.2", address)
    server = serve(world)

    first.kill()
    eventually(lambda: world.used() == "gw2", "the other one is used", within=_WITHIN)
    eventually(lambda: world.reaches(address), "the server is reached by it", within=_WITHIN)
    assert "office is reached by gw2, as gw1 did not answer" in world.dev.mesh("status")
    assert world.dev.status().gateway_moves == (Count("office", 1),)
    assert converse(world, address, 3).wait(60).output.endswith("all\n")

    first.start()
    eventually(lambda: world.used() == "gw1", "the first one is used again", within=2 * _WITHIN)
    eventually(lambda: world.reaches(address), "the server is reached by it again", within=_WITHIN)
    pings.kill()
    server.kill()


def test_a_connection_outlives_a_gateway_of_a_site_that_has_a_route_back(world: World) -> None:
    first, second = world.gateways
    add(first, "--routed", "--priority", "10")
    add(second, "--routed", "--priority", "20")
    world.return_by("192.168.1.1")
    eventually(lambda: world.reaches(world.mapped()), "the server is reached", within=_WITHIN)
    server = serve(world)
    conversation = converse(world, world.mapped(), 200)
    eventually(lambda: "20\n" in conversation.log.read_text(), "it is under way", within=_WITHIN)

    first.kill()
    world.return_by("192.168.1.2")

    assert conversation.wait(120).output.endswith("all\n")
    assert world.used() == "gw2"
    server.kill()
    first.start()


def test_a_node_that_stands_by_for_a_dead_one_is_heard_though_nobody_sends_there(world: World) -> None:
    """As a new host of a cluster, which Kubernetes gave the pod range of one that is gone."""
    first, second = world.gateways
    first.mesh("route", "add", _PODS)
    second.host.run("ip", "address", "add", _POD, "dev", "lo")
    gone = first.address()
    try:
        for node in world.gateways:
            world.hub.mesh("approve", node.name, _PODS)
        first.kill()
        assert not world.reaches(gone)  # so it has something of dev, and nothing of the hub, to answer

        second.mesh("route", "add", _PODS)

        def is_heard_by(node: Node) -> bool:
            to = node.address()
            return second.host.attempt("ping", "-n", "-c", "1", "-W", "1", "-I", _POD, to).status == 0

        for node in (world.hub, world.dev):
            eventually(partial(is_heard_by, node), f"{node.name} hears and answers the pod", within=_WITHIN)
        reason = f"{_PODS} is reached by gw2, as gw1 did not answer"
        assert reason in world.dev.mesh("status")

        first.start()
        eventually(lambda: reason not in world.dev.mesh("status"), "the first one is back", 2 * _WITHIN)
    finally:
        second.host.run("ip", "address", "delete", f"{_POD}/32", "dev", "lo")
        if not first.agents():
            first.start()
        for node in world.gateways:
            node.attempt("route", "remove", _PODS)


def test_a_port_rule_opens_a_database_of_an_office_also_while_a_gateway_dies(
    world: World, database: PostgreSQL
) -> None:
    hub, dev, (first, second) = world.hub, world.dev, world.gateways
    for gateway, priority in ((first, "10"), (second, "20")):
        add(gateway, "--routed", "--priority", priority)
    world.return_by("192.168.1.1")
    address, server = world.mapped(), serve(world)
    sql = Sql(database, address)
    for node in (hub, dev):
        eventually(lambda node=node: sql.answer(node) == _ANSWER, "it is reached", within=_WITHIN)  # type: ignore[misc]
        assert connects(node, address)
    hub.mesh("allow", "tag:dev", "office:5432/tcp", "-y")

    eventually(lambda: not sql.answer(hub), "who has not the tag is refused", within=_WITHIN)
    eventually(lambda: not connects(dev, address), "another port is refused", within=_WITHIN)
    assert sql.answer(dev) == _ANSWER
    assert dev.why(f"{address}:5432/tcp")["reachable"]
    allowed = "dev may begin to site:office:5432/tcp: allow tag:dev site:office:5432/tcp"
    assert dev.why("office:5432/tcp")["findings"]["5432/tcp"]["text"] == allowed
    rows = sql.rows(dev)
    eventually(lambda: "20\t" in rows.log.read_text(), "rows arrive", within=_WITHIN)
    first.kill()
    world.return_by("192.168.1.2")

    arrived = rows.wait(120)
    assert (arrived.status, arrived.output.count("\n")) == (0, _ROWS), arrived
    assert world.used() == "gw2"
    assert not sql.answer(hub)
    assert not connects(dev, address)

    hub.mesh("disallow", "tag:dev", "office:5432/tcp", "-y")
    eventually(lambda: sql.answer(hub) == _ANSWER, "the hub, too, finds the other gateway", within=_WITHIN)
    server.kill()
    first.start()


@dataclass(frozen=True, slots=True)
class Sql:
    """The database, at an address."""

    database: PostgreSQL
    address: str

    def answer(self, node: Node) -> str:
        """Return what a query of a node answers, "" if it does not reach the server."""
        done = node.host.attempt(*self._psql("-c", "SELECT sum(n) FROM generate_series(1, 1000) n"))
        return done.output.strip() if done.status == 0 else ""

    def rows(self, node: Node) -> HostProcess:
        """Have rows come for seconds: some number, and a kilobyte."""
        columns = "n, repeat('x', 1000), pg_sleep(0.02)"
        return node.host.start(
            *self._psql("-c", f"COPY (SELECT {columns} FROM generate_series(1, {_ROWS}) n) TO STDOUT")
        )

    def _psql(self, *arguments: str) -> tuple[str, ...]:
        where = f"host={self.address} user=wgmesh dbname=postgres connect_timeout=2"
        return str(self.database.programs / "psql"), "-XAtd", where, *arguments


def connects(node: Node, address: str) -> bool:
    """Say whether the server's other port is reached."""
    return node.host.attempt("nc", "-z", "-w", "2", address, "7001").status == 0
