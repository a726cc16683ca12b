"""WireGuard networks in virtual time: for testing wgpy, and for testing what is built on it.

    simulation = Simulation(seed=1)
    alice, bob = simulation.add_node("alice"), simulation.add_node("bob")
    simulation.connect(alice, bob)
    packet = simulation.send(alice, bob)
    simulation.run_for(SECOND)
    assert bob.delivered == [packet]

Nothing here reads a clock, opens a socket or draws randomness of its own: a seed replays a run exactly.
"""

from wgpy.contract.constants import MILLISECOND, SECOND

from .clock import HostClock, Timeline
from .nat import AccessNetwork, Box, Firewall, Nat, NatKind
from .network import PERFECT, Conditions, Flight, Network
from .node import (
    ActionTaken,
    Attachment,
    DatagramSent,
    Node,
    Notice,
    PacketDelivered,
    PacketSent,
    PeerConfig,
    Resumed,
    Settled,
    Started,
)
from .packets import InnerPacket, ecn_of, number_of
from .sim import Simulation

__all__ = [
    "MILLISECOND",
    "PERFECT",
    "SECOND",
    "AccessNetwork",
    "ActionTaken",
    "Attachment",
    "Box",
    "Conditions",
    "DatagramSent",
    "Firewall",
    "Flight",
    "HostClock",
    "InnerPacket",
    "Nat",
    "NatKind",
    "Network",
    "Node",
    "Notice",
    "PacketDelivered",
    "PacketSent",
    "PeerConfig",
    "Resumed",
    "Settled",
    "Simulation",
    "Started",
    "Timeline",
    "ecn_of",
    "number_of",
]
