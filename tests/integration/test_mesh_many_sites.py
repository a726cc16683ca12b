"""Many offices that are all 192.168.1.0/24, and one node that reaches a host in each of them.

hub (coordinator) ─── gateways 1 to 24  ─── 192.168.1.10, a namespace of the gateway that serves its name
                      192.168.1.1
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, eventually
from tests.integration.meshlab import Node
from tests.integration.meshlan import Lan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("dozens")]

OFFICES = int(os.environ.get("WGPY_OFFICES", "24"))
PREFIX, OFFICE_HOST, PORT = "192.168.1.0/24", "192.168.1.10", "80"
_AT_ONCE = 8  # so that a node is told of several at once
_IN_OFFICE = ("ip", "netns", "exec", "office")
_WEBPODS = (sys.executable, "-I", "-S", str(Path(__file__).with_name("webpods.py")))


def test_one_node_reaches_a_host_in_each_of_many_sites_with_the_same_addresses(lab: Lab) -> None:
    lan = Lan(lab)
    lan.add("hub")
    lan.init()
    token = lan.hub.token("--uses", str(OFFICES), "--routes", PREFIX)
    gateways = [lan.add(f"office{number}") for number in range(1, OFFICES + 1)]
    for gateway in gateways:
        open_office(gateway.host)

    with ThreadPoolExecutor(_AT_ONCE) as several:
        mapped = list(several.map(lambda gateway: announced(gateway, token), gateways))

    assert all(instances_of_inotify(node) <= 1 for node in lan.nodes)  # all users' programs have 128 together
    assert len(set(mapped)) == OFFICES
    assert not any(one.overlaps(other) for one in mapped for other in mapped if one is not other)
    for gateway, prefix in zip(gateways, mapped, strict=True):
        address = str(prefix[int(OFFICE_HOST.rpartition(".")[2])])
        assert lan.hub.host.run(*_WEBPODS, "ask", address, PORT, "1", timeout=60).split() == [gateway.name]


def open_office(gateway: Host) -> None:
    """Put a host behind the gateway; it has no route back."""
    gateway.run("ip", "netns", "add", "office")
    gateway.run(
        *("ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", "office"),
    )
    add_addresses(gateway, "lan", "192.168.1.1/24")
    gateway.run("ip", "link", "set", "lan", "up")
    gateway.run(*_IN_OFFICE, "ip", "address", "add", f"{OFFICE_HOST}/24", "dev", "eth0")
    gateway.run(*_IN_OFFICE, "ip", "link", "set", "eth0", "up")
    server = gateway.start(*_IN_OFFICE, *_WEBPODS, "serve", OFFICE_HOST, PORT, gateway.name)
    eventually(
        lambda: gateway.run(*_IN_OFFICE, "ss", "-Hltn", f"sport = :{PORT}") != "" or not server.is_running(),
        "the office serves",
    )


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
