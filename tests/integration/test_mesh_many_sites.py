"""Many offices that are all 192.168.1.0/24, and one node that reaches a host in each of them.

hub (coordinator) ─── gateways 1 to 24, each in a ─── 192.168.1.10, a namespace of the gateway
10.10.0.1             network of its own, 10.10.N.2   that serves its name

In one network they would be neighbours of each other, more than the kernel has room for: it has one table
for all namespaces.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, eventually, put_behind
from tests.integration.meshlab import NETWORK, Node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("dozens")]

OFFICES = int(os.environ.get("WGPY_OFFICES", "24"))
PREFIX, OFFICE_HOST, PORT = "192.168.1.0/24", "192.168.1.10", "80"
_AT_ONCE = 8  # so that a node is told of several at once
_IN_OFFICE = ("ip", "netns", "exec", "office")
_WEBPODS = (sys.executable, "-I", "-S", str(Path(__file__).with_name("webpods.py")))


def test_one_node_reaches_a_host_in_each_of_many_sites_with_the_same_addresses(lab: Lab) -> None:
    hub = found(lab)
    token = hub.token("--uses", str(OFFICES), "--routes", PREFIX)
    gateways = [open_office(lab, hub.host, number) for number in range(1, OFFICES + 1)]

    with ThreadPoolExecutor(_AT_ONCE) as several:
        mapped = list(several.map(lambda gateway: announced(gateway, token), gateways))

    # All users' programs have 128 together.
    assert all(instances_of_inotify(node) <= 1 for node in (hub, *gateways))
    assert len(set(mapped)) == OFFICES
    assert not any(one.overlaps(other) for one in mapped for other in mapped if one is not other)
    for gateway, prefix in zip(gateways, mapped, strict=True):
        address = str(prefix[int(OFFICE_HOST.rpartition(".")[2])])
        assert hub.host.run(*_WEBPODS, "ask", address, PORT, "1", timeout=60).split() == [gateway.name]


def found(lab: Lab) -> Node:
    """Return the coordinator, which is the router between all networks."""
    hub = Node("hub", lab.host("hub"), "10.10.0.1", "")
    hub.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    add_addresses(hub.host, "lo", f"{hub.inside}/32")
    hub.mesh("init", NETWORK, "--public", hub.inside, "--name", hub.name)
    return hub


def open_office(lab: Lab, router: Host, number: int) -> Node:
    """Return a gateway, with a host behind it that has no route back."""
    name, address = f"office{number}", f"10.10.{number}.2"
    gateway = lab.host(name)
    put_behind(router, gateway, f"{address}/24")
    gateway.run("ip", "netns", "add", "office")
    gateway.run(
        *("ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", "office"),
    )
    add_addresses(gateway, "lan", "192.168.1.1/24")
    gateway.run("ip", "link", "set", "lan", "up")
    gateway.run(*_IN_OFFICE, "ip", "address", "add", f"{OFFICE_HOST}/24", "dev", "eth0")
    gateway.run(*_IN_OFFICE, "ip", "link", "set", "eth0", "up")
    server = gateway.start(*_IN_OFFICE, *_WEBPODS, "serve", OFFICE_HOST, PORT, name)
    eventually(
        lambda: gateway.run(*_IN_OFFICE, "ss", "-Hltn", f"sport = :{PORT}") != "" or not server.is_running(),
        "the office serves",
    )
    return Node(name, gateway, address, "")


def announced(gateway: Node, token: str) -> IPv4Network:
    """Return as what the office is reached once the gateway has joined and announced it."""
    gateway.join(token)
    added = gateway.ask("site", "add", f"lan-{gateway.name}", PREFIX, "--mapped", "--firewall")
    (prefix,) = added["site"]["mapped"]
    return IPv4Network(prefix)


def instances_of_inotify(node: Node) -> int:
    """How many the processes of a node have."""
    found = []
    for file in (file for pid in node.agents() for file in Path(f"/proc/{pid}/fd").iterdir()):
        with suppress(OSError):  # closed in the meantime
            found.append(str(file.readlink()))
    return found.count("anon_inode:inotify")
