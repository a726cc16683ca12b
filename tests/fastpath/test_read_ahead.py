"""Which packets of the TUN go first: those of a flow stay in order, and sparse flows pass superpackets."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datapath.kinds import DATA_PATHS, drop_counts, sent, with_session
from tests.datapath.packets import ipv4
from tests.datapath.remote import LOCAL_HOST, NOW, REMOTE_HOST, Remote
from tests.fastpath.superpackets import TCP, UDP, Packet, Vnet, segments, superpacket
from wgpy.contract.drops import DropReason

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import ALL_OFFLOADS, NativeUnderTest

MOST = 1380  # bytes of payload of a segment
ANY = Packet(source=ip_address(LOCAL_HOST).packed, destination=ip_address(REMOTE_HOST).packed)
BULK = replace(ANY, payload=bytes(range(256)) * 250)  # 64,000 bytes
OTHER = replace(ANY, ports=(22, 22), payload=b"other")
DATAGRAMS = replace(ANY, protocol=UDP, payload=bytes(60_000))
MORE_FRAGMENTS = 0x2000
SPARSE_LASTS, BULK_LASTS = 250_000_000, 1_000_000_000  # nanoseconds, as in read_ahead.h

Given = tuple[Vnet, bytes]


class Sender:
    """A data path with a session and all offloads, and the remote end of it."""

    def __init__(self) -> None:
        self._remote = Remote()
        path = with_session(partial(NativeUnderTest, offloads=ALL_OFFLOADS), self._remote)
        assert isinstance(path, NativeUnderTest)
        self.path = path
        self._now = NOW

    def send(self, packets: Sequence[Given], *, later: int = 1) -> list[bytes]:
        """What leaves if these lie in the TUN so many nanoseconds after the last ones, without padding."""
        self._now = now = self._now + later
        for vnet, packet in packets:
            self.path.send_superpacket(vnet, packet, now)
        left = [message.packet for message in sent(self.path, self._remote)]
        return [packet[: int.from_bytes(packet[2:4])] for packet in left]


@pytest.fixture
def sender() -> Sender:
    """Which has sent a packet of a sparse flow just now."""
    sender = Sender()
    assert sender.send([single(OTHER)]) == [OTHER.encode()]
    return sender


def single(packet: Packet) -> Given:
    return Vnet(), packet.encode()


def test_a_packet_of_another_flow_does_not_wait_for_superpackets(sender: Sender) -> None:
    left = sender.send([*[superpacket(BULK, MOST)] * 3, single(OTHER)])

    assert left == [OTHER.encode(), *segments(BULK, MOST) * 3]


def test_until_there_are_sparse_flows_superpackets_leave_as_they_come() -> None:
    assert Sender().send([superpacket(BULK, MOST), single(OTHER)]) == [*segments(BULK, MOST), OTHER.encode()]


def test_and_so_they_do_when_the_last_sparse_packet_is_long_ago(sender: Sender) -> None:
    packets = [superpacket(BULK, MOST), single(OTHER)]

    assert sender.send(packets, later=SPARSE_LASTS - 1)[0] == OTHER.encode()
    assert sender.send(packets, later=SPARSE_LASTS)[-1] == OTHER.encode()


def test_a_flow_of_superpackets_is_not_sparse_between_them() -> None:
    sender = Sender()
    acknowledgement = single(replace(BULK, payload=b""))
    sender.send([superpacket(BULK, MOST)])
    sender.send([acknowledgement], later=BULK_LASTS - SPARSE_LASTS)

    assert sender.send([superpacket(BULK, MOST), single(OTHER)])[-1] == OTHER.encode()


def test_nor_does_a_ping_between_the_same_hosts(sender: Sender) -> None:
    ping = ipv4(LOCAL_HOST, REMOTE_HOST, b"\x08" + bytes(63), protocol=1)

    assert sender.send([*[superpacket(BULK, MOST)] * 2, (Vnet(), ping)])[0] == ping


def test_a_packet_of_the_same_flow_waits(sender: Sender) -> None:
    last = replace(BULK, sequence=BULK.sequence + len(BULK.payload), payload=b"the rest")

    assert sender.send([superpacket(BULK, MOST), single(last)]) == [*segments(BULK, MOST), last.encode()]


@pytest.mark.parametrize(
    "fragment", [MORE_FRAGMENTS, MORE_FRAGMENTS | 100, 200], ids=["first", "next", "last"]
)
def test_a_fragment_passes_nothing_and_nothing_passes_it(sender: Sender, fragment: int) -> None:
    part = replace(DATAGRAMS, payload=b"part", fragment=fragment)
    whole = replace(DATAGRAMS, payload=b"whole")

    left = sender.send([superpacket(DATAGRAMS, MOST), single(part), single(whole), single(OTHER)])

    assert left == [*segments(DATAGRAMS, MOST), part.encode(), whole.encode(), OTHER.encode()]


def test_more_than_there_is_room_for_arrives(sender: Sender) -> None:
    left = sender.send([*[superpacket(BULK, MOST)] * 200, single(OTHER)])

    assert left.index(OTHER.encode()) < len(left) - 1
    left.remove(OTHER.encode())
    assert left == segments(BULK, MOST) * 200


def test_a_superpacket_that_leads_nowhere_is_in_nobodys_way(sender: Sender) -> None:
    astray = replace(BULK, destination=bytes([10, 9, 9, 9]))

    assert sender.send([superpacket(astray, MOST), single(replace(astray, payload=b"")), single(OTHER)]) == [
        OTHER.encode()
    ]
    assert drop_counts(sender.path) == {DropReason.NO_PEER_FOR_DESTINATION: len(segments(BULK, MOST)) + 1}


@given(
    arrivals=st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from([TCP, UDP]), st.just(1) | st.integers(2, 45)),
        max_size=120,
    )
)
def test_each_flow_stays_in_order_whatever_comes(arrivals: list[tuple[int, int, int]]) -> None:
    """An arrival: flow, protocol, and how many segments."""
    sender, numbers = Sender(), count()
    sender.send([single(OTHER)])
    packets: list[Given] = []
    expected: list[bytes] = []
    for flow, protocol, segment_count in arrivals:
        payload = b"".join(next(numbers).to_bytes(4) + bytes(MOST - 4) for _ in range(segment_count))
        packet = replace(ANY, ports=(flow, flow), protocol=protocol, payload=payload)
        packets.append(superpacket(packet, MOST) if segment_count > 1 else single(packet))
        expected += segments(packet, MOST)

    left = sender.send(packets)

    assert sorted(left, key=_flow) == sorted(expected, key=_flow)  # which keeps the order within each
    assert drop_counts(sender.path) == {}


def _flow(packet: bytes) -> tuple[int, bytes]:
    return packet[9], packet[20:24]
