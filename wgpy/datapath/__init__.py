"""Moving packets: what any data path offers to its driver.

Two of one kind exist: `portable` (Python, sans-IO: reference, simulation, hosts without a compiler)
and `native` (C worker threads). What both must do is written here and held by one test suite.
"""

from collections.abc import Mapping
from typing import Protocol

from wgpy.engine.actions import DataPathAction
from wgpy.engine.errors import DropReason
from wgpy.engine.events import Event, PeerActivity, PeerId

Counters = Mapping[DropReason, int]


class DataPath(Protocol):
    """The half of a WireGuard device that moves packets; the engine is the other half."""

    def apply(self, action: DataPathAction, now: int) -> None:
        """Carry out one order of the engine. now: boottime ns.

        An order about a peer or keypair that is not there raises StateError: the engine never gives one.
        """

    def take_events(self) -> list[Event]:
        """What happened since the last call, each flag at most once."""

    def activity(self, peer: PeerId) -> PeerActivity:
        """The peer's record as it stands now. Raises KeyError for a peer that was not added."""

    def counters(self) -> Counters:
        """Dropped packets and datagrams by reason, since the data path was made."""

    def set_mtu(self, mtu: int) -> None:
        """Pad no packet beyond this many bytes."""
