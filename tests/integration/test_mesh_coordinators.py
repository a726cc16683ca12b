"""Several coordinators, as MESH.md has them: by the steps it names, and then one of them is killed.

Topology: meshlab.World, and a host in cloud-b that becomes the second coordinator's.

vpn.example.com ──▶ 198.51.100.10  hub     ──┐
                ──▶ 203.0.113.30   relief  ──┴── PostgreSQL
"""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.integration.hosts import Lab, eventually
from tests.integration.meshlab import NETWORK, Coordinator, Node, World
from tests.mesh.postgresql import PostgreSQL
from wgmesh.settings import SETTINGS
from wgpy.node.files import COORDINATORS

NAME = "vpn.example.com"
RETURN = 30  # seconds, by which everybody has found the other coordinator
BACKUP = "/run/backup"


@pytest.fixture
def database() -> Iterator[str]:
    with PostgreSQL.running() as server:
        yield server.database(NETWORK)


def know_the_name(node: Node) -> None:
    node.host.write("/run/hosts", f"127.0.0.1 localhost\n198.51.100.10 {NAME}\n203.0.113.30 {NAME}\n")
    node.host.run("mount", "--bind", "/run/hosts", "/etc/hosts")


def share(world: World, database: str) -> None:
    """Steps 2 to 4: from the coordinator's own file into the database."""
    coordinator = world.coordinator
    coordinator.run("backup", BACKUP)
    coordinator.kill()
    path = coordinator.folder / SETTINGS
    path.write_text(json.dumps({**json.loads(path.read_text()), "database": database}))
    coordinator.run("restore", BACKUP)
    coordinator.start()


def add(world: World, host: Node) -> Coordinator:
    """Step 5: a copy of the folder is another coordinator."""
    for name in SETTINGS, "tls.key", "tls.crt":
        host.host.write(f"{COORDINATORS / NETWORK / name}", (world.coordinator.folder / name).read_text())
    another = Coordinator(host.host)
    another.start()
    return another


def wait_until_connected(*nodes: Node) -> None:
    for node in nodes:
        eventually(partial(is_connected, node), f"{node.name} follows a coordinator", within=RETURN)


def is_connected(node: Node) -> bool:
    return node.status().connected


def test_nodes_find_another_coordinator_when_theirs_is_killed(lab: Lab, database: str) -> None:
    world = World.build(lab)
    relief = world.stand("relief", "cloud-b", 30)
    guest = world.stand("guest", "cloud-b", 77)
    for node in world.nodes:
        know_the_name(node)
    for node in relief, guest:
        world.nodes.remove(node)
    world.hub.mesh("init", NETWORK, "--public", NAME, "--name", "hub")
    world.populate()

    share(world, database)
    wait_until_connected(*world.nodes)
    add(world, relief)
    world.coordinator.kill()

    wait_until_connected(*world.nodes)
    guest.join(world.hub.token())
    for node in world.others:
        guest.ping(node)
    world.hub.mesh("remove", "sensor")
    eventually(lambda: not guest.reaches(world.node("sensor")), "the other tells of changes")
    assert world.node("sensor").status().exclusion == "it was removed"

    world.coordinator.start()
    wait_until_connected(world.hub)
    eventually(lambda: "sensor" not in peers(world.hub), "the hub has caught up")
    assert "guest" in peers(world.hub)
    health = {"hub": True, "alpha": True, "beta": True, "desk": True, "guest": True, "sensor": False}
    eventually(lambda: followers(world.hub) == health, "each tells who follows the other", within=RETURN)


def peers(node: Node) -> set[str]:
    return {peer.name for peer in node.status().peers}


def followers(node: Node) -> dict[str, bool]:
    return {one["name"]: one["connected"] for one in node.ask("node-list")["nodes"]}
