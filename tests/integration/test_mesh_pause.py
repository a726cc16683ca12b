"""A host pauses in its network and resumes, and is in two networks at once.

hub (coordinator of lab)      web (coordinator of other)
eth0 10.10.0.1/24 ─────────── eth0 10.10.0.2/24
"""

from dataclasses import dataclass

import pytest

from tests.integration.hosts import Lab, eventually
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import wired_pair

_OTHER = "other"


@dataclass(slots=True)
class Scene:
    hub: Node
    web: Node


@pytest.fixture
def scene(lab: Lab) -> Scene:
    """Two hosts in one network."""
    hub, web = wired_pair(lab)
    hub.mesh("init", NETWORK, "--public", hub.inside, "--name", "hub")
    web.join(hub.token())
    return Scene(hub, web)


def test_a_host_pauses_and_resumes_as_the_same_node(scene: Scene) -> None:
    address = scene.web.address()
    assert scene.hub.reaches(scene.web, within=2)

    assert scene.web.mesh("down").startswith(f"This host pauses in {NETWORK}, also after a reboot")

    assert not scene.web.agents()
    assert "mesh0" not in scene.web.host.run("ip", "-brief", "link")
    again = scene.web.host.attempt(program("wgpyd"), f"--mesh={NETWORK}")
    refusal = f"{NETWORK} is paused on this host: `wgpy mesh up --network {NETWORK}` resumes it"
    assert (again.status, again.output) == (1, f"wgpyd: {refusal}\n")
    for command in ("status", "down", "route add 10.42.1.0/24", "keepalive 30", "endpoint auto"):
        refused = scene.web.attempt(*command.split())
        assert (refused.status, "is paused on this host" in refused.output) == (1, True)
    assert scene.hub.why("web")["reachable"] is False

    assert scene.web.mesh("up").startswith(f"This host is web in {NETWORK} again: {address}")

    assert scene.web.address() == address
    eventually(lambda: scene.hub.reaches(scene.web), "hub reaches web")
    assert "is up on this host already" in scene.web.attempt("up").output


def test_a_paused_host_can_leave(scene: Scene) -> None:
    scene.web.mesh("down")

    assert scene.web.mesh("leave") == f"This host has left {NETWORK}.\n"
    eventually(lambda: not scene.hub.status().peers, "hub knows")


def test_a_second_network_finds_an_interface_and_a_port_by_itself(scene: Scene) -> None:
    made = scene.web.ask("init", _OTHER, "--public", f"{scene.web.inside}:4000", "--name", "web")
    joined = scene.hub.ask("join", made["token"], "--name", "hub")

    assert joined["interface"] == "mesh1"
    both = scene.hub.ask("status")["networks"]
    assert {name: one["listen_port"] for name, one in both.items()} == {NETWORK: 51820, _OTHER: 51821}
    peer = both[_OTHER]["peers"][0]["address"]
    scene.hub.host.run("ping", "-n", "-c", "1", "-W", "5", peer)
    scene.hub.ping(scene.web)


def test_a_second_coordinator_finds_a_port_by_itself(scene: Scene) -> None:
    made = scene.hub.ask("init", _OTHER, "--public", scene.hub.inside, "--name", "hub")
    scene.web.ask("join", made["token"], "--name", "web")

    assert made["coordinator"] == f"https://{scene.hub.inside}:51822"  # 51821 is for gossip
    assert scene.web.ask("status")["networks"][_OTHER]["connected"]


def test_a_log_of_its_own_is_where_status_says(scene: Scene) -> None:
    scene.web.kill()
    scene.web.host.run("env", "LOG_LEVEL=debug", program("wgpyd"), f"--mesh={NETWORK}", "--log=/run/node.log")

    assert "log            /run/node.log" in scene.web.mesh("status")
    assert "serving at" in scene.web.host.path("/run/node.log").read_text()
    assert "`journalctl --identifier='wgpyd(mesh0)'`" in scene.hub.mesh("status")


def test_what_ended_lately_is_listed(scene: Scene) -> None:
    states = {token["state"] for token in scene.hub.ask("token", "--list")["tokens"]}
    scene.web.mesh("leave")
    eventually(lambda: not scene.hub.status().peers, "hub knows")

    assert states == {"used up", "valid"}
    assert "web is no member: it left" in scene.hub.mesh("status")
    assert scene.hub.ask("token", "--list", "--all")["tokens"] == scene.hub.ask("token", "--list")["tokens"]
