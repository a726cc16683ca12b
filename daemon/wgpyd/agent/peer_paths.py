"""How this node and its peers reach each other: keepalives, relays, and questions outside of the tunnel."""

from collections.abc import Callable

from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import PeerUnreachable
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan

from .host_networks import HostNetworks
from .identity import LocalIdentity
from .keepalives import Keepalives
from .pings import Pings
from .reconcile.keepalives import Intervals
from .registration import Registration
from .relayed import RelayedPeers


class PeerPaths:
    """Of one node, on the running loop."""

    def __init__(self, interface: Interface, identity: LocalIdentity, on_change: Callable[[], None]) -> None:
        """on_change: called when `reach` may give something else."""
        self._identity = identity
        self.pings = Pings(interface, identity.node.key)
        self.keepalives = Keepalives(on_change)
        self.registration = Registration(self.pings, on_change)
        self.relayed = RelayedPeers(interface, self.pings, on_change, self.registration.look_again)

    def reach(self, plan: NodePlan, seen: str, here: HostNetworks) -> tuple[NodePlan, Intervals]:
        """Return the plan with the relays of peers among their endpoints, and who has keepalives.

        seen: the address that the coordinator saw, "" if unknown.
        """
        self.pings.answer_peers_of(plan)
        self.keepalives.configure(self._identity, seen, here)
        is_dialled = not self.keepalives.interval or bool(self._identity.node.endpoints)
        self.registration.configure(plan, is_needed=not is_dialled, where=(seen, here))
        planned = self.relayed.planned(plan, is_dialled=is_dialled)
        relays, relayed = self.registration.keys, self.relayed.without_keepalives
        return planned, self.keepalives.wanted(planned.tunnels_to_nodes, relays, relayed)

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface."""
        self.keepalives.on_event(key, event)
        self.relayed.on_event(key, event)
        if isinstance(event, PeerUnreachable) and key in self.registration.keys:
            self.registration.look_again()

    def close(self) -> None:
        for closable in (self.pings, self.registration, self.relayed):
            closable.close()
