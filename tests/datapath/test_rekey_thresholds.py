"""What the data path reports: rekey thresholds crossed, keypairs confirmed, activity. Whitepaper 6."""

from dataclasses import replace

import pytest

from tests.datapath.kinds import PEER, DataPathUnderTest, MakeDataPath, prefix, with_peer
from tests.datapath.packets import ipv4
from tests.datapath.remote import HOME, LOCAL_HOST, NOW, REMOTE_HOST, SECOND, STRANGE_HOST, Remote
from wgpy.contract.events import (
    DataReceived,
    DataSent,
    EndpointChanged,
    Event,
    KeyAged,
    KeyConfirmed,
    KeyNeeded,
    PeerActivity,
)
from wgpy.contract.orders import AddPeer, SendKeepalive, SetEndpoint, SetRoute, UseKeypair

OUT = ipv4(LOCAL_HOST, REMOTE_HOST, b"payload")
IN = ipv4(REMOTE_HOST, LOCAL_HOST, b"payload")
MARK = NOW + 120 * SECOND


def aged(path: DataPathUnderTest) -> list[Event]:
    return [event for event in path.take_events() if isinstance(event, KeyAged)]


# -- KeyAged -------------------------------------------------------------------------------------


@pytest.fixture
def marked(datapath: MakeDataPath, remote: Remote) -> DataPathUnderTest:
    """Its keypair ages for sending at MARK and for receiving a second later."""
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER, rekey_after_sent_time=MARK, rekey_after_received_time=MARK + SECOND), NOW)
    path.apply(UseKeypair(PEER, remote.local_index), NOW)
    return path


def test_sending_ages_a_keypair_from_its_mark_on_and_says_so_once(
    marked: DataPathUnderTest, remote: Remote
) -> None:
    marked.send_packet(OUT, MARK - 1)
    assert aged(marked) == []

    marked.send_packet(OUT, MARK)
    assert aged(marked) == [KeyAged(PEER, remote.local_index)]

    marked.send_packet(OUT, MARK + 1)
    assert aged(marked) == []


def test_a_keepalive_ages_a_keypair_too(marked: DataPathUnderTest, remote: Remote) -> None:
    marked.apply(SendKeepalive(PEER), MARK)

    assert aged(marked) == [KeyAged(PEER, remote.local_index)]


def test_receiving_ages_a_keypair_from_its_mark_on_and_says_so_once(
    marked: DataPathUnderTest, remote: Remote
) -> None:
    marked.receive_datagram(remote.seal(IN), HOME, MARK + SECOND - 1)
    assert aged(marked) == []

    marked.receive_datagram(remote.seal(), HOME, MARK + SECOND)
    assert aged(marked) == [KeyAged(PEER, remote.local_index)]

    marked.receive_datagram(remote.seal(IN), HOME, MARK + SECOND + 1)
    assert aged(marked) == []


def test_each_mark_is_reported_for_itself(marked: DataPathUnderTest, remote: Remote) -> None:
    marked.send_packet(OUT, MARK)
    assert aged(marked) == [KeyAged(PEER, remote.local_index)]

    marked.receive_datagram(remote.seal(), HOME, MARK + SECOND)

    assert aged(marked) == [KeyAged(PEER, remote.local_index)]


def test_time_alone_ages_nothing(marked: DataPathUnderTest) -> None:
    assert aged(marked) == []


def test_a_keypair_without_marks_never_ages(path: DataPathUnderTest, remote: Remote) -> None:
    path.send_packet(OUT, NOW + 179 * SECOND)
    path.receive_datagram(remote.seal(IN), HOME, NOW + 179 * SECOND)

    assert aged(path) == []


def test_receiving_by_an_older_keypair_ages_that_one(marked: DataPathUnderTest, remote: Remote) -> None:
    marked.apply(Remote(local_index=5).keypair(PEER), NOW)
    marked.apply(UseKeypair(PEER, 5), NOW)

    marked.receive_datagram(remote.seal(IN), HOME, MARK + SECOND)

    assert aged(marked) == [KeyAged(PEER, remote.local_index)]


# -- KeyConfirmed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "packet", [IN, b"", ipv4(STRANGE_HOST, LOCAL_HOST)], ids=["data", "keepalive", "drop"]
)
def test_the_first_authentic_message_confirms_a_keypair_that_does_not_send(
    datapath: MakeDataPath, remote: Remote, packet: bytes
) -> None:
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER), NOW)

    path.receive_datagram(remote.seal(packet), HOME, NOW)

    assert KeyConfirmed(PEER, remote.local_index) in path.take_events()


def test_a_keypair_is_confirmed_once(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER), NOW)
    path.receive_datagram(remote.seal(), HOME, NOW)
    path.take_events()

    path.receive_datagram(remote.seal(), HOME, NOW)

    assert path.take_events() == []


def test_a_keypair_that_was_used_needs_no_confirmation(path: DataPathUnderTest, remote: Remote) -> None:
    path.apply(UseKeypair(PEER, None), NOW)

    path.receive_datagram(remote.seal(), HOME, NOW)

    assert path.take_events() == []


def test_a_forged_message_confirms_nothing(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER), NOW)

    path.receive_datagram(Remote(receiving_key=b"a wrong key....!").seal(), HOME, NOW)

    assert path.take_events() == []


# -- Activity ------------------------------------------------------------------------------------


def test_a_new_peer_has_done_nothing(datapath: MakeDataPath) -> None:
    assert with_peer(datapath).activity(PEER) == PeerActivity()


def test_the_activity_of_an_unknown_peer_is_a_key_error(path: DataPathUnderTest) -> None:
    with pytest.raises(KeyError):
        path.activity(99)


def test_an_activity_record_is_a_snapshot(path: DataPathUnderTest) -> None:
    before = path.activity(PEER)

    path.send_packet(OUT, NOW)

    assert before == PeerActivity()


def test_sent_data_waits_for_an_answer_from_its_first_packet_on(path: DataPathUnderTest) -> None:
    path.send_packet(OUT, NOW + 1)
    path.send_packet(OUT, NOW + 2)

    record = path.activity(PEER)
    assert (record.first_unanswered_sent, record.last_sent) == (NOW + 1, NOW + 2)
    assert path.take_events() == [DataSent(PEER)]


@pytest.mark.parametrize("answer", [IN, b""], ids=["data", "keepalive"])
def test_anything_authentic_is_an_answer(path: DataPathUnderTest, remote: Remote, answer: bytes) -> None:
    path.send_packet(OUT, NOW)
    path.receive_datagram(remote.seal(answer), HOME, NOW + 1)
    assert path.activity(PEER).first_unanswered_sent == 0
    path.take_events()

    path.send_packet(OUT, NOW + 2)

    assert path.activity(PEER).first_unanswered_sent == NOW + 2
    assert DataSent(PEER) in path.take_events()


def test_a_keepalive_awaits_no_answer(path: DataPathUnderTest) -> None:
    path.apply(SendKeepalive(PEER), NOW)

    record = path.activity(PEER)
    assert (record.first_unanswered_sent, record.last_sent) == (0, NOW)
    assert path.take_events() == []


def test_received_data_waits_for_an_acknowledgement_from_its_first_packet_on(
    path: DataPathUnderTest, remote: Remote
) -> None:
    path.receive_datagram(remote.seal(IN), HOME, NOW + 1)
    path.receive_datagram(remote.seal(IN), HOME, NOW + 2)

    record = path.activity(PEER)
    assert (record.first_unacked_received, record.last_received) == (NOW + 1, NOW + 2)
    assert path.take_events() == [DataReceived(PEER)]


def test_a_received_keepalive_wants_no_acknowledgement(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(), HOME, NOW)

    record = path.activity(PEER)
    assert (record.first_unacked_received, record.last_received) == (0, NOW)
    assert path.take_events() == []


@pytest.mark.parametrize("keepalive", [False, True], ids=["data", "keepalive"])
def test_anything_sent_is_an_acknowledgement(
    path: DataPathUnderTest, remote: Remote, keepalive: bool
) -> None:
    path.receive_datagram(remote.seal(IN), HOME, NOW)
    if keepalive:
        path.apply(SendKeepalive(PEER), NOW + 1)
    else:
        path.send_packet(OUT, NOW + 1)

    assert path.activity(PEER).first_unacked_received == 0


def test_staged_packets_were_not_sent(datapath: MakeDataPath) -> None:
    path = with_peer(datapath)

    path.send_packet(OUT, NOW)

    assert path.activity(PEER) == PeerActivity()


def test_staged_packets_count_from_when_they_leave(datapath: MakeDataPath, remote: Remote) -> None:
    path = with_peer(datapath)
    path.send_packet(OUT, NOW)
    path.apply(remote.keypair(PEER), NOW + 1)

    path.apply(UseKeypair(PEER, remote.local_index), NOW + 2)

    assert path.activity(PEER).first_unanswered_sent == NOW + 2


@pytest.mark.parametrize("sending", [True, False], ids=["unanswered", "unacknowledged"])
def test_a_new_keypair_forgets_what_was_left_open_and_nothing_else(
    path: DataPathUnderTest, remote: Remote, sending: bool
) -> None:
    path.receive_datagram(remote.seal(IN), HOME, NOW)
    if sending:
        path.send_packet(OUT, NOW)
    before = path.activity(PEER)
    assert (before.first_unanswered_sent, before.first_unacked_received) == (
        (NOW, 0) if sending else (0, NOW)
    )

    path.apply(Remote(local_index=5).keypair(PEER), NOW + 1)

    assert path.activity(PEER) == replace(before, first_unanswered_sent=0, first_unacked_received=0)


def test_bytes_are_whole_udp_payloads_keepalives_included(path: DataPathUnderTest, remote: Remote) -> None:
    path.send_packet(OUT, NOW)  # 27 bytes, padded to 32
    path.apply(SendKeepalive(PEER), NOW)
    path.receive_datagram(remote.seal(IN), HOME, NOW)  # not padded
    path.receive_datagram(remote.seal(), HOME, NOW)

    record = path.activity(PEER)
    assert record.tx_bytes == sum(len(datagram.data) for datagram in path.take_datagrams()) == 64 + 32
    assert record.rx_bytes == 32 + 27 + 32


def test_data_at_the_first_instant_of_the_clock_counts_as_sent_and_received(
    path: DataPathUnderTest, remote: Remote
) -> None:
    """0 says never in a record, so what happens at 0 is noted a nanosecond later."""
    path.send_packet(OUT, 0)
    assert path.activity(PEER).first_unanswered_sent == 1
    path.receive_datagram(remote.seal(IN), HOME, 0)
    assert path.activity(PEER).first_unacked_received == 1
    record = path.activity(PEER)
    assert (record.last_sent, record.last_received) == (1, 1)
    assert path.take_events() == [DataSent(PEER), DataReceived(PEER)]


# -- Flags ---------------------------------------------------------------------------------------


def test_events_are_given_once(path: DataPathUnderTest) -> None:
    path.send_packet(OUT, NOW)
    assert path.take_events() == [DataSent(PEER)]

    assert path.take_events() == []


def test_a_busy_tunnel_raises_each_flag_once(path: DataPathUnderTest, remote: Remote) -> None:
    for step in range(100):
        path.send_packet(OUT, NOW + step)
        path.receive_datagram(remote.seal(IN), HOME, NOW + step)

    assert path.take_events() == [DataSent(PEER), DataReceived(PEER)]


def test_one_peer_may_have_any_number_of_flags(datapath: MakeDataPath) -> None:
    path = with_peer(datapath)
    remotes = [Remote(local_index=index) for index in range(1, 301)]
    for one in remotes:
        path.apply(one.keypair(PEER, rekey_after_received_time=NOW), NOW)
        path.receive_datagram(one.seal(), HOME, NOW)

    events = path.take_events()

    assert len(events) == 600
    assert set(events) == {kind(PEER, one.local_index) for one in remotes for kind in (KeyConfirmed, KeyAged)}


def test_any_number_of_peers_may_have_flags(datapath: MakeDataPath) -> None:
    path = datapath()
    numbers = range(1, 1001)
    for peer in numbers:
        path.apply(AddPeer(peer), NOW)
        path.apply(SendKeepalive(peer), NOW)

    assert path.take_events() == [KeyNeeded(peer) for peer in numbers]


def test_peers_have_their_own_flags(datapath: MakeDataPath) -> None:
    path = with_peer(datapath)
    path.apply(AddPeer(8), NOW)
    path.apply(SetEndpoint(8, HOME), NOW)
    path.apply(SetRoute(8, prefix(STRANGE_HOST)), NOW)

    path.send_packet(OUT, NOW)
    path.send_packet(ipv4(LOCAL_HOST, STRANGE_HOST), NOW)

    assert path.take_events() == [KeyNeeded(PEER), KeyNeeded(8)]


def test_a_move_is_told_before_what_came_with_it(datapath: MakeDataPath, remote: Remote) -> None:
    """The engine answers a confirmation by sending, and that should go to the new place."""
    path = with_peer(datapath)
    path.apply(remote.keypair(PEER), NOW)
    away = HOME._replace(port=1)

    path.receive_datagram(remote.seal(), away, NOW)

    assert path.take_events() == [EndpointChanged(PEER, away), KeyConfirmed(PEER, remote.local_index)]


def test_an_ordered_endpoint_overrides_a_move_not_yet_told(path: DataPathUnderTest, remote: Remote) -> None:
    path.receive_datagram(remote.seal(), HOME._replace(port=1), NOW)

    path.apply(SetEndpoint(PEER, HOME), NOW)

    assert path.take_events() == []
