"""A host of the simulation: the engine and the portable data path with the driver's loop around them.

Invariant: a node does what a real driver does, only its clocks, sockets, disk and randomness are the
simulation's. Its notices say what happens in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, NamedTuple

from wgpy.contract.constants import DEFAULT_MTU, DEFAULT_RELAY_RATE, KEY_LENGTH, SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import PeerId
from wgpy.contract.orders import AllowedIP, DataPathOrder
from wgpy.datapath.portable import PortableDataPath
from wgpy.device import Device, DeviceEvent
from wgpy.engine.actions import Action
from wgpy.engine.crypto import dh_public
from wgpy.engine.engine import Engine
from wgpy.engine.peer import Peer
from wgpy.model import AllowedIPChange
from wgpy.transport.demultiplexer import Demultiplexer, Reader

from .clock import HostClock, Timeline
from .nat import Box, Nat64
from .network import Network

_DISK_INTERVAL: Final = 60 * SECOND  # a timestamp is written when it is so far above the last one


class Attachment(NamedTuple):
    """An address of a host, and what that is behind."""

    at: Endpoint
    behind: Box | None = None

    def leads_to(self, destination: Endpoint) -> bool:
        """Return whether a host sends to such a destination by it."""
        if isinstance(self.behind, Nat64):
            return self.behind.carries(destination)
        return self.at.is_ipv6 == destination.is_ipv6


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """One peer of a node's configuration file."""

    public_key: bytes
    allowed_ips: tuple[AllowedIP, ...] = ()
    endpoint: Endpoint | None = None
    preshared_key: bytes = bytes(KEY_LENGTH)
    persistent_keepalive: int = 0


@dataclass(frozen=True, slots=True)
class PacketSent:
    """A packet went into the node's TUN."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class PacketDelivered:
    """A packet came out of the node's TUN, because of this datagram."""

    packet: bytes
    datagram: bytes


@dataclass(frozen=True, slots=True)
class DatagramSent:
    """The node sent a datagram. peer is None for a cookie reply."""

    peer: PeerId | None
    data: bytes


@dataclass(frozen=True, slots=True)
class ActionTaken:
    """The engine or the configuration wanted this done, and the node did it."""

    action: Action | DataPathOrder


@dataclass(frozen=True, slots=True)
class Started:
    """The node begins with nothing in memory."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The node slept, and is about to do what came due meanwhile."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The node has done all that it had to do at this instant."""


Notice = PacketSent | PacketDelivered | DatagramSent | ActionTaken | Started | Resumed | Settled


class Node:
    """A host with one WireGuard interface. It is up as soon as it is made, until `stop` or `crash`."""

    def __init__(
        self,
        timeline: Timeline,
        network: Network,
        random: Random,
        *,
        name: str,
        private_key: bytes,
        listen: Endpoint,
        nat: Box | None = None,
        also: Sequence[Attachment] = (),
        mtu: int = DEFAULT_MTU,
    ) -> None:
        self.name = name
        self.private_key = private_key
        self.public_key = dh_public(private_key)
        self.listen = listen
        self.nat = nat
        self.also = tuple(also)
        self.mtu = mtu
        self.clock = HostClock(timeline)
        self.config: dict[bytes, PeerConfig] = {}
        # Packets that came out of the TUN, and the device's events, oldest first. Clear them as you like.
        self.delivered: list[bytes] = []
        self.icmp_errors: list[bytes] = []  # that its host got for packets that led nowhere
        self.events: list[DeviceEvent] = []
        # More handshake messages that wait, as far as the engine knows: 64 put the node under load.
        self.backlog = 0
        self._relay_rate = 0
        self._demultiplexer = Demultiplexer()
        self._timeline = timeline
        self._network = network
        self._random = random
        self._listeners: list[Callable[[Node, Notice], None]] = []
        self._wake_at: int | None = None
        self._disk = 0
        self._disk_written = False  # in this life
        self._timestamp = 0  # the newest in this life
        self._asleep = False
        self._running = False
        self._crashed = False
        self.start()

    def __repr__(self) -> str:
        return f"Node({self.name!r})"

    @property
    def now(self) -> int:
        """What the boot clock shows."""
        return self.clock.boot()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """Where its socket is, at most one for each version of IP."""
        return Attachment(self.listen, self.nat), *self.also

    def move(self, *attachments: Attachment) -> None:
        """Have other addresses from now on, as after a change of network."""
        for at, behind in self.attachments:
            self._network.detach(at, behind)
        (self.listen, self.nat), *also = attachments
        self.also = tuple(also)
        for at, behind in self.attachments:
            self._network.attach(at, self._receive, behind)

    @property
    def engine(self) -> Engine:
        return self.device.engine

    @property
    def datapath(self) -> PortableDataPath:
        return self.device.datapath

    @property
    def is_running(self) -> bool:
        return self._running

    @property
    def is_asleep(self) -> bool:
        return self._asleep

    def listen_to(self, listener: Callable[["Node", Notice], None]) -> None:
        self._listeners.append(listener)

    # -- Configuration ---------------------------------------------------------------------------

    def add_peer(self, config: PeerConfig) -> Peer:
        """Add a peer to the configuration, and to the running device."""
        self.config[config.public_key] = config
        peer = self._configure(config)
        self.settle()
        return peer

    def peer(self, public_key: bytes) -> Peer:
        """The running device's peer of this key. Raises KeyError."""
        return self.engine.peers[public_key]

    def change_preshared_key(self, public_key: bytes, preshared_key: bytes) -> None:
        """Change a peer's preshared key in the configuration, and in the device if it runs."""
        self.config[public_key] = replace(self.config[public_key], preshared_key=preshared_key)
        if self._running:
            self.engine.set_preshared_key(self.peer(public_key), preshared_key)
            self.settle()

    @property
    def is_relay(self) -> bool:
        return self._relay_rate > 0

    def relay(self, rate: int = DEFAULT_RELAY_RATE) -> None:
        """Forward between the peers, in this life and the next ones. rate: as `SetRelay` has it."""
        self._relay_rate = rate
        self.device.set_relay(rate, self.now)

    def begin_handshake(self, public_key: bytes) -> None:
        """As an agent does that has reason to doubt the session with this peer."""
        if self._running and not self._asleep:
            self.engine.begin_handshake(self.peer(public_key), self.now)
            self.settle()

    def _configure(self, config: PeerConfig) -> Peer:
        peer = self.device.add_peer(config.public_key, self.now)
        self.engine.set_preshared_key(peer, config.preshared_key)
        self.device.change_allowed_ips(peer, map(AllowedIPChange, config.allowed_ips), self.now)
        if config.endpoint is not None:
            self.engine.set_endpoint(peer, config.endpoint, self.now)
        self.engine.set_persistent_keepalive(peer, config.persistent_keepalive, self.now)
        self.engine.receive_refused(peer, self.now)
        return peer

    def register_reader(self, prefix: bytes, reader: Reader) -> None:
        """Hand datagrams that are not WireGuard's to a reader, in this life and the next ones."""
        self._demultiplexer.register(prefix, reader)
        self.datapath.accept_foreign()

    # -- Life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with what the configuration and the disk hold."""
        if self._crashed:
            # The rule of wgpyd: what was used and not written is less than a minute newer.
            wall, newest = self.clock.wall(), self._disk + _DISK_INTERVAL
            self._disk = min(newest, wall) if wall >= self._disk else newest
        self._crashed = self._asleep = False
        self._wake_at, self._disk_written = None, False
        self._timestamp = self._disk
        self.device = Device(
            PortableDataPath(mtu=self.mtu, accept_foreign=self._demultiplexer.has_readers),
            random=self._random.randbytes,
            wall_clock=self.clock.wall,
            watch=lambda action: self._notify(ActionTaken(action)),
        )
        self._running = True
        self._notify(Started())
        self.engine.set_private_key(self.private_key, self.now, last_timestamp=self._disk)
        self.device.set_relay(self._relay_rate, self.now)
        for config in self.config.values():
            self._configure(config)
        for at, behind in self.attachments:
            self._network.attach(at, self._receive, behind)
        self.engine.up(self.now)
        self.settle()

    def stop(self) -> None:
        """End in order: the newest timestamp is kept."""
        self._write_disk()
        self._end()

    def crash(self) -> None:
        """End as in a power cut: the timestamp on the disk may be a minute old."""
        self._end()
        self._crashed = True

    def lose_disk(self) -> None:
        """Forget the newest timestamp, as on a read-only disk."""
        self._disk = 0

    def suspend(self) -> None:
        """Sleep: the boot clock runs on, but datagrams are lost and deadlines pass."""
        self._asleep = True

    def resume(self) -> None:
        self._asleep = False
        self._notify(Resumed())
        self._wake()

    def _end(self) -> None:
        self._running = False
        for at, behind in self.attachments:
            self._network.detach(at, behind)

    def _write_disk(self) -> None:
        self._disk = self.engine.last_timestamp
        self._disk_written = True

    # -- The driver's loop -----------------------------------------------------------------------

    def send_packet(self, packet: bytes) -> None:
        """Put an IP packet into the TUN. A host that sleeps or does not run sends nothing."""
        if not self._running or self._asleep:
            return
        self._notify(PacketSent(packet))
        self.device.send(packet, self.now)
        self.icmp_errors += self.device.take_packets()
        self.settle()

    def send_raw(self, destination: Endpoint, data: bytes) -> None:
        """Send any datagram from the node's socket, past the engine."""
        self._send(destination, data)

    def settle(self) -> None:
        """Carry out what the engine and the data path want, after they were touched from outside."""
        if not self._running or self._asleep:
            return
        while self.device.step(self.now, self.backlog):
            if self.engine.last_timestamp != self._timestamp:
                self._keep_timestamp()
            self._send_datagrams()
        self._send_datagrams()
        self.events += self.device.take_events()
        self._rearm()
        self._notify(Settled())

    def _receive(self, data: bytes, source: Endpoint, tos: int) -> None:
        if self._asleep:
            return
        self.device.receive(data, source, self.now, tos)
        for packet in self.device.take_packets():
            self.delivered.append(packet)
            self._notify(PacketDelivered(packet, data))
        for foreign, _ in self.datapath.take_foreign():
            if answer := self._demultiplexer.receive(foreign, source, self.now):
                self.send_raw(source, answer)
        self.settle()

    def _wake(self) -> None:
        if not self._running or self._asleep:
            return
        deadline = self.device.next_deadline()
        if deadline is not None and deadline <= self.now:
            self.device.expire(self.now)
            self._require_progress()
        self.settle()

    def _require_progress(self) -> None:
        """A deadline that stays would wake the node for ever at one instant."""
        deadline = self.device.next_deadline()
        if deadline is not None and deadline <= self.now:
            raise AssertionError(f"{self.name}: the next deadline is not in the future after expire()")

    def _send_datagrams(self) -> None:
        for datagram in self.device.take_datagrams():
            self._notify(DatagramSent(datagram.peer, datagram.data))
            self._send(datagram.endpoint, datagram.data, datagram.tos)

    def _send(self, destination: Endpoint, data: bytes, tos: int = 0) -> None:
        """From the address of the same version of IP, if it has one, and by what carries such datagrams."""
        same = (one for one in self.attachments if one.leads_to(destination))
        at, behind = next(same, self.attachments[0])
        self._network.send(at, destination, data, tos, behind)

    def _keep_timestamp(self) -> None:
        """Write a new timestamp to the disk, unless it is less than a minute above what is there."""
        self._timestamp = self.engine.last_timestamp
        if not self._disk_written or self._timestamp - self._disk >= _DISK_INTERVAL:
            self._write_disk()

    def _rearm(self) -> None:
        """See to it that the node wakes at the engine's next deadline."""
        deadline = self.device.next_deadline()
        if deadline is None:
            return
        when = self.clock.when(deadline)
        if self._wake_at is not None and self._timeline.now < self._wake_at <= when:
            return  # a wake-up comes soon enough, and arms the next one
        self._wake_at = when
        self._timeline.call_at(when, self._wake)

    def _notify(self, notice: Notice) -> None:
        for listener in self._listeners:
            listener(self, notice)
