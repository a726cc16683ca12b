"""A tunnel of a program without asyncio: the same, on a loop in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from socket import socket as Socket  # noqa: N812 - a method is called so
from typing import Any, TypeVar

from wgpy.config_values import InterfaceAddress
from wgpy.datapath import Counters
from wgpy.keys import PublicKey
from wgpy.model import DeviceStatus

from .asynchronous import AsyncTunnel, TunnelEvent
from .errors import TunnelError
from .namespace import Program
from .resolver import AddressInfo

_T = TypeVar("_T")


class BlockingTunnel:
    """Any thread may use it. Works from `open` on, and ends with `close`."""

    def __init__(self, tunnel: AsyncTunnel) -> None:
        self._tunnel = tunnel
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wgpy tunnel", daemon=True)

    def open(self) -> None:
        """As AsyncTunnel.open."""
        self._thread.start()
        try:
            self._run(self._tunnel.open())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the tunnel; sockets that are still open lead nowhere. Harmless when repeated."""
        if self._loop.is_closed():
            return
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _end(self) -> None:
        self._tunnel.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    @property
    def addresses(self) -> Sequence[InterfaceAddress]:
        """Those of this end."""
        return self._tunnel.addresses

    @property
    def user_mode_interface(self) -> str:
        """As of AsyncTunnel."""
        return self._tunnel.user_mode_interface

    @property
    def listen_port(self) -> int:
        """The UDP port of the tunnel's own datagrams."""
        return self._tunnel.listen_port

    def socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0) -> Socket:
        """Return an ordinary socket whose network is the tunnel. Raises OSError, TunnelError."""
        return self._tunnel.socket(family, type, proto)

    def start_program(self, arguments: Sequence[str], mask: Iterable[int] = ()) -> Program:
        """As AsyncTunnel.start_program."""
        return self._tunnel.start_program(arguments, mask)

    def create_connection(self, address: tuple[str, int], timeout: float | None = None) -> Socket:
        """As socket.create_connection. timeout: seconds, also of the socket. Raises OSError, TunnelError."""
        connected = self._run(self._tunnel.connect(*address), timeout)
        connected.settimeout(timeout)
        return connected

    def getaddrinfo(self, host: str, port: int | str | None, **wanted: int) -> list[AddressInfo]:
        """As socket.getaddrinfo, by the tunnel's DNS servers. wanted: family, type, proto, flags."""
        return self._run(self._tunnel.getaddrinfo(host, port, **wanted))

    def connected(self, peer: PublicKey | None = None, timeout: float | None = None) -> None:
        """As AsyncTunnel.connected. timeout: seconds. Raises TunnelError, TimeoutError."""
        self._run(self._tunnel.connected(peer), timeout)

    def events(self) -> Iterator[TunnelEvent]:
        """As AsyncTunnel.events."""
        events = self._tunnel.events()
        with suppress(CancelledError):
            while event := self._run(_next(events)):
                yield event

    def status(self) -> DeviceStatus:
        """As AsyncTunnel.status."""
        return self._run(self._tunnel.status())

    def counters(self) -> Counters:
        """As AsyncTunnel.counters."""
        return self._run(self._counters())

    async def _counters(self) -> Counters:
        return self._tunnel.counters()

    def _run(self, task: Coroutine[Any, Any, _T], timeout: float | None = None) -> _T:
        """Wait for a result of the loop. Raises what the task raises, TimeoutError, TunnelError."""
        if self._loop.is_closed():
            task.close()
            raise TunnelError("the tunnel was closed: open another one")
        running: Future[_T] = asyncio.run_coroutine_threadsafe(task, self._loop)
        try:
            return running.result(timeout)
        except BaseException:
            running.cancel()
            raise


async def _next(events: AsyncIterator[TunnelEvent]) -> TunnelEvent | None:
    return await anext(events, None)
