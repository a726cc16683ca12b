"""What each command prints with `--json`, at nodes of a mesh: its document of `wgpy.cli.document_kinds`.

hub (coordinator)          gate, of a cluster         desk
br0 10.10.0.1/24 ───────── eth0 10.10.0.2/24
   └────────────────────────────────────────────────── eth0 10.10.0.3/24
"""

import re
from dataclasses import dataclass, field
from typing import Any

from tests.documents import checked, name_of
from tests.integration.commands import run_wgpy
from tests.integration.hosts import Lab, eventually
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import Lan
from tests.integration.terminal import Terminal
from tests.integration.test_mesh_kubernetes import OPTIONS, start_api
from wgpy.cli.document_kinds import DOCUMENTS

_OFFICE, _ROUTE = "192.168.7.0/24", "10.99.0.0/24"


@dataclass
class Asked:
    """seen: commands whose documents were as they are to be."""

    seen: set[str] = field(default_factory=set)

    def mesh(self, node: Node, *arguments: str) -> Any:
        return self.wgpy(node, "mesh", *arguments)

    def wgpy(self, node: Node, *arguments: str, status: int = 0) -> Any:
        done = run_wgpy(node.host, *arguments, "--json")
        assert done.status == status, done.output
        start = re.search(r"^{", done.output, re.MULTILINE)  # warnings stand before it
        assert start, done.output
        return self.check(("wgpy", *arguments), done.output[start.start() :])

    def check(self, words: tuple[str, ...], said: str) -> Any:
        document = checked(words, said)
        self.seen.add(name_of(words))
        return document


def test_every_command_prints_its_document_and_no_other_field(lab: Lab) -> None:
    asked, lan = Asked(), Lan(lab)
    hub, gate, desk = (lan.add(name) for name in ("hub", "gate", "desk"))
    bring_up(asked, hub, gate, desk)
    ask_about_nodes(asked, hub, gate)
    change_this_node(asked, hub, gate, desk)
    change_sites(asked, hub, gate, desk)
    change_rules(asked, hub)
    change_clients_and_relays(asked, hub, gate)
    follow_kubernetes(asked, hub, gate)
    end(asked, hub, gate)

    assert asked.seen == DOCUMENTS.keys()


def bring_up(asked: Asked, hub: Node, gate: Node, desk: Node) -> None:
    asked.mesh(hub, "init", NETWORK, "--public", hub.inside, "--name", "hub")
    token = asked.mesh(hub, "token", "--uses", "2")["token"]
    for node in (gate, desk):
        asked.mesh(node, "join", token, "--name", node.name)
    assert asked.mesh(hub, "token", "--list")["tokens"]


def ask_about_nodes(asked: Asked, hub: Node, gate: Node) -> None:
    asked.mesh(hub, "status")
    asked.mesh(hub, "node-list")
    asked.mesh(hub, "map")
    asked.mesh(hub, "node-ip")
    asked.mesh(hub, "netcheck")
    assert asked.mesh(hub, "ping", "-c", "1", "gate")["answers"]
    assert asked.mesh(hub, "ping", "--all-paths", "gate")["paths"]
    asked.mesh(hub, "why", "gate")
    asked.wgpy(hub, "show")
    asked.wgpy(hub, "show", "--counters")
    done = run_wgpy(gate.host, "doctor", "kubernetes", "--json")
    asked.check(("wgpy", "doctor", "kubernetes"), done.output)
    with Terminal(hub.host, program("wgpy"), "mesh", "page", "--json") as terminal:
        said = terminal.shows("}").replace("\r\n", "\n")
        asked.check(("wgpy", "mesh", "page"), said[said.index("{") : said.index("}") + 1])


def change_this_node(asked: Asked, hub: Node, gate: Node, desk: Node) -> None:
    asked.mesh(desk, "rename", "table")
    asked.mesh(gate, "endpoint", f"{gate.inside}:51820")
    asked.mesh(gate, "keepalive", "25")
    asked.mesh(gate, "route", "add", _ROUTE)
    assert asked.mesh(hub, "approve", "gate")["approved"] == [_ROUTE]
    asked.mesh(gate, "down")
    asked.mesh(gate, "up")


def change_sites(asked: Asked, hub: Node, gate: Node, desk: Node) -> None:
    gate.host.run("ip", "address", "add", "192.168.7.1/24", "dev", "lo")
    gate.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    asked.mesh(gate, "site", "add", "office", _OFFICE, "--firewall")
    assert asked.mesh(hub, "approve", "office")["sites"]
    eventually(lambda: asked.mesh(hub, "site", "list")["sites"], "the site is known")
    asked.mesh(hub, "site", "show", "office")
    asked.mesh(hub, "use", "--none")
    asked.mesh(desk, "site", "return", "--none")
    asked.mesh(gate, "site", "remove", "office")


def change_rules(asked: Asked, hub: Node) -> None:
    asked.mesh(hub, "tag", "gate", "servers")
    asked.mesh(hub, "allow", "--dry-run", "hub", "tag:servers")
    asked.mesh(hub, "allow", "any", "any", "--yes")
    asked.mesh(hub, "disallow", "any", "any", "--dry-run")
    asked.mesh(hub, "disallow", "any", "any", "--yes")


def change_clients_and_relays(asked: Asked, hub: Node, gate: Node) -> None:
    asked.mesh(hub, "client", "add", "phone", "--gateway", "hub")
    assert asked.mesh(hub, "client", "list")["clients"]
    asked.mesh(hub, "client", "show", "phone")
    asked.mesh(hub, "client", "remove", "phone")
    asked.mesh(hub, "relay", "add", "gate")
    assert asked.mesh(hub, "relay", "list")["relays"]
    asked.mesh(hub, "relay", "remove", "gate")


def follow_kubernetes(asked: Asked, hub: Node, gate: Node) -> None:
    gate.host.run("ip", "route", "add", "default", "via", "10.10.0.1")
    gate.host.run("ip", "address", "add", "10.244.3.9/24", "dev", "lo")
    start_api(gate)
    gate.kill()
    gate.host.start(program("wgpyd"), "-f", "--mesh", NETWORK, *OPTIONS)
    eventually(gate.is_ready, "the node is back")
    eventually(lambda: gate.status().kubernetes.is_known, "it follows the cluster")
    asked.mesh(gate, "site", "add", "blue", "--kubernetes", "--mapped", "--firewall")
    asked.mesh(hub, "approve", "blue")
    eventually(lambda: is_in_force(gate, "blue"), "the site is in force")
    asked.mesh(gate, "site", "coredns", "blue")


def is_in_force(node: Node, name: str) -> bool:
    return any(site.name == name and not site.exclusion for site in node.status().sites)


def end(asked: Asked, hub: Node, gate: Node) -> None:
    asked.mesh(hub, "audit")
    asked.check(("wgmesh", "audit"), hub.host.run(program("wgmesh"), "audit", NETWORK, "--json"))
    asked.mesh(hub, "revoke", asked.mesh(hub, "token", "--list")["tokens"][-1]["key"])
    asked.mesh(hub, "remove", "table")
    asked.mesh(gate, "leave")
