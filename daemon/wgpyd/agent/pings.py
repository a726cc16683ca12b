"""Questions by UDP, outside of the tunnel, whether a peer's host is reached: see `wgpy.paths.ping`.

Invariant: only hosts of the network are answered, so that a node stays as silent to others as WireGuard is.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import Final

from wgpy.contract.constants import MILLISECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.driver.interface import Interface
from wgpy.host.bootclock import boottime
from wgpy.mesh.plan import NodePlan
from wgpy.node.agent_client import UdpAnswer
from wgpy.paths.ping import MAGIC, Ping

ASKING_TIME: Final = 2.0  # seconds
_REPEATS: Final = 4  # questions to each endpoint in that time
_MAX_ENDPOINTS: Final = 16


class Pings:
    """Of one node."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._ping = Ping(os.urandom)
        self._known: frozenset[str] = frozenset()
        self._asked: tuple[Endpoint, ...] = ()
        self._asking = asyncio.Lock()
        interface.register_reader(MAGIC, self._receive)

    def close(self) -> None:
        self._interface.unregister_reader(MAGIC)

    def answer_hosts_of(self, plan: NodePlan) -> None:
        """Answer the addresses that the peers of the plan published, and no others."""
        tunnels = plan.tunnels.values()
        self._known = frozenset(endpoint.address for tunnel in tunnels for endpoint in tunnel.endpoints)

    async def ask(self, endpoints: Sequence[Endpoint]) -> tuple[UdpAnswer, ...]:
        """Return each endpoint with its best round trip, after ASKING_TIME at most."""
        asked = tuple(dict.fromkeys(endpoint.without_source() for endpoint in endpoints))[:_MAX_ENDPOINTS]
        async with self._asking:
            self._asked = asked
            self._ping.take_answers()
            best: dict[Endpoint, int] = {}
            for _ in range(_REPEATS):
                self._question(endpoint for endpoint in asked if endpoint not in best)
                await asyncio.sleep(ASKING_TIME / _REPEATS)
                best.update((answer.remote, answer.round_trip) for answer in self._ping.take_answers())
                if len(best) >= len(asked):
                    break
        return tuple(
            UdpAnswer(str(endpoint), endpoint in best, best.get(endpoint, 0) // MILLISECOND)
            for endpoint in asked
        )

    def _question(self, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            self._interface.send_foreign(self._ping.ask(endpoint, boottime()), endpoint)

    def _receive(self, data: bytes, source: Endpoint, now: int) -> bytes | None:
        """A reader. Raises DatagramError."""
        if source.address not in self._known and source.without_source() not in self._asked:
            raise DatagramError(DropReason.UNKNOWN_PEER)
        return self._ping.receive(data, source, now)
