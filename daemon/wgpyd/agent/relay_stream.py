"""The relay beside the coordinator by a TLS connection, for hosts whose network lets no UDP through.

A UDP socket on this host stands for the relay: what wgpyd sends there goes through the connection, and what
comes through it is sent to wgpyd from there. So to all else the relay is at an ordinary endpoint.

Invariant: there is a connection only while it is wanted; nothing but wgpyd's datagrams is taken.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from wgpy.contract.endpoint import Endpoint
from wgpy.node.coordinator_client import Coordinator, CoordinatorError
from wgpy.node.datagram_stream import DatagramStream

_LOG = logging.getLogger("wgpy")

FIRST_PAUSE: Final = 1.0  # seconds between attempts, each twice the one before
LAST_PAUSE: Final = 60.0
_LOOPBACK: Final = "127.0.0.1"


class RelayStream:
    """Of one node, on the running loop. trouble: why there is no connection although one is wanted."""

    def __init__(
        self, coordinator: Callable[[], Coordinator], port: Callable[[], int], on_change: Callable[[], None]
    ) -> None:
        """port: of wgpyd; on_change: called when `endpoint` or `trouble` has changed."""
        self._coordinator = coordinator
        self._port = port
        self._on_change = on_change
        self._wanted = asyncio.Event()
        self._attempt: asyncio.Task[None] | None = None
        self.endpoint: Endpoint | None = None
        self.trouble = ""

    @property
    def is_wanted(self) -> bool:
        return self._wanted.is_set()

    def want(self, wanted: bool) -> None:
        """Connect, or end the connection."""
        if wanted:
            self._wanted.set()
            return
        self._wanted.clear()
        self.trouble = ""
        if self._attempt is not None:
            self._attempt.cancel()

    async def run(self) -> None:
        """Keep a connection while one is wanted, until cancelled."""
        pause = FIRST_PAUSE
        while True:
            await self._wanted.wait()
            began = time.monotonic()
            self._attempt = asyncio.create_task(self._carry())
            try:
                await asyncio.wait([self._attempt])
            finally:
                self._attempt.cancel()
            lasted = time.monotonic() - began > LAST_PAUSE
            pause = FIRST_PAUSE if lasted or not self.is_wanted else min(2 * pause, LAST_PAUSE)
            await asyncio.sleep(pause)

    async def _carry(self) -> None:
        """Carry datagrams until the connection ends."""
        try:
            async with self._coordinator() as coordinator:
                await self._exchange(await coordinator.datagrams())
        except CoordinatorError as error:
            self._tell(str(error))
        except (OSError, EOFError) as error:
            self._tell(f"the connection that carries datagrams ended: {error}")

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            _LOG.info("%s", trouble)
            self._on_change()

    async def _exchange(self, stream: DatagramStream) -> None:
        """Raises OSError and EOFError."""
        local = _LocalEnd(stream, self._port())
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: local, local_addr=(_LOOPBACK, 0))
        try:
            self.endpoint, self.trouble = local.endpoint, ""
            self._on_change()
            while True:
                for datagram in await stream.receive():
                    local.send(datagram)
        finally:
            local.close()
            self.endpoint = None
            self._on_change()


class _LocalEnd(asyncio.DatagramProtocol):
    """The socket that stands for the relay. port: of wgpyd."""

    def __init__(self, stream: DatagramStream, port: int) -> None:
        self._stream = stream
        self._daemon = _LOOPBACK, port
        self._udp: asyncio.DatagramTransport | None = None

    @property
    def endpoint(self) -> Endpoint:
        assert self._udp is not None
        return Endpoint(*self._udp.get_extra_info("sockname")[:2])

    def send(self, datagram: bytes) -> None:
        if self._udp is not None:
            with suppress(OSError):
                self._udp.sendto(datagram, self._daemon)

    def close(self) -> None:
        if self._udp is not None:
            self._udp.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = cast(asyncio.DatagramTransport, transport)  # uvloop's is no subclass

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr == self._daemon:
            self._stream.send(data)
