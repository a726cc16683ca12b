"""Where a host with IPv6 alone reaches what has IPv4 alone: by a NAT64, whose prefix the DNS knows. RFC 7050.

Invariant: a host that has an IPv4 address asks nobody; one without asks until it knows, after growing pauses.
"""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Network
from math import inf
from typing import Final

from wgpy.mesh.plan import NodePlan, Peer, Tunnel
from wgpy.node.names import nat64_prefix
from wgpy.paths.nat64 import reached

from .host_networks import NOWHERE, HostNetworks
from .wake import Wake

_FIRST_PAUSE: Final = 15.0  # seconds until the DNS is asked again, then twice as long each time
_LAST_PAUSE: Final = 3600.0


class Nat64:
    """Of one node, on the running loop. prefix: None if there is none, or none is needed."""

    def __init__(self, mark: Callable[[], int], on_change: Callable[[], None]) -> None:
        """mark: of the node's sockets; on_change: called when `prefix` is another."""
        self._mark = mark
        self._on_change = on_change
        self._wake = Wake()
        self._here = NOWHERE
        self._pause = _FIRST_PAUSE
        self.prefix: IPv6Network | None = None

    def configure(self, here: HostNetworks) -> None:
        """here: where the host is now."""
        if here.addresses != self._here.addresses:
            self._here, self._pause = here, _FIRST_PAUSE
            self.prefix = self.prefix if self._is_needed else None
            self._wake.now()

    @property
    def _is_needed(self) -> bool:
        return {address.version for address in self._here.addresses} == {6}

    async def run(self) -> None:
        """Ask when it is needed, until cancelled."""
        while True:
            await self._wake.wait()
            here, found = self._here, await nat64_prefix(self._mark()) if self._is_needed else None
            if here is self._here:
                self._wake.after(self._next_pause() if self._is_needed and not found else inf)
                self._set(found)

    def _next_pause(self) -> float:
        pause, self._pause = self._pause, min(2 * self._pause, _LAST_PAUSE)
        return pause

    def _set(self, prefix: IPv6Network | None) -> None:
        if prefix != self.prefix:
            self.prefix = prefix
            self._on_change()

    def reached(self, plan: NodePlan) -> NodePlan:
        """Return a plan with everybody where this host reaches them."""
        if self.prefix is None:
            return plan
        tunnels = {key: self._tunnel(tunnel) for key, tunnel in plan.tunnels.items()}
        by_key = {key: self._peer(peer) for key, peer in plan.by_key.items()}
        return replace(plan, tunnels=tunnels, by_key=by_key)

    def _peer(self, peer: Peer) -> Peer:
        return replace(peer, tunnel=self._tunnel(peer.tunnel))

    def _tunnel(self, tunnel: Tunnel) -> Tunnel:
        return replace(tunnel, endpoints=tuple(reached(one, self.prefix) for one in tunnel.endpoints))

    def close(self) -> None:
        self._wake.close()
