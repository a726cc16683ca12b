"""A socket for datagrams on the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

Address = tuple[Any, ...]  # as the socket's family has it


class Datagrams(asyncio.DatagramProtocol):
    """What it has no room for is dropped, as a network does."""

    _transport: asyncio.DatagramTransport

    def __init__(self, on_datagram: Callable[[bytes, Address], None]) -> None:
        self._on_datagram = on_datagram
        self._has_room = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._on_datagram(data, addr)

    def pause_writing(self) -> None:
        self._has_room = False

    def resume_writing(self) -> None:
        self._has_room = True

    def send(self, data: bytes, to: Address | None = None) -> None:
        """to: None where the socket is connected."""
        if self._has_room:
            self._transport.sendto(data, to)

    def close(self) -> None:
        self._transport.close()
