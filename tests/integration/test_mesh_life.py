"""Who comes, who goes, and what goes on without a coordinator. Topology: meshlab.World, and one guest.

Each test leaves the network as it found it: five nodes, all connected.
"""

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.hosts import Lab, eventually
from tests.integration.meshlab import NETWORK, PORT, Node, World
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Token
from wgpy.node.files import Journal

pytestmark = pytest.mark.xdist_group("mesh_life")

_CHANGES = (sys.executable, str(Path(__file__).with_name("meshchanges.py")))
_A_SECOND = 1.0
_LATER = 2.0  # seconds, in which an answer would still come
_INTERVAL = 0.05  # seconds between pings
_ATTEMPTS = 6  # to connect, after which a node pauses for 16 seconds at least
_RETURN = 30  # seconds, by which everybody has found the coordinator again


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    world = World.build(module_lab)
    world.found()
    world.populate()
    return world


@pytest.fixture(scope="module")
def guest_host(world: World) -> Node:
    """A host that is in no network."""
    guest = world.stand("guest", "cloud-b", 77)
    world.nodes.remove(guest)
    return guest


@pytest.fixture
def guest(guest_host: Node) -> Iterator[Node]:
    yield guest_host
    if guest_host.folder.exists():
        guest_host.mesh("leave")


# -- Removed, and never admitted ----------------------------------------------------------------------


def test_a_removed_node_is_unreachable_from_all_others_within_a_second(world: World) -> None:
    sensor = world.node("sensor")
    others = [node for node in world.nodes if node is not sensor]
    pings = [node.host.start("ping", "-nD", "-i", str(_INTERVAL), sensor.address()) for node in others]
    eventually(lambda: all("bytes from" in ping.log.read_text() for ping in pings), "it answers all others")

    world.hub.mesh("remove", "sensor")
    returned = time.time()
    time.sleep(_LATER)

    for node, ping in zip(others, pings, strict=True):
        ping.kill()
        ping.wait()
        answers = re.findall(r"^\[(\d+\.\d+)\] \d+ bytes from", ping.log.read_text(), re.MULTILINE)
        assert float(answers[-1]) < returned + _A_SECOND, f"{node.name} still hears it"
        assert "sensor" not in peers(node)
    assert sensor.status().exclusion == "it was removed"
    assert sensor.status().peers == ()
    sensor.mesh("leave")
    sensor.join(world.hub.token())
    sensor.ping(world.node("desk"))


def test_a_node_that_joins_while_another_waits_to_reconnect_reaches_it_at_once(
    world: World, guest: Node
) -> None:
    beta, hub = world.node("beta"), world.hub.host
    chain, of_beta = "{ type filter hook input priority 0; }", f"ip saddr {beta.outside} tcp dport {PORT}"
    hub.run(
        "nft", f"add table ip cut; add chain ip cut in {chain};"
        f"add rule ip cut in {of_beta} tcp flags & (syn | ack) == syn counter reject with tcp reset;"
        f"add rule ip cut in {of_beta} reject with tcp reset",
    )  # fmt: skip
    token = world.hub.token()  # beta is told of it, and by its acknowledgement loses the connection
    eventually(lambda: attempts(world.hub) >= _ATTEMPTS, "beta pauses for long", within=120)
    hub.run("nft", "delete table ip cut")

    guest.join(token)

    print(f"the first ping took {guest.ping(beta, within=10)} ms")
    assert beta.status().connected


def attempts(hub: Node) -> int:
    """Return how many connections to the coordinator were rejected."""
    found = re.search(r"counter packets (\d+)", hub.host.run("nft", "list", "table", "ip", "cut"))
    return int(found[1]) if found else 0


def test_a_used_up_token_is_refused_with_the_reason(world: World, guest: Node) -> None:
    token = world.hub.token("--uses", "1")
    guest.join(token)
    guest.mesh("leave")

    refused(guest, token, "used up")


def test_an_expired_token_is_refused_with_the_reason(world: World, guest: Node) -> None:
    token = world.hub.token("--expires", "1s")
    time.sleep(_LATER)

    refused(guest, token, "expired")


def test_a_revoked_token_is_refused_with_the_reason(world: World, guest: Node) -> None:
    made = world.hub.ask("token", "--uses", "5")
    world.hub.mesh("revoke", made["key"])

    refused(guest, made["token"], "revoked")


def refused(node: Node, token: str, reason: str) -> None:
    """The host is told why, and is what it was."""
    result = node.attempt("join", token)

    assert result.status == 1
    assert reason in result.output
    assert not node.folder.exists()
    assert node.host.attempt("ip", "link", "show", "mesh0").status != 0


# -- What a node may not say --------------------------------------------------------------------------


def test_a_route_without_the_right_leads_nowhere_until_it_is_approved(world: World, guest: Node) -> None:
    guest.join(world.hub.token(), "--routes", "10.42.9.0/24")
    eventually(lambda: all("guest" in peers(node) for node in world.nodes), "all know the guest")

    assert list(map(str, guest.status().requested)) == ["10.42.9.0/24"]
    assert not any(has_route(node, "10.42.9.0/24") for node in world.nodes)

    world.hub.mesh("approve", "guest")

    eventually(lambda: all(has_route(node, "10.42.9.0/24") for node in world.nodes), "all have the route")
    guest.mesh("leave")
    eventually(lambda: not any(has_route(node, "10.42.9.0/24") for node in world.nodes), "nobody has it")


def test_a_token_with_the_right_makes_its_nodes_routes_count_at_once(world: World, guest: Node) -> None:
    guest.join(world.hub.token("--routes", "10.42.0.0/16"), "--routes", "10.42.9.0/24")

    eventually(lambda: all(has_route(node, "10.42.9.0/24") for node in world.nodes), "all have the route")


def has_route(node: Node, prefix: str) -> bool:
    return "dev mesh0" in node.host.run("ip", "route", "show", "table", "all", prefix)


def test_a_name_that_is_taken_is_refused(world: World, guest: Node) -> None:
    token = world.hub.token("--uses", "2")

    joining = guest.attempt("join", token, "--name", "beta")
    guest.join(token)
    renaming = guest.attempt("rename", "beta")

    assert (joining.status, renaming.status) == (1, 1)
    assert "beta" in joining.output
    assert "name" in renaming.output
    assert guest.status().name == "guest"
    assert peers(world.hub)["beta"] == world.node("beta").address()


def test_an_address_that_is_taken_stays_with_whom_it_is(world: World, guest: Node) -> None:
    """A host whose root wrote another's address into its own file."""
    beta, alpha = world.node("beta"), world.node("alpha")
    guest.join(world.hub.token())
    address = beta.address()
    guest.kill()
    file = guest.folder / "node.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "address": address}))

    guest.start()

    eventually(lambda: bool(guest.status().warnings), "it is told that this is not taken")
    assert peers(alpha)["beta"] == address
    alpha.ping(beta)
    allowed = alpha.host.run("wg", "show", "mesh0", "allowed-ips").splitlines()
    assert [line.split("\t")[0] for line in allowed if f"{address}/32" in line] == [str(beta.status().key)]


# -- While somebody is away ---------------------------------------------------------------------------


def test_a_node_learns_of_whom_it_missed_and_is_not_told_what_it_knows(world: World, guest: Node) -> None:
    sensor, desk = world.node("sensor"), world.node("desk")
    newest = int(world.hub.host.run(*_CHANGES, "many", NETWORK, "150"))
    eventually(lambda: sensor.status().sequence >= newest, "it was told much")
    everything = (sensor.folder / "records.jsonl").stat().st_size
    sensor.switch_off()
    guest.join(world.hub.token())

    sensor.start()

    eventually(lambda: "guest" in peers(sensor), "it knows the guest")
    assert received_from_coordinator(sensor) < everything / 10
    assert (sensor.folder / "records.jsonl").stat().st_size - everything < everything / 10
    sensor.ping(guest)
    desk.ping(guest)


def received_from_coordinator(node: Node) -> int:
    """How many bytes came by its long-lived request. ss(8)"""
    said = node.host.run("ss", "-Htin", "state", "established", "dport", "=", f":{PORT}")
    found = re.search(r"bytes_received:(\d+)", said)
    assert found, said
    return int(found[1])


def test_without_its_coordinator_the_mesh_goes_on(world: World, guest: Node) -> None:
    beta, desk, sensor = map(world.node, ("beta", "desk", "sensor"))
    token = world.hub.token()
    stream = desk.host.start("ping", "-nq", "-i", "0.1", "-c", "30", sensor.address())

    world.coordinator.kill()
    beta.switch_off()
    beta.start()

    for other in world.nodes:
        if other is not beta:
            beta.ping(other)
            other.ping(beta, 6)
    eventually(lambda: not any(node.status().connected for node in world.nodes), "all know that it is away")
    assert "does not answer" in guest.attempt("join", token).output
    assert " 0% packet loss" in stream.wait().output
    world.coordinator.start()
    guest.join(token)
    eventually(lambda: all("guest" in peers(node) for node in world.nodes), "all catch up", _RETURN)
    guest.ping(beta)


def test_a_restored_backup_makes_nobody_deaf_and_what_it_lost_is_given_back(
    world: World, guest: Node
) -> None:
    world.coordinator.run("backup", "/run/old.backup")
    guest.join(world.hub.token("--uses", "7"))
    eventually(lambda: all("guest" in peers(node) for node in world.nodes), "all know the guest")
    since = world.hub.status().revision

    world.coordinator.kill()
    world.coordinator.run("restore", "/run/old.backup")
    world.coordinator.start()

    everybody = (*world.nodes, guest)
    eventually(lambda: all(node.status().connected for node in everybody), "all are back", _RETURN)
    eventually(lambda: "guest" in connected(world.hub), "the guest said again who it is", _RETURN)
    eventually(
        lambda: 7 in [token["uses"] for token in world.hub.ask("token", "--list")["tokens"]],
        "nodes submitted admin records",
    )
    guest.mesh("rename", "visitor")
    for node in world.nodes:
        eventually(lambda: "visitor" in peers(node), f"{node.name} hears of a change")  # noqa: B023
        assert node.status().revision > since


def connected(node: Node) -> list[str]:
    return [row["name"] for row in node.ask("node-list")["nodes"] if row["connected"]]


def peers(node: Node) -> dict[str, str]:
    """Return the nodes that a node knows, with their addresses."""
    return {peer.name: str(peer.address) for peer in node.status().peers}


def test_all_that_was_told_is_on_the_disk_of_each(world: World) -> None:
    """The last one: after all of the above."""
    expected = {token["key"] for token in world.hub.ask("token", "--list")["tokens"]}
    for node in world.nodes:
        ledger = Ledger(node.status().network_key)
        Journal(node.folder).load(ledger)
        assert {str(token.key) for token in ledger.admin_records(Token).values()} == expected
        assert node.status().rejected_count == 0
