"""Hosts that lack what a node needs: each is one sentence with the right status, and nothing is left behind.

hub (coordinator)               web
eth0 10.10.0.1/24 ───────────── eth0 10.10.0.2/24
mesh0 of 10.20.0.0/16           not yet in the network
"""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from tests.integration.hosts import Host, Lab, Result, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import wired_pair
from tests.integration.peers import key_pair

pytestmark = pytest.mark.xdist_group("mesh_odd_hosts")

_RANGE = "10.20.0.0/16"
_READ_ONLY_PROC = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys"
_READ_ONLY_ROOT = "mount -o remount,bind,ro /; mount -o remount,ro /var/lib"
_READ_ONLY_RUN = "mount -o remount,ro /run"


@dataclass(slots=True)
class Pair:
    """web: a host that is booted for each test."""

    hub: Node
    lab: Lab
    booted: int = 0

    def boot(self) -> Node:
        self.booted += 1
        number = self.booted + 1
        web = Node(f"web{number}", self.lab.host(f"web{number}"), f"10.10.0.{number}", "")
        connect(self.hub.host, f"w{number}", web.host, "eth0")
        self.hub.host.run("ip", "link", "set", f"w{number}", "master", "eth0")
        add_addresses(web.host, "eth0", f"{web.inside}/24")
        return web


@pytest.fixture(scope="module")
def pair(module_lab: Lab) -> Pair:
    hub = Node("hub", module_lab.host("hub"), "10.10.0.1", "")
    hub.host.run("ip", "link", "add", "eth0", "type", "bridge")
    hub.host.run("ip", "link", "set", "eth0", "up")
    add_addresses(hub.host, "eth0", f"{hub.inside}/24")
    hub.mesh("init", NETWORK, "--public", hub.inside, "--name", "hub", "--addresses", _RANGE)
    return Pair(hub, module_lab)


@pytest.fixture
def web(pair: Pair) -> Iterator[Node]:
    node = pair.boot()
    yield node
    node.host.power_off()


def attempt_join(pair: Pair, web: Node, *before: str, options: Sequence[str] = ()) -> Result:
    """Try to join; before: of the command."""
    token = pair.hub.token(*(("--routes", options[1]) if options else ()))
    return web.host.attempt(*before, program("wgpy"), "mesh", "join", token, "--name", web.name, *options)


def sentence(result: Result) -> str:
    """Return the one sentence of a command that failed."""
    assert result.status == 1, result
    assert re.fullmatch(r"wgpy: [^\n]*\.\n", result.output), result.output
    return result.output


def write_tunnel(host: Host) -> None:
    host.write("/run/wg0.conf", f"[Interface]\nPrivateKey = {key_pair()[0]}\nAddress = 10.77.0.1/24\n")


def interfaces(host: Host) -> list[str]:
    return [link["ifname"] for link in json.loads(host.run("ip", "-json", "link", "show"))]


def add_lan(host: Host, address: str) -> None:
    """Let a host be in one more network."""
    host.run("ip", "link", "add", "lan", "type", "bridge")
    host.run("ip", "link", "set", "lan", "up")
    add_addresses(host, "lan", address)


# -- Ranges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["10.20.0.5/16", "10.16.0.5/12"], ids=["equal", "wider"])
def test_who_would_lose_its_default_gateway_does_not_join(pair: Pair, web: Node, network: str) -> None:
    add_lan(web.host, network)
    web.host.run("ip", "route", "add", "default", "via", "10.20.0.1")

    said = sentence(attempt_join(pair, web))

    assert said.startswith(
        "wgpy: 10.20.0.1, the default gateway of this host, would be lost, as it is within "
    )
    assert interfaces(web.host) == ["lo", "eth0", "lan"]
    assert not web.folder.exists()


def test_who_would_lose_the_coordinator_does_not_join(lab: Lab) -> None:
    hub, web = wired_pair(lab)
    web.host.run("ip", "route", "add", "default", "via", hub.inside)
    made = hub.ask("init", NETWORK, "--public", "10.20.9.9", "--addresses", _RANGE)
    for line in (
        "add table ip nat",
        "add chain ip nat out { type nat hook output priority -100; }",
        f"add rule ip nat out ip daddr 10.20.9.9 dnat to {hub.inside}",
    ):
        web.host.run("nft", line)

    said = sentence(web.attempt("join", made["token"]))

    assert "10.20.9.9, the coordinator as this host reaches it, would be lost" in said
    assert not web.folder.exists()


def test_who_is_in_a_part_of_the_range_joins_and_is_told_what_cannot_be_reached(
    pair: Pair, web: Node
) -> None:
    add_lan(web.host, "10.20.7.5/24")
    web.host.run("ip", "route", "add", "default", "via", "10.20.7.1")

    joined = attempt_join(pair, web)

    says = (
        f"10.20.7.0/24, a network of lan, is within {_RANGE}, the range of {NETWORK}: no node can be reached "
        "at these addresses"
    )
    assert joined.status == 0
    assert f"wgpy: warning: {says}." in joined.output
    assert f"warning: {says}" in web.mesh("status")


def test_each_change_of_the_hosts_routes_is_compared(pair: Pair, web: Node) -> None:
    pair.hub.mesh("route", "add", "10.42.0.0/16")
    pair.hub.mesh("approve", "hub")
    assert attempt_join(pair, web).status == 0
    add_lan(web.host, "192.168.7.5/24")

    for route, says in (
        ("10.20.7.0/24", f"is within {_RANGE}, the range of {NETWORK}: no node"),
        ("10.16.0.0/12", f"{_RANGE}, the range of {NETWORK}, is within 10.16.0.0/12, a route by lan"),
        ("10.42.3.0/24", "10.42.3.0/24, a route by lan, is within 10.42.0.0/16, announced by hub"),
        ("10.40.0.0/13", "10.42.0.0/16, announced by hub, is within 10.40.0.0/13, a route by lan"),
    ):
        web.host.run("ip", "route", "add", route, "dev", "lan")
        eventually(lambda says=says: any(says in text for text in web.status().warnings), says)  # type: ignore[misc]
        if "hub" in says:
            assert says in web.attempt("why", "hub").output
        web.host.run("ip", "route", "delete", route, "dev", "lan")
    eventually(lambda: web.status().warnings == (), "all is as it was")


# -- What a host lacks -------------------------------------------------------------------------------


def test_who_announces_and_does_not_forward_is_told_so_until_it_does(pair: Pair, web: Node) -> None:
    joined = attempt_join(pair, web, options=("--routes", "10.43.2.0/24"))

    assert joined.status == 0
    assert "this node announces 10.43.2.0/24, but its host does not forward IPv4" in joined.output
    web.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    eventually(lambda: web.status().warnings == (), "it forwards")
    web.host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    eventually(lambda: "does not forward" in "".join(web.status().warnings), "it does not forward")


@pytest.mark.skipif(not shutil.which("busybox"), reason="busybox is not installed: apt-get install busybox")
def test_the_ip_of_busybox_is_refused(pair: Pair, web: Node) -> None:
    web.host.run("sh", "-c", "mkdir /run/bin; ln -s $(command -v busybox) /run/bin/ip")
    before = ("env", "PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    write_tunnel(web.host)

    joined = sentence(attempt_join(pair, web, *before))

    assert "the `ip` of this host is not that of iproute2 4.18 or newer (BusyBox " in joined
    assert "install iproute2" in sentence(web.host.attempt(*before, program("wgpy"), "up", "/run/wg0.conf"))
    init = (program("wgpy"), "mesh", "init", "own", "--public", web.inside)
    assert "install iproute2" in sentence(web.host.attempt(*before, *init))
    assert interfaces(web.host) == ["lo", "eth0"]
    assert attempt_join(pair, web).status == 0
    web.kill()
    started = web.host.attempt(*before, program("wgpyd"), "-f", "--mesh", NETWORK)
    assert started.status == 1
    assert re.fullmatch(r"wgpyd: the `ip` of this host .*: install iproute2\n", started.output)


def test_no_ip_is_refused_likewise(pair: Pair, web: Node) -> None:
    said = sentence(attempt_join(pair, web, "env", "PATH=/nowhere"))

    assert "(it is not installed): install iproute2" in said


def test_with_read_only_settings_a_node_has_no_address_that_nobody_asked_for(pair: Pair, web: Node) -> None:
    web.host.run("sh", "-c", _READ_ONLY_PROC)

    assert attempt_join(pair, web).status == 0

    shown = web.host.run("ip", "-json", "address", "show", "dev", "mesh0")
    assert [found["scope"] for found in json.loads(shown)[0]["addr_info"]] == ["global", "global"]
    assert web.status().warnings == ()


def test_a_read_only_disk_is_one_sentence(pair: Pair, web: Node) -> None:
    web.host.run("sh", "-c", _READ_ONLY_ROOT)

    joined = sentence(attempt_join(pair, web))

    assert (
        joined == f"wgpy: /var/lib/wgpyd/mesh/{NETWORK}/node.json cannot be written: Read-only file system.\n"
    )
    made = sentence(web.attempt("init", "own", "--public", web.inside))
    assert "cannot be written: Read-only file system." in made
    assert interfaces(web.host) == ["lo", "eth0"]


def test_a_tunnel_comes_up_where_no_disk_can_be_written(web: Node) -> None:
    web.host.run("sh", "-c", _READ_ONLY_ROOT)
    write_tunnel(web.host)

    said = web.host.attempt(program("wgpy"), "up", "/run/wg0.conf")

    assert said.status == 0, said
    assert "wg0 is up with 10.77.0.1/24" in said.output
    assert web.host.attempt(program("wgpy"), "down", "/run/wg0.conf") == Result(0, "")


def test_where_no_socket_can_be_made_no_interface_is_left(pair: Pair, web: Node) -> None:
    write_tunnel(web.host)
    web.host.run("sh", "-c", _READ_ONLY_RUN)

    joined = sentence(attempt_join(pair, web))
    brought_up = sentence(web.host.attempt(program("wgpy"), "up", "--persistent", "/run/wg0.conf"))

    assert f"this host is in {NETWORK}, but the daemon of {NETWORK} did not start: " in joined
    assert "/run/wireguard/mesh0.sock: Read-only file system" in joined
    assert "/run/wireguard/wg0.sock: Read-only file system" in brought_up
    assert interfaces(web.host) == ["lo", "eth0"]


def test_a_node_whose_disk_becomes_read_only_goes_on_and_says_so(pair: Pair, web: Node) -> None:
    assert attempt_join(pair, web).status == 0
    web.host.run("mount", "-o", "remount,ro", "/var/lib")

    web.kill()
    web.start()
    pair.hub.token()  # a record that the node cannot store

    eventually(
        lambda: any("cannot be written: Read-only file system" in text for text in web.status().warnings),
        "it says that its disk is read-only",
    )
    assert web.reaches(pair.hub, within=5)
