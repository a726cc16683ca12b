"""Datagrams and echo requests of programs, each flow of them by a socket of its own.

A flow lasts until nothing has passed for a while. Of more flows than there may be, the one that was silent
for longest ends.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from socket import socket as Socket  # noqa: N812 - as elsewhere in this package
from typing import Final, NamedTuple

from wgpy.datapath import packet as ip

from . import packets
from .packets import Ends, Transport
from .udp_forward import IDLE_TIME

MAX_FLOWS: Final = 512
_AT_ONCE: Final = 64  # datagrams, before others on the loop have a turn
_MAX_SIZE: Final = 65535

Open = Callable[[int, int, int, bytes], Socket]  # of a family, a type and a protocol, towards an address
Send = Callable[[bytes], None]


class Key(NamedTuple):
    """What a flow is known by."""

    protocol: int
    ends: Ends


@dataclass(slots=True)
class _Flow:
    """used: when something passed, of the loop's clock."""

    socket: Socket
    used: float


class SocketFlows:
    """On the running loop, until `close`; those that were used last at the end."""

    def __init__(self, open_socket: Open, answer: Send) -> None:
        """open_socket: raises OSError; answer: called with packets for the programs."""
        self._loop = asyncio.get_running_loop()
        self._open = open_socket
        self._answer = answer
        self._flows: OrderedDict[Key, _Flow] = OrderedDict()
        self._expiry: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self._expiry:
            self._expiry.cancel()
        for key in [*self._flows]:
            self._end(key)

    def send(self, packet: bytes, transport: Transport) -> None:
        """Send what is in a packet. Raises OSError if no way leads there."""
        key = Key(transport.protocol, transport.ends)
        flow = self._flows.get(key) or self._begin(key)
        self._note_use(key, flow)
        content = packet[transport.offset :]
        try:
            flow.socket.send(content[8:] if key.protocol == ip.UDP else content)
        except ConnectionRefusedError:  # of an earlier one
            self._refuse(key)
        except BlockingIOError:
            pass  # there is no room: it is dropped, as by a network

    def _begin(self, key: Key) -> _Flow:
        """Raises OSError."""
        if len(self._flows) >= MAX_FLOWS:
            self._end(next(iter(self._flows)))
        address = key.ends.destination
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        made = self._open(family, socket.SOCK_DGRAM, key.protocol, address)
        try:
            made.connect((socket.inet_ntop(family, address), key.ends.destination_port))
        except BaseException:
            made.close()
            raise
        flow = self._flows[key] = _Flow(made, self._loop.time())
        self._loop.add_reader(made, self._receive, key, flow)
        if self._expiry is None:
            self._expiry = self._loop.call_later(IDLE_TIME, self._expire)
        return flow

    def _receive(self, key: Key, flow: _Flow) -> None:
        make = packets.datagram if key.protocol == ip.UDP else packets.echo_reply
        try:
            for _ in range(_AT_ONCE):
                self._answer(make(key.ends.turned(), flow.socket.recv(_MAX_SIZE)))
                self._note_use(key, flow)
        except ConnectionRefusedError:
            self._refuse(key)
        except OSError:
            pass  # nothing more has come, or no way leads there any more

    def _refuse(self, key: Key) -> None:
        if key.protocol == ip.UDP:
            self._answer(packets.port_unreachable(key.ends))

    def _note_use(self, key: Key, flow: _Flow) -> None:
        flow.used = self._loop.time()
        self._flows.move_to_end(key)

    def _expire(self) -> None:
        """End what was silent for too long, and come back when the next one may have been."""
        self._expiry = None
        while self._flows:
            key, flow = next(iter(self._flows.items()))
            if flow.used + IDLE_TIME > self._loop.time():
                self._expiry = self._loop.call_at(flow.used + IDLE_TIME, self._expire)
                return
            self._end(key)

    def _end(self, key: Key) -> None:
        flow = self._flows.pop(key)
        self._loop.remove_reader(flow.socket)
        flow.socket.close()
