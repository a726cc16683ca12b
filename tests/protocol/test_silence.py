"""Chapter 19: a node behind a NAT is reached after any silence, with the intervals that its NAT allows."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from wgpy.engine.actions import HandshakeCompleted
from wgpy.paths.discovery import MAGIC, Discovery
from wgpy.paths.lifetime import ASSUMED, INTERVALS, MARGIN, SETTLING_TIME
from wgpy.testing import Firewall, Nat, Node, Notice, Simulation
from wgpy.testing.nat import LINUX, NatKind
from wgpy.testing.node import ActionTaken

from . import whitepaper as wp

SILENCE = 600 * wp.NS
KERNEL = LINUX  # 30 and 120 seconds
PATIENT = replace(LINUX, answered=180 * wp.NS)
SHORT = replace(LINUX, answered=30 * wp.NS)


@dataclass
class Hidden:
    """Bob behind a box sends Alice, who is public, keepalives. settles: a question follows a handshake."""

    box: Nat | Firewall
    interval: int
    settles: bool = True
    simulation: Simulation = field(default_factory=Simulation)

    def __post_init__(self) -> None:
        self.alice = self.simulation.add_node("alice")
        self.bob = self.simulation.add_node("bob", nat=self.box)
        self.asking, self.answering = (
            Discovery(node.private_key, Random(1).randbytes) for node in (self.bob, self.alice)
        )
        self.answering.set_peers([self.bob.public_key])
        self.asking.set_peers([self.alice.public_key])
        self.alice.register_reader(MAGIC, self.answering.receive)
        self.bob.register_reader(MAGIC, self.asking.receive)
        self.bob.listen_to(self._note)
        self.alice.add_peer(replace(self.simulation.peer_config(self.bob), endpoint=None))
        self.bob.add_peer(self.simulation.peer_config(self.alice, persistent_keepalive=self.interval))

    def _note(self, node: Node, notice: Notice) -> None:
        if isinstance(notice, ActionTaken) and isinstance(notice.action, HandshakeCompleted) and self.settles:
            self.simulation.timeline.call_after(SETTLING_TIME * wp.NS, self._ask)

    def _ask(self) -> None:
        at = self.alice.listen
        self.bob.send_raw(at, self.asking.ask(self.alice.public_key, at, self.bob.now))

    def is_reached(self) -> bool:
        """Whether Alice's first packet arrives within a second."""
        packet = self.simulation.send(self.alice, self.bob)
        self.simulation.run_for(wp.NS)
        return packet in self.bob.delivered


def make_nat(kind: NatKind) -> Nat:
    return Nat("198.51.100.1", Random(1), kind)


@pytest.mark.parametrize("phase", range(0, 170, 17))
@pytest.mark.parametrize(
    ("kind", "interval"), [(KERNEL, ASSUMED), (KERNEL, 85), (PATIENT, 170), (SHORT, ASSUMED)]
)
def test_after_ten_minutes_of_silence_the_first_packet_arrives(
    kind: NatKind, interval: int, phase: int
) -> None:
    world = Hidden(make_nat(kind), interval)

    world.simulation.run_for(SILENCE + phase * wp.NS)

    assert world.is_reached()


@pytest.mark.parametrize("interval", INTERVALS)
def test_every_interval_is_enough_where_a_mapping_lasts_a_little_longer(interval: int) -> None:
    lasting = replace(LINUX, answered=(interval + MARGIN) * wp.NS)
    world = Hidden(make_nat(lasting), interval)

    for _ in range(5):
        world.simulation.run_for(SILENCE + 7 * wp.NS)
        assert world.is_reached()


def test_a_stateful_firewall_is_held_open_likewise() -> None:
    world = Hidden(Firewall(KERNEL), 85)

    world.simulation.run_for(SILENCE)

    assert world.is_reached()


def test_without_the_question_linux_takes_a_handshake_for_one_datagram() -> None:
    world = Hidden(make_nat(KERNEL), 85, settles=False)

    world.simulation.run_for(SILENCE + 50 * wp.NS)  # well between two keepalives

    assert not world.is_reached()


def test_after_a_nat_was_restarted_a_silent_node_is_reached_within_two_renewals() -> None:
    world = Hidden(make_nat(KERNEL), 85)
    world.simulation.run_for(SILENCE)
    world.box.rebind()

    world.simulation.run_for(2 * wp.REJECT_AFTER_TIME)

    assert world.is_reached()
