"""How packets pass between a TUN and UDP sockets: on the loop, in Python, or in threads, in C.

Invariant: a traffic owns a data path and watches descriptors for it; it decides nothing, and opens and closes
none of them. What it needs of the interface around it is `Driver`, what the interface needs of it is
`Traffic`.
"""

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Protocol, TypeVar

from wgpy.contract.constants import MAX_FLOWS, MAX_STAGED_BYTES, SMALL_FLOWS, SMALL_STAGED_BYTES
from wgpy.contract.drops import DropReason
from wgpy.datapath import DataPath
from wgpy.datapath.native import SEED_SIZE, NativeDataPath
from wgpy.datapath.native import Offload as DataPathOffload
from wgpy.datapath.native_values import Queue
from wgpy.device import Device
from wgpy.driver.settings import Offload, Settings
from wgpy.host.tun import PacketDevice, TunOffload
from wgpy.lazy_log import LOG
from wgpy.loop.running import running_loop
from wgpy.transport import Transport

_PACKETS_PER_TURN: Final = 64

_Path = TypeVar("_Path", bound=DataPath)


class Watches:
    """Descriptors that the running loop watches, until `close`."""

    def __init__(self) -> None:
        self._watched = ExitStack()

    def add(self, fileno: int, callback: Callable[..., None], *arguments: int) -> None:
        """Call back while there is something to read."""
        loop = running_loop()
        loop.add_reader(fileno, callback, *arguments)
        self._watched.callback(loop.remove_reader, fileno)

    def close(self) -> None:
        self._watched.close()


class Driver(Protocol):
    """The interface, as a traffic sees it."""

    def catch_up(self) -> int | None:
        """Do what is due before new input is given; the time then, or None once the interface has ended."""

    def turn(self) -> None:
        """Let engine and data path see to the new input."""

    def count_drop(self, reason: DropReason) -> None: ...

    def end(self, why: OSError) -> None:
        """The TUN cannot be read any more."""


class Traffic(Protocol):
    """The moving of packets, from `start` to `close`."""

    @property
    def device(self) -> Device[DataPath]: ...

    def start(self, *, reading: bool) -> None:
        """Begin on the running loop. Raises MemoryError if it needs threads and they could not be had.

        reading: as `set_reading`.
        """

    def use_transport(self, transport: Transport) -> None:
        """Use this instead; when this returns, the former one can be closed."""

    def set_reading(self, reading: bool) -> None:
        """Read packets from the TUN, or leave them there once this has returned."""

    def deliver(self) -> None:
        """Hand the TUN what waits in the device."""

    def close(self) -> None:
        """Use neither TUN nor transport any more."""


def open_traffic(packets: PacketDevice, transport: Transport, settings: Settings, driver: Driver) -> Traffic:
    """Raises ValueError if device or transport are not for such a traffic, MemoryError."""
    queues, pairs = len(packets.queue_filenos()), len(transport.filenos())
    if queues != pairs:
        raise ValueError(
            f"{packets.name} has {queues} queues, and there are sockets for {pairs}: want as many"
        )
    if settings.native:
        return NativeTraffic(packets, transport, settings, driver)
    return PortableTraffic(packets, transport, settings, driver)


class PortableTraffic:
    """On the loop, a few packets at a time."""

    def __init__(
        self, packets: PacketDevice, transport: Transport, settings: Settings, driver: Driver
    ) -> None:
        if packets.vnet_header_size:
            raise ValueError(
                f"{packets.name} was opened with IFF_VNET_HDR, which only the data path in C understands: "
                "open it without, or build that"
            )
        packets.set_offloads(TunOffload.NONE)
        # It needs OpenSSL, which is a fifth of the memory of a daemon that can do without.
        from wgpy.datapath.portable import PortableDataPath  # noqa: PLC0415

        self.device = _device(PortableDataPath(staged_bytes=_staged_bytes(settings), flows=_flows(settings)))
        self._packets = packets
        self._transport = transport
        self._driver = driver
        self._tun_watches, self._transport_watches = Watches(), Watches()

    def start(self, *, reading: bool) -> None:
        self.set_reading(reading)
        self._watch_transport()

    def set_reading(self, reading: bool) -> None:
        self._tun_watches.close()
        if reading:
            self._tun_watches.add(self._packets.fileno(), self._on_packets)

    def use_transport(self, transport: Transport) -> None:
        self._transport_watches.close()
        self._transport = transport
        self._watch_transport()

    def close(self) -> None:
        self._tun_watches.close()
        self._transport_watches.close()

    def _watch_transport(self) -> None:
        for pair in self._transport.filenos():
            for fileno in pair:
                if fileno >= 0:
                    self._transport_watches.add(fileno, self._on_datagrams, fileno)

    def _on_packets(self) -> None:
        now = self._driver.catch_up()
        if now is None:
            return
        try:
            for _ in range(_PACKETS_PER_TURN):
                packet = self._packets.read()
                if packet is None:
                    break
                self.device.send(packet, now)
        except OSError as error:
            self._driver.end(error)
        else:
            self._driver.turn()

    def _on_datagrams(self, fileno: int) -> None:
        now = self._driver.catch_up()
        if now is None:
            return
        for data, source, tos in self._transport.receive(fileno, _PACKETS_PER_TURN):
            self.device.receive(data, source, now, tos)
        self._driver.turn()

    def deliver(self) -> None:
        for packet in self.device.take_packets():
            try:
                self._packets.write(packet)
            except OSError:  # it is down, or its queue is full
                self._driver.count_drop(DropReason.TUN_WRITE_FAILED)


class NativeTraffic:
    """In threads that C runs; the loop wakes only for what the engine is to know."""

    def __init__(
        self, packets: PacketDevice, transport: Transport, settings: Settings, driver: Driver
    ) -> None:
        accepted = packets.set_offloads(tun_offloads(settings))
        self._gro = Offload.GRO in settings.offloads
        self._packets = packets
        self._tuns = packets.queue_filenos()
        self._driver = driver
        offloads = _datapath_offloads(settings, accepted)
        self._datapath = NativeDataPath(
            self._queues(transport),
            vnet_header_size=packets.vnet_header_size,
            offloads=offloads,
            staged_bytes=_staged_bytes(settings),
            small=settings.small,
            flows=_flows(settings),
            seed=os.urandom(SEED_SIZE),
        )
        if DataPathOffload.FILTER in offloads & ~self._datapath.offloads():
            LOG.debug(
                "%s: the kernel takes no filter of datagrams, so a flood wakes this process: "
                "CAP_BPF and CAP_PERFMON are needed at its start",
                packets.name,
            )
        self.device = _device(self._datapath)
        self._watches = Watches()

    def start(self, *, reading: bool) -> None:
        self._watches.add(self._datapath.fileno(), self._on_news)
        self.set_reading(reading)
        self._datapath.start()

    def set_reading(self, reading: bool) -> None:
        if reading:
            self._packets.restore_header()
        self._datapath.set_reading(reading)

    def use_transport(self, transport: Transport) -> None:
        self._datapath.set_sockets(self._queues(transport))

    def close(self) -> None:
        self._watches.close()
        self._datapath.close()

    def _queues(self, transport: Transport) -> list[Queue]:
        if self._gro:
            transport.join_datagrams()
        return [Queue(tun, *pair) for tun, pair in zip(self._tuns, transport.filenos(), strict=True)]

    def _on_news(self) -> None:
        self._datapath.acknowledge()
        if error := self._datapath.failure():
            self._driver.end(OSError(error, os.strerror(error)))
        elif self._driver.catch_up() is not None:
            self._driver.turn()

    def deliver(self) -> None:
        pass  # the threads do


def _device(datapath: _Path) -> Device[_Path]:
    return Device(datapath, random=os.urandom, wall_clock=time.time_ns)


def tun_offloads(settings: Settings) -> TunOffload:
    """What to ask of the TUN."""
    wanted = TunOffload.NONE
    if settings.native:
        for offload, of_tun in _TUN_OFFLOADS.items():
            if offload in settings.offloads:
                wanted |= of_tun
    return wanted


_TUN_OFFLOADS: Final = {
    Offload.CHECKSUM: TunOffload.CHECKSUM,
    Offload.TSO: TunOffload.TSO,
    Offload.USO: TunOffload.USO,
    Offload.UDP_TUNNEL: TunOffload.UDP_TUNNEL,
}


def _datapath_offloads(settings: Settings, accepted: TunOffload) -> DataPathOffload:
    offloads = DataPathOffload.NONE
    if TunOffload.TSO in accepted:
        offloads |= DataPathOffload.TSO
    if TunOffload.USO in accepted:
        offloads |= DataPathOffload.USO
    if Offload.GSO in settings.offloads:
        offloads |= DataPathOffload.GSO
    if Offload.FILTER in settings.offloads:
        offloads |= DataPathOffload.FILTER
    return offloads


def _flows(settings: Settings) -> int:
    return SMALL_FLOWS if settings.small else MAX_FLOWS


def _staged_bytes(settings: Settings) -> int:
    return SMALL_STAGED_BYTES if settings.small else MAX_STAGED_BYTES
