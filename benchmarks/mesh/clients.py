"""Many nodes that subscribe to one coordinator, in one process: `python -m benchmarks.mesh.clients`.

The program reads `Clients` as JSON, prints a line of JSON when all have received a greeting, and one for each
revision that all have received, with the times of receipt in seconds of the monotonic clock.
"""

import asyncio
import json
import resource
import sys
import time
from dataclasses import dataclass

from wgpy.mesh import codec
from wgpy.mesh.signing import SigningKey, VerifyKey
from wgpy.mesh.wire import Greeting
from wgpy.node.coordinator_client import Address, Coordinator

_AT_ONCE = 20  # connections that begin


@dataclass(frozen=True, slots=True)
class Clients:
    """identities: of nodes; since: the revision from which they follow."""

    url: str
    key_hash: bytes
    network: VerifyKey
    identities: tuple[SigningKey, ...]
    since: int


class _Crowd:
    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._greeted = 0
        self._times: dict[int, list[float]] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for identity in self._clients.identities:
                group.create_task(self._follow(identity))

    async def _follow(self, identity: SigningKey) -> None:
        address = Address(self._clients.url, self._clients.key_hash)
        await self._gate.acquire()
        async with Coordinator(address, self._clients.network, identity) as coordinator:
            async for line in coordinator.follow(self._clients.since):
                if isinstance(line, Greeting):
                    self._gate.release()
                    self._count_greeting()
                elif line.revision > self._clients.since:
                    self._count(line.revision)

    def _count_greeting(self) -> None:
        self._greeted += 1
        if self._greeted == len(self._clients.identities):
            print(json.dumps({"greeted": self._greeted}), flush=True)

    def _count(self, revision: int) -> None:
        times = self._times.setdefault(revision, [])
        times.append(time.monotonic())
        if len(times) == len(self._clients.identities):
            print(json.dumps({"revision": revision, "received": self._times.pop(revision)}), flush=True)


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = codec.read(Clients, json.load(sys.stdin))
    asyncio.run(_Crowd(clients).run())


if __name__ == "__main__":
    main()
