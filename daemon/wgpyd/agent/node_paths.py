"""How this node and its peers reach each other: keepalives, relays, and questions outside of the tunnel."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final

from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import DataSent, EndpointChanged
from wgpy.device import DeviceEvent, HandshakeSent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted, PeerUnreachable
from wgpy.host import user_mode
from wgpy.host.bootclock import boottime
from wgpy.host.netlink import RouteLookup
from wgpy.keys import PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.model import DeviceUpdate
from wgpy.node.coordinator_client import Coordinator

from .host_networks import NOWHERE, HostNetworks, dialled_versions, global_ipv6
from .identity import LocalIdentity, OwnPaths
from .keepalives import Keepalives
from .mapping_lifetime import MappingLifetime
from .nat64 import Nat64
from .path_mtu import PathMtus
from .pings import Pings
from .reconcile.keepalives import Intervals
from .registration import Found, Registration
from .relay_stream import RelayStream
from .remote_paths import has_ipv4_alone
from .selection import Selection
from .unreachable import moved_peers
from .wanted_mapping import WantedMapping
from .warnings import Warnings

_BLOCKED: Final = (
    "no UDP passes from this host: all goes by a TLS connection to the coordinator, which is slower; let UDP "
    "out to the other nodes"
)

Apply = Callable[[NodePlan, Intervals], Awaitable[None]]


class NodePaths:
    """Of one node, on the running loop. here: where its host is."""

    def __init__(
        self,
        interface: Interface,
        identity: LocalIdentity,
        coordinator: Callable[[], Coordinator],
        warnings: Warnings,
        on_change: Callable[[], None],
    ) -> None:
        """on_change: called when `reach` may give something else."""
        self._identity = identity
        self._warnings = warnings
        self._on_change = on_change
        self._interface = interface
        self._reaching: object = None
        self.here = NOWHERE
        self.pings = Pings(interface, identity.node.key, identity.node.mark)
        self.keepalives = Keepalives(on_change)
        self.nat64 = Nat64(lambda: identity.node.mark, on_change)
        self.stream = RelayStream(coordinator, lambda: interface.listen_port, self._on_stream)
        self.mapping = WantedMapping(identity, lambda: interface.listen_port, on_change)
        self.registration = Registration(
            self.pings, self.stream, on_change, self.mapping.is_let_in, identity.published_paths()
        )
        self.lifetime = MappingLifetime(
            interface, identity, self.pings, self.registration.look_again, on_change
        )
        key, look_again = identity.node.key.public_key(), self.registration.look_again
        self.selection = Selection(interface, key, self.pings, on_change, look_again)
        self.mtus = PathMtus(interface, self.pings, self.selection.relay_to, on_change)
        self.pings.observe(self.selection)
        self.pings.observe(self.mtus)

    def running(self) -> tuple[Coroutine[None, None, None], ...]:
        """Return what is to run until it is cancelled."""
        by_relays = self.registration.run(), self.stream.run()
        return *by_relays, self.lifetime.run(), self.nat64.run(), self.mapping.run()

    async def reach(self, plan: NodePlan, seen: str, here: HostNetworks, apply: Apply) -> None:
        """Apply a plan, with what this knows of the way to each peer.

        seen: the address that the coordinator saw, "" if unknown. Raises what `apply` raises.
        """
        if here != self.here:
            self.mtus.forget()
        self.here = here
        is_apart = self._is_apart(plan, seen)
        self.nat64.configure(here)
        plan = self.nat64.reached(plan)
        self.pings.answer_peers_of(plan)
        by_stream = self.registration.found.by_stream
        learnt = self.lifetime.interval
        self.keepalives.configure(
            self._identity, seen, here,
            is_blocked=bool(by_stream), is_filtered=self.registration.may_be_filtered, is_apart=is_apart,
            learnt=learnt,
        )  # fmt: skip
        named, has_no_nat = self._identity.node.endpoints, not self.keepalives.is_hidden
        self.registration.configure(
            plan, has_no_nat=has_no_nat, is_named=bool(named), is_apart=is_apart, where=(seen, here)
        )
        is_walled = bool(self.keepalives.nat) or self.registration.is_filtered
        own6 = str(global_ipv6(here) or "") if is_walled else ""
        self.mapping.configure(self.keepalives.nat, self.registration.found.seen_as, here.addresses, own6)
        self._warnings.set("ecn", user_mode.explain(here.user_mode) if here.user_mode else "")
        self._warnings.set("udp", _BLOCKED if by_stream else self._trouble())
        relays, is_dialled = self.registration.keys, not self.registration.is_needed
        versions = {address.version for address in here.addresses}
        planned = self.selection.planned(
            plan, by_stream, relays, is_dialled=is_dialled, versions=versions, nat64=self.nat64.prefix
        )
        tunnels, without = self.selection.plan.tunnels_to_nodes, self.selection.without_keepalives
        wanted = self.keepalives.wanted(tunnels, relays, without)
        self._learn_lifetime(wanted)
        await apply(self.mtus.planned(planned), wanted)
        if self._is_elsewhere(here):
            await self._leave_unreachable(planned)
        self._warnings.set_all("mtu", self.mtus.sentences)
        await self._listen()
        self.selection.begin(here, (*named, *self.mapping.endpoints))

    def _is_elsewhere(self, here: HostNetworks) -> bool:
        before, self._reaching = self._reaching, (here, self.nat64.prefix)
        return before != self._reaching

    async def _leave_unreachable(self, plan: NodePlan) -> None:
        """Move peers whose endpoint this host has no way to any more. Raises ConnectionError."""
        with closing(RouteLookup()) as routes:
            is_routed = partial(_is_routed, routes, self._identity.node.mark)
            changes = tuple(moved_peers(plan.tunnels, self._interface.path, is_routed))
        if changes:
            await self._interface.configure(DeviceUpdate(peers=changes))

    def _is_apart(self, plan: NodePlan, seen: str) -> bool:
        """Return whether some peers have IPv4 alone, by which this node is not dialled."""
        dialled = dialled_versions(seen, self._identity.node.endpoints, self.here)
        return 4 not in dialled and any(map(has_ipv4_alone, plan.by_key.values()))

    async def _listen(self) -> None:
        try:
            await self.selection.listen()
            self._warnings.set("direct", "")
        except OSError as error:
            why = error.strerror
            self._warnings.set("direct", f"peers cannot agree with this node on direct paths: {why}")

    def _learn_lifetime(self, wanted: Intervals) -> None:
        nat, found = self.keepalives.nat, self.registration.found
        is_needed = bool(wanted) and self.keepalives.is_automatic and not found.by_stream
        self.lifetime.configure((nat, self.here.addresses), found if is_needed else Found(), wanted)

    @property
    def own(self) -> OwnPaths:
        """Return what leads to this node beside its endpoints."""
        found = self.registration.paths
        endpoints = dict.fromkeys((*self.mapping.endpoints, *found.endpoints))
        return replace(found, endpoints=tuple(endpoints))

    @property
    def seconds_left(self) -> float:
        """Until `reach` gives something else; infinity if nothing is due."""
        return self.keepalives.seconds_left

    def on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        """A listener of the interface."""
        self._note_sent(key, event)
        self.keepalives.on_event(key, event)
        self.lifetime.on_event(key, event)
        self.selection.on_event(key, event)
        self.mtus.on_event(key, event)
        if isinstance(event, HandshakeCompleted):
            self.registration.note_answer(key)
        if isinstance(event, PeerUnreachable) and key in self.registration.keys:
            self.registration.look_again()
        if isinstance(event, PeerUnreachable):
            self.nat64.look_again()

    def _note_sent(self, key: PublicKey, event: DeviceEvent) -> None:
        """A NAT lets in what comes from where a peer is, as if it was asked for.

        To where a peer is that has no session nothing goes but handshake messages.
        """
        path = self._interface.path(key)
        match event:
            case HandshakeSent(endpoint=sent_to):
                endpoint: Endpoint | None = sent_to
            case DataSent() | EndpointChanged() if path.handshake:
                endpoint = path.endpoint
            case _:
                return
        if endpoint:
            self.selection.local.note_sent(endpoint.without_source(), boottime())

    def _on_stream(self) -> None:
        """The relay beside the coordinator is reached by a connection, or not any more."""
        self.registration.restart()
        self._on_change()

    def _trouble(self) -> str:
        trouble = self.stream.trouble
        return f"no relay answers by UDP, nor by a connection: {trouble}" if trouble else ""

    def close(self) -> None:
        by_relays = self.registration, self.selection, self.mtus
        for closable in (self.pings, *by_relays, self.lifetime, self.nat64, self.mapping):
            closable.close()


def _is_routed(routes: RouteLookup, mark: int, endpoint: Endpoint) -> bool:
    """Return whether this host has a way there, whatever its own address is now."""
    return routes.interface_towards(endpoint.without_source(), mark) is not None
