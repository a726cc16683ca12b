"""kill -9 at random moments of changes: what was acknowledged is there, nothing is damaged, all agree.

The administrator publishes rules and two nodes rename themselves, all without a pause, while one process
after another is killed as it stands, and started again as a service manager would. WGPY_KILLS says how many
times, WGPY_SEED repeats a run's choices. Topology: meshlab.World, of which three hosts are used.
"""

import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.hosts import HostProcess, Lab, eventually
from tests.integration.meshlab import NETWORK, Coordinator, Node, World
from wgpy.mesh.ledger import Ledger
from wgpy.mesh.records import Rule
from wgpy.node.files import Journal, NodeFile

_CHANGES = (sys.executable, str(Path(__file__).with_name("meshchanges.py")))
_KILLS = int(os.environ.get("WGPY_KILLS", "30"))
_SEED = int(os.environ.get("WGPY_SEED", "0")) or random.randrange(1, 1 << 32)
_AGREEMENT_TIMEOUT = 120  # seconds, until everybody has found the coordinator again
_LONGEST_WAIT = 0.4  # seconds of changes between a start and the next kill


@dataclass(slots=True)
class Changes:
    """A process that makes changes, one after another."""

    process: HostProcess

    @property
    def acknowledged(self) -> list[int]:
        """Their numbers. The last line may be on its way."""
        return [int(line) for line in self._said.split("\n")[:-1] if line.isdecimal()]

    def stop(self) -> list[int]:
        self.process.kill()
        self.process.wait()
        return self.acknowledged

    @property
    def _said(self) -> str:
        return self.process.log.read_text()


@dataclass(slots=True)
class Service:
    """A daemon under a manager that starts it anew whenever it has ended."""

    daemon: Coordinator | Node
    process: HostProcess = field(init=False)

    def __post_init__(self) -> None:
        self.daemon.kill()  # which a command started
        self.process = self.daemon.serve()

    @property
    def name(self) -> str:
        return self.daemon.name if isinstance(self.daemon, Node) else "coordinator"

    def kill(self) -> None:
        self.process.kill(signal.SIGKILL)
        self.process.wait()

    def manage(self) -> None:
        if not self.process.is_running():
            self.process = self.daemon.serve()


@dataclass(slots=True)
class Trial:
    """Three hosts with all that runs and changes on them."""

    world: World
    choice: random.Random
    nodes: list[Node] = field(init=False)
    services: list[Service] = field(init=False)
    rules: Changes = field(init=False)
    renames: dict[str, Changes] = field(init=False)

    def __post_init__(self) -> None:
        world = self.world
        world.found()
        self.nodes = [world.hub, world.node("beta"), world.node("desk")]
        for node in self.nodes[1:]:
            node.join(world.hub.token())
        self.services = [Service(world.coordinator), *map(Service, self.nodes)]
        self.rules = Changes(world.hub.host.start(*_CHANGES, "publish", NETWORK))
        self.renames = {
            node.name: Changes(node.host.start(*_CHANGES, "rename", NETWORK, node.name))
            for node in self.nodes[1:]
        }

    def kill_one(self) -> str:
        """Kill a daemon at some moment of changes, and have it started anew; which."""
        self.change(self.rules)
        time.sleep(self.choice.uniform(0, _LONGEST_WAIT))
        victim = self.choice.choice(self.services)
        victim.kill()
        victim.manage()
        return victim.name

    def change(self, *kinds: Changes) -> None:
        """Return after one more change of each kind was acknowledged."""
        before = [len(kind.acknowledged) for kind in kinds]

        def changed() -> bool:
            self.go_on()
            return all(len(kind.acknowledged) > count for kind, count in zip(kinds, before, strict=True))

        eventually(changed, "changes", _AGREEMENT_TIMEOUT)

    def go_on(self) -> bool:
        for service in self.services:
            service.manage()
        return True

    def end(self) -> tuple[set[int], dict[str, int]]:
        """Make no more changes; the rules, and the last number of each node, that were acknowledged."""
        self.change(self.rules, *self.renames.values())
        names = {name: max(changes.stop()) for name, changes in self.renames.items()}
        return set(self.rules.stop()), names


@pytest.mark.timeout(300 + 5 * _KILLS)
def test_no_kill_loses_what_was_acknowledged_or_damages_anything(lab: Lab) -> None:
    print(f"WGPY_SEED={_SEED}")
    trial = Trial(World.build(lab), random.Random(_SEED))
    victims = [trial.kill_one() for _ in range(_KILLS)]
    rules, names = trial.end()
    print(f"killed {', '.join(victims)}; {len(rules)} rules and {sum(names.values())} names")

    eventually(lambda: trial.go_on() and agree(trial.nodes), "all nodes know the same", _AGREEMENT_TIMEOUT)

    known = trial.world.hub.host.run(*_CHANGES, "known", NETWORK)
    assert rules <= set(map(int, known.split())), f"seed {_SEED}: the coordinator lost rules"
    for node in trial.nodes:
        assert rules <= on_disk(node), f"seed {_SEED}: {node.name} lost rules"
        assert node.status().rejected_count == 0
        for name, number in called(node).items():
            assert number >= names[name], f"seed {_SEED}: {node.name} forgot a name of {name}"
        for other in trial.nodes:
            if other is not node:
                node.ping(other)


def called(node: Node) -> dict[str, int]:
    """Return the numbers in the names of the others, without that of the hub, which has none."""
    names = [peer.name.split("-") for peer in node.status().peers if "-" in peer.name]
    return {name: int(number) for name, number in names}


def agree(nodes: list[Node]) -> bool:
    if not all(node.is_ready() for node in nodes):
        return False
    found = [node.status() for node in nodes]
    names = [{status.name, *(peer.name for peer in status.peers)} for status in found]
    return (
        all(status.connected for status in found)
        and len({status.sequence for status in found}) == 1
        and all(each == names[0] for each in names)
        and len(names[0]) == len(nodes)
    )


def on_disk(node: Node) -> set[int]:
    """Return the sequences of the rules that a node would know after a reboot."""
    ledger = Ledger(NodeFile.load(node.folder).network)
    Journal(node.folder).load(ledger)
    return {rule.sequence for rule in ledger.admin_records(Rule).values()}
