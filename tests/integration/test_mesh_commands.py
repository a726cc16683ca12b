"""`wgpy mesh` on hosts of their own, see `meshlan`: from nothing to a network, and back."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.integration.hosts import HostProcess, Lab, Result, add_addresses, eventually
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import Lan
from tests.integration.terminal import Terminal
from tests.mesh.certificates import self_signed

_NODES = "/var/lib/wgpyd/mesh"
_COORDINATORS = "/var/lib/wgmesh"
_TOKEN = re.compile(r"wgpy1_[\w-]+")
_ROUTES6 = ("ip", "-6", "route", "show", "table", "all")  # a node has a table of its own


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


def sentence(result: Result, status: int = 1) -> str:
    """Return the one sentence of a command that failed. status: of its exit."""
    assert result.status == status, result
    assert re.fullmatch(r"wgpy: .*\.\n", result.output), result.output
    return result.output.removeprefix("wgpy: ")


# -- init --------------------------------------------------------------------------------------------


def test_init_prints_the_command_by_which_another_host_joins(lan: Lan) -> None:
    add_addresses(lan.hub.host, "br0", "100.100.0.1/16")
    lan.hub.host.run("ip", "route", "add", "10.16.0.0/12", "via", "10.10.0.77")

    said = lan.init()
    web = lan.add("web")
    command, token = re.search(r"sudo wgpy mesh (join)\n", said), _TOKEN.search(said)
    assert command
    assert token
    with Terminal(web.host, program("wgpy"), "mesh", command[1], "--name", "web") as terminal:
        terminal.shows("Token")
        terminal.types(token[0] + "\n")
        joined = terminal.shows(" shows all.")

    assert f"This host is web in {NETWORK}: " in joined
    assert "It knows 1 other node;" in joined
    lan.hub.ping(web)
    web.ping(lan.hub, 6)
    for path in (f"{_NODES}/{NETWORK}", f"{_COORDINATORS}/{NETWORK}"):
        assert lan.hub.host.path(path).stat().st_mode & 0o077 == 0
    key = f"{_NODES}/{NETWORK}/network.key"
    assert lan.hub.host.path(key).stat().st_mode & 0o777 == 0o600
    assert key in said
    ranges = re.findall(r"[0-9.]+/\d+", said)
    assert len(ranges) == 2
    assert not [found for found in ranges if found.startswith(("100.100.", "10.10.", "10.16."))]


def test_what_makes_no_sense_to_init_is_one_sentence_and_changes_nothing(lan: Lan) -> None:
    host = lan.hub
    init = ("init", NETWORK, "--public", host.inside)
    assert "10.10.0.0/16 overlaps 10.10.0.0/24" in sentence(
        host.attempt(*init, "--addresses", "10.10.0.0/16")
    )
    half = host.attempt(*init, "--certificate", "/etc/hostname")
    assert "--certificate and --certificate-key belong together" in sentence(half, 2)
    assert not host.host.path(f"{_NODES}/{NETWORK}").exists()

    made = host.ask(
        *init, "--addresses", "10.99.0.0/24", "--mtu", "1300", "--interface", "wg7", "--listen-port", "4000"
    )

    assert (made["addresses"], made["answers"]) == ("10.99.0.0/24", True)
    assert _TOKEN.fullmatch(made["token"])
    status = host.status()
    assert (status.mtu, status.interface, status.listen_port) == (1300, "wg7", 4000)
    assert f"there is a network {NETWORK} on this host" in sentence(host.attempt(*init))
    busy = host.attempt("init", "other", "--public", f"{host.inside}:51820", "--interface", "mesh1")
    assert "the coordinator did not start: " in sentence(busy)
    taken = host.attempt("init", "other", "--public", f"{host.inside}:4001", "--interface", "wg7")
    assert "there is already a network interface wg7" in sentence(taken)
    nobody = ("setpriv", "--reuid=65534", "--clear-groups", program("wgpy"), "mesh")
    for command in (init, ["status"], ["token"], ["leave"]):
        assert "sudo wgpy mesh" in sentence(host.host.attempt(*nobody, *command))
    assert host.status().connected


def test_an_init_that_fails_leaves_the_host_as_it_was(lan: Lan) -> None:
    lan.hub.host.run("mount", "--bind", "/dev/null", "/dev/net/tun")
    before = lan.hub.host.run("ip", "-brief", "address")

    failed = lan.hub.attempt("init", NETWORK, "--public", lan.hub.inside)

    assert "the daemon of lab did not start: " in sentence(failed)
    assert lan.hub.host.run("ip", "-brief", "address") == before
    assert not lan.hub.host.path(f"{_NODES}/{NETWORK}").exists()
    assert not lan.hub.host.path(f"{_COORDINATORS}/{NETWORK}").exists()
    eventually(lambda: not lan.coordinator.processes(), "the coordinator is gone")


def test_a_certificate_of_an_authority_is_judged_by_name_and_authority(lan: Lan) -> None:
    hub, web = lan.hub, lan.add("web")
    certificate, key = (content.decode() for content in self_signed(hub.inside))
    for node in (hub, web):
        node.host.write("/run/authority.pem", certificate)
    hub.host.write("/run/key.pem", key)
    mesh = ("env", "SSL_CERT_FILE=/run/authority.pem", program("wgpy"), "mesh")
    own = ("--certificate", "/run/authority.pem", "--certificate-key", "/run/key.pem")

    said = hub.host.run(*mesh, "init", NETWORK, "--public", hub.inside, *own)
    found = _TOKEN.search(said)
    assert found

    assert "certificate" in sentence(web.attempt("join", found[0])), "it does not know that authority"
    web.host.run(*mesh, "join", found[0])
    hub.ping(web)


# -- join --------------------------------------------------------------------------------------------


def test_a_token_comes_by_file_standard_input_or_environment(network: Lan) -> None:
    """And hosts of one name become nodes of different names."""
    token = network.hub.token("--uses", "3")
    nodes = [network.add(name) for name in ("web", "desk", "shop")]
    for node in nodes:
        node.host.write("/run/token", token + "\n")
    by_file, by_input, by_environment = nodes

    by_file.mesh("join", "--token-file", "/run/token")
    by_input.host.run("sh", "-c", f"{program('wgpy')} mesh join --token-file - < /run/token")
    by_environment.host.run("env", f"WGPY_TOKEN={token}", program("wgpy"), "mesh", "join")

    names = [node.status().name for node in nodes]
    assert names[1:] == [f"{names[0]}-2", f"{names[0]}-3"]
    by_file.ping(by_environment)
    for pid in by_environment.agents():
        assert token not in Path(f"/proc/{pid}/environ").read_text()


def test_a_token_does_not_stay_among_the_arguments(network: Lan) -> None:
    """The coordinator is held, so that the command is seen at its work."""
    token = network.hub.token()
    web = network.add("web")
    (coordinator,) = network.coordinator.processes()
    os.kill(coordinator, signal.SIGSTOP)

    joining = web.host.start(program("wgpy"), "mesh", "join", token)
    eventually(lambda: "*" * len(token) in _arguments(joining), "the token is out of sight")

    assert token not in _arguments(joining)
    os.kill(coordinator, signal.SIGCONT)
    done = joining.wait()
    assert done.status == 0
    assert token not in done.output


def test_a_token_does_not_stay_among_the_arguments_where_they_cannot_be_written_over(network: Lan) -> None:
    token = network.hub.token()
    web = network.add("web")
    web.host.run("mount", "-o", "remount,ro", "/proc")
    (coordinator,) = network.coordinator.processes()
    os.kill(coordinator, signal.SIGSTOP)

    joining = web.host.start(program("wgpy"), "mesh", "join", token)
    eventually(lambda: "--token-file=" in _arguments(joining), "the token is out of sight")

    assert token not in _arguments(joining)
    os.kill(coordinator, signal.SIGCONT)
    assert token not in joining.wait().output


def test_a_join_goes_on_where_it_was_interrupted(network: Lan) -> None:
    token = network.hub.token()
    web = network.add("web")
    network.coordinator.kill()

    alone = web.attempt("join", token)
    assert "does not answer: " in sentence(alone)
    assert "run the same command again" in alone.output
    network.coordinator.start()
    eventually(lambda: network.hub.status().connected, "the hub hears of who joins")
    web.host.run("mount", "--bind", "/dev/null", "/dev/net/tun")
    failed = web.attempt("join", token)
    assert "the daemon of lab did not start: " in sentence(failed)
    assert "run the same command again" in failed.output
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


def test_a_token_that_does_not_count_is_refused_with_the_reason(network: Lan) -> None:
    web, desk = network.add("web"), network.add("desk")
    used_up, expiring = network.hub.token(), network.hub.token("--expires", "1s")
    web.join(used_up)
    revoked = network.hub.ask("token", "--uses", "2")
    desk.join(revoked["token"])
    assert "these stay: desk." in network.hub.mesh("revoke", revoked["key"][:8])
    network.hub.ping(desk)
    desk.mesh("leave")
    eventually(lambda: "expired" in desk.attempt("join", expiring).output, "the token expires")

    assert "used" in sentence(desk.attempt("join", used_up))
    assert "revoked" in sentence(desk.attempt("join", revoked["token"]))
    assert not desk.host.path(f"{_NODES}/{NETWORK}").exists(), "what was refused leaves nothing"
    assert not desk.host.processes("wgpyd"), "nor a daemon that had begun to start"
    states = {token["key"]: token["state"] for token in network.hub.ask("token", "--list")["tokens"]}
    assert states[revoked["key"]] == "revoked"
    assert {"used up", "expired", "valid"} <= set(states.values())

    token = network.hub.token()
    assert f"this host is in {NETWORK} already; `wgpy mesh leave" in sentence(web.attempt("join", token))
    assert "another node is called web" in sentence(desk.attempt("join", token, "--name", "web"))
    busy = desk.attempt("join", token, "--interface", "eth0")
    assert "there is already a network interface eth0" in sentence(busy)
    assert "this host is in no network" in sentence(desk.attempt("status"))
    other = web.attempt("status", "--network", "other")
    assert f"this host is not in a network other; it is in {NETWORK}" in sentence(other)


# -- A network's life --------------------------------------------------------------------------------


def test_status_and_why_show_the_network_to_people_and_programs(network: Lan) -> None:
    hub, web = network.hub, network.joined("web", "--tag", "k8s")
    web.ping(hub)

    shown = hub.mesh("status")
    for expected in ("network.key, last used ", "connected", "k8s", web.address(), "10.10.0.2:51820"):
        assert expected in shown
    assert "network's key  not on this host" in web.mesh("status")
    assert hub.mesh("why", "web").startswith("web is reachable.\n")
    assert hub.why("web")["reachable"] is True
    assert hub.why("db")["reachable"] is False
    assert "hub is this node" in sentence(hub.attempt("why", "hub"))
    listed = {node["name"]: node for node in hub.ask("node-list")["nodes"]}
    assert listed["web"]["connected"]
    assert listed["web"]["seen"] == web.inside
    assert {node["name"] for node in web.ask("node-list")["nodes"]} == {"hub", "web"}
    assert "web joined" in hub.mesh("audit")

    assert web.ask("route", "add", "10.42.3.0/24", "fd00:42::/64")["requested"] == [
        "10.42.3.0/24",
        "fd00:42::/64",
    ]
    assert "`wgpy mesh approve web` allows it" in web.mesh("route", "remove", "10.42.3.0/24")
    hub.mesh("approve", "web")
    eventually(lambda: "fd00:42::/64 dev mesh0" in hub.host.run(*_ROUTES6), "hub routes it")
    assert "10.42.3.0/24 is not announced" in sentence(web.attempt("route", "remove", "10.42.3.0/24"))
    assert web.mesh("route", "remove", "fd00:42::/64") == "web announces no prefix.\n"

    assert web.mesh("rename", "www") == "This node was web and now is www.\n"
    eventually(lambda: [peer.name for peer in hub.status().peers] == ["www"], "hub knows")
    assert "hub" in sentence(web.attempt("rename", "hub"))


def test_the_networks_key_works_from_another_host(network: Lan) -> None:
    web = network.joined("web")
    key = network.hub.host.path(f"{_NODES}/{NETWORK}/network.key")
    web.host.write("/run/network.key", key.read_text())
    key.unlink()

    assert "the key of lab is not on this host" in sentence(network.hub.attempt("token"))
    web.ask("token", "--key", "/run/network.key")
    assert len(web.ask("token", "--list", "--key", "/run/network.key")["tokens"]) == 4
    network.coordinator.kill()
    assert "does not answer: " in sentence(web.attempt("token", "--key", "/run/network.key"))


def test_a_second_agent_says_that_one_runs(network: Lan) -> None:
    second = network.hub.host.attempt(program("wgpyd"), f"--mesh={NETWORK}")

    assert second == Result(1, f"wgpyd: the agent of {NETWORK} runs already: `wgpy mesh status` shows it\n")
    assert network.hub.is_ready()


def test_who_is_removed_or_leaves_may_come_back_as_another(network: Lan) -> None:
    hub, web = network.hub, network.add("web")
    token = hub.token("--uses", "2")
    web.join(token)
    hub.ping(web)

    removed = hub.mesh("remove", "web")

    assert removed.startswith("web is removed")
    assert "The token that admitted web still admits hosts" in removed
    eventually(lambda: not hub.reaches(web), "web is unreachable")
    assert "removed already" in sentence(hub.attempt("remove", "web"))
    assert "there is no node db" in sentence(hub.attempt("remove", "db"))
    assert "hub is this node; `wgpy mesh leave`" in sentence(hub.attempt("remove", "hub"))
    assert hub.why("web")["reachable"] is False
    eventually(lambda: not web.status().member, "web knows")

    assert web.mesh("leave") == f"This host has left {NETWORK}.\n"
    assert not web.folder.exists()
    assert "mesh0" not in web.host.run("ip", "-brief", "link")
    web.join(token)
    hub.ping(web)
    assert "The token" not in hub.mesh("remove", "web")
    web.mesh("leave")
    web.join(hub.token())

    network.coordinator.kill()
    assert "--force" in sentence(web.attempt("leave"))
    web.ping(hub)
    assert "`wgpy mesh remove web`" in web.mesh("leave", "--force")
    assert not web.folder.exists()


def test_rules_say_who_reaches_whom(network: Lan) -> None:
    web, desk = network.joined("web", "--tag", "servers"), network.joined("desk")
    desk.ping(web)

    said = network.hub.mesh("allow", "hub", "tag:servers", "--yes")

    assert "This is the first rule" in said
    eventually(lambda: not desk.reaches(web), "desk does not reach web")
    network.hub.ping(web)
    assert not web.reaches(network.hub), "a rule has a direction"
    assert "web may not begin to hub: no rule says so" in web.attempt("why", "hub").output
    assert web.why("hub")["reachable"] is False
    assert "hub may begin to web: allow hub tag:servers (rule 1)" in network.hub.mesh("why", "web")
    assert re.search(r"hub to tag:servers \(rule 1, let in [1-9]", web.mesh("status"))
    assert "hub to tag:servers" in network.hub.mesh("status")
    assert "allowed already" in sentence(network.hub.attempt("allow", "hub", "tag:servers"))
    refused = desk.attempt("why", "web")
    assert (refused.status, "A rule may be missing" in refused.output) == (1, True)
    assert "hub to tag:servers" in sentence(network.hub.attempt("disallow", "any", "any"))
    assert "no node has tag nobody yet" in sentence(network.hub.attempt("allow", "tag:nobody", "any"))
    network.hub.mesh("allow", "tag:nobody", "any", "--anyway")
    network.hub.mesh("disallow", "tag:nobody", "any")

    assert "this is the last rule" in sentence(network.hub.attempt("disallow", "hub", "tag:servers"))
    assert "There is no rule left" in network.hub.mesh("disallow", "hub", "tag:servers", "-y")
    eventually(lambda: desk.reaches(web), "desk reaches web again")


def test_routes_wait_for_the_right_to_announce_them(network: Lan) -> None:
    web = network.add("web")
    add_addresses(web.host, "lo", "10.42.3.1/32", "10.43.3.1/32")
    token = network.hub.token("--routes", "10.42.0.0/16")

    said = web.join(token, "--routes", "10.42.3.0/24", "10.43.3.0/24")

    assert "The nodes route 10.43.3.0/24 to it after `wgpy mesh approve web`" in said
    assert _answers(network.hub, "10.42.3.1")
    assert not _answers(network.hub, "10.43.3.1")
    approved = network.hub.ask("approve", "web")
    assert (approved["routes"], approved["requested"]) == (["10.42.3.0/24", "10.43.3.0/24"], [])
    eventually(lambda: _answers(network.hub, "10.43.3.1"), "the approved route is used")
    network.hub.mesh("approve", "web", "--none")
    eventually(lambda: not _answers(network.hub, "10.43.3.1"), "the route is no longer used")
    nothing = network.hub.attempt("approve", "hub")
    assert "hub announces no routes, so there is nothing to approve" in sentence(nothing)


# -- Helpers -----------------------------------------------------------------------------------------


def _answers(node: Node, address: str) -> bool:
    return node.host.attempt("ping", "-n", "-c", "1", "-W", "1", address).status == 0


def _arguments(process: HostProcess) -> str:
    return process.proc("cmdline").replace("\0", " ")
