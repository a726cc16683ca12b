"""Where a host with IPv6 alone reaches what has IPv4 alone: by a NAT64, whose prefix the DNS knows. RFC 7050.

Invariant: a host that has an IPv4 address asks nobody; one without asks until it knows, after growing pauses,
and again when a peer does not answer. Where the DNS does not answer, the prefix that is known counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from ipaddress import IPv6Network
from math import inf
from typing import Final, Literal

from wgpy.contract.endpoint import Endpoint
from wgpy.mesh.plan import NodePlan
from wgpy.node.names import nat64_prefix
from wgpy.paths.nat64 import reached

from .host_networks import NOWHERE, HostNetworks
from .wake import Wake

_LAST_PAUSE: Final = 3600.0  # seconds
_UNKNOWN: Final = False  # as the DNS did not answer


class Nat64:
    """Of one node, on the running loop. prefix: None if there is none, or none is needed."""

    def __init__(
        self,
        mark: Callable[[], int],
        on_change: Callable[[], None],
        look_up: Callable[[int], Awaitable[IPv6Network | None]] = nat64_prefix,
        pause: float = 1.0,
    ) -> None:
        """mark: of the node's sockets; on_change: called when `prefix` is another; look_up: by that mark.

        pause: seconds until the DNS is asked again, then twice as long each time.
        """
        self._mark = mark
        self._on_change = on_change
        self._find = look_up
        self._first_pause = self._pause = pause
        self._wake = Wake()
        self._here = NOWHERE
        self._asked_at = 0.0
        self.prefix: IPv6Network | None = None

    def configure(self, here: HostNetworks) -> None:
        """here: where the host is now."""
        if here.addresses != self._here.addresses:
            self._here, self._pause = here, self._first_pause
            self.prefix = self.prefix if self._is_needed else None
            self._wake.now()

    @property
    def _is_needed(self) -> bool:
        return {address.version for address in self._here.addresses} == {6}

    async def run(self) -> None:
        """Ask when it is needed, until cancelled."""
        while True:
            await self._wake.wait()
            here, self._asked_at = self._here, asyncio.get_running_loop().time()
            found = await self._look_up() if self._is_needed else None
            if here is self._here:
                self._wake.after(self._next_pause() if self._is_needed and not found else inf)
                if found is not _UNKNOWN:
                    self._set(found or None)

    async def _look_up(self) -> IPv6Network | Literal[False] | None:
        try:
            return await self._find(self._mark())
        except OSError:
            return _UNKNOWN

    def look_again(self) -> None:
        """A peer does not answer: perhaps the network has another prefix by now."""
        if self._is_needed and asyncio.get_running_loop().time() >= self._asked_at + self._first_pause:
            self._wake.now()

    def _next_pause(self) -> float:
        pause, self._pause = self._pause, min(2 * self._pause, _LAST_PAUSE)
        return pause

    def _set(self, prefix: IPv6Network | None) -> None:
        if prefix != self.prefix:
            self.prefix = prefix
            self._on_change()

    def reached(self, plan: NodePlan) -> NodePlan:
        """Return a plan whose tunnels lead to where this host reaches the others."""
        if self.prefix is None:
            return plan
        tunnels = {
            key: replace(tunnel, endpoints=self.endpoints(tunnel.endpoints))
            for key, tunnel in plan.tunnels.items()
        }
        return replace(plan, tunnels=tunnels)

    def endpoints(self, known: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
        """Return where this host reaches those that others know."""
        return tuple(reached(one, self.prefix) for one in known)

    def close(self) -> None:
        self._wake.close()
