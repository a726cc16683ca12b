"""Leads what programs of another network send out by sockets of this host, whose packets they then are.

Programs send by a TUN. A connection of theirs is one of this host first: it is begun inside once it is there
outside, and refused if it is refused. Then its segments come back to a listener inside, with other ports, so
that the kernel is the other end of it, and both connections are joined.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from socket import socket as Socket  # noqa: N812 - as elsewhere in this package
from typing import Final

from wgpy.datapath import packet as ip
from wgpy.datapath.unreachable import Unreachable
from wgpy.host.bootclock import boottime

from . import packets
from .joining import join
from .listening import Acceptor
from .packets import Ends, Transport
from .poller import Poller
from .socket_flows import Open, SocketFlows
from .stream import Stream

MTU: Final = 65520  # of the TUN: what the kernel makes packets of for the way outside, it divides itself
_MAX_PACKET: Final = 65535
_AT_ONCE: Final = 64  # packets, before others on the loop have a turn
_ACCEPTED_WITHIN: Final = 60.0  # seconds
_LINGER: Final = 120.0  # seconds, in which the ends of a connection still pass: two lifetimes of a segment
_PORTS: Final = range(1, 1 << 16)

_Inside = tuple[bytes, int]  # the address of a destination, and the port by which it is the listener's peer


@dataclass(slots=True)
class _Connection:
    """ends: as the program has them; port: instead of its destination's; outside: until it is joined."""

    ends: Ends
    port: int
    outside: Stream | None = None
    is_begun: bool = False
    is_over: bool = False


class TransparentProxy:
    """On the running loop, until `close`."""

    def __init__(self, tun: int, listeners: Sequence[Socket], open_socket: Open) -> None:
        """tun: a descriptor, the caller's to close; listeners: inside, one a family, at the TUN's address.

        open_socket: of this host; raises OSError.
        """
        self._loop = asyncio.get_running_loop()
        self._tun = tun
        self._open = open_socket
        self._poller = Poller()
        self._flows = SocketFlows(open_socket, self._send)
        self._unreachable = Unreachable()
        self._connections: dict[Ends, _Connection] = {}
        self._inside: dict[_Inside, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ports = {listener.family: listener.getsockname()[1] for listener in listeners}
        self._acceptors = [Acceptor(listener, self._serve, self._poller) for listener in listeners]
        for acceptor in self._acceptors:
            acceptor.start()
        os.set_blocking(tun, False)
        self._loop.add_reader(tun, self._receive)

    def close(self) -> None:
        """End all connections."""
        self._loop.remove_reader(self._tun)
        for acceptor in self._acceptors:
            acceptor.close()
        for task in self._tasks:
            task.cancel()
        for connection in self._connections.values():
            if connection.outside:
                connection.outside.close()
        self._flows.close()
        self._poller.close()

    # -- Packets -------------------------------------------------------------------------------------

    def _receive(self) -> None:
        with suppress(OSError):  # nothing more has come, or the TUN is gone
            for _ in range(_AT_ONCE):
                packet = os.read(self._tun, _MAX_PACKET)
                if transport := packets.read(packet):
                    self._lead(packet, transport)

    def _send(self, packet: bytes) -> None:
        with suppress(OSError):  # what there is no room for is dropped, as by a network
            os.write(self._tun, packet)

    def _lead(self, packet: bytes, transport: Transport) -> None:
        if transport.protocol == ip.TCP:
            self._lead_segment(packet, transport)
            return
        try:
            self._flows.send(packet, transport)
        except OSError:
            self._say_unreachable(packet)

    def _say_unreachable(self, packet: bytes) -> None:
        if error := self._unreachable.error_for(packet, boottime()):
            self._send(error)

    # -- Connections ---------------------------------------------------------------------------------

    def _lead_segment(self, packet: bytes, transport: Transport) -> None:
        ends, offset = transport.ends, transport.offset
        listens_at = self._ports[_family(ends.source)]
        if ends.source_port == listens_at:  # the listener's
            if connection := self._inside.get((ends.destination, ends.destination_port)):
                program = connection.ends
                ports = program.destination_port, program.source_port
                self._send(packets.readdressed(packet, offset, ports))
            return
        found = self._connections.get(ends)
        if packets.begins(packet, offset) and (found is None or found.is_over):
            if found:
                self._forget(found)
            self._begin(packet, transport)
        elif found and found.is_begun:
            self._send(packets.readdressed(packet, offset, (found.port, listens_at)))

    def _begin(self, packet: bytes, transport: Transport) -> None:
        ends = transport.ends
        candidates = (ends.source_port, *_PORTS)
        port = next((port for port in candidates if (ends.destination, port) not in self._inside), None)
        if port is None:
            return
        connection = _Connection(ends, port)
        self._connections[ends] = self._inside[ends.destination, port] = connection
        task = self._loop.create_task(self._connect(connection, packet, transport))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: _Connection, packet: bytes, transport: Transport) -> None:
        """packet: with which the program begins."""
        ends, family = connection.ends, _family(connection.ends.destination)
        try:
            made = self._open(family, socket.SOCK_STREAM, 0, ends.destination)
            address = socket.inet_ntop(family, ends.destination), ends.destination_port
            connection.outside = await Stream.connect(made, address, self._poller)
        except OSError as error:
            self._forget(connection)
            if isinstance(error, ConnectionRefusedError):
                self._send(packets.refusal(packet, transport))
            else:
                self._say_unreachable(packet)
            return
        connection.is_begun = True
        ports = connection.port, self._ports[family]
        self._send(packets.readdressed(packet, transport.offset, ports))
        self._loop.call_later(_ACCEPTED_WITHIN, self._give_up, connection)

    def _give_up(self, connection: _Connection) -> None:
        """If the program did meanwhile."""
        if connection.outside:
            connection.outside.reset()
            self._forget(connection)

    async def _serve(self, accepted: Stream) -> None:
        """Join what the listener has accepted with the connection outside. Raises OSError."""
        host, port, *_ = accepted.socket.getpeername()
        connection = self._inside.get((socket.inet_pton(accepted.socket.family, host), port))
        if connection is None or connection.outside is None:
            accepted.reset()
            return
        outside, connection.outside = connection.outside, None
        try:
            await join(accepted, outside)
        finally:
            connection.is_over = True
            self._loop.call_later(_LINGER, self._forget, connection)

    def _forget(self, connection: _Connection) -> None:
        """Harmless when repeated, also when there is another one in its place."""
        place = connection.ends.destination, connection.port
        if self._connections.get(connection.ends) is connection:
            del self._connections[connection.ends]
        if self._inside.get(place) is connection:
            del self._inside[place]
        if connection.outside:
            connection.outside.close()
            connection.outside = None


def _family(address: bytes) -> socket.AddressFamily:
    return socket.AF_INET if len(address) == 4 else socket.AF_INET6
