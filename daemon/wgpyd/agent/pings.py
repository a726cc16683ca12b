"""Questions by UDP, outside of the tunnel, whether a peer is reached: see `wgpy.paths.discovery`.

Invariant: only who has a key of the network is answered: to others a node stays as silent as WireGuard is.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import Final

from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.driver.interface import Interface
from wgpy.host.bootclock import boottime
from wgpy.keys import PrivateKey, PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.node.agent_client import UdpAnswer
from wgpy.paths.discovery import MAGIC, Discovery

ASKING_TIME: Final = 2.0  # seconds
_REPEATS: Final = 4  # questions to each endpoint in that time
_MAX_ENDPOINTS: Final = 16


class Pings:
    """Of one node."""

    def __init__(self, interface: Interface, key: PrivateKey) -> None:
        """key: the node's."""
        self._interface = interface
        self._discovery = Discovery(bytes(key), os.urandom)
        self._asking = asyncio.Lock()
        interface.register_reader(MAGIC, self._discovery.receive)

    def close(self) -> None:
        self._interface.unregister_reader(MAGIC)

    def answer_peers_of(self, plan: NodePlan) -> None:
        """Answer the peers of the plan, wherever they are, and nobody else."""
        self._discovery.set_peers(map(bytes, plan.tunnels_to_nodes))

    async def ask(self, peer: PublicKey, endpoints: Sequence[Endpoint]) -> tuple[UdpAnswer, ...]:
        """Return each endpoint with the best round trip to the peer there, after ASKING_TIME at most."""
        asked = tuple(dict.fromkeys(endpoint.without_source() for endpoint in endpoints))[:_MAX_ENDPOINTS]
        async with self._asking:
            self._discovery.take_answers()
            best: dict[Endpoint, int] = {}
            for _ in range(_REPEATS):
                self._question(peer, (endpoint for endpoint in asked if endpoint not in best))
                await asyncio.sleep(ASKING_TIME / _REPEATS)
                best.update((answer.remote, answer.round_trip) for answer in self._discovery.take_answers())
                if len(best) >= len(asked):
                    break
        return tuple(
            UdpAnswer(str(endpoint), endpoint in best, best.get(endpoint, 0) // MILLISECOND)
            for endpoint in asked
        )

    def _question(self, peer: PublicKey, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            question = self._discovery.ask(bytes(peer), endpoint, boottime())
            self._interface.send_foreign(question, endpoint)
