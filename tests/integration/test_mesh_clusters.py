"""Two clusters with the same addresses, of which one node each is in the mesh, as the gateway of its cluster.

              hub (coordinator)
              10.10.0.1
   ┌──────────────┴──────────────┐
blue1 10.10.0.2               green1 10.10.0.3       the gateways; of 192.168.7.0/24 they have .1
   │ 192.168.7.0/24              │ 192.168.7.0/24
blue2 .2, blue3 .3            green2 .2, green3 .3   blue2 is a node of the mesh itself, the others are not
pods  10.42.N.10, .11         pods  10.42.N.10, .11  of node N; their MTU is 1500, that of the mesh 1380
service 10.43.0.10            service 10.43.0.10

Both are dual stacks: the LANs are fd00:7::/64, pods fd00:42:0:N::10 and ::11, and the services fd00:43::10.

Both clusters are mapped sites. Their hosts have the routes back by the gateway that `site add` prints, and
blue2 has the return route by it.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address, ip_network
from itertools import permutations, product
from pathlib import Path

import pytest

from tests.integration.clusters import (
    PODS,
    PODS6,
    SERVICE,
    SERVICE6,
    Cluster,
    Pod,
    Worker,
    ask_service,
)
from tests.integration.exchange import TRAFFIC, complaints
from tests.integration.hosts import Host, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, Node
from tests.integration.meshlan import Lan
from tests.integration.topologies import masquerade

pytestmark = pytest.mark.xdist_group("mesh_clusters")

NAMES = ("blue", "green")
MEMBER = "blue"  # the cluster of which a node is one of the mesh, too
SERVICES, SERVICES6 = "10.43.0.0/16", "fd00:43::/112"
PREFIXES = (PODS, SERVICES, PODS6, SERVICES6)
SERVED = {4: SERVICE, 6: SERVICE6}
GATEWAY, GATEWAY6 = "192.168.7.1", "fd00:7::1"
NOBODY6 = "fd00:7::ff"
MTU, SMALL_MTU = 1380, 1280  # of the mesh, and of one pod's wire
TCP_SIZE = 1 << 20
_MAPPING_SECONDS = 30
both_versions = pytest.mark.parametrize("version", [4, 6])
# Counters of errors that tests provoke: packets that are too big, and those whose hops are exceeded.
_NOT_WRONG = ("Ip6InTooBigErrors", "Ip:InHdrErrors", "IpInHdrErrors", "Ip6InHdrErrors")
_FLOWS = (sys.executable, "-I", "-S", str(Path(__file__).with_name("flows.py")))
_WHO_CONNECTS = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.create_server((sys.argv[1], 5003), family=family) as server:
    print("ready", flush=True)
    print(server.accept()[1][0])
"""
_CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 5003), 10)"


@dataclass(frozen=True, slots=True)
class Side:
    """A cluster, its gateway, and what the mesh calls it. mapped: of pods and of services.

    name: of the site; member: its second host as a node, None if it is none.
    """

    name: str
    gateway: Node
    member: Node | None
    hosts: list[Host]
    cluster: Cluster
    names: set[str]
    mapped: dict[str, str]

    def known_as(self, real: str) -> str:
        """What the other cluster calls a pod or a service of this one."""
        address = ip_address(real)
        (prefix,) = (one for one in self.mapped if address in ip_network(one))
        known, mapped = ip_network(prefix), ip_network(self.mapped[prefix])
        if isinstance(known, IPv6Network) and isinstance(mapped, IPv6Network) and known.prefixlen <= 64:
            return _neutral(int(address), known, mapped)
        return str(mapped[int(address) - int(known[0])])

    def called(self, real: str) -> str:
        """Return the name of a pod or a service of this one."""
        return f"{real.replace('.', '-').replace(':', '-')}.{self.name}.{NETWORK}.mesh"

    @property
    def pods(self) -> list[Pod]:
        """One of each node."""
        return [worker.pods[0] for worker in self.cluster.workers]

    @property
    def servers(self) -> list[Node]:
        """Whom these pods ask for names: a node near them."""
        return [self.gateway, self.member or self.gateway, self.gateway]


def _neutral(address: int, before: IPv6Network, after: IPv6Network) -> str:
    """Map an address between prefixes of /49 to /64 so that no checksum changes. RFC 6296, 3.5"""

    def total(number: int) -> int:
        return sum(int.from_bytes(number.to_bytes(16)[at : at + 2]) for at in range(0, 16, 2))

    moved = int(after[0]) | address & int(before.hostmask)
    word = moved >> 48 & 0xFFFF  # the first of the interface's identifier
    adjusted = (word + total(address) - total(moved)) % 0xFFFF
    return str(ip_address(moved & ~(0xFFFF << 48) | adjusted << 48))


@pytest.fixture(scope="module")
def sides(module_lab: Lab) -> list[Side]:
    lan = Lan(module_lab)
    lan.add("hub")
    lan.init()
    token = lan.hub.token("--uses", "3", "--routes", *PREFIXES)
    gateways = [lan.add(f"{name}1") for name in NAMES]
    for gateway in gateways:
        gateway.join(token)
    return [_side(module_lab, name, gateway, token) for name, gateway in zip(NAMES, gateways, strict=True)]


def _side(lab: Lab, name: str, gateway: Node, token: str) -> Side:
    hosts = [gateway.host, *(lab.host(f"{name}{number}") for number in (2, 3))]
    _wire(hosts)
    gateway.host.run("ip", "route", "add", "default", "via", "10.10.0.1")
    gateway.host.run("ip", "route", "add", "default", "via", NOBODY6)  # a service range has no other route
    workers = [
        Worker(host, number, f"192.168.7.{number}", card)
        for number, (host, card) in enumerate(zip(hosts, ("lan", "eth0", "eth0"), strict=True), 1)
    ]
    cluster = Cluster.routed(lab, workers, is_dual=True)
    _route_pods(workers)
    names = cluster.serve()
    said = gateway.ask("site", "add", name, *PREFIXES, "--mapped", "--routed")
    site = said["site"]
    member = _member(gateway, hosts[1], token) if name == MEMBER else None
    for host, prefix in product(hosts[2 if member else 1 :], said["back"]):
        host.run("ip", "route", "add", prefix, "via", GATEWAY6 if ":" in prefix else GATEWAY)
    return Side(
        name,
        gateway,
        member,
        hosts,
        cluster,
        names,
        dict(zip(site["real"], site["mapped"], strict=True)),
    )


def _member(gateway: Node, host: Host, token: str) -> Node:
    """Make a host of a cluster a node, too, which reaches the others behind its gateway."""
    masquerade(gateway.host, "eth0", _MAPPING_SECONDS)
    host.run("ip", "route", "add", "default", "via", GATEWAY)
    node = Node(host.name, host, "192.168.7.2", "")
    node.join(token)
    node.mesh("site", "return", gateway.name.rstrip("1"), "--via", GATEWAY, "--via", GATEWAY6)
    return node


def _wire(hosts: list[Host]) -> None:
    """Join the hosts of a cluster by a bridge on the first."""
    first, *others = hosts
    first.run("ip", "link", "add", "lan", "type", "bridge")
    first.run("ip", "link", "set", "lan", "up")
    add_addresses(first, "lan", f"{GATEWAY}/24", f"{GATEWAY6}/64")
    for number, host in enumerate(others, 2):
        connect(first, f"lan{number}", host, "eth0")
        first.run("ip", "link", "set", f"lan{number}", "master", "lan")
        add_addresses(host, "eth0", f"192.168.7.{number}/24", f"fd00:7::{number}/64")


def _route_pods(workers: list[Worker]) -> None:
    for one, other in permutations(workers, 2):
        one.host.run("ip", "route", "add", other.range, "via", other.address)
        one.host.run("ip", "route", "add", other.range6, "via", f"fd00:7::{other.number}")


@pytest.fixture
def ways(sides: list[Side]) -> Iterator[list[tuple[Side, Side]]]:
    """Who reaches whom; no kernel may have seen a wrong checksum."""
    yield list(permutations(sides, 2))
    for side in sides:
        for host in (*side.hosts, *(pod.host for pod in side.cluster.pods)):
            assert [line for line in complaints(host) if not line.startswith(_NOT_WRONG)] == []


@both_versions
def test_pods_reach_pods_and_services_of_a_cluster_with_the_same_addresses(
    ways: list[tuple[Side, Side]], version: int
) -> None:
    for own, other in ways:
        service = other.known_as(SERVED[version])
        for one, target in zip(own.pods, reversed(other.pods), strict=True):
            one.host.run("ping", "-c", "2", "-i", "0.2", "-W", "5", other.known_as(target.at(version)))
            assert_stream_arrives(one, target.host, target.at(version), other)
            assert ask_service(one.host, len(other.names), service) == other.names
            assert ask_service(one.host, len(own.names), SERVED[version]) == own.names


@both_versions
def test_pods_and_services_have_names_in_the_other_cluster_and_their_addresses_lead_back(
    ways: list[tuple[Side, Side]], version: int
) -> None:
    for own, other in ways:
        for one, server in zip(own.pods, own.servers, strict=True):
            ask_for_names(one.host, server.address(version))
            for real in (other.pods[1].at(version), SERVED[version]):
                name, known = other.called(real), other.known_as(real)
                assert one.host.run("getent", "ahosts", name).split()[0] == known
                assert one.host.run("getent", "hosts", known).split()[1] == name
            service = other.called(SERVED[version])
            assert ask_service(one.host, len(other.names), service) == other.names
            assert one.host.run("getent", "ahosts", own.called(one.at(version))).split()[0] == one.at(version)


@both_versions
def test_packets_of_the_meshs_size_pass_and_larger_ones_are_told_of(
    ways: list[tuple[Side, Side]], version: int
) -> None:
    for own, other in ways:
        for one, target in zip(own.pods, reversed(other.pods), strict=True):
            known = Pod(target.host, other.known_as(target.at(version)))
            assert one.ping(known, MTU).status == 0
            said = one.ping(known, MTU + 1)
            assert f"mtu = {MTU}" in said.output or f"mtu={MTU}" in said.output, said.output


@both_versions
def test_datagrams_of_many_sizes_come_back_in_fragments_too(
    ways: list[tuple[Side, Side]], version: int
) -> None:
    for own, other in ways:
        one, target = own.pods[1], other.pods[2]
        echo = target.host.start(*TRAFFIC, "udp-echo", target.at(version), "5002")
        largest = MTU - (28 if version == 4 else 48)  # in one packet of the mesh
        sizes = ("0", "1", str(largest), "1473", "4000", "60000")
        one.host.run(*TRAFFIC, "udp-ask", other.known_as(target.at(version)), "5002", *sizes)
        echo.kill()


@both_versions
def test_a_pod_knows_another_clusters_pods_by_their_mapped_addresses(
    ways: list[tuple[Side, Side]], version: int
) -> None:
    for own, other in ways:
        one, target = own.pods[1], other.pods[1]
        asked = target.host.start(sys.executable, "-c", _WHO_CONNECTS, target.at(version))
        eventually(lambda: "ready" in asked.log.read_text(), "the pod listens")  # noqa: B023
        one.host.run(sys.executable, "-c", _CONNECT, other.known_as(target.at(version)))
        assert asked.wait().output.split() == ["ready", own.known_as(one.at(version))]


@both_versions
def test_errors_of_routers_inside_the_other_cluster_reach_who_caused_them(
    ways: list[tuple[Side, Side]], version: int
) -> None:
    """Their addresses are of no site, so the gateway lends them its own."""
    for own, other in ways:
        one, narrow, target = own.pods[1], other.cluster.workers[1], other.pods[1]
        near = other.known_as(other.pods[0].at(version))
        with narrowed(narrow):
            arrived = one.host.run(*_FLOWS, "errors", near, other.known_as(target.at(version)))
        assert json.loads(arrived) == ["port unreachable", "reset", "hops exceeded", "too big"]


@pytest.mark.parametrize(
    ("version", "near"), [(4, ["10.42.3.1", GATEWAY]), (6, ["fd00:42:0:3::1", GATEWAY6])]
)
def test_a_trace_shows_every_router_on_the_way(
    ways: list[tuple[Side, Side]], version: int, near: list[str]
) -> None:
    for own, other in ways:
        one, target = own.pods[2], other.known_as(other.pods[1].at(version))
        found = json.loads(one.host.run(*_FLOWS, "trace", target))
        far = other.gateway.address(version)
        # Its node, its gateway, the other gateway, the other node by that gateway, and the pod itself.
        assert found == [*near, far, far, target]


def ask_for_names(host: Host, server: str) -> None:
    host.write("/run/resolv.conf", f"nameserver {server}\n")
    host.run("mount", "--bind", "/run/resolv.conf", "/etc/resolv.conf")


@contextmanager
def narrowed(worker: Worker) -> Iterator[None]:
    """Let a node's pods have a smaller MTU for a while."""
    worker.host.run("ip", "link", "set", "cni0", "mtu", str(SMALL_MTU))
    yield
    worker.host.run("ip", "link", "set", "cni0", "mtu", str(worker_mtu(worker)))


def worker_mtu(worker: Worker) -> int:
    (card,) = json.loads(worker.host.run("ip", "-json", "link", "show", "dev", worker.interface))
    return int(card["mtu"])


def assert_stream_arrives(sender: Pod, receiver: Host, address: str, side: Side) -> None:
    """At a pod of that side, which the sender knows by another address."""
    sink = receiver.start(*TRAFFIC, "tcp-sink", address, "5001")
    known = side.known_as(address)
    sent = sender.host.run(*TRAFFIC, "tcp-send", known, "5001", str(TCP_SIZE), timeout=60)
    received = sink.wait(60)
    assert (received.status, received.output) == (0, sent)
