"""Which programs a node runs on its host when something of the mesh changes, and that it runs no other.

hub (coordinator) ─── gate 10.10.1.2 ─── lan 192.168.1.1/24
10.10.0.1         └── late 10.10.2.2 ─── lan 192.168.1.1/24
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.integration.hosts import Lab, add_addresses, eventually, put_behind
from tests.integration.meshlab import NETWORK, Node
from wgpy.node.files import NodeFile

PREFIX = "192.168.1.0/24"
QUIET = 2.0  # seconds, in which a node would look at its host once more
LOG, DAMAGE, REAL = "/run/programs", "/run/damage", "/run/real"
# Notes what is run, and does as another would just before a change; then it is the program, as that process.
RECORDED = f"""\
#!/bin/sh
case "$*" in -force*) [ ! -e {DAMAGE} ] || {{ sh {DAMAGE} && mv {DAMAGE} {DAMAGE}.done; }} ;; esac
echo "$(basename "$0") $*" >> {LOG}
exec {REAL}/$(basename "$0") "$@"
"""
READ_ROUTES = ["ip -json -N -4 -batch -", "ip -json -N -6 -batch -"]
CHANGE_ROUTES = ["ip -force -batch -"]


@dataclass(frozen=True, slots=True)
class Scene:
    gate: Node
    late: Node
    token: str

    @property
    def table(self) -> int:
        return NodeFile.load(self.gate.folder).routing_table

    def programs(self) -> list[str]:
        """Return what the gateway has run since the last call, those of one moment in order."""
        log = self.gate.host.path(LOG)
        found = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return sorted(found)

    def has(self, what: str, *command: str) -> bool:
        return what in self.gate.host.run(*command)

    def settle(self) -> None:
        """Return when the gateway has been quiet for a while."""
        while True:
            time.sleep(QUIET)
            if not self.programs():
                return


@pytest.fixture
def scene(lab: Lab) -> Scene:
    hub = Node("hub", lab.host("hub"), "10.10.0.1", "")
    hub.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    add_addresses(hub.host, "lo", f"{hub.inside}/32")
    hub.mesh("init", NETWORK, "--public", hub.inside, "--name", hub.name)
    gate, late = (stand(lab, hub, name, number) for number, name in enumerate(("gate", "late"), 1))
    scene = Scene(gate, late, hub.token("--uses", "2", "--routes", PREFIX))
    gate.join(scene.token)
    announce(gate)
    for program in ("ip", "nft"):
        record(gate, program)
    scene.settle()
    return scene


def stand(lab: Lab, hub: Node, name: str, number: int) -> Node:
    node = Node(name, lab.host(name), f"10.10.{number}.2", "")
    put_behind(hub.host, node.host, f"{node.inside}/24")
    node.host.run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "office")
    add_addresses(node.host, "lan", "192.168.1.1/24")
    for end in ("lan", "office"):
        node.host.run("ip", "link", "set", end, "up")
    return node


def announce(node: Node) -> str:
    """Announce the site; return as what it is reached."""
    added = node.ask("site", "add", f"lan-{node.name}", PREFIX, "--mapped", "--firewall")
    (prefix,) = added["site"]["mapped"]
    return str(prefix)


def record(node: Node, program: str) -> None:
    place = node.host.run("sh", "-c", f"readlink -f $(command -v {program})").strip()
    node.host.run("sh", "-c", f"mkdir -p {REAL} && cp {place} {REAL}/{program}")
    node.host.run("chmod", "+x", node.host.write(f"/run/recorded/{program}", RECORDED))
    node.host.run("mount", "--bind", f"/run/recorded/{program}", place)


def test_a_node_that_joins_has_the_others_run_nothing(scene: Scene) -> None:
    scene.late.join(scene.token)

    eventually(knows(scene.gate, scene.late), "the gateway knows it")
    time.sleep(QUIET)
    assert scene.programs() == []


def test_another_site_is_a_route_and_a_source_of_packets(scene: Scene) -> None:
    scene.late.join(scene.token)
    eventually(knows(scene.gate, scene.late), "the gateway knows it")
    tables = f"wgpy-site-{scene.table}"

    mapped = announce(scene.late)

    eventually(
        lambda: scene.has(mapped, f"{REAL}/nft", "list", "table", "ip", tables), "what comes from it passes"
    )
    time.sleep(QUIET)
    assert scene.has(mapped, f"{REAL}/ip", "route", "show", "table", str(scene.table))
    changed = ["nft -f -", f"nft list table ip {tables}"]
    assert scene.programs() == sorted([*READ_ROUTES, *CHANGE_ROUTES, *changed])


@pytest.mark.parametrize(
    ("damage", "shown"),
    [
        ("ip rule delete lookup {table}", "ip rule"),
        ("ip route delete {mesh} table {table}", "ip route show table {table}"),
        ("nft delete table ip wgpy-site-{table}", "nft list tables"),
    ],
)
def test_what_others_break_while_the_node_changes_its_host_is_repaired(
    scene: Scene, damage: str, shown: str
) -> None:
    scene.late.join(scene.token)
    eventually(knows(scene.gate, scene.late), "the gateway knows it")
    names = {"table": scene.table, "mesh": scene.gate.status().addresses}
    damage, shown = (f"{REAL}/{words.format(**names)}" for words in (damage, shown))
    before = {*scene.gate.host.run(*shown.split()).splitlines()}
    scene.gate.host.write(DAMAGE, damage)

    mapped = announce(scene.late)

    eventually(scene.gate.host.path(f"{DAMAGE}.done").exists, "it is broken")
    eventually(lambda: before <= {*scene.gate.host.run(*shown.split()).splitlines()}, "it is as it was")
    eventually(
        lambda: scene.has(mapped, f"{REAL}/ip", "route", "show", "table", str(scene.table)), "the new route"
    )


def knows(node: Node, other: Node) -> Callable[[], bool]:
    return lambda: any(peer.name == other.name and peer.endpoints for peer in node.status().peers)
