"""The C data path with the interface of the portable one, in a world of its own (world.c).

Packets and datagrams are collected as long as they come at one moment and from one side, then moved in one
step: so the suite meets batches, and with `offloads` superpackets and joined datagrams, as busy tunnels do.
"""

import tempfile
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from tests.fastpath.extension import build_extension
from tests.fastpath.superpackets import GSO_NONE, VNET_SIZE, Vnet
from wgpy._fastpath import ffi
from wgpy.contract.constants import DEFAULT_MTU, MAX_FLOWS
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.events import Event, PeerActivity, PeerId, RelayCounts
from wgpy.contract.orders import AllowedIP, DataPathOrder, InstallKeypair
from wgpy.datapath import Counters, Datagram
from wgpy.datapath.native import NativeDataPath, Offload
from wgpy.datapath.native_values import Queue, pack_endpoint, unpack_endpoint

ALL_OFFLOADS = Offload.TSO | Offload.USO | Offload.GSO
ROOM = 2**17
MAX_JOINED = 64  # datagrams
MAX_JOINED_BYTES = 65_507


@cache
def extension() -> tuple[Any, Any]:
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as place:
        return build_extension([str(here / "world")], [str(here / "world.h")], Path(place))


class Call(Enum):
    """The system calls that a world counts and fails."""

    READV = 0
    WRITEV = 1
    RECVMMSG = 2
    SENDMMSG = 3
    POLL = 4  # which fails by timing out


class World:
    """world.h for Python."""

    def __init__(self) -> None:
        self._ffi, self._lib = extension()
        self._c = self._ffi.gc(self._lib.world_new(), self._lib.world_free)
        self._label = self._ffi.new("struct world_label *")
        self._data = self._ffi.new("uint8_t[]", ROOM)
        self.queue = Queue(self._lib.WORLD_TUN, self._lib.WORLD_UDP4, self._lib.WORLD_UDP6)
        self.system = ffi.cast("void *", int(self._ffi.cast("uintptr_t", self._lib.world_system())))

    def enter(self, now: int) -> None:
        self._lib.world_enter(self._c, now)

    def fail(self, call: Call, error: int, *, skip: int = 0, count: int = 1, joined: bool = False) -> None:
        """After `skip` more, let `count` calls fail; joined: of those with a superpacket or UDP_SEGMENT."""
        self._lib.world_fail(self._c, call.value, error, skip, count, joined)

    def calls(self, call: Call) -> int:
        """How many there were; sendmmsg is one, however many its messages."""
        return int(self._lib.world_calls(self._c, call.value))

    def give_packet(self, data: bytes) -> None:
        self._lib.world_tun_give(self._c, data, len(data))

    def take_packets(self) -> Iterator[bytes]:
        while (length := self._lib.world_tun_take(self._c, self._data, ROOM)) >= 0:
            yield bytes(self._ffi.buffer(self._data, length))

    def give_datagrams(self, data: bytes, source: Endpoint, tos: int, segment_size: int) -> None:
        """segment_size: of what they are joined of; 0 for one datagram."""
        label = self._label
        self._ffi.buffer(label.endpoint)[:] = pack_endpoint(source)
        label.tos, label.segment_size = tos, segment_size
        self._lib.world_udp_give(self._c, label, data, len(data))

    def take_datagrams(self) -> Iterator[tuple[bytes, Endpoint, int, int]]:
        """Each with endpoint, TOS, and of what size it is joined."""
        label = self._label
        while (length := self._lib.world_udp_take(self._c, label, self._data, ROOM)) >= 0:
            data = bytes(self._ffi.buffer(self._data, length))
            yield (
                data,
                unpack_endpoint(bytes(self._ffi.buffer(label.endpoint))),
                label.tos,
                label.segment_size,
            )


class NativeUnderTest:
    """offloads: superpackets to the TUN, with virtio headers, and joined datagrams in both directions.

    `path` is the data path itself, `world` where it is; `settle` before using either.
    """

    def __init__(
        self,
        *,
        mtu: int = DEFAULT_MTU,
        accept_foreign: bool = False,
        flows: int = MAX_FLOWS,
        offloads: Offload = Offload.NONE,
        vnet_header_size: int = VNET_SIZE,
    ) -> None:
        self.world = World()
        self.joins = bool(offloads)
        self._header = vnet_header_size if offloads else 0
        self.path = NativeDataPath(
            [self.world.queue],
            vnet_header_size=self._header,
            offloads=offloads,
            mtu=mtu,
            accept_foreign=accept_foreign,
            flows=flows,
            seed=b"any sixteen byte",
            system=self.world.system,
        )
        self._given: list[tuple[bytes, Endpoint, int]] = []  # datagrams of `_moment`
        self._moment: tuple[int, bool] | None = None  # time, and whether datagrams came then or packets
        self._peers: dict[int, PeerId] = {}  # by remote index

    # -- The world's side ------------------------------------------------------------------------

    def send_packet(self, packet: bytes, now: int) -> None:
        self.send_superpacket(Vnet(), packet, now)

    def send_superpacket(self, vnet: Vnet, packet: bytes, now: int) -> None:
        """Only with offloads may it be one."""
        self._begin(now, False)
        self.world.give_packet(vnet.encode()[: self._header] + packet)

    def receive_datagram(self, data: bytes, source: Endpoint, now: int, tos: int = 0) -> None:
        self._begin(now, True)
        self._given.append((data, source, tos))

    def take_datagrams(self) -> list[Datagram]:
        self.settle()
        return [
            Datagram(data[at : at + (size or len(data))], endpoint, tos, self._peer_of(data))
            for data, endpoint, tos, size in self.world.take_datagrams()
            for at in range(0, len(data), size or len(data))
        ]

    def take_packets(self) -> list[bytes]:
        self.settle()
        return [packet for written in self.world.take_packets() for packet in self._cut(written)]

    def settle(self) -> None:
        """Let the data path move what was given."""
        if self._moment is None:
            return
        self.world.enter(max(self._moment[0], 1))
        for data, source, tos, size in join(self._given) if self.joins else alone(self._given):
            self.world.give_datagrams(data, source, tos, size)
        self._given.clear()
        self._moment = None
        self.path.step()

    def _begin(self, now: int, inbound: bool) -> None:
        if self._moment != (now, inbound):
            self.settle()
            self._moment = now, inbound

    def _peer_of(self, data: bytes) -> PeerId | None:
        return self._peers.get(int.from_bytes(data[4:8], "little"))

    def _cut(self, written: bytes) -> list[bytes]:
        header, packet = written[: self._header], written[self._header :]
        vnet = Vnet.decode(header.ljust(VNET_SIZE, b"\0"))
        if vnet.gso_type == GSO_NONE:
            return [packet]
        from tests.fastpath.offloads import cut

        return cut(vnet, packet)

    # -- The engine's side -----------------------------------------------------------------------

    def apply(self, action: DataPathOrder, now: int) -> None:
        self.settle()
        self.world.enter(max(now, 1))
        self.path.apply(action, max(now, 1))
        if isinstance(action, InstallKeypair):
            self._peers[action.remote_index] = action.peer

    def take_events(self) -> list[Event]:
        self.settle()
        return self.path.take_events()

    def note_handshake(self, message: bytes, peer: PeerId | None) -> None:
        self.path.note_handshake(message, peer)

    def next_handshake(self) -> tuple[bytes, Endpoint] | None:
        self.settle()
        return self.path.next_handshake()

    @property
    def handshakes_waiting(self) -> int:
        self.settle()
        return self.path.handshakes_waiting

    def accept_foreign(self) -> None:
        self.settle()
        self.path.accept_foreign()

    def expect_foreign(self, magic: bytes, hints: frozenset[bytes]) -> None:
        self.settle()
        self.path.expect_foreign(magic, hints)

    def take_foreign(self) -> list[tuple[bytes, Endpoint]]:
        self.settle()
        return self.path.take_foreign()

    def activity(self, peer: PeerId) -> PeerActivity:
        self.settle()
        return self.path.activity(peer)

    def allowed_ips(self, peer: PeerId) -> list[AllowedIP]:
        return self.path.allowed_ips(peer)

    def counters(self) -> Counters:
        self.settle()
        return self.path.counters()

    def rule_counts(self) -> list[int]:
        self.settle()
        return self.path.rule_counts()

    def relay_counts(self) -> RelayCounts:
        self.settle()
        return self.path.relay_counts()

    def set_mtu(self, mtu: int) -> None:
        self.settle()
        self.path.set_mtu(mtu)

    def set_silent(self, silent: bool) -> None:
        self.settle()
        self.path.set_silent(silent)


Given = list[tuple[bytes, Endpoint, int]]


def alone(given: Given) -> Iterator[tuple[bytes, Endpoint, int, int]]:
    return ((*datagram, 0) for datagram in given)


def join(given: Given) -> Iterator[tuple[bytes, Endpoint, int, int]]:
    """As the kernel joins datagrams of one source and size, of which the last may be shorter."""
    run: list[bytes] = []
    for number, (data, source, tos) in enumerate(given):
        run.append(data)
        if number + 1 == len(given) or not _takes(run, source, tos, given[number + 1]):
            yield b"".join(run), source, tos, len(run[0]) if len(run) > 1 else 0
            run = []


def _takes(run: list[bytes], source: Endpoint, tos: int, following: tuple[bytes, Endpoint, int]) -> bool:
    size, (data, *label) = len(run[0]), following
    return (
        label == [source, tos]
        and len(run[-1]) == size
        and 0 < len(data) <= size
        and len(run) < MAX_JOINED
        and len(run) * size + len(data) <= MAX_JOINED_BYTES
    )
