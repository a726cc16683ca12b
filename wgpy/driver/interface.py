"""One WireGuard interface on an event loop: engine, data path, a TUN and UDP sockets joined.

Invariant: this moves bytes and time between them and decides nothing of the protocol. It sleeps until a
packet, a datagram or the engine's deadline comes; without any of these nothing wakes it. Whatever one turn of
the loop does is bounded, so that no peer and no socket keeps the others waiting.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from typing import Final, Self

from wgpy.contract.constants import MAX_FOREIGN, MILLISECOND, SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import StateError
from wgpy.contract.events import RoutingLoop
from wgpy.datapath import Counters, Datagram
from wgpy.device import DeviceEvent
from wgpy.driver.listeners import Listeners
from wgpy.driver.loop_warnings import LoopWarnings
from wgpy.driver.settings import Settings, read_settings
from wgpy.driver.timestamps import Timestamps
from wgpy.driver.traffic import Watches, open_traffic
from wgpy.engine.indextable import IndexTable
from wgpy.host.bootclock import Alarm, boottime
from wgpy.host.netlink import NetworkMonitor, RouteLookup
from wgpy.host.tun import Link, PacketDevice
from wgpy.keys import PublicKey
from wgpy.lazy_log import LOG
from wgpy.loop.running import running_loop
from wgpy.loop.waiting import Event, Lock, turn
from wgpy.model import DeviceStatus, DeviceUpdate, PeerPath, PeerTraffic
from wgpy.transport import Transport
from wgpy.transport.demultiplexer import Demultiplexer, Reader
from wgpy.transport.udp import open_udp

_TIME_PER_TURN: Final = 2 * MILLISECOND
# In a storm of route changes, looking at the routes takes one part of the time in so many.
_ROUTE_CHECK_SHARE: Final = 10

Listener = Callable[[PublicKey, DeviceEvent], None]  # with whom, and what happened


class Interface:
    """Works from `start` on, and ends with `close` or with its device."""

    def __init__(
        self,
        packets: PacketDevice,
        *,
        transport: Transport | None = None,
        timestamps: Timestamps | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Takes device and transport over, and closes them at the end.

        transport: None for UDP sockets on any port; settings: None for those of the environment.
        Raises OSError, MemoryError, and ValueError for a device, a transport or settings that cannot be
        used; then it leaves what it was given open.
        """
        self._packets = packets
        self._timestamps = timestamps
        with ExitStack() as opened:
            self._transport = transport or opened.enter_context(
                closing(open_udp(0, 0, pairs=len(packets.queue_filenos())))
            )
            self._monitor = opened.enter_context(closing(NetworkMonitor()))
            self._routes = opened.enter_context(closing(RouteLookup()))
            self._alarm = opened.enter_context(closing(Alarm()))
            self._traffic = open_traffic(
                packets, self._transport, settings or read_settings(os.environ), self
            )
            opened.pop_all()
        self._device = self._traffic.device
        self._engine = self._device.engine
        self._demultiplexer = Demultiplexer()
        self._drops: Counter[DropReason] = Counter()
        self._last_timestamp = 0
        self._deadline: int | None = None
        self._turn_is_due = False
        self._next_route_check = 0
        self._route_check_is_due = False
        self._configuring = Lock()
        self._closed = Event()
        self._is_resting = False
        self._watches = Watches()
        self._listeners = Listeners[PublicKey, DeviceEvent]()
        self._watched: dict[object, frozenset[bytes]] = {}  # by who watches
        self._last_name = packets.name
        self._loop_warnings = LoopWarnings()
        self._name_listener: Callable[[str], None] = lambda _: None
        self._network_listeners = Listeners[[]]()
        self._unknown = 0  # initiations of keys that are no peer's
        self._unknown_listener: Callable[[], None] = lambda: None

    @property
    def name(self) -> str:
        return self._packets.name

    @property
    def listen_port(self) -> int:
        return self._transport.port

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    def start(self, *, reading: bool = True) -> None:
        """Begin to work on the running loop. reading: as `set_reading`.

        Raises MemoryError if the data path gets no threads.
        """
        self._follow_mtu()
        self._traffic.start(reading=reading)
        self._watches.add(self._alarm.fileno(), self._on_alarm)
        self._watches.add(self._monitor.fileno(), self._on_network_change)
        if (fileno := self._packets.link_fileno()) is not None:
            self._watches.add(fileno, self._on_link_change)
        self._on_link_change()

    def close(self) -> None:
        """End: no packet passes any more, and the device is gone if it was ours. Harmless when repeated."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._traffic.close()
        self._watches.close()
        for closable in (self._transport, self._monitor, self._routes, self._alarm, self._packets):
            closable.close()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        """Return when the interface has ended: by `close`, or as its device is gone."""
        await self._closed.wait()

    # -- While the next process takes over: both have the device and the port ----------------------

    @property
    def transport(self) -> Transport:
        return self._transport

    @property
    def indices(self) -> IndexTable:
        return self._engine.indices

    def set_reading(self, reading: bool) -> None:
        """Read packets from the device, or leave them to another process once this has returned."""
        if not self._closed.is_set():
            self._traffic.set_reading(reading)

    def set_resting(self, resting: bool) -> None:
        """Let the engine rest: packets pass by the sessions that there are, and none begins or is renewed."""
        if resting:
            self._engine.recall_initiations()
            self._settle(boottime())
        self._is_resting = resting
        self.turn()

    def _turn_at_rest(self) -> None:
        self._device.step_without_engine()
        for datagram in self._device.take_datagrams():
            self._send(datagram)
        self._traffic.deliver()

    def counters(self) -> Counters:
        """Dropped packets, datagrams and handshake messages by reason."""
        return self._drops + self._device.counters() + Counter(self._demultiplexer.drops)

    def set_silent(self, silent: bool) -> None:
        """Drop what leads nowhere without an ICMP error: while the peers are not known, that is not known."""
        self._device.datapath.set_silent(silent)

    # -- Events ----------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call the listener soon after each event, until what is returned here is called."""
        return self._listeners.add(listener)

    def watch_name(self, listener: Callable[[str], None]) -> None:
        """Call the listener with the new name soon after the interface was renamed."""
        self._name_listener = listener

    def watch_network(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call the listener at each change of links, addresses, routes or rules; end as `subscribe` does."""
        return self._network_listeners.add(listener)

    def watch_unknown(self, listener: Callable[[], None]) -> None:
        """Call the listener soon after an initiation of a key that is no peer's, which anybody can send."""
        self._unknown_listener = listener

    def watch_sending(self, watcher: object, keys: Iterable[PublicKey]) -> None:
        """Report `DataSent` of these peers from now on, and of no others that this watcher named before."""
        self._watched.pop(watcher, None)
        if named := frozenset(map(bytes, keys)):
            self._watched[watcher] = named
        self._device.watched = frozenset().union(*self._watched.values())

    def traffic(self, key: PublicKey) -> PeerTraffic:
        """What passed between this interface and a peer."""
        return self._device.traffic(bytes(key))

    def path(self, key: PublicKey) -> PeerPath:
        """Where a peer is reached."""
        return self._device.path(bytes(key))

    def rule_counts(self) -> list[int]:
        """Packets that a permit let in, by the number of its rule."""
        return self._device.datapath.rule_counts()

    def send_keepalive(self, key: PublicKey) -> None:
        """Send a peer an empty packet, which needs no answer; it begins a session if there is none."""
        peer = self._engine.peers.get(bytes(key))
        if peer and not self._closed.is_set():
            self._device.send_keepalive(peer, boottime())
            self.turn()

    # -- Datagrams that are not WireGuard's, at the same port ------------------------------------

    def register_reader(self, prefix: bytes, reader: Reader) -> None:
        """As `Demultiplexer.register`. What the reader answers goes to whoever asked, from where it asked.

        Raises ValueError, StateError, MemoryError.
        """
        self._demultiplexer.register(prefix, reader)
        self._device.datapath.accept_foreign()

    def expect_foreign(self, prefix: bytes, hints: frozenset[bytes]) -> None:
        """As `DataPath.expect_foreign`, for a prefix of 4 bytes and while its reader is the only one."""
        if self._demultiplexer.is_only_reader(prefix):
            self._device.datapath.expect_foreign(prefix, hints)

    def unregister_reader(self, prefix: bytes) -> None:
        self._demultiplexer.unregister(prefix)

    def send_foreign(self, data: bytes, to: Endpoint) -> None:
        """Send a datagram that is not WireGuard's. One that cannot be sent is counted."""
        self._send(Datagram(data, to, tos=0, peer=None))

    def _read_foreign(self, now: int) -> None:
        """Take as many as the data path keeps, and come back if there may be more."""
        foreign = self._device.datapath.take_foreign()
        if foreign:  # readers know by then what listeners are told of what came before
            running_loop().call_soon(self._hand_on, foreign, now)
        if len(foreign) >= MAX_FOREIGN:
            self._turn_again()

    def _hand_on(self, foreign: list[tuple[bytes, Endpoint]], now: int) -> None:
        for data, source in foreign:
            if not self._closed.is_set() and (answer := self._demultiplexer.receive(data, source, now)):
                self.send_foreign(answer, source)

    # -- Configuration ---------------------------------------------------------------------------

    async def configure(self, update: DeviceUpdate, *, take_apart: bool = False) -> None:
        """Carry out a whole `set`, while traffic flows; others wait until it is done.

        take_apart: as for `apply_update`.
        Raises OSError (port, fwmark, a closed interface) or StateError, and then nothing at all has changed.
        """
        async with self._configuring:
            self._check_open()
            if self._is_resting:
                raise StateError("another process is taking over")
            from wgpy.device_update import apply_update, check_update  # noqa: PLC0415 - not before a `set`

            check_update(self._device, update)
            self._change_transport(update)
            pause_at = boottime() + _TIME_PER_TURN
            timestamp = self._known_timestamp(update)
            for _ in apply_update(self._device, update, boottime, timestamp, take_apart=take_apart):
                if boottime() >= pause_at:
                    self.turn()
                    await turn()
                    self._check_open()
                    pause_at = boottime() + _TIME_PER_TURN
            self.turn()
            running_loop().call_soon(self._prepare_initiations)

    async def status(self) -> DeviceStatus:
        """The state of interface and peers, never from within a `set`. Raises ConnectionError once closed."""
        async with self._configuring:
            self._check_open()
            return self._device.status(self._transport.port, self._transport.mark)

    def _check_open(self) -> None:
        """Raises ConnectionError."""
        if self._closed.is_set():
            raise ConnectionError("the interface was closed")

    def _change_transport(self, update: DeviceUpdate) -> None:
        """Bind to another port and set another mark. Raises OSError, StateError; then neither has changed."""
        before, old_mark = self._transport, self._transport.mark
        mark = old_mark if update.fwmark is None else update.fwmark
        self._transport = before.configured(update.listen_port, mark)
        if self._transport is not before:
            self._traffic.use_transport(self._transport)
            before.close()
        if self._transport is not before or update.fwmark is not None:
            self._clear_sources()

    def _clear_sources(self) -> None:
        """Let the kernel choose our address to every peer again, since port or mark may lead another way."""
        self._settle(boottime())  # so that the engine knows all endpoints
        for peer in self._engine.peers.values():
            self._engine.clear_source(peer)
        self.turn()

    def _known_timestamp(self, update: DeviceUpdate) -> int:
        """How far the clock of the private key that is to be set went in an earlier life."""
        if self._timestamps is None or not update.private_key:
            return 0
        return self._timestamps.load(bytes(update.private_key.public_key()))

    # -- The loop's calls ------------------------------------------------------------------------

    def _on_alarm(self) -> None:
        self._alarm.acknowledge()
        if self.catch_up() is not None:
            self.turn()

    def _on_link_change(self) -> None:
        self._packets.acknowledge_link()
        self._look_at_link()
        self._look_at_name()
        self.turn()

    def _on_network_change(self) -> None:
        self._monitor.acknowledge()
        self._network_listeners.notify()
        self._follow_mtu()
        self._look_at_link()
        self._look_at_name()
        wait = self._next_route_check - boottime()
        if self._closed.is_set() or self._route_check_is_due:
            return
        if wait <= 0:
            self._check_routes()
        else:
            self._route_check_is_due = True
            running_loop().call_later(wait / SECOND, self._check_routes)

    # -- Following the host --------------------------------------------------------------------------

    def _look_at_link(self) -> None:
        match self._packets.link():
            case Link.UP:
                if not self._engine.is_up:
                    running_loop().call_soon(self._prepare_initiations)
                self._engine.up(boottime())
            case Link.DOWN if self._engine.is_up:
                self._engine.down()
            case Link.DELETED:
                LOG.info("%s was deleted", self.name)
                self.close()

    def _look_at_name(self) -> None:
        if (name := self.name) != self._last_name:
            LOG.info("%s is %s now", self._last_name, name)
            self._last_name = name
            self._name_listener(name)

    def _follow_mtu(self) -> None:
        if mtu := self._packets.mtu():
            self._device.datapath.set_mtu(mtu)

    def _check_routes(self) -> None:
        """Let go of every source address whose interface is not the way to its peer any more."""
        self._route_check_is_due = False
        if self._closed.is_set() or self._is_resting or not self._transport.is_routed_here:
            return
        began = boottime()
        mark = self._transport.mark
        self._settle(began)  # so that the engine knows all endpoints
        for peer in self._engine.peers.values():
            endpoint = peer.endpoint
            if endpoint and endpoint.local_interface:
                interface = self._routes.interface_towards(endpoint, mark)
                if interface != endpoint.local_interface:
                    self._engine.clear_source(peer)
        self.turn()
        self._next_route_check = boottime() + (boottime() - began) * _ROUTE_CHECK_SHARE

    # -- Engine and data path; what has no underscore is for the traffic -------------------------

    def catch_up(self) -> int | None:
        """Do what is due by now, before what has just come in: after a suspend both are there at once.

        The answer is the time, or None once the interface has ended. That the link went down is seen before
        a timer speaks into it, and that it came up before what its first packet needs is ignored.
        """
        now = boottime()
        is_due = self._deadline is not None and self._deadline <= now and not self._is_resting
        if is_due or not self._engine.is_up:
            self._look_at_link()
        if is_due and not self._closed.is_set():
            self._deadline = None
            self._device.expire(now)
            self._settle(now)
        return None if self._closed.is_set() else now

    def turn(self) -> None:
        """Carry out what engine and data path want after new input, and sleep until the next deadline."""
        self._turn_is_due = False
        if self._closed.is_set():
            return
        if self._is_resting:
            self._turn_at_rest()
            return
        now = boottime()
        self._settle(now)
        self._read_foreign(now)
        if self._engine.last_timestamp != self._last_timestamp:
            self._keep_timestamp()
            running_loop().call_later(0.1, self._prepare_initiations)  # as a rule, it is answered by then
        if (unknown := self._engine.drops.get(DropReason.UNKNOWN_PEER, 0)) != self._unknown:
            self._unknown = unknown
            running_loop().call_soon(self._unknown_listener)
        self._deadline = self._device.next_deadline()
        self._alarm.set(self._deadline)

    def _prepare_initiations(self) -> None:
        self._engine.prepare_initiations(boottime())
        self._turn_again()

    def _settle(self, now: int) -> None:
        """Step until nobody has anything to say, or until it is the turn of the loop's others.

        Handshake messages may come in as fast as they are answered, and events of threads as they are taken.
        """
        while self._step(now):
            if boottime() - now >= _TIME_PER_TURN:
                self._turn_again()
                break

    def _step(self, now: int) -> bool:
        """Let the device talk once, and pass on what it gives; whether it may have more to say."""
        is_busy = self._device.step(now)
        for datagram in self._device.take_datagrams():
            is_busy |= self._send(datagram)
        self._traffic.deliver()
        for event in self._device.take_events():
            self._report(event)
        return is_busy

    def _turn_again(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            running_loop().call_soon(self._take_due_turn)

    def _take_due_turn(self) -> None:
        if self._turn_is_due:
            self.turn()

    def _report(self, event: DeviceEvent) -> None:
        peer = self._engine.peer(event.peer)
        if peer is None:
            return
        if isinstance(event, RoutingLoop):
            self._loop_warnings.warn(event.endpoint, self.name)
        key = PublicKey(peer.public_key)
        if LOG.writes_debug():
            from wgpy.driver.event_log import in_words  # noqa: PLC0415 - few logs have it

            LOG.debug("peer %s: %s", key, in_words(event))
        self._listeners.notify(key, event)

    def _send(self, datagram: Datagram) -> bool:
        """Whether that told the engine something: that our address is no good any more."""
        data, endpoint, tos, peer = datagram
        try:
            source_is_good = self._transport.send(data, endpoint, tos)
        except OSError as error:
            self.count_drop(DropReason.SEND_FAILED)
            LOG.debug("cannot send to %s: %s", endpoint, error.strerror)
            return False
        if not source_is_good and peer is not None and (known := self._engine.peer(peer)):
            self._engine.clear_source(known)
        return not source_is_good

    def count_drop(self, reason: DropReason) -> None:
        self._drops[reason] += 1

    def end(self, why: OSError) -> None:
        """The device cannot be read any more."""
        LOG.info("%s is gone: %s", self.name, why.strerror)
        self.close()

    def _keep_timestamp(self) -> None:
        self._last_timestamp = self._engine.last_timestamp
        if self._timestamps is not None and (key := self._engine.public_key):
            self._timestamps.keep(key, self._last_timestamp)
