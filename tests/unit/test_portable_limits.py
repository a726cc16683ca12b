"""The portable data path where the suite of all data paths cannot take it. Whitepaper 6.1 and 6.2.

Nobody can send 2^60 messages in a test, and a counter cannot be set, so REKEY_AFTER_MESSAGES and
REJECT_AFTER_MESSAGES come down to it.
"""

import pytest

from tests.datapath.kinds import PEER, drop_counts, sent, with_peer, with_session
from tests.datapath.packets import ipv4
from tests.datapath.remote import LOCAL_HOST, NOW, REMOTE_HOST, Remote
from wgpy.contract import constants
from wgpy.contract.drops import DropReason
from wgpy.contract.events import DataSent, KeyAged, KeyNeeded
from wgpy.contract.orders import SendKeepalive, UseKeypair
from wgpy.datapath import peer, portable
from wgpy.datapath.portable import PortableDataPath

PACKET = ipv4(LOCAL_HOST, REMOTE_HOST, b"payload")


def test_the_limits_are_the_papers() -> None:
    assert constants.REKEY_AFTER_MESSAGES == 2**60
    assert constants.REJECT_AFTER_MESSAGES == 2**64 - 2**13 - 1


def test_message_number_rekey_after_messages_ages_the_keypair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "REKEY_AFTER_MESSAGES", 3)
    remote = Remote()
    path = with_session(PortableDataPath, remote)

    events = []
    for _ in range(6):
        path.apply(SendKeepalive(PEER), NOW)
        events.append(path.take_events())

    assert events == [[], [], [], [KeyAged(PEER, remote.local_index)], [], []]


def test_no_message_is_sealed_with_counter_reject_after_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "REJECT_AFTER_MESSAGES", 3)
    remote = Remote()
    path = with_session(PortableDataPath, remote)
    for _ in range(3):
        path.send_packet(PACKET, NOW)
    assert path.take_events() == [DataSent(PEER)]

    path.send_packet(PACKET, NOW)

    assert [message.counter for message in sent(path, remote)] == [0, 1, 2]
    assert path.take_events() == [KeyNeeded(PEER)]


def test_staged_packets_beyond_the_limit_wait_for_the_next_keypair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "REJECT_AFTER_MESSAGES", 3)
    first, second = Remote(), Remote(local_index=5, remote_index=6)
    path = with_peer(PortableDataPath)
    for _ in range(5):
        path.send_packet(PACKET, NOW)
    path.take_events()

    path.apply(first.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, first.local_index), NOW)
    assert len(sent(path, first)) == 3
    assert KeyNeeded(PEER) in path.take_events()

    path.apply(second.keypair(PEER), NOW)
    path.apply(UseKeypair(PEER, second.local_index), NOW)
    assert len(sent(path, second)) == 2


def test_nothing_is_no_packet() -> None:
    """To the C data path, which reads the TUN itself, it would be the TUN's end."""
    path = PortableDataPath()

    path.send_packet(b"", NOW)

    assert drop_counts(path) == {DropReason.INVALID_OUTBOUND_PACKET: 1}
