"""Datagrams that are not data: handshake messages for the engine, and others for the driver."""

import pytest

from tests.datapath.kinds import DataPathUnderTest, MakeDataPath, drop_counts
from tests.datapath.remote import AWAY, HOME, NOW
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint

SIZES = {1: 148, 2: 92, 3: 64}
HANDSHAKE_QUEUE_SIZE = 512
MAX_FOREIGN = 64
MAX_FOREIGN_PER_SOURCE = 8
MAX_FOREIGN_SIZE = 2048


def handshake(kind: int, fill: int = 0xAA, size: int | None = None) -> bytes:
    return bytes([kind, 0, 0, 0]).ljust(SIZES[kind] if size is None else size, bytes([fill]))


@pytest.mark.parametrize("kind", SIZES)
def test_a_handshake_message_waits_for_the_engine(path: DataPathUnderTest, kind: int) -> None:
    path.receive_datagram(handshake(kind), AWAY, NOW)

    assert path.handshakes_waiting == 1
    assert path.next_handshake() == (handshake(kind), AWAY)
    assert path.handshakes_waiting == 0
    assert path.next_handshake() is None


def test_handshake_messages_come_in_order(path: DataPathUnderTest) -> None:
    for fill in range(3):
        path.receive_datagram(handshake(1, fill), HOME, NOW)

    taken = [path.next_handshake() for _ in range(3)]

    assert taken == [(handshake(1, fill), HOME) for fill in range(3)]


def test_a_handshake_message_is_no_activity_and_no_event(path: DataPathUnderTest) -> None:
    path.receive_datagram(handshake(1), AWAY, NOW)

    assert path.take_events() == []
    assert path.take_datagrams() == []


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("error", [-1, 1, 16])
def test_a_handshake_message_of_the_wrong_size_is_malformed(
    path: DataPathUnderTest, kind: int, error: int
) -> None:
    path.receive_datagram(handshake(kind, size=SIZES[kind] + error), HOME, NOW)

    assert path.next_handshake() is None
    assert drop_counts(path) == {DropReason.MALFORMED: 1}


def test_when_the_queue_is_full_the_newest_is_dropped(path: DataPathUnderTest) -> None:
    for number in range(HANDSHAKE_QUEUE_SIZE + 2):
        path.receive_datagram(handshake(1), HOME._replace(port=number), NOW)

    assert path.handshakes_waiting == HANDSHAKE_QUEUE_SIZE
    assert drop_counts(path) == {DropReason.HANDSHAKE_QUEUE_FULL: 2}
    first = path.next_handshake()
    assert first is not None
    assert first[1].port == 0


FOREIGN = [
    b"",
    b"\1",
    b"\4\0\0",
    b"\0\0\0\0" + bytes(28),
    b"\5\0\0\0" + bytes(28),
    b"\4\1\0\0" + bytes(60),
    b"\1\0\1\0" + bytes(144),
    b"\1\0\0\1" + bytes(144),
    b"\xff" * 100,
]


@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: data[:4].hex() or "empty")
def test_what_is_not_wireguards_is_dropped(path: DataPathUnderTest, data: bytes) -> None:
    path.receive_datagram(data, HOME, NOW)

    assert path.take_foreign() == []
    assert drop_counts(path) == {DropReason.UNKNOWN_TYPE: 1}


@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: data[:4].hex() or "empty")
def test_what_is_not_wireguards_is_handed_up_if_asked_for(datapath: MakeDataPath, data: bytes) -> None:
    path = datapath(accept_foreign=True)

    path.receive_datagram(data, AWAY, NOW)

    assert path.take_foreign() == [(data, AWAY)]
    assert path.take_foreign() == []
    assert drop_counts(path) == {}


def test_what_is_not_wireguards_is_handed_up_from_when_it_is_asked_for(path: DataPathUnderTest) -> None:
    path.receive_datagram(b"early", AWAY, NOW)

    path.accept_foreign()
    path.receive_datagram(b"late", AWAY, NOW)
    path.accept_foreign()

    assert path.take_foreign() == [(b"late", AWAY)]
    assert drop_counts(path) == {DropReason.UNKNOWN_TYPE: 1}


def test_foreign_datagrams_are_limited(datapath: MakeDataPath) -> None:
    path = datapath(accept_foreign=True)
    sources = [HOME._replace(address=f"192.0.2.{number}") for number in range(MAX_FOREIGN + 3)]
    for source in sources:
        path.receive_datagram(b"hello", source, NOW)

    assert [source for _, source in path.take_foreign()] == sources[:MAX_FOREIGN]
    assert drop_counts(path) == {DropReason.FOREIGN_QUEUE_FULL: 3}


SAME_SOURCE = {
    "IPv4": [HOME._replace(port=number) for number in range(20)],
    "IPv6": [AWAY._replace(address=f"2001:db8::{number}") for number in range(1, 21)],
}


@pytest.mark.parametrize("sources", SAME_SOURCE.values(), ids=SAME_SOURCE)
def test_one_source_keeps_no_other_out(datapath: MakeDataPath, sources: list[Endpoint]) -> None:
    path = datapath(accept_foreign=True)
    others = [HOME._replace(address="192.0.2.3"), AWAY._replace(address="2001:db8:0:1::2")]

    for source in sources + others:
        path.receive_datagram(b"hello", source, NOW)

    kept = sources[:MAX_FOREIGN_PER_SOURCE] + others
    assert sorted(source for _, source in path.take_foreign()) == sorted(kept)
    assert drop_counts(path) == {DropReason.FOREIGN_SOURCE_LIMIT: len(sources) - MAX_FOREIGN_PER_SOURCE}


def test_what_was_taken_makes_room_for_its_source(datapath: MakeDataPath) -> None:
    path = datapath(accept_foreign=True)

    for _ in range(2):
        for _ in range(MAX_FOREIGN_PER_SOURCE):
            path.receive_datagram(b"hello", HOME, NOW)
        assert len(path.take_foreign()) == MAX_FOREIGN_PER_SOURCE

    assert drop_counts(path) == {}


def test_a_foreign_datagram_may_not_be_too_long(datapath: MakeDataPath) -> None:
    path = datapath(accept_foreign=True)

    path.receive_datagram(bytes(MAX_FOREIGN_SIZE), HOME, NOW)
    path.receive_datagram(bytes(MAX_FOREIGN_SIZE + 1), HOME, NOW)

    assert path.take_foreign() == [(bytes(MAX_FOREIGN_SIZE), HOME)]
    assert drop_counts(path) == {DropReason.FOREIGN_TOO_LONG: 1}


def test_counters_are_a_snapshot(path: DataPathUnderTest) -> None:
    before = path.counters()

    path.receive_datagram(b"hello", HOME, NOW)

    assert sum(before.values()) == 0
