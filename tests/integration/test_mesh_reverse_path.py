"""Strict reverse path filtering drops nothing of the mesh's own, and what that needs goes when the node goes.

A node announces the range that it stands in, and so the source of its datagrams is inside the mesh for the
others, whose hosts look up the way back. Linux ip-sysctl: rp_filter, src_valid_mark
"""

from collections.abc import Iterator

import pytest

from tests.integration.hosts import Host, Lab, add_addresses, eventually, put_behind
from tests.integration.meshlab import Node

pytestmark = pytest.mark.xdist_group("mesh_reverse_path")

SITE = "198.51.100.0/24"
CONNECTED = 30.0  # seconds, by which a node has found its coordinator again


@pytest.fixture(scope="module")
def hosts(module_lab: Lab) -> dict[str, Node]:
    """hub 203.0.113.10 ── router ── 198.51.100.7 site; the hub coordinates."""
    router = module_lab.host("router")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    nodes = {}
    for name, network, number in (("hub", "203.0.113", 10), ("site", "198.51.100", 7)):
        host = module_lab.host(name)
        put_behind(router, host, f"{network}.{number}/24")
        nodes[name] = Node(name, host, f"{network}.{number}", f"{network}.{number}")
    return nodes


@pytest.fixture
def hub(hosts: dict[str, Node]) -> Iterator[Node]:
    yield hosts["hub"]
    for node in reversed(hosts.values()):
        if (node.folder / "node.json").exists():
            node.mesh("leave", "--force")
    host = hosts["hub"].host
    host.attempt("sh", "-c", "kill $(pidof -x wgmesh); rm -rf /var/lib/wgmesh /var/lib/wgpyd/mesh")
    for node in hosts.values():
        assert node.host.run("nft", "list", "tables") == ""
        assert setting(node.host, "src_valid_mark") == "0"
        filter_strictly(node.host, on=False)


@pytest.fixture
def site(hosts: dict[str, Node]) -> Node:
    return hosts["site"]


def filter_strictly(host: Host, *, on: bool = True) -> None:
    host.run("sysctl", "-qw", f"net.ipv4.conf.eth0.rp_filter={int(on)}")


def setting(host: Host, name: str) -> str:
    return host.run("sysctl", "-n", f"net.ipv4.conf.eth0.{name}").strip()


def found(hub: Node, site: Node) -> None:
    """Make a network, in which the site announces the range that it stands in."""
    hub.mesh("init", "lab", "--public", hub.outside, "--name", "hub")
    site.join(hub.token("--routes", SITE), "--routes", SITE)


def assert_well(node: Node, other: Node) -> None:
    eventually(lambda: node.status().connected, f"{node.name} is connected", within=CONNECTED)
    eventually(lambda: node.reaches(other), f"{node.name} reaches {other.name}", within=CONNECTED)


def test_datagrams_of_a_peer_in_an_announced_range_arrive(hub: Node, site: Node) -> None:
    filter_strictly(hub.host)
    found(hub, site)

    assert_well(hub, site)
    site.kill()
    site.start()
    assert_well(site, hub)


def test_a_change_of_the_host_changes_a_table_that_is_right_no_more(hub: Node, site: Node) -> None:
    filter_strictly(hub.host)
    found(hub, site)
    assert_well(hub, site)
    before = hub.host.run("nft", "-a", "list", "tables")

    add_addresses(hub.host, "lo", "192.88.99.1/32")
    eventually(lambda: "192.88.99.1:51820" in hub.mesh("status"), "the change was seen")

    assert hub.host.run("nft", "-a", "list", "ruleset").startswith("table inet wgpy-mesh-")
    assert hub.host.run("nft", "-a", "list", "tables") == before
    hub.host.run("ip", "address", "delete", "192.88.99.1/32", "dev", "lo")


def test_a_coordinator_in_an_announced_range_answers_a_node_that_filters(hub: Node, site: Node) -> None:
    filter_strictly(hub.host)
    site.mesh("init", "lab", "--public", site.outside, "--name", "site", "--routes", SITE)
    hub.join(site.token())
    site.mesh("approve", "site")
    eventually(lambda: bool(hub.status().peers[0].routes), "the range is known", within=CONNECTED)
    hub.kill()
    hub.start()

    assert_well(hub, site)


def test_a_host_that_does_not_filter_strictly_has_no_table(hub: Node, site: Node) -> None:
    found(hub, site)
    assert_well(hub, site)

    assert hub.host.run("nft", "list", "tables") == ""


def test_strict_filtering_that_begins_and_ends_is_followed(hub: Node, site: Node) -> None:
    found(hub, site)
    assert_well(hub, site)

    filter_strictly(hub.host)
    eventually(lambda: setting(hub.host, "src_valid_mark") == "1", "it is followed")
    assert_well(hub, site)
    filter_strictly(hub.host, on=False)

    eventually(lambda: setting(hub.host, "src_valid_mark") == "0", "it is as it was")
    eventually(lambda: hub.host.run("nft", "list", "tables") == "", "the table is gone")


def test_what_another_has_set_stays(hub: Node, site: Node) -> None:
    filter_strictly(hub.host)
    hub.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.src_valid_mark=1")
    found(hub, site)
    assert_well(hub, site)

    site.mesh("leave", "--force")
    hub.mesh("leave", "--force")

    assert setting(hub.host, "src_valid_mark") == "1"
    hub.host.run("sysctl", "-qw", "net.ipv4.conf.eth0.src_valid_mark=0")
