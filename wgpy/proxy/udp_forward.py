"""Leads datagrams from a listener on one side of a tunnel to a target on the other side, and answers back.

Each source is a flow with a socket of its own, so that answers find their way, until nothing has passed for a
while. Of more flows than there may be, the one that was silent for longest ends.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from wgpy.address import HostPort
from wgpy.tunnel.errors import TunnelError

from .datagrams import Address, Datagrams

MAX_FLOWS: Final = 512  # of a listener
IDLE_TIME: Final = 120.0  # seconds; RFC 4787 4.3 has NATs remember a flow for as long
_MAX_WAITING: Final = 16  # datagrams of a flow whose socket is being opened


class OpenEndpoint(Protocol):
    """As `create_datagram_endpoint` of an event loop, and of a tunnel. Raises OSError, TunnelError."""

    def __call__(
        self,
        protocol_factory: Callable[[], Datagrams],
        local_addr: tuple[str, int] | None = None,
        remote_addr: tuple[str, int] | None = None,
    ) -> Awaitable[tuple[asyncio.DatagramTransport, Datagrams]]: ...


@dataclass(slots=True)
class _Flow:
    """waiting: until there is a socket; used: when something passed, of the loop's clock."""

    used: float
    waiting: list[bytes] = field(default_factory=list)
    socket: Datagrams | None = None
    opening: asyncio.Task[None] | None = None

    def send(self, data: bytes) -> None:
        if self.socket:
            self.socket.send(data)
        elif len(self.waiting) < _MAX_WAITING:
            self.waiting.append(data)

    def end(self) -> None:
        if self.opening:
            self.opening.cancel()
        if self.socket:
            self.socket.close()


class UdpForward:
    """The flows of a listener, those that were used last at the end."""

    def __init__(self, lead: OpenEndpoint, target: HostPort, count: Callable[[int], None]) -> None:
        """lead: opens sockets on the target's side; count: called with 1 for each flow, -1 at its end."""
        self._lead = lead
        self._target = target
        self._count = count
        self._flows: OrderedDict[Address, _Flow] = OrderedDict()
        self._expiry: asyncio.TimerHandle | None = None
        self._listener: Datagrams

    async def listen(self, listen: OpenEndpoint, address: HostPort) -> HostPort:
        """Return the address with the port that it has. Raises OSError, TunnelError."""
        transport, self._listener = await listen(lambda: Datagrams(self._on_datagram), local_addr=address)
        return HostPort(address.host, transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        self._listener.close()
        if self._expiry:
            self._expiry.cancel()
        while self._flows:
            self._end_oldest()

    def _on_datagram(self, data: bytes, source: Address) -> None:
        flow = self._flows.get(source) or self._begin(source)
        self._note_use(source, flow)
        flow.send(data)

    def _begin(self, source: Address) -> _Flow:
        if len(self._flows) >= MAX_FLOWS:
            self._end_oldest()
        loop = asyncio.get_running_loop()
        flow = self._flows[source] = _Flow(loop.time())
        flow.opening = loop.create_task(self._open(source, flow))
        self._count(1)
        if self._expiry is None:
            self._expiry = loop.call_later(IDLE_TIME, self._expire)
        return flow

    async def _open(self, source: Address, flow: _Flow) -> None:
        def on_answer(data: bytes, _: Address) -> None:
            self._note_use(source, flow)
            self._listener.send(data, source)

        try:
            _, flow.socket = await self._lead(lambda: Datagrams(on_answer), remote_addr=self._target)
        except (OSError, TunnelError, UnicodeError):  # the last one for what is no host name
            self._end(source)
            return
        for data in flow.waiting:
            flow.socket.send(data)
        flow.waiting.clear()

    def _note_use(self, source: Address, flow: _Flow) -> None:
        flow.used = asyncio.get_running_loop().time()
        self._flows.move_to_end(source)

    def _expire(self) -> None:
        """End what was silent for too long, and come back when the next one may have been."""
        loop, self._expiry = asyncio.get_running_loop(), None
        while self._flows:
            ends_at = next(iter(self._flows.values())).used + IDLE_TIME
            if ends_at > loop.time():
                self._expiry = loop.call_at(ends_at, self._expire)
                return
            self._end_oldest()

    def _end_oldest(self) -> None:
        self._end(next(iter(self._flows)))

    def _end(self, source: Address) -> None:
        self._flows.pop(source).end()
        self._count(-1)
