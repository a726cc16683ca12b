"""What stands on a mesh's interface, while its daemon is away and when the node leaves.

hub (coordinator)               web
eth0 10.10.0.1/24 ───────────── eth0 10.10.0.2/24
mesh0                           mesh0; lo 10.42.2.1, of which web announces the prefix
"""

import json
import os
import re
import signal
import socket
import time
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

import pytest

from tests.documents import checked
from tests.integration.commands import run_wgpy
from tests.integration.hosts import Host, Lab, add_addresses, eventually
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import wired_pair
from wgpy.host.pod_masquerade import table_names

pytestmark = pytest.mark.xdist_group("mesh_persistent")

_PODS, _POD = "10.42.2.0/24", "10.42.2.1"
_NEIGHBOUR = "02:00:00:00:00:09"
_ALIAS = f"wgpyd --mesh={NETWORK}"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nodes of a network."""

    hub: Node
    web: Node

    def join(self) -> None:
        self.web.join(self.hub.token("--routes", _PODS), "--routes", _PODS)
        self.wait_for_pod()

    def wait_for_pod(self) -> None:
        eventually(lambda: self.hub.host.attempt("ping", "-c1", "-W1", _POD).status == 0, "the pod answers")

    def furnish(self) -> None:
        """Let a VXLAN stand on the hub's interface, as flannel makes it."""
        local, remote = self.hub.address(), self.web.address()
        for line in (
            f"link add flannel.1 type vxlan id 1 dev mesh0 local {local} dstport 8472 nolearning",
            "address add 10.43.1.0/32 dev flannel.1",
            "link set flannel.1 up",
            f"neighbour add 10.43.2.0 lladdr {_NEIGHBOUR} dev flannel.1",
            "route add 10.43.2.0/24 via 10.43.2.0 dev flannel.1 onlink",
        ):
            self.hub.host.run("ip", *line.split())
        self.hub.host.run("bridge", "fdb", "add", _NEIGHBOUR, "dev", "flannel.1", "dst", remote)

    def kept(self) -> list[str]:
        """Return what must not change while the daemon is away. `linkdown` says that it is."""
        found = (
            self.hub.host.run("ip", "-brief", "address", "show", "dev", "flannel.1"),
            self.hub.host.run("ip", "-brief", "link", "show", "dev", "flannel.1"),
            self.hub.host.run("ip", "neighbour", "show", "dev", "flannel.1"),
            self.hub.host.run("bridge", "fdb", "show", "dev", "flannel.1"),
            self.hub.host.run("ip", "-4", "route", "show"),
            self.hub.host.run("ip", "-6", "route", "show"),
            self.hub.host.run("ip", "-4", "route", "show", "table", "all", "proto", "151"),
            self.hub.host.run("ip", "-6", "route", "show", "table", "all", "proto", "151"),
        )
        return [*(text.replace(" linkdown", "") for text in found), *addresses(self.hub)]


def addresses(node: Node) -> list[str]:
    (link,) = ask(node, "address", "show", "dev", "mesh0")
    return [str(link["ifindex"]), *sorted(found["local"] for found in link["addr_info"])]


def ask(node: Node, *arguments: str) -> list[Any]:
    found: list[Any] = json.loads(node.host.run("ip", "-json", *arguments))
    return found


def interfaces(node: Node) -> list[str]:
    return [link["ifname"] for link in ask(node, "link", "show")]


@pytest.fixture(scope="module")
def pair(module_lab: Lab) -> Pair:
    hub, web = wired_pair(module_lab)
    for node in (hub, web):
        node.host.run("ip", "route", "add", "default", "dev", "eth0")
    add_addresses(web.host, "lo", f"{_POD}/32")
    hub.mesh("init", NETWORK, "--public", hub.inside, "--name", "hub")
    pair = Pair(hub, web)
    pair.join()
    return pair


def restart(node: Node, number: signal.Signals) -> None:
    """End the node's daemon and start it, as a service manager does."""
    for pid in node.agents():
        os.kill(pid, number)
    eventually(lambda: not node.agents(), "it is gone")
    node.start()


def watch_clear(node: Node) -> None:
    """Count what leaves outside the tunnel of what belongs into it."""
    inside = f"{_PODS}, 10.43.0.0/16, {ip_interface(node.address() + '/10').network}"
    for line in (
        "add table inet clear",
        "add chain inet clear out { type filter hook output priority 0; }",
        f"add rule inet clear out oifname eth0 ip daddr {{ {inside} }} counter",
    ):
        node.host.run("nft", line)


def clear_packets(node: Node) -> int:
    found = re.search(r"counter packets (\d+)", node.host.run("nft", "list", "table", "inet", "clear"))
    assert found
    return int(found[1])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_restart_keeps_what_stands_on_the_interface_and_sends_nothing_in_the_clear(
    pair: Pair, number: signal.Signals
) -> None:
    pair.furnish()
    before = pair.kept()
    watch_clear(pair.hub)
    pings = [pair.hub.host.start("ping", "-i", "0.05", to) for to in (_POD, pair.web.address(), "10.43.2.0")]

    restart(pair.hub, number)

    answered = pings[0].log.read_text().count("bytes from")
    eventually(lambda: pings[0].log.read_text().count("bytes from") > answered, "the pod answers again")
    time.sleep(0.5)
    assert pair.kept() == before
    assert clear_packets(pair.hub) == 0
    pair.hub.host.run("nft", "delete", "table", "inet", "clear")
    pair.hub.host.run("ip", "link", "delete", "flannel.1")


def test_its_alias_names_its_network(pair: Pair) -> None:
    assert ask(pair.hub, "link", "show", "dev", "mesh0")[0]["ifalias"] == _ALIAS


def test_it_is_ready_once_its_addresses_are_on_its_interface(pair: Pair) -> None:
    """So what systemd starts after its unit, such as kubelet, finds them."""
    (_, *known) = addresses(pair.web)
    pair.web.kill()
    pair.web.host.run("ip", "link", "delete", "mesh0")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(pair.web.host.path("/run/notify")))
        systemd.settimeout(60)
        daemon = (program("wgpyd"), "-f", "--mesh", NETWORK)
        pair.web.host.start("env", "NOTIFY_SOCKET=/run/notify", *daemon)
        said = systemd.recv(4096)
        (_, *found) = addresses(pair.web)

    assert (said, found) == (b"READY=1", known)
    assert sorted(pair.web.mesh("node-ip").strip().split(",")) == known


def test_the_addresses_for_kubelet_are_waited_for(pair: Pair) -> None:
    version4 = pair.web.address()
    pair.web.kill()

    early = pair.web.attempt("node-ip")
    waiting = pair.web.host.start(program("wgpy"), "mesh", "node-ip", "-4", "--wait", "60")
    pair.web.start()

    assert early.status == 1
    assert "wgpyd --mesh=lab` starts it" in early.output
    assert (waiting.wait().status, waiting.log.read_text()) == (0, f"{version4}\n")


def test_a_join_may_leave_the_start_to_another_program(pair: Pair) -> None:
    pair.web.mesh("leave")

    said = pair.web.join(pair.hub.token("--routes", _PODS), "--no-start", "--routes", _PODS)

    assert "`wgpyd --mesh=lab` starts it" in said
    eventually(lambda: pair.web.agents() == [], "its daemon has ended")
    pair.web.start()
    pair.wait_for_pod()


def test_the_doctor_names_what_is_wrong_for_an_overlay_until_it_is_right(pair: Pair) -> None:
    host, checks = pair.hub.host, {"rp_filter", "path MTU", "MTU of flannel.1", "offload of flannel.1"}
    pair.furnish()
    host.run("sysctl", "-w", "net.ipv4.conf.mesh0.rp_filter=1")

    before = wrong(pair.hub)
    for remedy in (before["rp_filter"], before["path MTU"]):
        host.run(*remedy.split("`")[1].split())

    assert before.keys() & checks == {"rp_filter", "path MTU"}
    assert not wrong(pair.hub).keys() & checks
    host.run("ip", "link", "delete", "flannel.1")


def wrong(node: Node) -> dict[str, str]:
    """Return what `wgpy doctor kubernetes` finds wrong, and the remedies."""
    done = run_wgpy(node.host, "doctor", "kubernetes", "--json")
    findings = checked(("wgpy", "doctor", "kubernetes"), done.output)["findings"]
    found = {one["check"]: one["remedy"] for one in findings if one["verdict"] == "wrong"}
    assert done.status == bool(found)
    return found


@pytest.mark.parametrize("state", ["runs", "is dead", "has another interface name"])
def test_leave_takes_it_away(pair: Pair, state: str) -> None:
    tables = table_names(pair.web.status().table)
    match state:
        case "is dead":
            pair.web.kill()
        case "has another interface name":
            pair.web.host.run("ip", "link", "set", "mesh0", "name", "mesh7")
    assert {"mesh0", "mesh7"} & {*interfaces(pair.web)}
    for name in tables:
        pair.web.host.run("nft", "add", "table", *name.split())

    pair.web.mesh("leave")

    assert interfaces(pair.web) == ["lo", "eth0"]
    assert "wgpy" not in pair.web.host.run("nft", "list", "tables")
    eventually(lambda: pair.web.agents() == [], "its daemon has ended")
    pair.join()


def test_a_node_finds_another_interface_of_its_name(pair: Pair) -> None:
    pair.web.kill()
    pair.web.host.run("ip", "link", "delete", "mesh0")
    pair.web.host.run("ip", "tuntap", "add", "mode", "tun", "mesh0")

    process = pair.web.serve()

    assert process.wait().status == 1
    assert "the interface mesh0 exists already and is not its own" in process.log.read_text()
    pair.web.host.run("ip", "link", "delete", "mesh0")
    pair.web.start()


@pytest.mark.parametrize(
    "change",
    [
        "set mesh0 peer {other} remove",
        "set mesh0 peer {other} allowed-ips 10.99.0.0/16",
        "set mesh0 peer {foreign} allowed-ips 10.98.0.0/16 endpoint 10.10.0.2:9",
        "set mesh0 peer {other} preshared-key /run/key",
        "set mesh0 private-key /run/key",
        "set mesh0 fwmark 7",
    ],
)
def test_what_wg_changes_of_it_is_soon_as_planned(pair: Pair, change: str) -> None:
    host = pair.hub.host
    (other,) = host.run("wg", "show", "mesh0", "peers").split()
    foreign = host.run("wg", "genkey").strip()
    host.write("/run/key", foreign)
    before = settings(host)

    host.run("wg", *change.format(other=other, foreign=foreign).split())

    eventually(lambda: settings(host) == before, "it is as planned", within=2)


def settings(host: Host) -> list[str]:
    shown = ("private-key", "fwmark", "preshared-keys", "allowed-ips", "persistent-keepalive")
    return [host.run("wg", "show", "mesh0", each) for each in shown]
