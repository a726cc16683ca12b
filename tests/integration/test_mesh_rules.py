"""The direction of rules: whoever a rule names as source begins, replies pass, and nobody else begins.

desk  198.51.100.1   coordinator                      mesh0 on each, MTU 1380
lap   198.51.100.2   tag office
web   198.51.100.3   tag servers; behind it 10.99.0.0/24 and fd99::/64 by an MTU of 1280
  └── eth0 ── bridge of the switch
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, permutations
from pathlib import Path
from typing import Final

import pytest

from tests.integration.flows import SMALL_MTU
from tests.integration.hosts import HostProcess, Lab, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, Node
from wgpy.contract.constants import SMALL_FLOWS

pytestmark = pytest.mark.slow

FLOWS: Final = (sys.executable, "-I", "-S", str(Path(__file__).with_name("flows.py")))
PROTOCOLS: Final = [f"{protocol}{family}" for protocol in ("icmp", "tcp", "udp") for family in (4, 6)]
BEYOND: Final = {4: "10.99.0.5", 6: "fd99::5"}
BEHIND_WEB: Final = ("10.99.0.0/24", "fd99::/64")
ERRORS: Final = ["port unreachable", "reset", "hops exceeded", "too big"]


@dataclass(slots=True)
class Mesh:
    """Three nodes, each of which serves flows."""

    nodes: dict[str, Node]
    inputs: ExitStack  # of what was started, open to its end
    servers: dict[str, HostProcess] = field(default_factory=dict)

    @property
    def admin(self) -> Node:
        return self.nodes["desk"]

    def set_rules(self, rules: str) -> None:
        """Let these be the rules, and return when every node knows."""
        wanted, before = set(rules.split()), _rules(self.admin)
        for rule in wanted - before:
            self.admin.mesh("allow", *rule.split(">"), "--yes")
        for rule in before - wanted:
            self.admin.mesh("disallow", *rule.split(">"), "--yes")
        eventually(lambda: all(_rules(node) == wanted for node in self.nodes.values()), "all know the rules")

    def begun(self) -> str:
        """Return which node could begin to which, and by which protocols if not by all."""
        named = {
            name: [f"{name}={node.address(family)}" for family in (4, 6)] for name, node in self.nodes.items()
        }
        running = {
            name: node.host.start(
                *FLOWS, "begin", *chain(*(named[other] for other in named if other != name))
            )
            for name, node in self.nodes.items()
        }
        answered = {name: json.loads(process.wait().output) for name, process in running.items()}
        begun = []
        for name, other in permutations(sorted(self.nodes), 2):
            found = [each.split(" ")[1] for each in answered[name] if each.startswith(f"{other} ")]
            begun += [f"{name}>{other}"] if found else []
            begun += [f"by {found}"] if found not in ([], PROTOCOLS) else []
        print("begun:", *begun)
        return " ".join(begun)

    def ask(self, name: str, command: str, *arguments: str) -> list[str]:
        """Run a command of flows.py that prints a list."""
        return list(json.loads(self.nodes[name].host.run(*FLOWS, command, *arguments)))

    def start(self, name: str, command: str, *arguments: str) -> HostProcess:
        """Start a command of flows.py that reads lines."""
        process = self.nodes[name].host.start(*FLOWS, command, *arguments, stdin=subprocess.PIPE)
        assert process.popen.stdin is not None
        self.inputs.enter_context(process.popen.stdin)
        return process

    def tried(self, flows: HostProcess) -> str:
        """Have a command of flows.py try whether its flows with web go on; return those that do."""
        before = len(flows.log.read_text().splitlines())
        _line(self.servers["web"])
        _line(flows)
        eventually(lambda: len(flows.log.read_text().splitlines()) > before, "all were tried")
        return flows.log.read_text().splitlines()[-1]

    def served(self, name: str) -> str:
        """Return what has arrived at a node's servers."""
        return self.servers[name].log.read_text()


def _data_path(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.xdist_group(f"mesh rules, {name}"))


@pytest.fixture(scope="module", params=[_data_path("native"), _data_path("portable")])
def mesh(module_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Mesh]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as inputs:
        patch.setenv("WGPY_DATAPATH", request.param)
        patch.setenv("WGPY_MEMORY", "small")  # so that a flow table can be filled
        yield _built(module_lab, request.param, inputs)


# -- Who begins to whom -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "begun"),
    [
        pytest.param("", "desk>lap desk>web lap>desk lap>web web>desk web>lap", id="no rule"),
        pytest.param("lap>web", "lap>web", id="one way"),
        pytest.param("lap>web web>lap", "lap>web web>lap", id="two ways"),
        pytest.param("lap>any", "lap>desk lap>web", id="to any"),
        pytest.param("any>lap", "desk>lap web>lap", id="from any"),
        pytest.param("tag:office>tag:servers", "lap>web", id="tags"),
        pytest.param("tag:servers>desk lap>tag:servers", "lap>web web>desk", id="there and elsewhere"),
    ],
)
def test_whoever_a_rule_names_as_source_begins_and_nobody_else(mesh: Mesh, rules: str, begun: str) -> None:
    mesh.set_rules(rules)

    eventually(lambda: mesh.begun() == begun, f"{begun} begin")


@pytest.mark.parametrize("family", [4, 6])
def test_errors_about_what_was_begun_arrive(mesh: Mesh, family: int) -> None:
    mesh.set_rules("lap>web")

    arguments = (mesh.nodes["web"].address(family), BEYOND[family])
    eventually(lambda: mesh.ask("lap", "errors", *arguments) == ERRORS, "every error arrives")


@pytest.mark.parametrize("family", [4, 6])
def test_what_only_looks_as_if_a_flow_had_begun_begins_none(mesh: Mesh, family: int) -> None:
    mesh.set_rules("lap>web")
    web, lap = (mesh.nodes[name].address(family) for name in ("web", "lap"))
    before = mesh.served("lap")

    assert mesh.ask("web", "forge", web, lap) == []
    assert mesh.served("lap") == before


@pytest.mark.parametrize("family", [4, 6])
def test_whoever_may_begin_may_do_so_in_fragments(mesh: Mesh, family: int) -> None:
    mesh.set_rules("lap>web")
    lap, web = (mesh.nodes[name].address(family) for name in ("lap", "web"))
    before = mesh.served("web")

    allowed = ["SYN", "SYN in two fragments"]
    eventually(lambda: mesh.ask("lap", "forge", lap, web) == allowed, "both begin")
    arrived = f"udp from {lap} 40\n"
    eventually(
        lambda: set(mesh.served("web").removeprefix(before).splitlines(keepends=True)) == {arrived},
        "the datagram of two fragments arrives",
    )


# -- Changes of rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("family", [4, 6])
def test_flows_survive_a_change_of_other_rules_and_end_with_their_own(mesh: Mesh, family: int) -> None:
    mesh.set_rules("lap>web")
    flows = mesh.start("lap", "hold", mesh.nodes["web"].address(family))
    eventually(lambda: flows.log.read_text() == "held\n", "the flows have begun")

    mesh.set_rules("lap>web desk>web")
    # What has ended never goes on again, so that a try which a busy host delays is repeated.
    eventually(lambda: mesh.tried(flows) == "still tcp udp", "the flows go on")

    mesh.set_rules("desk>web")
    eventually(lambda: mesh.tried(flows) == "still", "the flows have ended")


def test_a_rule_that_is_taken_back_ends_what_it_allowed_also_where_the_other_end_may_begin(
    mesh: Mesh,
) -> None:
    mesh.set_rules("lap>web web>lap")
    assert mesh.nodes["lap"].reaches(mesh.nodes["web"])

    mesh.set_rules("web>lap")

    eventually(lambda: mesh.begun() == "web>lap", "lap begins nothing to web")


@pytest.mark.parametrize("family", [4, 6])
def test_a_flow_table_that_is_full_forgets_the_oldest_flows_and_takes_new_ones(
    mesh: Mesh, family: int
) -> None:
    mesh.set_rules("lap>web")

    flows = mesh.start("lap", "fill", mesh.nodes["web"].address(family), str(4 * SMALL_FLOWS))

    eventually(lambda: "held\nfilled" in flows.log.read_text(), "the table is full")
    assert "first" not in mesh.tried(flows)
    eventually(lambda: "new" in mesh.tried(flows), "a new flow is answered")


def test_neighbours_compare_state_digests_whoever_of_them_may_begin(mesh: Mesh) -> None:
    mesh.set_rules("lap>web")
    connect_to = "import socket, sys; socket.create_connection((sys.argv[1], 51821), 3)"

    mesh.nodes["web"].host.run(sys.executable, "-c", connect_to, mesh.nodes["lap"].address(6))


# -- Helpers -------------------------------------------------------------------------------------


def _rules(node: Node) -> set[str]:
    rules = node.status().rules
    return {f"{rule.source}>{rule.destination}".replace("node:", "") for rule in rules}


def _line(process: HostProcess) -> None:
    assert process.popen.stdin is not None
    process.popen.stdin.write("\n")
    process.popen.stdin.flush()


def _built(lab: Lab, suffix: str, inputs: ExitStack) -> Mesh:
    switch = lab.host(f"switch-{suffix}")
    switch.run("ip", "link", "add", "bridge", "type", "bridge")
    switch.run("ip", "link", "set", "bridge", "up")
    mesh = Mesh({}, inputs)
    for number, name in enumerate(("desk", "lap", "web"), 1):
        host, address = lab.host(f"{name}-{suffix}"), f"198.51.100.{number}"
        connect(host, "eth0", switch, name)
        switch.run("ip", "link", "set", name, "master", "bridge")
        add_addresses(host, "eth0", f"{address}/24")
        mesh.nodes[name] = Node(name, host, address, address)
    desk, lap, web = mesh.nodes.values()
    _serve_beyond(web)
    desk.mesh("init", NETWORK, "--public", desk.inside, "--name", "desk")
    lap.join(desk.token("--tag", "office"))
    web.join(desk.token("--tag", "servers", "--routes", *BEHIND_WEB), "--routes", *BEHIND_WEB)
    for name, node in mesh.nodes.items():
        addresses = node.address(4), node.address(6)
        mesh.servers[name] = mesh.start(name, "serve", *addresses)
    eventually(lambda: all("ready" in mesh.served(name) for name in mesh.nodes), "all serve")
    return mesh


def _serve_beyond(web: Node) -> None:
    """Forward to a network where nobody is, by an interface of a small MTU."""
    web.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    web.host.run("ip", "link", "add", "beyond", "type", "bridge")
    web.host.run("ip", "link", "set", "beyond", "mtu", str(SMALL_MTU), "up")
    add_addresses(web.host, "beyond", "10.99.0.1/24", "fd99::1/64")
