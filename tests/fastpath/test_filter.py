"""What the kernel drops at a socket before anybody is woken for it, and what it must not, on the loopback.

Every test sends a marker behind its datagrams, which always passes: what did not come before it was dropped.
"""

import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import blake2s
from pathlib import Path
from struct import pack
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.datapath.kinds import DATA_PATHS
from tests.datapath.relayed import (
    OWN_KEY,
    RATE,
    cookie_reply,
    data,
    initiation,
    public_key,
    response,
)
from tests.datapath.remote import Remote
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import (
    AddPeer,
    AddRelayed,
    RemoveKeypair,
    RemovePeer,
    SetEndpoint,
    SetMac1Key,
    SetRelay,
    UseKeypair,
)
from wgpy.host.bootclock import boottime

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from wgpy.datapath.native import NativeDataPath, Offload
from wgpy.datapath.native_values import Queue

MARKER: Final = 0x51
UNKNOWN: Final = 0x77
ALICE, BOB = 1, 2
UDP_SEGMENT: Final = 103
SECONDS: Final = 10**9


class Filtered:
    """A data path with a filter at two sockets of the loopback; it reads them in `step` only."""

    def __init__(self, *, accept_foreign: bool = False) -> None:
        self._tun, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._tun.setblocking(False)
        self.udp = {family: bound(family) for family in (socket.AF_INET, socket.AF_INET6)}
        queue = Queue(self._tun.fileno(), *(udp.fileno() for udp in self.udp.values()))
        self.path = NativeDataPath([queue], offloads=Offload.FILTER, accept_foreign=accept_foreign)
        self.path.apply(SetMac1Key(OWN_KEY), boottime())
        self.add_peer(ALICE + BOB, MARKER)

    def close(self) -> None:
        self.path.close()
        for each in (self._tun, self._other, *self.udp.values()):
            each.close()

    def add_peer(self, peer: int, index: int, at: Endpoint | None = None, *, relayed: bool = False) -> None:
        """With a session by which it sends to this index."""
        now = boottime()
        self.path.apply(AddPeer(peer), now)
        if relayed:
            self.path.apply(AddRelayed(peer, public_key(peer)), now)
        if at:
            self.path.apply(SetEndpoint(peer, at), now)
        remote = Remote(index, 0x9000 + index)
        self.path.apply(remote.keypair(peer, reject_after_time=now + 180 * SECONDS), now)
        if at:
            self.path.apply(UseKeypair(peer, index), now)

    def passed(self, *messages: bytes, source: socket.socket | None = None) -> list[bytes]:
        """Those that came, read in place of the data path."""
        sender = source or bound(socket.AF_INET)
        udp = self.udp[socket.AddressFamily(sender.family)]
        marker = data(MARKER, size=40)
        for message in (*messages, marker):
            sender.sendto(message, udp.getsockname())
        came: list[bytes] = []
        while (message := received(udp)) != marker:
            came.append(message)
        if source is None:
            sender.close()
        return came

    def drops(self) -> dict[DropReason, int]:
        return {reason: count for reason, count in self.path.counters().items() if count}


def bound(family: int, host: str = "") -> socket.socket:
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((host or {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}[socket.AddressFamily(family)], 0))
    udp.setblocking(False)
    return udp


def received(udp: socket.socket) -> bytes:
    assert select.select([udp], [], [], 10)[0], "the marker came"
    return udp.recv(65535)


def endpoint(udp: socket.socket) -> Endpoint:
    host, port = udp.getsockname()[:2]
    return Endpoint(host, port)


@contextmanager
def a_filter() -> Iterator[Filtered]:
    with closing(Filtered()) as made:
        if Offload.FILTER not in made.path.offloads():
            pytest.skip("the kernel takes no filter from here")
        yield made


@pytest.fixture
def filtered() -> Iterator[Filtered]:
    with a_filter() as made:
        yield made


@pytest.fixture(scope="module")
def common() -> Iterator[Filtered]:
    """For all examples of a test."""
    with a_filter() as made:
        yield made


# -- Without a relay -----------------------------------------------------------------------------------


def test_data_passes_from_before_its_session_is_told_of_until_the_session_ends(filtered: Filtered) -> None:
    now = boottime()
    message = data(0x1234)
    assert filtered.passed(message) == []

    filtered.add_peer(ALICE, 0x1234)
    assert filtered.passed(message) == [message]

    filtered.path.apply(RemoveKeypair(ALICE, 0x1234), now)
    assert filtered.passed(message) == []


def test_the_sessions_of_a_removed_peer_are_no_more(filtered: Filtered) -> None:
    filtered.add_peer(ALICE, 0x1234)

    filtered.path.apply(RemovePeer(ALICE), boottime())

    assert filtered.passed(data(0x1234)) == []


def test_two_sessions_whose_indices_share_a_bucket_both_pass_and_end_alone(filtered: Filtered) -> None:
    low, high = data(0x1234), data(0x5678_1234)
    filtered.add_peer(ALICE, 0x1234)
    filtered.add_peer(BOB, 0x5678_1234)

    filtered.path.apply(RemovePeer(ALICE), boottime())

    assert high in filtered.passed(low, high)


def test_an_index_that_shares_a_half_with_that_of_a_session_is_dropped(filtered: Filtered) -> None:
    filtered.add_peer(ALICE, 0x1234_5678)

    assert filtered.passed(data(0x9999_5678), data(0x1234_9999)) == []


@pytest.mark.parametrize("make", [initiation, lambda to, index: response(to, index, UNKNOWN)])
def test_a_handshake_message_passes_with_a_mac1_for_this_end_alone(filtered: Filtered, make) -> None:  # type: ignore[no-untyped-def]
    good, bad = make(OWN_KEY, 7), make(public_key(ALICE), 7)

    assert filtered.passed(bad, good, bad) == [good]

    assert filtered.drops() == {DropReason.INVALID_MAC1: 2}


@given(
    body=st.binary(min_size=100, max_size=100),
    kind=st.sampled_from(((1, 116), (2, 60))),
    bit=st.none() | st.integers(0, 127),
)
@settings(max_examples=200, deadline=None)
def test_a_mac1_is_computed_as_by_everybody_else(
    common: Filtered, body: bytes, kind: tuple[int, int], bit: int | None
) -> None:
    number, covered = kind
    message = bytearray(with_mac1(pack("<I", number) + (body + body)[: covered - 4]))
    if bit is not None:
        message[covered + bit // 8] ^= 1 << bit % 8

    passed = common.passed(bytes(message))

    assert passed == ([bytes(message)] if bit is None else [])


def with_mac1(body: bytes) -> bytes:
    key = blake2s(b"mac1----" + OWN_KEY).digest()
    return body + blake2s(body, digest_size=16, key=key).digest() + bytes(16)


def test_without_a_key_any_mac1_passes(filtered: Filtered) -> None:
    message = initiation(public_key(ALICE), 7)
    filtered.path.apply(SetMac1Key(None), boottime())

    assert filtered.passed(message) == [message]


def test_another_key_is_compared_with_from_its_order_on(filtered: Filtered) -> None:
    old, new = initiation(OWN_KEY, 7), initiation(public_key(ALICE), 7)

    filtered.path.apply(SetMac1Key(public_key(ALICE)), boottime())

    assert filtered.passed(old, new) == [new]


def test_a_cookie_reply_passes_for_what_was_sent_just_now(filtered: Filtered) -> None:
    expected, other = cookie_reply(0x1234), cookie_reply(UNKNOWN)
    assert filtered.passed(expected) == []

    filtered.path.note_handshake(initiation(public_key(ALICE), 0x1234), None)

    assert filtered.passed(expected, other) == [expected]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (data(MARKER, size=31), DropReason.MALFORMED),
        (data(MARKER, size=16)[:4], DropReason.MALFORMED),
        (initiation(OWN_KEY, 7)[:-1], DropReason.MALFORMED),
        (initiation(OWN_KEY, 7) + b"\0", DropReason.MALFORMED),
        (response(OWN_KEY, 7, MARKER) + b"\0", DropReason.MALFORMED),
        (cookie_reply(MARKER)[:-1], DropReason.MALFORMED),
        (data(UNKNOWN), DropReason.UNKNOWN_INDEX),
        (cookie_reply(UNKNOWN), DropReason.UNKNOWN_INDEX),
        (b"\5" + data(MARKER)[1:], DropReason.UNKNOWN_TYPE),
        (b"\4\0\0\1" + data(MARKER)[4:], DropReason.UNKNOWN_TYPE),
        (bytes(100), DropReason.UNKNOWN_TYPE),
        (b"", DropReason.UNKNOWN_TYPE),
        (b"\4\0\0", DropReason.UNKNOWN_TYPE),
    ],
)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_what_is_dropped_is_counted_as_the_data_path_would(
    filtered: Filtered, message: bytes, reason: DropReason, family: int
) -> None:
    with bound(family) as source:
        assert filtered.passed(message, source=source) == []

    assert filtered.drops() == {reason: 1}


def test_foreign_datagrams_pass_once_somebody_wants_them(filtered: Filtered) -> None:
    messages = [b"", b"x", b"question" * 20, bytes(2000)]
    assert filtered.passed(*messages) == []

    filtered.path.accept_foreign()

    assert filtered.passed(*messages) == messages


def test_of_foreign_datagrams_those_pass_that_are_expected(filtered: Filtered) -> None:
    hints = [bytes([number]) * 8 for number in range(1, 4)]
    wanted = [b"wgpd1234" + hint + bytes(30) for hint in hints]
    unwanted = [b"", b"w", b"wgpd", b"wgpd" + bytes(7), bytes(4) + wanted[0][4:], b"wgpe" + wanted[0][4:]]
    strange = [b"wgpd1234" + hint for hint in (b"\1\1\5\5----", b"\4" * 8, b"\0\0\0\0")]
    filtered.path.accept_foreign()
    filtered.path.expect_foreign(b"wgpd", frozenset(hints))

    assert filtered.passed(*unwanted, *wanted, *strange) == wanted
    assert filtered.drops() == {DropReason.UNKNOWN_TYPE: 6, DropReason.UNKNOWN_PEER: 3}

    filtered.path.expect_foreign(b"wgpd", frozenset(hints[1:]))
    assert filtered.passed(*wanted) == wanted[1:]

    filtered.path.expect_foreign(b"wgpd", frozenset())
    assert filtered.passed(*wanted) == []

    filtered.path.accept_foreign()
    assert filtered.passed(*unwanted, *wanted) == [*unwanted, *wanted]


def test_of_what_the_kernel_joined_all_passes(filtered: Filtered) -> None:
    """Only the first of them is where it would be looked for."""
    udp = filtered.udp[socket.AF_INET]
    udp.setsockopt(socket.IPPROTO_UDP, 104, 1)  # UDP_GRO
    with bound(socket.AF_INET) as source:
        source.sendmsg(
            [data(UNKNOWN), data(MARKER)],
            [(socket.IPPROTO_UDP, UDP_SEGMENT, pack("@H", 100))],
            0,
            udp.getsockname(),
        )

        assert received(udp) == data(UNKNOWN) + data(MARKER)


# -- With a relay --------------------------------------------------------------------------------------


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_initiations_for_others_pass_from_where_an_end_is(filtered: Filtered, family: int) -> None:
    message = initiation(public_key(BOB), 7)
    filtered.path.apply(SetRelay(RATE), boottime())
    with bound(family) as alice:
        assert filtered.passed(message, source=alice) == []

        filtered.add_peer(ALICE, 0x1234, endpoint(alice), relayed=True)
        assert filtered.passed(message, source=alice) == [message]


def test_an_end_that_moved_is_heard_before_the_data_path_knows_of_it(filtered: Filtered) -> None:
    message = initiation(public_key(BOB), 7)
    filtered.path.apply(SetRelay(RATE), boottime())
    filtered.add_peer(ALICE, 0x1234, Endpoint("192.0.2.1", 1), relayed=True)
    with bound(socket.AF_INET, "127.0.0.9") as moved:
        udp = filtered.udp[socket.AF_INET]
        moved.sendto(data(0x1234), udp.getsockname())
        assert received(udp) == data(0x1234)

        assert filtered.passed(message, source=moved) == [message]


def test_strangers_begin_nothing_at_a_relay(filtered: Filtered) -> None:
    filtered.path.apply(SetRelay(RATE), boottime())
    filtered.add_peer(ALICE, 0x1234, Endpoint("192.0.2.1", 1), relayed=True)
    with bound(socket.AF_INET, "127.0.0.9") as stranger:
        stranger.sendto(initiation(public_key(ALICE), 7), filtered.udp[socket.AF_INET].getsockname())

        assert filtered.passed() == []

    assert filtered.drops() == {DropReason.INVALID_MAC1: 1}


@pytest.mark.parametrize("index", [UNKNOWN, 0x9999_5678, 0x1234_9999])
def test_data_of_no_session_makes_no_address_an_end(filtered: Filtered, family: int, index: int) -> None:
    message = initiation(public_key(ALICE), 7)
    filtered.path.apply(SetRelay(RATE), boottime())
    filtered.add_peer(ALICE, 0x1234_5678, Endpoint("192.0.2.1", 1), relayed=True)
    with bound(family) as stranger:
        assert filtered.passed(data(index), message, source=stranger) == []
        # The marker was data of a session, from this address: it may be an end from then on.
        assert filtered.passed(message, source=stranger) == [message]


def test_a_session_by_the_relay_passes_from_its_initiation_on(filtered: Filtered, family: int) -> None:
    filtered.path.apply(SetRelay(RATE), boottime())
    udp = filtered.udp[socket.AddressFamily(family)]
    begun = initiation(public_key(BOB), 0xA0)
    answered = response(public_key(ALICE), 0xB0, 0xA0)
    with bound(family) as alice, bound(family) as bob:
        filtered.add_peer(ALICE, 0x1234, endpoint(alice), relayed=True)
        filtered.add_peer(BOB, 0x1235, endpoint(bob), relayed=True)

        for sender, message, receiver in (
            (alice, begun, bob),
            (bob, answered, alice),
            (alice, data(0xB0), bob),
            (bob, data(0xA0), alice),
            (bob, cookie_reply(0xA0), alice),
        ):
            sender.sendto(message, udp.getsockname())
            assert select.select([udp], [], [], 10)[0]
            filtered.path.step()
            assert received(receiver) == message

        filtered.path.apply(SetRelay(0), boottime())
        assert filtered.passed(data(0xA0), data(0xB0), source=alice) == []


# -- Where it is and where it is not --------------------------------------------------------------------


def test_sockets_that_are_given_back_are_as_they_were(filtered: Filtered) -> None:
    filtered.path.close()

    assert filtered.passed(data(UNKNOWN)) == [data(UNKNOWN)]


def test_sockets_that_are_taken_later_are_filtered_too(filtered: Filtered) -> None:
    with bound(socket.AF_INET) as new:
        former, filtered.udp[socket.AF_INET] = filtered.udp[socket.AF_INET], new
        filtered.path.set_sockets([Queue(-1, new.fileno(), -1)])
        assert filtered.passed(data(UNKNOWN)) == []

        filtered.udp[socket.AF_INET] = former
        assert filtered.passed(data(UNKNOWN)) == [data(UNKNOWN)]
        filtered.path.close()


def test_who_may_not_have_one_does_without() -> None:
    program = """
import socket
from wgpy.host.privileges import CAP_NET_ADMIN, drop_privileges
from tests.fastpath.test_filter import *
drop_privileges(CAP_NET_ADMIN)
filtered = Filtered()
assert filtered.path.offloads() == Offload.NONE
assert filtered.passed(data(UNKNOWN)) == [data(UNKNOWN)]
print("did")
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )

    if "offloads" in result.stderr:
        pytest.skip("this kernel lets everybody have one")
    assert result.stdout == "did\n", result.stderr
