"""The part of the next process: it asks the one that serves, renews its sessions, and takes over."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Final

from wgpy.contract.errors import StateError
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.tun import Tun
from wgpy.keys import PublicKey
from wgpy.lazy_log import LOG
from wgpy.loop.waiting import Event
from wgpy.model import AllowedIPChange, DeviceStatus, DeviceUpdate, PeerStatus, PeerUpdate
from wgpy.transport.udp import UdpTransport, inherit_udp
from wgpy.uapi import UapiError, decode_status
from wgpyd.errors import StartError
from wgpyd.socketfile import SocketFile

from .channel import VERSION, Channel, HandoverError, Message, path_of
from .sessions import has_session

# Peers that have not answered by then are left to their retries.
_RENEWAL_TIME: Final = 6.0  # seconds: one repetition of an initiation is within it


class Takeover:
    """From one process, which still serves.

    fd: for the part of it that this one goes on with, -1 for none.
    """

    def __init__(self, channel: Channel, offer: Message, *, is_mesh: bool) -> None:
        """is_mesh: what is configured is a matter of a mesh's agent. Raises HandoverError."""
        self._channel = channel
        self._is_mesh = is_mesh
        queues = offer.number("queues")
        self._queues, rest = offer.fds[:queues], offer.fds[queues:]
        (self._uapi, self._handover), self._udp = rest[:2], rest[2:]
        self._paths = offer.text("uapi"), offer.text("handover")
        self._status = DeviceStatus()
        self.fd = -1
        self._transport: UdpTransport | None = None

    # -- Descriptors ---------------------------------------------------------------------------------

    def tun(self, owner: str) -> Tun:
        """Raises ValueError."""
        return Tun.inherit(self._queues, owner=owner, is_shared=True)

    def transport(self) -> UdpTransport:
        """Raises ValueError."""
        self._transport = inherit_udp(self._udp)
        return self._transport

    def sockets(self, *, is_watched: bool) -> tuple[SocketFile, SocketFile]:
        """Return that of the configuration, and where the next process will ask. Raises StartError."""
        uapi, handover = self._paths
        return (
            SocketFile.inherit(self._uapi, uapi, is_watched=is_watched),
            SocketFile.inherit(self._handover, handover, is_watched=False),
        )

    # -- The change, while the other process moves packets -------------------------------------------

    async def begin(self, interface: Interface) -> None:
        """Let the other process begin no sessions any more, nor anything else. Raises StartError."""
        with _failing():
            self._channel.send()
            answer = await self._channel.receive()
            interface.indices.set_block(answer.number("block"))
            state, *more = answer.fds
            with os.fdopen(state, "rb") as file:
                file.seek(0)
                self._status = decode_status(file.read())
            self.fd = more[0] if more else -1

    async def configure(self, interface: Interface) -> None:
        """Have what the other process has, unless it is a node's. Raises StartError."""
        if self._is_mesh:
            return
        peers = tuple(map(_as_update, self._status.peers))
        update = DeviceUpdate(self._status.private_key, fwmark=self._status.fwmark, peers=peers)
        with _failing():
            await interface.configure(update)

    async def renew_sessions(self, interface: Interface) -> None:
        """Begin a session with each peer that has one with the other process, and wait for the answers.

        Not with one that a node's agent has begun one with: of the session before the last, by which the
        other process still sends, a peer opens nothing any more. Raises StartError.
        """
        wanted = {peer.public_key: peer for peer in self._status.peers if self._is_live(peer)}
        answered: set[PublicKey] = set()
        news = Event()

        def note(key: PublicKey, event: DeviceEvent) -> None:
            if isinstance(event, HandshakeCompleted) and key in wanted:
                answered.add(key)
                news.set()

        unsubscribe = interface.subscribe(note)
        with _failing():
            peers = (await interface.status()).peers
            answered.update({peer.public_key for peer in peers if peer.last_handshake_time} & set(wanted))
            missing = [peer for key, peer in wanted.items() if key not in answered]
            await interface.configure(DeviceUpdate(peers=tuple(map(_beginning, missing))))
        end = time.monotonic() + _RENEWAL_TIME
        while len(answered) < len(wanted) and await news.wait(max(end - time.monotonic(), 0)):
            news.clear()
        unsubscribe()
        LOG.info("renewed %d of %d sessions", len(answered), len(wanted))

    def _is_live(self, peer: PeerStatus) -> bool:
        """Return whether there is a session, by a way that there still is: a node's local relay has ended."""
        address = peer.endpoint.address if peer.endpoint else ""
        return has_session(peer) and bool(address) and not (self._is_mesh and ip_address(address).is_loopback)

    async def finish(self, interface: Interface) -> None:
        """Read packets instead of the other process. Raises StartError."""
        with _failing():
            self._channel.send()
            await self._channel.receive()
        interface.set_reading(True)
        LOG.info("took over from process %d", self._channel.pid)

    async def wait_alone(self, interface: Interface) -> None:
        """Return when the other process has ended; then the port is this one's alone."""
        await self._channel.wait_closed()
        self._channel.close()
        interface.indices.set_block(None)
        if self._transport is not None:
            with suppress(OSError):  # the port was changed meanwhile
                self._transport.end_division()


def take_over(directory: str, interface: str, *, is_mesh: bool) -> Takeover | None:
    """Ask the daemon that serves an interface; return None if there is none any more.

    is_mesh: one that hands over in another way then simply ends, as records are on disk.
    Raises StartError.
    """
    channel = _connect(path_of(directory, interface))
    if channel is None:
        return None
    with _failing():
        channel.send(version=VERSION, keeps_header=True)
        offer = channel.receive_now()
        if offer.fields.get("version") == VERSION:
            return Takeover(channel, offer, is_mesh=is_mesh)
        if not is_mesh:
            raise HandoverError("it hands over in another way: stop it, start this one, and configure it")
        _end(channel)
    return None


def _connect(path: str) -> Channel | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.connect(path)
        return Channel(connection)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except (OSError, HandoverError) as error:
        connection.close()
        raise StartError(f"cannot take over: {error}") from None


def _end(channel: Channel) -> None:
    """Have the other process end, and wait until it has."""
    LOG.warning("process %d hands over in another way: it is stopped, and this one started", channel.pid)
    channel.send(end=True)
    with suppress(HandoverError):
        channel.receive_now()
    channel.close()


@contextmanager
def _failing() -> Iterator[None]:
    """Raises StartError, with a sentence for the operator, if something fails between the two."""
    try:
        yield
    except (HandoverError, StateError, UapiError, ValueError, OSError) as error:
        raise StartError(f"cannot take over: {error}") from None


def _as_update(peer: PeerStatus) -> PeerUpdate:
    return PeerUpdate(
        peer.public_key,
        preshared_key=peer.preshared_key,
        endpoint=peer.endpoint,
        persistent_keepalive=peer.persistent_keepalive,
        allowed_ips=tuple(map(AllowedIPChange, peer.allowed_ips)),
    )


def _beginning(peer: PeerStatus) -> PeerUpdate:
    return PeerUpdate(peer.public_key, update_only=True, endpoint=peer.endpoint, handshake=True)
