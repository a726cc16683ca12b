"""Data messages become packets for the TUN, or are dropped with a reason. Whitepaper 5.4.6."""

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, drop_counts, prefix, with_peer
from tests.datapath.packets import ipv4, ipv6
from tests.datapath.remote import (
    AWAY,
    HOME,
    LOCAL_HOST,
    LOCAL_HOST6,
    NOW,
    REJECT_AFTER_MESSAGES,
    REJECT_AFTER_TIME,
    REMOTE_HOST,
    REMOTE_HOST6,
    STRANGE_HOST,
    Remote,
)
from wgpy.contract.drops import DropReason
from wgpy.contract.events import EndpointChanged, PeerActivity
from wgpy.contract.orders import AddPeer, RemoveKeypair, SetEndpoint, SetRoute

PACKET = ipv4(REMOTE_HOST, LOCAL_HOST, b"payload")
PACKET6 = ipv6(REMOTE_HOST6, LOCAL_HOST6, b"payload")


def assert_dropped_unread(path: DataPathUnderTest, reason: DropReason) -> None:
    """It was counted, and left no other trace: it was not authentic."""
    assert drop_counts(path) == {reason: 1}
    assert path.take_packets() == []
    assert path.take_events() == []
    assert path.activity(PEER) == PeerActivity()


@pytest.mark.parametrize("packet", [PACKET, PACKET6], ids=["ipv4", "ipv6"])
def test_a_packet_comes_out_as_it_went_in(path: DataPathUnderTest, remote: Remote, packet: bytes) -> None:
    path.receive_datagram(remote.seal(packet), HOME, NOW)

    assert path.take_packets() == [packet]
    assert path.take_packets() == []


@pytest.mark.parametrize("packet", [PACKET, PACKET6], ids=["ipv4", "ipv6"])
def test_padding_is_cut_off(path: DataPathUnderTest, remote: Remote, packet: bytes) -> None:
    path.receive_datagram(remote.seal(packet + bytes(9)), HOME, NOW)

    assert path.take_packets() == [packet]


def test_a_keepalive_gives_no_packet(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(b""), HOME, NOW)

    assert path.take_packets() == []
    assert drop_counts(path) == {}


def test_every_installed_keypair_receives(path: DataPathUnderTest, remote: Remote) -> None:
    fresh = Remote(local_index=5, receiving_key=b"another one, in.")
    path.apply(fresh.keypair(PEER), NOW)

    path.receive_datagram(fresh.seal(PACKET), HOME, NOW)
    path.receive_datagram(remote.seal(PACKET6), HOME, NOW)

    assert path.take_packets() == [PACKET, PACKET6]


def test_packets_keep_the_order_of_their_messages_whichever_keypairs_these_are_of(
    path: DataPathUnderTest, remote: Remote
) -> None:
    """A network may let the last messages of a session and the first of the next change places."""
    fresh = Remote(local_index=5, receiving_key=b"another one, in.")
    path.apply(fresh.keypair(PEER), NOW)
    packets = [ipv4(REMOTE_HOST, LOCAL_HOST, bytes([number])) for number in range(6)]

    for packet, session in zip(packets, [remote, fresh, remote, remote, fresh, remote], strict=True):
        path.receive_datagram(session.seal(packet), HOME, NOW)

    assert path.take_packets() == packets


# -- Not authentic -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 15, 16, 31])
def test_a_data_message_too_short_for_its_tag_is_malformed(
    path: DataPathUnderTest, remote: Remote, size: int
) -> None:
    path.receive_datagram(remote.seal()[:size], HOME, NOW)

    assert_dropped_unread(path, DropReason.MALFORMED)


def test_an_index_of_no_keypair_is_unknown(path: DataPathUnderTest) -> None:
    path.receive_datagram(Remote(local_index=99).seal(PACKET), HOME, NOW)

    assert_dropped_unread(path, DropReason.UNKNOWN_INDEX)


def test_the_index_of_a_removed_keypair_is_unknown(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(RemoveKeypair(PEER, remote.local_index), NOW)

    path.receive_datagram(remote.seal(PACKET), HOME, NOW)

    assert_dropped_unread(path, DropReason.UNKNOWN_INDEX)


def test_a_keypair_opens_until_its_last_nanosecond(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(PACKET), HOME, NOW + REJECT_AFTER_TIME - 1)
    path.receive_datagram(remote.seal(PACKET), HOME, NOW + REJECT_AFTER_TIME)

    assert path.take_packets() == [PACKET]
    assert drop_counts(path) == {DropReason.KEYPAIR_EXPIRED: 1}


@pytest.mark.parametrize("counter", [REJECT_AFTER_MESSAGES, 2**64 - 1])
def test_a_counter_that_nobody_may_use_is_refused(
    path: DataPathUnderTest, remote: Remote, counter: int
) -> None:
    path.receive_datagram(remote.seal(PACKET, counter), HOME, NOW)

    assert_dropped_unread(path, DropReason.KEYPAIR_EXPIRED)


def test_the_last_counter_is_accepted(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(PACKET, REJECT_AFTER_MESSAGES - 1), HOME, NOW)

    assert path.take_packets() == [PACKET]


@pytest.mark.parametrize("position", [8, 15, 16, 40, -1], ids=str)
def test_a_message_with_one_bit_changed_is_refused(
    path: DataPathUnderTest, remote: Remote, position: int
) -> None:
    """Counter, packet or tag; the index chooses the keypair and is tested above."""
    changed = bytearray(remote.seal(PACKET, 0x0102030405060708))
    changed[position] ^= 0x01

    path.receive_datagram(bytes(changed), HOME, NOW)

    assert_dropped_unread(path, DropReason.DECRYPTION_FAILED)


def test_our_own_message_sent_back_is_refused(path: DataPathUnderTest, remote: Remote) -> None:
    path.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST), NOW)
    [datagram] = path.take_datagrams()
    reflected = datagram.data[:4] + remote.local_index.to_bytes(4, "little") + datagram.data[8:]

    path.receive_datagram(reflected, HOME, NOW)

    assert drop_counts(path) == {DropReason.DECRYPTION_FAILED: 1}


def test_a_replayed_message_is_refused_and_moves_nothing(path: DataPathUnderTest, remote: Remote) -> None:
    message = remote.seal(PACKET)
    path.receive_datagram(message, HOME, NOW)
    path.take_packets()
    path.take_events()
    before = path.activity(PEER)

    path.receive_datagram(message, AWAY, NOW + 1)

    assert path.take_packets() == []
    assert path.take_events() == []
    assert path.activity(PEER) == before
    assert drop_counts(path) == {DropReason.REPLAYED_COUNTER: 1}


def test_messages_may_arrive_out_of_order(path: DataPathUnderTest, remote: Remote) -> None:
    for counter in (5, 3, 4, 0, 8000, 2):
        path.receive_datagram(remote.seal(PACKET, counter), HOME, NOW)

    assert len(path.take_packets()) == 6


def test_a_message_8128_behind_is_accepted_and_one_more_is_not(
    path: DataPathUnderTest, remote: Remote
) -> None:
    path.receive_datagram(remote.seal(PACKET, 10_000), HOME, NOW)

    path.receive_datagram(remote.seal(PACKET, 10_000 - 8128), HOME, NOW)
    path.receive_datagram(remote.seal(PACKET, 10_000 - 8129), HOME, NOW)

    assert len(path.take_packets()) == 2
    assert drop_counts(path) == {DropReason.REPLAYED_COUNTER: 1}


def test_a_forged_message_does_not_advance_the_window(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(Remote(receiving_key=b"a wrong key....!").seal(PACKET, 2**60), HOME, NOW)

    path.receive_datagram(remote.seal(PACKET, 0), HOME, NOW)

    assert path.take_packets() == [PACKET]


# -- Authentic, and yet no packet ----------------------------------------------------------------

LIAR = bytearray(PACKET)
LIAR[2:4] = (len(PACKET) + 1).to_bytes(2)


@pytest.mark.parametrize(
    "packet",
    [
        bytes(16),
        b"\x45",
        PACKET[:19],
        bytes(LIAR),
        PACKET[:2] + b"\0\x13" + PACKET[4:],
        PACKET6[:39],
        PACKET6[:4] + b"\0\x08" + PACKET6[6:],
        b"\x55" + PACKET[1:],
        b"\x70" + PACKET6[1:],
    ],
    ids=[
        "zeros",
        "one byte",
        "part of an IPv4 header",
        "IPv4 longer than it is",
        "IPv4 shorter than its header",
        "part of an IPv6 header",
        "IPv6 longer than it is",
        "version 5",
        "version 7",
    ],
)
def test_what_is_no_packet_inside_is_dropped(path: DataPathUnderTest, remote: Remote, packet: bytes) -> None:
    path.receive_datagram(remote.seal(packet), HOME, NOW)

    assert path.take_packets() == []
    assert drop_counts(path) == {DropReason.INVALID_PACKET: 1}


@pytest.mark.parametrize(
    "packet",
    [ipv4(STRANGE_HOST, LOCAL_HOST), ipv4(LOCAL_HOST, REMOTE_HOST), ipv6("fd09::9", LOCAL_HOST6)],
    ids=["of nobody", "of ourselves", "of nobody, IPv6"],
)
def test_a_source_that_is_not_the_peers_is_dropped(
    path: DataPathUnderTest, remote: Remote, packet: bytes
) -> None:
    path.receive_datagram(remote.seal(packet), HOME, NOW)

    assert path.take_packets() == []
    assert drop_counts(path) == {DropReason.SOURCE_NOT_ALLOWED: 1}


def test_another_peers_source_is_dropped(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(AddPeer(8), NOW)
    path.apply(SetRoute(8, prefix(REMOTE_HOST)), NOW)

    path.receive_datagram(remote.seal(PACKET), HOME, NOW)

    assert drop_counts(path) == {DropReason.SOURCE_NOT_ALLOWED: 1}


def test_a_packet_dropped_for_its_source_still_moves_the_endpoint(
    path: DataPathUnderTest, remote: Remote
) -> None:
    path.receive_datagram(remote.seal(ipv4(STRANGE_HOST, LOCAL_HOST)), AWAY, NOW)

    assert EndpointChanged(PEER, AWAY) in path.take_events()
    path.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST), NOW)
    assert path.take_datagrams()[0].endpoint == AWAY


# -- Roaming -------------------------------------------------------------------------------------


def test_an_authentic_message_from_elsewhere_moves_the_endpoint(
    path: DataPathUnderTest, remote: Remote
) -> None:
    path.receive_datagram(remote.seal(), AWAY, NOW)

    assert path.take_events() == [EndpointChanged(PEER, AWAY)]
    path.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST), NOW)
    assert path.take_datagrams()[0].endpoint == AWAY


def test_a_move_is_told_once(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(), AWAY, NOW)
    path.take_events()

    path.receive_datagram(remote.seal(), AWAY, NOW)

    assert path.take_events() == []


def test_a_message_from_the_known_endpoint_says_nothing_of_it(
    path: DataPathUnderTest, remote: Remote
) -> None:
    path.receive_datagram(remote.seal(), HOME, NOW)

    assert path.take_events() == []


def test_a_peer_that_moves_twice_is_reported_where_it_is_now(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(), AWAY, NOW)
    path.receive_datagram(remote.seal(), AWAY._replace(port=1025), NOW)

    assert path.take_events() == [EndpointChanged(PEER, AWAY._replace(port=1025))]


def test_a_local_address_that_changed_is_a_move_too(path: DataPathUnderTest, remote: Remote) -> None:
    here = HOME._replace(local_address="192.0.2.9", local_interface=4)

    path.receive_datagram(remote.seal(), here, NOW)

    assert path.take_events() == [EndpointChanged(PEER, here)]


def test_a_peer_without_an_endpoint_gets_the_first_authentic_one(
    datapath: MakeDataPath, remote: Remote
) -> None:
    path = datapath()
    path.apply(AddPeer(PEER), NOW)
    path.apply(remote.keypair(PEER), NOW)

    path.receive_datagram(remote.seal(), AWAY, NOW)

    assert EndpointChanged(PEER, AWAY) in path.take_events()


def test_a_pinned_endpoint_is_moved_by_the_next_order_alone(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(SetEndpoint(PEER, HOME, pinned=True), NOW)

    path.receive_datagram(remote.seal(), AWAY, NOW)

    assert path.take_events() == []
    path.send_packet(ipv4(LOCAL_HOST, REMOTE_HOST), NOW)
    assert path.take_datagrams()[0].endpoint == HOME

    path.apply(SetEndpoint(PEER, HOME), NOW)
    path.receive_datagram(remote.seal(), AWAY, NOW)

    assert EndpointChanged(PEER, AWAY) in path.take_events()


def test_a_forged_message_moves_no_endpoint(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(Remote(receiving_key=b"a wrong key....!").seal(PACKET), AWAY, NOW)

    assert_dropped_unread(path, DropReason.DECRYPTION_FAILED)


def test_a_peer_added_without_a_keypair_receives_nothing(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)

    path.receive_datagram(remote.seal(PACKET), HOME, NOW)

    assert_dropped_unread(path, DropReason.UNKNOWN_INDEX)
