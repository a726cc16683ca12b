"""Five nodes in four networks, each by one command. Topology: meshlab.World; the test prints it."""

from itertools import permutations

import pytest

from tests.integration.hosts import Lab, eventually
from tests.integration.meshdrawing import draw
from tests.integration.meshlab import World

pytestmark = pytest.mark.xdist_group("mesh_world")


@pytest.fixture(scope="module")
def world(module_lab: Lab) -> World:
    world = World.build(module_lab)
    world.found()
    world.populate()
    return world


def test_everybody_pings_everybody_and_moves_tcp_by_ipv4_and_ipv6(world: World) -> None:
    world.measure()

    drawing = draw(world)
    (world.lab.logs / "world.txt").write_text(drawing)
    print(f"\n{drawing}\n")


def test_status_shows_every_node_where_it_is(world: World) -> None:
    for node in world.nodes:
        status = node.shown_status()
        assert (status.name, status.member, status.connected) == (node.name, True, True)
        assert (str(status.address), str(status.address6)) == (node.address(4), node.address(6))
        assert (status.warnings, status.rejected_count, status.withheld, status.excluded) == ((), 0, (), ())
        assert {peer.name: (str(peer.address), str(peer.address6)) for peer in status.peers} == {
            other.name: (other.address(4), other.address(6)) for other in world.nodes if other is not node
        }


def test_status_tells_people_of_sessions_and_traffic(world: World) -> None:
    for one, other in permutations(world.nodes[2:], 2):
        one.ping(other)
        line = next(line for line in one.mesh("status").splitlines() if line.startswith(f"{other.name} "))
        assert other.address() in line
        assert f"{other.outside}:51820" in line
        assert "ago" in line or "now" in line


def test_the_tools_of_wireguard_see_the_same(world: World) -> None:
    for node in world.nodes:
        lines = [line.split("\t") for line in node.host.run("wg", "show", "mesh0", "dump").splitlines()[1:]]
        assert {key: set(allowed.split(",")) for key, _, _, allowed, *_ in lines} == {
            str(peer.key): {f"{peer.address}/32", f"{peer.address6}/128"} for peer in node.status().peers
        }


def test_no_packet_of_the_mesh_is_translated_into_the_wrong_office(world: World) -> None:
    """Both sites have the same addresses within; neither may take its own host for the other's."""
    desk, sensor = world.node("desk"), world.node("sensor")
    desk.ping(sensor)
    eventually(lambda: sensor.reaches(desk), "the way back")
    (peer,) = (peer for peer in desk.status().peers if peer.name == "sensor")
    assert peer.endpoint == f"{sensor.outside}:51820"
