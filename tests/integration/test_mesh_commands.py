"""`wgpy mesh` on hosts of their own: from nothing to a network, and back.

hub (coordinator)          web                        desk
br0 10.10.0.1/24 ───────── eth0 10.10.0.2/24
   └────────────────────────────────────────────────── eth0 10.10.0.3/24
"""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.hosts import HostProcess, Lab, Result, add_addresses, connect, eventually
from tests.integration.meshlab import NETWORK, Coordinator, Node, program

_NODES = "/var/lib/wgpyd/mesh"
_COORDINATORS = "/var/lib/wgmesh"
_TOKEN = re.compile(r"wgpy1_[\w-]+")


@dataclass(slots=True)
class Lan:
    """Hosts beside each other, the first of which is to coordinate."""

    lab: Lab
    nodes: list[Node] = field(default_factory=list)

    def add(self, name: str) -> Node:
        number = len(self.nodes) + 1
        node = Node(name, self.lab.host(name), f"10.10.0.{number}", "")
        if self.nodes:
            connect(self.hub.host, f"w{number}", node.host, "eth0")
            self.hub.host.run("ip", "link", "set", f"w{number}", "master", "br0")
            add_addresses(node.host, "eth0", f"{node.inside}/24")
        else:
            node.host.run("ip", "link", "add", "br0", "type", "bridge")
            add_addresses(node.host, "br0", f"{node.inside}/24")
            node.host.run("ip", "link", "set", "br0", "up")
        self.nodes.append(node)
        return node

    @property
    def hub(self) -> Node:
        return self.nodes[0]

    @property
    def coordinator(self) -> Coordinator:
        return Coordinator(self.hub.host)

    def init(self, *options: str) -> str:
        return self.hub.mesh("init", NETWORK, "--public", self.hub.inside, "--name", "hub", *options)

    def joined(self, name: str, *token_options: str) -> Node:
        """Add a host that is a node."""
        node = self.add(name)
        node.join(self.hub.token(*token_options))
        return node


@pytest.fixture
def lan(lab: Lab) -> Lan:
    """One host, not yet in a network."""
    lan = Lan(lab)
    lan.add("hub")
    return lan


@pytest.fixture
def network(lan: Lan) -> Lan:
    """A network of one node."""
    lan.init()
    return lan


def sentence(result: Result) -> str:
    """Return the one sentence of a command that failed."""
    assert result.status == 1, result
    assert re.fullmatch(r"wgpy: .*\.\n", result.output), result.output
    return result.output.removeprefix("wgpy: ")


# -- init --------------------------------------------------------------------------------------------


def test_init_prints_the_command_by_which_another_host_joins(lan: Lan) -> None:
    said = lan.init()
    web = lan.add("web")

    command = re.search(r"sudo wgpy mesh (join \S+)", said)
    assert command
    joined = web.mesh(*command[1].split(), "--name", "web")

    assert joined.startswith(f"This host is web in {NETWORK}: ")
    assert "It knows 1 other node;" in joined
    lan.hub.ping(web)
    web.ping(lan.hub, 6)
    for path in (f"{_NODES}/{NETWORK}", f"{_COORDINATORS}/{NETWORK}"):
        assert lan.hub.host.path(path).stat().st_mode & 0o077 == 0
    key = lan.hub.host.path(f"{_NODES}/{NETWORK}/network.key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert str(key.name) in said


def test_init_keeps_away_from_the_networks_of_the_host(lan: Lan) -> None:
    add_addresses(lan.hub.host, "br0", "100.100.0.1/16")
    lan.hub.host.run("ip", "route", "add", "10.16.0.0/12", "via", "10.10.0.77")

    made = lan.hub.ask("init", NETWORK, "--public", lan.hub.inside)

    for used in ("100.100.", "10.10.", "10.16."):
        assert not made["addresses"].startswith(used)
        assert not made["pool"].startswith(used)
    assert made["answers"]
    assert _TOKEN.fullmatch(made["token"])


def test_init_takes_a_range_unless_this_host_is_in_it(lan: Lan) -> None:
    refused = lan.hub.attempt("init", NETWORK, "--public", lan.hub.inside, "--addresses", "10.10.0.0/16")
    assert "10.10.0.0/16 overlaps 10.10.0.0/24" in sentence(refused)

    made = lan.hub.ask(
        "init", NETWORK, "--public", lan.hub.inside, "--addresses", "10.99.0.0/24", "--mtu", "1300",
        "--interface", "wg7", "--listen-port", "4000",
    )  # fmt: skip

    assert made["addresses"] == "10.99.0.0/24"
    status = lan.hub.status()
    assert (status.mtu, status.interface, status.listen_port) == (1300, "wg7", 4000)


def test_an_init_that_fails_leaves_the_host_as_it_was(lan: Lan) -> None:
    lan.hub.host.run("mount", "--bind", "/dev/null", "/dev/net/tun")
    before = lan.hub.host.run("ip", "-brief", "address")

    failed = lan.hub.attempt("init", NETWORK, "--public", lan.hub.inside)

    assert "the daemon of lab did not start: " in sentence(failed)
    assert lan.hub.host.run("ip", "-brief", "address") == before
    assert not lan.hub.host.path(f"{_NODES}/{NETWORK}").exists()
    assert not lan.hub.host.path(f"{_COORDINATORS}/{NETWORK}").exists()
    eventually(lambda: not lan.coordinator.processes(), "the coordinator is gone")
    lan.hub.host.run("umount", "/dev/net/tun")
    lan.init()


def test_each_misuse_of_init_is_one_sentence(network: Lan) -> None:
    host = network.hub
    again = host.attempt("init", NETWORK, "--public", host.inside)
    assert f"there is a network {NETWORK} on this host" in sentence(again)
    half = host.attempt("init", "other", "--public", host.inside, "--certificate", "/etc/hostname")
    assert "--certificate and --certificate-key belong together" in sentence(half)
    busy = host.attempt("init", "other", "--public", host.inside, "--interface", "mesh1")
    assert "the coordinator did not start: " in sentence(busy)
    nobody = ("setpriv", "--reuid=65534", "--clear-groups", program("wgpy"), "mesh")
    for command in (["init", "other", "--public", host.inside], ["status"], ["token"], ["leave"]):
        result = host.host.attempt(*nobody, *command)
        assert "sudo wgpy mesh" in sentence(result)


# -- join --------------------------------------------------------------------------------------------


def _by_file(node: Node, token: str) -> str:
    node.host.write("/run/token", token + "\n")
    return node.mesh("join", "--token-file", "/run/token")


def _by_standard_input(node: Node, token: str) -> str:
    node.host.write("/run/token", token)
    return node.host.run("sh", "-c", f"{program('wgpy')} mesh join --token-file - < /run/token")


def _by_environment(node: Node, token: str) -> str:
    return node.host.run("env", f"WGPY_TOKEN={token}", program("wgpy"), "mesh", "join")


@pytest.mark.parametrize("join", [_by_file, _by_standard_input, _by_environment])
def test_a_token_need_not_be_an_argument(network: Lan, join: Callable[[Node, str], str]) -> None:
    token = network.hub.token()
    web = network.add("web")

    join(web, token)

    web.ping(network.hub)
    for pid in web.agents():
        assert token not in Path(f"/proc/{pid}/environ").read_text()


def test_hosts_of_one_name_become_nodes_of_different_names(network: Lan) -> None:
    token = network.hub.token("--uses", "2")
    nodes = [network.add("web"), network.add("desk")]

    names = [node.ask("join", token)["name"] for node in nodes]

    assert names[1] == f"{names[0]}-2"
    nodes[0].ping(nodes[1])


def test_a_token_does_not_stay_among_the_arguments(network: Lan) -> None:
    """The coordinator is held, so that the command is seen at its work."""
    token = network.hub.token()
    web = network.add("web")
    (coordinator,) = network.coordinator.processes()
    _signal(coordinator, signal.SIGSTOP)

    joining = web.host.start(program("wgpy"), "mesh", "join", token)
    eventually(lambda: "--token-file=" in _arguments(joining), "the token is out of sight")

    assert token not in _arguments(joining)
    _signal(coordinator, signal.SIGCONT)
    assert joining.wait().status == 0
    assert token not in joining.wait().output


def test_a_join_without_a_coordinator_says_so_and_works_later(network: Lan) -> None:
    token = network.hub.token()
    web = network.add("web")
    network.coordinator.kill()

    said = sentence(web.attempt("join", token))
    assert "does not answer: " in said
    assert "give the same command again" in said
    network.coordinator.start()

    web.join(token)
    web.ping(network.hub)


def test_a_join_goes_on_where_it_was_interrupted(network: Lan) -> None:
    token = network.hub.token()
    web = network.add("web")
    web.host.run("mount", "--bind", "/dev/null", "/dev/net/tun")

    failed = web.attempt("join", token)
    assert "the daemon of lab did not start: " in sentence(failed)
    assert "give the same command again" in failed.output
    web.host.run("umount", "/dev/net/tun")
    web.join(token)

    address = web.address()
    web.ping(network.hub)
    # As if it had been killed before it knew whether it was admitted.
    web.host.run("ip", "link", "delete", "mesh0")
    eventually(lambda: not web.agents(), "the daemon is gone")
    (web.folder / "records.jsonl").unlink()
    web.join(token)

    assert web.address() == address
    web.ping(network.hub)


def test_each_token_that_does_not_count_is_refused_with_the_reason(network: Lan) -> None:
    web, desk = network.joined("web"), network.add("desk")
    used_up = network.hub.token()
    web.mesh("leave")
    web.join(used_up)
    expired = network.hub.token("--expires", "1s")
    revoked = network.hub.ask("token")
    network.hub.mesh("revoke", revoked["key"][:8])
    eventually(lambda: "expired" in desk.attempt("join", expired).output, "the token expires")

    assert "used" in sentence(desk.attempt("join", used_up))
    assert "expired" in sentence(desk.attempt("join", expired))
    assert "revoked" in sentence(desk.attempt("join", revoked["token"]))
    assert not desk.host.path(f"{_NODES}/{NETWORK}").exists(), "what was refused leaves nothing"
    states = {token["key"]: token["state"] for token in network.hub.ask("token", "--list")}
    assert states[revoked["key"]] == "revoked"
    assert {"used up", "expired", "valid"} <= set(states.values())


def test_each_misuse_of_join_is_one_sentence(network: Lan) -> None:
    web, desk = network.joined("web"), network.add("desk")
    token = network.hub.token("--uses", "5")

    assert f"this host is in {NETWORK} already; `wgpy mesh leave" in sentence(web.attempt("join", token))
    assert "another node is called web" in sentence(desk.attempt("join", token, "--name", "web"))
    busy = desk.attempt("join", token, "--interface", "eth0")
    assert "there is already a network interface eth0" in sentence(busy)
    assert "this host is in no network" in sentence(desk.attempt("status"))
    other = web.attempt("status", "--network", "other")
    assert f"this host is not in a network other; it is in {NETWORK}" in sentence(other)


# -- A network's life --------------------------------------------------------------------------------


def test_status_and_why_show_the_network_to_people_and_programs(network: Lan) -> None:
    web = network.joined("web", "--tag", "k8s")
    web.ping(network.hub)

    shown = network.hub.mesh("status")
    for expected in (
        NETWORK,
        "network.key, last used ",
        "connected",
        "k8s",
        web.address(),
        "10.10.0.2:51820",
    ):
        assert expected in shown
    assert "network's key  not on this host" in web.mesh("status")
    assert network.hub.mesh("why", "web").startswith("web is reachable.\n")
    assert network.hub.ask("why", "web")["reachable"] is True
    assert network.hub.ask("why", "db")["reachable"] is False
    assert "hub is this node" in sentence(network.hub.attempt("why", "hub"))
    listed = {node["name"]: node for node in network.hub.ask("node-list")}
    assert listed["web"]["connected"]
    assert listed["web"]["seen"] == web.inside
    assert {node["name"] for node in web.ask("node-list")} == {"hub", "web"}
    assert "web" in network.hub.mesh("audit")


def test_a_renamed_node_is_known_by_its_new_name(network: Lan) -> None:
    web = network.joined("web")

    assert web.mesh("rename", "www") == "This node was web and now is www.\n"

    eventually(lambda: [peer.name for peer in network.hub.status().peers] == ["www"], "hub knows")
    assert "hub" in sentence(web.attempt("rename", "hub"))
    web.ping(network.hub)


def test_a_removed_node_is_out_for_good(network: Lan) -> None:
    token = network.hub.token()
    web = network.add("web")
    web.join(token)
    web.ping(network.hub)

    assert network.hub.mesh("remove", "web").startswith("web is removed")

    eventually(lambda: not network.hub.reaches(web), "web is unreachable", within=1)
    assert "removed already" in sentence(network.hub.attempt("remove", "web"))
    assert "there is no node db" in sentence(network.hub.attempt("remove", "db"))
    assert network.hub.ask("why", "web")["reachable"] is False
    eventually(lambda: not web.status().member, "web knows")
    web.mesh("leave")
    web.join(network.hub.token())
    network.hub.ping(web)


def test_a_node_that_left_is_forgotten_and_may_come_back(network: Lan) -> None:
    web = network.joined("web")

    assert web.mesh("leave") == f"This host has left {NETWORK}.\n"

    assert not web.folder.exists()
    assert "mesh0" not in web.host.run("ip", "-brief", "link")
    eventually(lambda: not network.hub.status().peers, "hub knows")
    web.join(network.hub.token())
    web.ping(network.hub)


def test_a_node_leaves_without_the_coordinator_only_by_force(network: Lan) -> None:
    web = network.joined("web")
    network.coordinator.kill()

    assert "--force" in sentence(web.attempt("leave"))
    web.ping(network.hub)

    assert "`wgpy mesh remove web`" in web.mesh("leave", "--force")
    assert not web.folder.exists()


def test_rules_say_who_reaches_whom(network: Lan) -> None:
    web, desk = network.joined("web", "--tag", "servers"), network.joined("desk")
    desk.ping(web)

    said = network.hub.mesh("allow", "hub", "tag:servers")

    assert "This is the first rule" in said
    eventually(lambda: not desk.reaches(web), "desk does not reach web")
    network.hub.ping(web)
    assert "hub to tag:servers" in network.hub.mesh("status")
    assert "allowed already" in sentence(network.hub.attempt("allow", "hub", "tag:servers"))
    assert "A rule may be missing" in desk.mesh("why", "web")
    assert "hub to tag:servers" in sentence(network.hub.attempt("disallow", "any", "any"))
    assert "no node is tag nobody yet" in network.hub.mesh("allow", "tag:nobody", "any")
    network.hub.mesh("disallow", "tag:nobody", "any")

    assert "There is no rule left" in network.hub.mesh("disallow", "hub", "tag:servers")
    eventually(lambda: desk.reaches(web), "desk reaches web again")


def test_routes_wait_for_the_right_to_announce_them(network: Lan) -> None:
    web = network.add("web")
    add_addresses(web.host, "lo", "10.42.3.1/32", "10.43.3.1/32")
    token = network.hub.token("--routes", "10.42.0.0/16")

    said = web.join(token, "--routes", "10.42.3.0/24", "10.43.3.0/24")

    assert "Nobody uses 10.43.3.0/24 through it before `wgpy mesh approve web`" in said
    assert _answers(network.hub, "10.42.3.1")
    assert not _answers(network.hub, "10.43.3.1")
    approved = network.hub.ask("approve", "web")
    assert (approved["routes"], approved["requested"]) == (["10.42.3.0/24", "10.43.3.0/24"], [])
    eventually(lambda: _answers(network.hub, "10.43.3.1"), "the approved route is used")
    network.hub.mesh("approve", "web", "--none")
    eventually(lambda: not _answers(network.hub, "10.43.3.1"), "the route is no longer used")
    nothing = network.hub.attempt("approve", "hub")
    assert "hub announces no routes, so there is nothing to approve" in sentence(nothing)


def test_the_networks_key_works_from_another_host(network: Lan) -> None:
    web = network.joined("web")
    key = network.hub.host.path(f"{_NODES}/{NETWORK}/network.key")
    web.host.write("/run/network.key", key.read_text())
    key.unlink()

    assert "the key of lab is not on this host" in sentence(network.hub.attempt("token"))
    web.ask("token", "--key", "/run/network.key")
    assert len(web.ask("token", "--list", "--key", "/run/network.key")) == 4
    network.coordinator.kill()
    assert "does not answer: " in sentence(web.attempt("token", "--key", "/run/network.key"))


# -- Helpers -----------------------------------------------------------------------------------------


def _answers(node: Node, address: str) -> bool:
    return node.host.attempt("ping", "-n", "-c", "1", "-W", "1", address).status == 0


def _arguments(process: HostProcess) -> str:
    return process.proc("cmdline").replace("\0", " ")


def _signal(pid: int, number: signal.Signals) -> None:

    os.kill(pid, number)
