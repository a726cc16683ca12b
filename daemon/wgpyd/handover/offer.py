"""The part of the process that serves: it hands everything over, and moves packets until the next one does.

Invariant: until the next process reads packets, this one can go on as if it had never been asked.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from wgpy.driver.interface import Interface
from wgpy.keys import PublicKey
from wgpy.lazy_log import LOG
from wgpy.loop.running import running_loop
from wgpy.loop.waiting import Event, sleep
from wgpy.model import DeviceUpdate, PeerUpdate
from wgpy.transport.udp import UdpTransport
from wgpy.uapi import encode_status
from wgpyd.socketfile import SocketFile

from .channel import VERSION, Channel, HandoverError
from .sessions import has_session

# Data of the old sessions that is under way arrives within this time.
_DRAIN_TIME: Final = 2.0  # seconds


class Offer:
    """Of one daemon, on the running loop, until it is closed."""

    def __init__(
        self,
        interface: Interface,
        queues: Sequence[int],
        sockets: tuple[SocketFile, SocketFile],
        on_rest: Callable[[], None],
    ) -> None:
        """queues: of the TUN; sockets: that of the configuration, and where this is asked.

        on_rest: called when the engine rests, before the other process knows what it did.
        """
        self._interface = interface
        self._on_rest = on_rest
        self._queues = queues
        self._sockets = sockets
        self._asked = Event()
        self._channel: Channel | None = None
        self._transport: UdpTransport | None = None
        self._left: Sequence[PublicKey] = ()

    def listen(self) -> None:
        running_loop().add_reader(self._sockets[1].listener.fileno(), self._on_connection)

    def close(self) -> None:
        running_loop().remove_reader(self._sockets[1].listener.fileno())
        if self._channel is not None:
            self._channel.close()

    async def wait_asked(self) -> None:
        """Return when another process is ready to take over."""
        await self._asked.wait()

    # -- Before anything changes ---------------------------------------------------------------------

    def _on_connection(self) -> None:
        with suppress(OSError):
            connection, _ = self._sockets[1].listener.accept()
            if self._channel is not None:  # one at a time
                connection.close()
                return
            try:
                self._channel = Channel(connection)
            except HandoverError as error:
                LOG.warning("refused to hand over: %s", error)
                return
            self._talk = running_loop().create_task(self._converse(self._channel))

    async def _converse(self, channel: Channel) -> None:
        """Offer what there is, and wait until the other process has prepared itself."""
        try:
            hello = await channel.receive()
            if hello.fields.get("version") != VERSION:
                channel.send(version=VERSION)
                await channel.receive()  # that this is to end
                self._interface.close()
                return
            # An older process shortens the header of packets once it has the TUN: they wait there for it.
            if not hello.fields.get("keeps_header"):
                self._interface.set_reading(False)
            self._offer(channel)
            await channel.receive()
            if self._interface.transport is not self._transport:
                raise HandoverError("the port was changed meanwhile")
            self._asked.set()
        except (HandoverError, OSError) as error:
            self._forget(error)

    def _offer(self, channel: Channel) -> None:
        """Raises HandoverError, and OSError for sockets that cannot share their port."""
        transport = self._interface.transport
        if not isinstance(transport, UdpTransport):
            raise HandoverError("this is no daemon with sockets of its own")
        sockets = transport.open_next()
        self._transport = transport
        files = [one.leave() for one in self._sockets]
        try:
            channel.send(
                [*self._queues, *files, *sockets],
                version=VERSION, queues=len(self._queues), uapi=self._sockets[0].path,
                handover=self._sockets[1].path,
            )  # fmt: skip
        finally:
            for fd in (*files, *sockets):
                os.close(fd)
            for one in self._sockets:
                one.resume()

    def _forget(self, error: Exception) -> None:
        LOG.warning("did not hand over: %s", error)
        self._asked.clear()
        if self._channel is not None:
            self._talk = running_loop().create_task(self._take_back(self._channel, self._transport))

    async def _take_back(self, channel: Channel, transport: UdpTransport | None) -> None:
        """Receive everything again; have the port alone, and hand it over again, once the other has ended."""
        with suppress(OSError):  # the port was changed meanwhile
            if transport is not None:
                transport.keep_all()
        await self._renew_sessions()
        channel.end()
        await channel.wait_closed()
        channel.close()
        self._interface.set_reading(True)  # by the header of this process, whatever the other one has set
        with suppress(OSError):
            if transport is not None:
                transport.end_division()
        self._channel = self._transport = None

    async def _renew_sessions(self) -> None:
        """Begin one with each peer that the other process may have begun one with, which ends with it."""
        peers = tuple(PeerUpdate(key, update_only=True, handshake=True) for key in self._left)
        self._left = ()
        with suppress(OSError):  # the interface was closed
            await self._interface.configure(DeviceUpdate(peers=peers))

    # -- The change ----------------------------------------------------------------------------------

    async def hand_over(self, fd: int) -> bool:
        """Return whether the other process reads packets now, and this one is to end.

        fd: that the part left for it, -1 for none. If not, this goes on as before.
        """
        channel, transport = self._channel, self._transport
        assert channel is not None
        assert transport is not None
        try:
            await self._leave_sessions(channel, transport, fd)
            await channel.receive()
            self._interface.set_reading(False)
            channel.send()
        except (HandoverError, OSError, ValueError) as error:
            self._interface.set_reading(True)
            self._interface.set_resting(False)
            self._forget(error)
            return False
        return True

    async def _leave_sessions(self, channel: Channel, transport: UdpTransport, fd: int) -> None:
        """Begin and renew none any more: the other process does. Raises HandoverError, OSError."""
        status = await self._interface.status()
        self._left = [peer.public_key for peer in status.peers if has_session(peer)]
        block = self._interface.indices.unused_block()
        self._interface.set_resting(True)
        self._on_rest()
        transport.divide(block)
        state = os.memfd_create("wgpyd", os.MFD_CLOEXEC)
        with os.fdopen(state, "wb") as file:
            file.writelines(encode_status(status))
            file.flush()
            channel.send([state, *([fd] if fd >= 0 else [])], block=block)

    async def drain(self) -> None:
        """Open what is under way by the old sessions, and leave the files to the other process."""
        for one in self._sockets:
            os.close(one.leave())
        await sleep(_DRAIN_TIME)
