"""Who gets what arrives and is not WireGuard's, and whom nobody may register for."""

from ipaddress import IPv4Address

import pytest

from wgpy.contract.constants import SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError, StateError
from wgpy.transport.demultiplexer import (
    BURST,
    MAX_PREFIX_SIZE,
    MAX_READERS,
    MAX_SOURCES,
    RATE_PER_SECOND,
    Demultiplexer,
)

NOW = 1000 * SECOND
SOURCE = Endpoint("192.0.2.1", 51820)
OTHER = Endpoint("192.0.2.2", 51820)


def echo(data: bytes, source: Endpoint, now: int) -> bytes:
    return data


def refuse(data: bytes, source: Endpoint, now: int) -> bytes | None:
    raise DatagramError(DropReason.MALFORMED)


def with_reader(prefix: bytes = b"echo") -> Demultiplexer:
    demultiplexer = Demultiplexer()
    demultiplexer.register(prefix, echo)
    return demultiplexer


def answered(demultiplexer: Demultiplexer, source: Endpoint, count: int, now: int = NOW) -> int:
    """How many of so many datagrams are."""
    return sum(demultiplexer.receive(b"echo", source, now) is not None for _ in range(count))


# -- By first bytes ----------------------------------------------------------------------------------


def test_a_datagram_goes_to_the_reader_of_its_first_bytes() -> None:
    heard: list[tuple[bytes, Endpoint, int]] = []
    demultiplexer = with_reader()
    demultiplexer.register(b"note", lambda *what: heard.append(what))

    assert demultiplexer.receive(b"note this", SOURCE, NOW) is None
    assert demultiplexer.receive(b"echo this", SOURCE, NOW) == b"echo this"

    assert heard == [(b"note this", SOURCE, NOW)]


@pytest.mark.parametrize("data", [b"", b"ech", b"ECHO", b"\x01\0\0\0", bytes(100)])
def test_what_nobody_asked_for_is_counted(data: bytes) -> None:
    demultiplexer = with_reader()

    assert demultiplexer.receive(data, SOURCE, NOW) is None

    assert demultiplexer.drops == {DropReason.UNKNOWN_TYPE: 1}


def test_what_a_reader_refuses_is_counted_by_its_reason() -> None:
    demultiplexer = with_reader()
    demultiplexer.register(b"no", refuse)

    assert demultiplexer.receive(b"no!", SOURCE, NOW) is None

    assert demultiplexer.drops == {DropReason.MALFORMED: 1}


def test_a_reader_that_is_gone_gets_nothing() -> None:
    demultiplexer = with_reader()
    demultiplexer.unregister(b"echo")
    demultiplexer.unregister(b"echo")

    assert answered(demultiplexer, SOURCE, 1) == 0
    assert not demultiplexer.has_readers


@pytest.mark.parametrize("prefix", [b"\1", b"\2\0", b"\3\0\0", b"\4\0\0\0", b"\1\0\0\0\5"])
def test_nobody_reads_what_is_wireguards(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="WireGuard"):
        with_reader(prefix)


@pytest.mark.parametrize("prefix", [b"\1\1", b"\4\0\0\1", b"\0\1", b"\5\0\0\0"])
def test_a_prefix_may_come_near_to_wireguards(prefix: bytes) -> None:
    assert with_reader(prefix).receive(prefix + b"x", SOURCE, NOW) == prefix + b"x"


@pytest.mark.parametrize("prefix", [b"e", b"echo", b"echoes"])
def test_a_datagram_never_has_two_readers(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="have a reader"):
        with_reader().register(prefix, refuse)


@pytest.mark.parametrize("prefix", [b"", b"x" * (MAX_PREFIX_SIZE + 1)])
def test_a_prefix_is_neither_empty_nor_too_long(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 16 bytes"):
        with_reader(prefix)


def test_there_are_not_more_than_so_many_readers() -> None:
    demultiplexer = Demultiplexer()
    for number in range(MAX_READERS):
        demultiplexer.register(bytes([0xFF, number]), echo)

    with pytest.raises(StateError, match="unregister"):
        demultiplexer.register(b"more", echo)


# -- Budgets -----------------------------------------------------------------------------------------


def test_a_source_has_a_burst_and_then_its_rate() -> None:
    demultiplexer = with_reader()

    assert answered(demultiplexer, SOURCE, 1000) == BURST
    assert answered(demultiplexer, SOURCE, 1000, NOW + SECOND // 4) == RATE_PER_SECOND // 4
    assert demultiplexer.drops[DropReason.FOREIGN_RATE_LIMITED] == 2000 - BURST - RATE_PER_SECOND // 4


@pytest.mark.parametrize(
    ("flooding", "other"),
    [
        (SOURCE, OTHER),
        (SOURCE, Endpoint("2001:db8::1", 51820)),
        (Endpoint("2001:db8::1", 1), Endpoint("2001:db8:0:1::1", 1)),
    ],
)
def test_a_source_takes_nothing_from_another(flooding: Endpoint, other: Endpoint) -> None:
    demultiplexer = with_reader()
    answered(demultiplexer, flooding, 1000)

    assert answered(demultiplexer, other, BURST) == BURST


@pytest.mark.parametrize(
    ("source", "same"),
    [
        (SOURCE, SOURCE._replace(port=1)),
        (Endpoint("2001:db8::1", 1), Endpoint("2001:db8::ffff:1:2:3", 2)),
    ],
    ids=["port", "host of a /64"],
)
def test_who_can_have_many_addresses_has_one_budget(source: Endpoint, same: Endpoint) -> None:
    demultiplexer = with_reader()
    answered(demultiplexer, source, BURST)

    assert answered(demultiplexer, same, 1) == 0


def test_forged_sources_keep_nobody_out() -> None:
    demultiplexer = with_reader()
    for number in range(10 * MAX_SOURCES):
        demultiplexer.receive(b"echo", Endpoint(str(IPv4Address(number)), 1), NOW)

    assert answered(demultiplexer, SOURCE, 1000) == BURST


def test_what_nobody_asked_for_costs_its_source_nothing() -> None:
    demultiplexer = with_reader()
    for _ in range(1000):
        demultiplexer.receive(b"rubbish", SOURCE, NOW)

    assert answered(demultiplexer, SOURCE, BURST) == BURST
