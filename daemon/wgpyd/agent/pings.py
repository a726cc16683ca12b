"""Questions by UDP, outside of the tunnel, whether a peer is reached: see `wgpy.paths.discovery`.

Invariant: only who has a key of the network is answered: to others a node stays as silent as WireGuard is.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from wgpy.contract.constants import MILLISECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.driver.interface import Interface
from wgpy.host.bootclock import boottime
from wgpy.keys import PrivateKey, PublicKey
from wgpy.mesh.plan import NodePlan
from wgpy.node.agent_client import UdpAnswer
from wgpy.paths.discovery import MAGIC, Answer, Discovery

ASKING_TIME: Final = 2.0  # seconds
_REPEATS: Final = 4  # questions to each endpoint in that time
_MAX_ENDPOINTS: Final = 16

_Pair = tuple[bytes, Endpoint]  # a public key, and where the peer may be


@dataclass(slots=True, eq=False)
class _Round:
    """Questions that are asked together. best: by pair; is_done: whether no more needs to be asked."""

    pairs: tuple[_Pair, ...]
    is_done: Callable[["_Round"], bool]
    best: dict[_Pair, Answer] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, answer: Answer) -> None:
        pair = answer.peer, answer.remote
        before = self.best.get(pair)
        if pair in self.pairs and (before is None or answer.round_trip < before.round_trip):
            self.best[pair] = answer
            if self.is_done(self):
                self.done.set()


class Pings:
    """Of one node."""

    def __init__(self, interface: Interface, key: PrivateKey) -> None:
        """key: the node's."""
        self._interface = interface
        self._discovery = Discovery(bytes(key), os.urandom)
        self._rounds: list[_Round] = []
        interface.register_reader(MAGIC, self._receive)

    def close(self) -> None:
        self._interface.unregister_reader(MAGIC)

    def answer_peers_of(self, plan: NodePlan) -> None:
        """Answer the peers of the plan, wherever they are, and nobody else."""
        self._discovery.set_peers(map(bytes, plan.tunnels_to_nodes))

    async def ask(self, peer: PublicKey, endpoints: Sequence[Endpoint]) -> tuple[UdpAnswer, ...]:
        """Return each endpoint with the best round trip to the peer there, after ASKING_TIME at most."""
        pairs = _pairs(peer, endpoints)
        best = await self._ask(pairs, lambda one: len(one.best) == len(one.pairs))
        return tuple(
            UdpAnswer(str(pair[1]), pair in best, best[pair].round_trip // MILLISECOND if pair in best else 0)
            for pair in pairs
        )

    async def measure(self, peers: Mapping[PublicKey, Sequence[Endpoint]]) -> dict[PublicKey, Answer]:
        """Return the best answer of each peer once all have answered, after ASKING_TIME at most."""
        pairs = tuple(pair for peer, endpoints in peers.items() for pair in _pairs(peer, endpoints))
        best = await self._ask(pairs, lambda one: len({peer for peer, _ in one.best}) == len(peers))
        found: dict[PublicKey, Answer] = {}
        for answer in sorted(best.values(), key=lambda answer: answer.round_trip):
            found.setdefault(PublicKey(answer.peer), answer)
        return found

    async def survey(self, peers: Mapping[PublicKey, Sequence[Endpoint]]) -> Mapping[_Pair, Answer]:
        """Return the answers of all endpoints of all peers, after ASKING_TIME at most."""
        pairs = tuple(pair for peer, endpoints in peers.items() for pair in _pairs(peer, endpoints))
        return await self._ask(pairs, lambda one: len(one.best) == len(one.pairs))

    async def _ask(self, pairs: tuple[_Pair, ...], is_done: Callable[[_Round], bool]) -> dict[_Pair, Answer]:
        asking = _Round(pairs, is_done)
        self._rounds.append(asking)
        try:
            for _ in range(_REPEATS if pairs else 0):
                self._question(pair for pair in pairs if pair not in asking.best)
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASKING_TIME / _REPEATS):
                        await asking.done.wait()
                        break
        finally:
            self._rounds.remove(asking)
        return asking.best

    def _question(self, pairs: Iterable[_Pair]) -> None:
        for peer, endpoint in pairs:
            self._interface.send_foreign(self._discovery.ask(peer, endpoint, boottime()), endpoint)

    def _receive(self, data: bytes, source: Endpoint, now: int) -> bytes | None:
        """A reader. Raises DatagramError."""
        reply = self._discovery.receive(data, source, now)
        for answer, asking in product(self._discovery.take_answers(), self._rounds):
            asking.note(answer)
        return reply


def _pairs(peer: PublicKey, endpoints: Iterable[Endpoint]) -> tuple[_Pair, ...]:
    asked = dict.fromkeys(endpoint.without_source() for endpoint in endpoints)
    return tuple((bytes(peer), endpoint) for endpoint in list(asked)[:_MAX_ENDPOINTS])
