"""Packets wait for a session, within limits, and leave in order. Whitepaper 6.1."""

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, drop_counts, prefix, sent, with_peer
from tests.datapath.packets import ipv4
from tests.datapath.remote import HOME, LOCAL_HOST, NOW, REJECT_AFTER_TIME, REMOTE_HOST, Remote
from wgpy.contract.drops import DropReason
from wgpy.contract.events import DataSent, KeyConfirmed, KeyNeeded
from wgpy.contract.orders import (
    AddPeer,
    PurgeStaged,
    RemoveKeypair,
    RemovePeer,
    SendKeepalive,
    SetEndpoint,
    SetRoute,
    UseKeypair,
)

MAX_STAGED_PACKETS = 128
MAX_STAGED_BYTES = 4 * 2**20  # all peers together
STAGED_CELL = 512


def numbered(number: int, size: int = 32, destination: str = REMOTE_HOST) -> bytes:
    return ipv4(LOCAL_HOST, destination, number.to_bytes(size - 20))


def number_of(packet: bytes) -> int:
    return int.from_bytes(packet[20 : int.from_bytes(packet[2:4])])


def start_session(path: DataPathUnderTest, remote: Remote, peer: int = PEER) -> None:
    path.apply(remote.keypair(peer), NOW)
    path.apply(UseKeypair(peer, remote.local_index), NOW)


def test_a_packet_without_a_keypair_is_kept_and_asks_for_one(datapath: MakeDataPath) -> None:
    path = with_peer(datapath)

    path.send_packet(numbered(1), NOW)

    assert path.take_datagrams() == []
    assert path.take_events() == [KeyNeeded(PEER)]
    assert drop_counts(path) == {}


def test_every_staged_packet_asks_again(datapath: MakeDataPath) -> None:
    path = with_peer(datapath)
    for _ in range(3):
        path.send_packet(numbered(1), NOW)
    assert path.take_events() == [KeyNeeded(PEER)], "many packets, one flag"

    path.send_packet(numbered(1), NOW)

    assert path.take_events() == [KeyNeeded(PEER)]


def test_an_installed_keypair_does_not_send_before_it_is_used(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    path.send_packet(numbered(1), NOW)
    path.apply(remote.keypair(PEER), NOW)

    path.send_packet(numbered(2), NOW)
    assert path.take_datagrams() == []
    path.apply(UseKeypair(PEER, remote.local_index), NOW)

    assert [number_of(message.packet) for message in sent(path, remote)] == [1, 2]


@pytest.fixture
def newer() -> Remote:
    """The peer's side of a later session."""
    return Remote(local_index=0x33333333, remote_index=0x44444444)


def test_a_keypair_sends_once_the_other_side_has_used_it(path: DataPathUnderTest, newer: Remote) -> None:
    """At once: that side may have no other any more, and what its packet is answered with is on its way."""
    path.apply(newer.keypair(PEER), NOW)

    path.receive_datagram(newer.seal(), HOME, NOW)
    path.send_packet(numbered(1), NOW)

    assert [message.receiver_index for message in sent(path, newer)] == [newer.remote_index]


def test_an_older_keypair_does_not_send_when_the_other_side_uses_it(
    datapath: MakeDataPath, remote: Remote, newer: Remote
) -> None:
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER), NOW)
    path.apply(newer.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, newer.local_index), NOW)

    path.receive_datagram(remote.seal(), HOME, NOW)
    path.send_packet(numbered(1), NOW)

    assert [message.receiver_index for message in sent(path, newer)] == [newer.remote_index]


def test_no_packet_overtakes_those_that_wait_for_the_order_to_use_a_keypair(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = with_peer(datapath)
    path.send_packet(numbered(1), NOW)
    path.apply(remote.keypair(PEER), NOW)
    path.take_events()

    path.receive_datagram(remote.seal(), HOME, NOW)
    path.send_packet(numbered(2), NOW)
    assert path.take_datagrams() == []
    assert path.take_events() == [KeyConfirmed(PEER, remote.local_index)]
    path.apply(UseKeypair(PEER, remote.local_index), NOW)

    assert [number_of(message.packet) for message in sent(path, remote)] == [1, 2]


def test_staged_packets_leave_in_order_before_later_ones(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    for number in range(10):
        path.send_packet(numbered(number), NOW)

    start_session(path, remote)
    path.send_packet(numbered(10), NOW)

    messages = sent(path, remote)
    assert [number_of(message.packet) for message in messages] == list(range(11))
    assert [message.counter for message in messages] == list(range(11))
    assert path.take_events() == [KeyNeeded(PEER), DataSent(PEER)]


def test_staged_packets_leave_once(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    path.send_packet(numbered(1), NOW)
    start_session(path, remote)
    assert len(path.take_datagrams()) == 1

    path.apply(UseKeypair(PEER, remote.local_index), NOW)

    assert path.take_datagrams() == []


def test_of_too_many_packets_the_newest_are_kept(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    for number in range(MAX_STAGED_PACKETS + 3):
        path.send_packet(numbered(number), NOW)
    assert drop_counts(path) == {DropReason.STAGED_QUEUE_FULL: 3}

    start_session(path, remote)

    kept = [number_of(message.packet) for message in sent(path, remote)]
    assert kept == list(range(3, MAX_STAGED_PACKETS + 3))


def crowd(path: DataPathUnderTest, size: int) -> int:
    """Other peers fill the pool with packets of this size; returns how many packets it holds."""
    fits = MAX_STAGED_BYTES // (-(-size // STAGED_CELL) * STAGED_CELL)
    for number in range(fits):
        peer, first = 100 + number // MAX_STAGED_PACKETS, number % MAX_STAGED_PACKETS == 0
        address = f"10.1.0.{peer - 100}"
        if first:
            path.apply(AddPeer(peer), NOW)
            path.apply(SetEndpoint(peer, HOME), NOW)
            path.apply(SetRoute(peer, prefix(address)), NOW)
        path.send_packet(numbered(number, size, address), NOW)
    assert drop_counts(path) == {}
    return fits


@pytest.mark.parametrize("size", [8192, 8192 - 511, 1024 - 1])
def test_all_peers_share_one_pool_of_cells(datapath: MakeDataPath, size: int) -> None:
    path = with_peer(datapath)
    crowd(path, size)

    path.send_packet(numbered(1), NOW)

    assert drop_counts(path) == {DropReason.STAGED_QUEUE_FULL: 1}
    assert KeyNeeded(PEER) in path.take_events(), "a key would empty the pool"


def test_a_staged_keepalive_takes_a_cell(datapath: MakeDataPath) -> None:
    path = with_peer(datapath)
    crowd(path, STAGED_CELL)

    path.apply(SendKeepalive(PEER), NOW)

    assert drop_counts(path) == {DropReason.STAGED_QUEUE_FULL: 1}


@pytest.mark.parametrize("size", [20, 511, 512, 513, 1024, 1025, 65_472])
def test_a_packet_that_waited_is_as_it_was(datapath: MakeDataPath, remote: Remote, size: int) -> None:
    path = with_peer(datapath, mtu=65_535)
    packets = [ipv4(LOCAL_HOST, REMOTE_HOST, bytes([number]) * (size - 20)) for number in range(3)]
    for packet in packets:
        path.send_packet(packet, NOW)

    start_session(path, remote)

    assert [message.packet[:size] for message in sent(path, remote)] == packets


def test_in_a_full_pool_a_peers_new_packet_takes_the_place_of_its_oldest(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = with_peer(datapath)
    for number in range(4):
        path.send_packet(numbered(number, 2048), NOW)
    for peer in (8, 9, 10, 11):
        path.apply(AddPeer(peer), NOW)
        path.apply(SetEndpoint(peer, HOME), NOW)
        path.apply(SetRoute(peer, prefix(f"10.1.0.{peer}")), NOW)
    for number in range(511):
        path.send_packet(numbered(number, 8192, f"10.1.0.{8 + number // 128}"), NOW)
    assert drop_counts(path) == {}

    path.send_packet(numbered(4, 3000), NOW)  # needs the room of two of 2048

    assert drop_counts(path) == {DropReason.STAGED_QUEUE_FULL: 2}
    start_session(path, remote)
    assert [number_of(message.packet) for message in sent(path, remote)] == [2, 3, 4]


def test_room_in_the_pool_comes_back(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    fits = crowd(path, 8192)
    last = 100 + (fits - 1) // MAX_STAGED_PACKETS
    path.apply(PurgeStaged(100), NOW)
    path.apply(RemovePeer(101), NOW)
    start_session(path, remote, last)
    path.apply(AddPeer(1), NOW)
    path.apply(SetEndpoint(1, HOME), NOW)
    path.apply(SetRoute(1, prefix("10.2.0.1")), NOW)
    before = path.counters().get(DropReason.STAGED_QUEUE_FULL, 0)

    for number in range(MAX_STAGED_PACKETS):
        path.send_packet(numbered(number, 3 * 8192, "10.2.0.1"), NOW)

    assert path.counters().get(DropReason.STAGED_QUEUE_FULL, 0) == before


def test_purged_packets_are_gone_and_counted(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    for number in range(5):
        path.send_packet(numbered(number), NOW)

    path.apply(PurgeStaged(PEER), NOW)
    start_session(path, remote)

    assert path.take_datagrams() == []
    assert drop_counts(path) == {DropReason.STAGED_PURGED: 5}


def test_the_packets_of_a_removed_peer_count_as_purged(datapath: MakeDataPath) -> None:
    path = with_peer(datapath)
    path.send_packet(numbered(1), NOW)

    path.apply(RemovePeer(PEER), NOW)

    assert drop_counts(path) == {DropReason.STAGED_PURGED: 1}


# -- Keepalives ----------------------------------------------------------------------------------


def test_a_keepalive_without_a_keypair_is_staged_and_asks_for_one(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = with_peer(datapath)

    path.apply(SendKeepalive(PEER), NOW)
    assert path.take_datagrams() == []
    assert path.take_events() == [KeyNeeded(PEER)]
    start_session(path, remote)

    assert [message.packet for message in sent(path, remote)] == [b""]


def test_a_staged_packet_is_keepalive_enough(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    path.send_packet(numbered(1), NOW)
    path.take_events()

    path.apply(SendKeepalive(PEER), NOW)
    assert path.take_events() == [KeyNeeded(PEER)]
    start_session(path, remote)

    assert [number_of(message.packet) for message in sent(path, remote)] == [1]


def test_keepalives_do_not_pile_up(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    for _ in range(5):
        path.apply(SendKeepalive(PEER), NOW)

    start_session(path, remote)

    assert [message.packet for message in sent(path, remote)] == [b""]


def test_a_new_session_without_staged_packets_is_confirmed_by_a_keepalive(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER), NOW)

    path.apply(UseKeypair(PEER, remote.local_index, confirm=True), NOW)

    assert [message.packet for message in sent(path, remote)] == [b""]


def test_a_new_session_with_staged_packets_is_confirmed_by_these(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = with_peer(datapath)
    path.send_packet(numbered(1), NOW)
    path.apply(remote.keypair(PEER), NOW)

    path.apply(UseKeypair(PEER, remote.local_index, confirm=True), NOW)

    assert [number_of(message.packet) for message in sent(path, remote)] == [1]


def test_a_session_that_needs_no_confirmation_begins_silently(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER), NOW)

    path.apply(UseKeypair(PEER, remote.local_index), NOW)

    assert path.take_datagrams() == []


# -- Sending ends --------------------------------------------------------------------------------


def test_a_peer_told_to_use_no_keypair_stages(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(UseKeypair(PEER, None), NOW)

    path.send_packet(numbered(1), NOW)
    assert path.take_datagrams() == []
    assert path.take_events() == [KeyNeeded(PEER)]
    path.apply(UseKeypair(PEER, remote.local_index), NOW)

    assert [number_of(message.packet) for message in sent(path, remote)] == [1]


def test_a_peer_whose_sending_keypair_is_removed_stages(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(RemoveKeypair(PEER, remote.local_index), NOW)

    path.send_packet(numbered(1), NOW)

    assert path.take_datagrams() == []
    assert path.take_events() == [KeyNeeded(PEER)]


def test_a_keypair_that_is_too_old_already_sends_nothing_staged(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = with_peer(datapath)
    path.send_packet(numbered(1), NOW)
    path.apply(remote.keypair(PEER), NOW)
    path.take_events()

    path.apply(UseKeypair(PEER, remote.local_index), NOW + REJECT_AFTER_TIME)

    assert path.take_datagrams() == []
    assert path.take_events() == [KeyNeeded(PEER)]
