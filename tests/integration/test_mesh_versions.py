"""A mesh whose hosts are upgraded one at a time: programs of two versions work together at every step.

hub (coordinator) ── br0 ── web; late and new join meanwhile        see `meshlan`
"""

from itertools import pairwise, permutations
from pathlib import Path
from typing import Final

import pytest

from tests.integration.hosts import Lab, eventually
from tests.integration.meshlab import NETWORK, Node, program
from tests.integration.meshlan import Lan
from tests.integration.olderversion import build_older_version

pytestmark = [pytest.mark.xdist_group("mesh_versions"), pytest.mark.slow]

_NEW: Final = Path(program("wgpy")).parent


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_older_version(tmp_path_factory.mktemp("older"))


class Mesh:
    """Hosts of a mesh, and where the programs of each are."""

    def __init__(self, lab: Lab, programs: Path) -> None:
        self._lan = Lan(lab)
        self.programs: dict[str, Path] = {}
        hub = self._stand("hub", programs)
        self.mesh(hub, "init", NETWORK, "--public", hub.inside, "--name", "hub")

    @property
    def hub(self) -> Node:
        return self._lan.hub

    @property
    def nodes(self) -> list[Node]:
        return self._lan.nodes

    def mesh(self, node: Node, *arguments: str) -> str:
        """Run `wgpy mesh …` of its host's version, which must succeed."""
        return node.host.run(str(self.programs[node.name] / "wgpy"), "mesh", *arguments)

    def join(self, name: str, programs: Path) -> None:
        """Have a new host join by a token that the hub makes."""
        node = self._stand(name, programs)
        token = self.mesh(self.hub, "token").split("wgpy1_")[1].split()[0]
        self.mesh(node, "join", f"wgpy1_{token}", "--name", name)

    def change_coordinator(self, programs: Path) -> None:
        coordinator = self._lan.coordinator
        coordinator.kill()
        serving = self.hub.host.start(str(programs / "wgmesh"), "serve", NETWORK)
        eventually(lambda: "serving" in serving.log.read_text(), "it serves")

    def change(self, node: Node, programs: Path) -> None:
        """Have another version take over."""
        former = {*node.agents()}
        node.serve("--replace", daemon=str(programs / "wgpyd"))
        eventually(
            lambda: bool(node.agents()) and not former & {*node.agents()},
            "another daemon has taken over",
            180,
        )
        eventually(node.is_ready, "it is ready")
        self.programs[node.name] = programs

    def check(self) -> None:
        """Have every node reach every other and say so, and learn of a change of the rules."""
        for one, other in permutations(self.nodes, 2):
            one.ping(other, 4, within=30)
        for one, other in pairwise([*self.nodes, self.hub]):
            one.tcp(other, 6)
            self.mesh(one, "why", other.name)  # fails if it is not reachable
        self._check_rules()

    def _check_rules(self) -> None:
        """Let everybody begin to web alone, and then everybody to all."""
        web, others = self.nodes[1], [node for node in self.nodes if node is not self.hub]
        self.mesh(self.hub, "allow", "any", "web", "--yes")
        eventually(lambda: not any(node.reaches(self.hub) for node in others), "the hub is closed")
        assert all(node.reaches(web, within=30) for node in self.nodes if node is not web)
        self.mesh(self.hub, "disallow", "any", "web", "--yes")
        eventually(lambda: all(node.reaches(self.hub) for node in others), "the hub is open")

    def _stand(self, name: str, programs: Path) -> Node:
        node = self._lan.add(name)
        self.programs[name] = programs
        return node


@pytest.mark.timeout(900)
def test_hosts_are_upgraded_one_at_a_time_and_go_back(lab: Lab, older: Path) -> None:
    mesh = Mesh(lab, older)
    mesh.join("web", older)

    mesh.change_coordinator(_NEW)
    mesh.join("late", older)
    mesh.check()
    for node in mesh.nodes:
        mesh.change(node, _NEW)
        mesh.check()

    for node in mesh.nodes[::-1]:
        mesh.change(node, older)
    mesh.change_coordinator(older)
    mesh.join("new", _NEW)
    mesh.check()
