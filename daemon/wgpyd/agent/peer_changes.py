"""Changes of the interface's peers, in order: by whoever waits for them, and by who does not."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from wgpy.contract.endpoint import Endpoint
from wgpy.driver.interface import Interface
from wgpy.keys import PublicKey
from wgpy.model import DeviceUpdate, PeerUpdate


class PeerChanges:
    """Of one node, on the running loop."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._later: set[asyncio.Task[None]] = set()

    async def carry_out(self, *changes: PeerUpdate) -> None:
        with suppress(ConnectionError):  # the interface was closed
            await self._interface.configure(DeviceUpdate(peers=changes))

    def later(self, *changes: PeerUpdate) -> None:
        if changes:
            self._begin(self.carry_out(*changes))

    def register_at(self, endpoint: Endpoint, relay: PublicKey) -> None:
        """Send a relay an empty packet there, so that it hears where this node is."""
        self._begin(self._register_at(endpoint, relay))

    async def _register_at(self, endpoint: Endpoint, relay: PublicKey) -> None:
        await self.carry_out(PeerUpdate(relay, update_only=True, endpoint=endpoint))
        self._interface.send_keepalive(relay)

    def _begin(self, change: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(change)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
