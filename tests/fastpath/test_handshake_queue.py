"""Which handshake messages reach the engine, and in what order. Whitepaper 5.3, 5.4.4, 5.4.7.

The macs are made here from the paper. The sizes of the queues are wgpy/fastpath/handshake_queue.h's.
"""

import select
from hashlib import blake2s

import pytest

from tests.datapath.kinds import DATA_PATHS, drop_counts
from tests.datapath.remote import AWAY, HOME, NOW, SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import SetCookieSecret, SetMac1Key

if "native" not in DATA_PATHS:
    pytest.skip("the C data path is not built, or there is no C compiler", allow_module_level=True)

from tests.datapath.native import NativeUnderTest

PUBLIC_KEY, OTHER_KEY = b"p" * 32, b"q" * 32
SECRET, OTHER_SECRET = b"s" * 32, b"t" * 32
QUEUE_SIZE, UNDER_LOAD_DEPTH, COOKIE_QUEUE_SIZE = 512, 64, 32
SIZES = {1: 148, 2: 92}
CROWD = Endpoint("203.0.113.1", 1)
COOKIE_REPLY = b"\3\0\0\0" + bytes(60)


def message(number: int = 0, *, kind: int = 1, key: bytes = PUBLIC_KEY, cookie: bytes | None = None) -> bytes:
    """With a valid mac1 for the key; cookie: with a valid mac2."""
    body = bytes([kind, 0, 0, 0]) + number.to_bytes(4, "little") + bytes(SIZES[kind] - 40)
    mac1 = blake2s(body, key=blake2s(b"mac1----" + key).digest(), digest_size=16).digest()
    if cookie is None:
        return body + mac1 + bytes(16)
    return body + mac1 + blake2s(body + mac1, key=cookie, digest_size=16).digest()


def cookie_for(source: Endpoint, secret: bytes = SECRET) -> bytes:
    return blake2s(source.packed(), key=secret, digest_size=16).digest()


def number_of(data: bytes) -> int:
    return int.from_bytes(data[4:8], "little")


def first_taken(path: NativeUnderTest) -> bytes:
    taken = path.next_handshake()
    assert taken is not None
    return taken[0]


@pytest.fixture
def path() -> NativeUnderTest:
    """It expects macs for PUBLIC_KEY, and gave cookies by SECRET."""
    path = NativeUnderTest()
    path.apply(SetMac1Key(PUBLIC_KEY), NOW)
    path.apply(SetCookieSecret(SECRET), NOW)
    return path


def load(path: NativeUnderTest, now: int = NOW, count: int = UNDER_LOAD_DEPTH) -> None:
    """So many messages without mac2."""
    for number in range(count):
        path.receive_datagram(message(number), CROWD, now)
    path.settle()


def relieve(path: NativeUnderTest) -> None:
    while path.next_handshake():
        pass


# -- mac1 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SIZES)
def test_a_message_for_our_key_waits(path: NativeUnderTest, kind: int) -> None:
    path.receive_datagram(message(kind=kind), HOME, NOW)

    assert path.next_handshake() == (message(kind=kind), HOME)


@pytest.mark.parametrize("kind", SIZES)
def test_a_message_for_another_key_is_dropped(path: NativeUnderTest, kind: int) -> None:
    path.receive_datagram(message(kind=kind, key=OTHER_KEY), HOME, NOW)

    assert path.next_handshake() is None
    assert drop_counts(path) == {DropReason.INVALID_MAC1: 1}


def test_a_new_key_takes_the_place_of_the_former(path: NativeUnderTest) -> None:
    path.apply(SetMac1Key(OTHER_KEY), NOW)
    path.receive_datagram(message(1), HOME, NOW)
    path.receive_datagram(message(2, key=OTHER_KEY), HOME, NOW)

    assert path.handshakes_waiting == 1
    assert number_of(first_taken(path)) == 2


def test_without_a_key_any_message_waits(path: NativeUnderTest) -> None:
    path.apply(SetMac1Key(None), NOW)
    path.receive_datagram(message(key=OTHER_KEY), HOME, NOW)

    assert path.handshakes_waiting == 1


def test_a_cookie_reply_has_no_mac1(path: NativeUnderTest) -> None:
    path.receive_datagram(COOKIE_REPLY, HOME, NOW)

    assert path.next_handshake() == (COOKIE_REPLY, HOME)


# -- mac2 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [HOME, AWAY], ids=["ipv4", "ipv6"])
def test_under_load_a_message_with_our_cookie_comes_first(path: NativeUnderTest, source: Endpoint) -> None:
    load(path)

    path.receive_datagram(message(1000, cookie=cookie_for(source)), source, NOW)

    assert path.handshakes_waiting == UNDER_LOAD_DEPTH + 1
    assert [number_of(first_taken(path)) for _ in range(3)] == [1000, 0, 1]


@pytest.mark.parametrize(
    "cookie",
    [
        None,
        cookie_for(HOME, OTHER_SECRET),
        cookie_for(HOME._replace(port=1)),
        cookie_for(HOME._replace(address="192.0.2.3")),
    ],
    ids=["none", "another secret's", "another port's", "another address's"],
)
def test_under_load_a_message_without_a_cookie_of_ours_waits_its_turn(
    path: NativeUnderTest, cookie: bytes | None
) -> None:
    load(path)

    path.receive_datagram(message(1000, cookie=cookie), HOME, NOW)

    assert number_of(first_taken(path)) == 0


def test_without_load_a_cookie_is_no_privilege(path: NativeUnderTest) -> None:
    load(path, count=UNDER_LOAD_DEPTH - 1)

    path.receive_datagram(message(1000, cookie=cookie_for(HOME)), HOME, NOW)

    assert number_of(first_taken(path)) == 0


@pytest.mark.parametrize(("later", "first"), [(SECOND - 1, 1000), (SECOND, 500)])
def test_load_lasts_a_second_beyond_itself(path: NativeUnderTest, later: int, first: int) -> None:
    load(path, count=UNDER_LOAD_DEPTH + 1)  # the last one comes under load
    relieve(path)
    path.receive_datagram(message(500), HOME, NOW + later)

    path.receive_datagram(message(1000, cookie=cookie_for(HOME)), HOME, NOW + later)

    assert number_of(first_taken(path)) == first


def test_a_flood_without_cookies_shuts_nobody_out_who_has_one(path: NativeUnderTest) -> None:
    load(path, count=QUEUE_SIZE + 100)

    path.receive_datagram(message(1000, cookie=cookie_for(HOME)), HOME, NOW)

    assert drop_counts(path) == {DropReason.HANDSHAKE_QUEUE_FULL: 100}
    assert number_of(first_taken(path)) == 1000


def test_messages_with_cookies_are_limited_too(path: NativeUnderTest) -> None:
    load(path)
    for number in range(QUEUE_SIZE + 3):
        path.receive_datagram(message(number, cookie=cookie_for(HOME)), HOME, NOW)

    assert drop_counts(path) == {DropReason.HANDSHAKE_QUEUE_FULL: 3}
    assert path.handshakes_waiting == UNDER_LOAD_DEPTH + QUEUE_SIZE


@pytest.mark.parametrize(
    "order", [SetCookieSecret(OTHER_SECRET), SetMac1Key(PUBLIC_KEY)], ids=["new", "none"]
)
def test_a_cookie_by_a_former_secret_is_worth_nothing(
    path: NativeUnderTest, order: SetCookieSecret | SetMac1Key
) -> None:
    path.apply(order, NOW)
    load(path)

    path.receive_datagram(message(1000, cookie=cookie_for(HOME)), HOME, NOW)

    assert number_of(first_taken(path)) == 0


# -- Cookie replies ------------------------------------------------------------------------------


def test_a_flood_of_messages_does_not_keep_a_cookie_reply_out(path: NativeUnderTest) -> None:
    load(path, count=QUEUE_SIZE + 1)

    path.receive_datagram(COOKIE_REPLY, HOME, NOW)

    assert COOKIE_REPLY in [first_taken(path) for _ in range(2)]


def test_a_flood_of_cookie_replies_does_not_keep_a_message_out(path: NativeUnderTest) -> None:
    for _ in range(COOKIE_QUEUE_SIZE + 5):
        path.receive_datagram(COOKIE_REPLY, HOME, NOW)
    path.receive_datagram(message(), HOME, NOW)

    assert drop_counts(path) == {DropReason.HANDSHAKE_QUEUE_FULL: 5}
    assert message() in [first_taken(path) for _ in range(2)]


def test_cookie_replies_alone_are_no_load(path: NativeUnderTest) -> None:
    """Whoever does not know our key could else have everybody show a cookie."""
    for _ in range(QUEUE_SIZE):
        path.receive_datagram(COOKIE_REPLY, HOME, NOW)

    assert path.handshakes_waiting < UNDER_LOAD_DEPTH


# -- Waking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [message(), COOKIE_REPLY, b"hello"], ids=["message", "cookie", "foreign"])
def test_a_control_message_or_foreign_datagram_wakes_whoever_waits_for_it(data: bytes) -> None:
    path = NativeUnderTest(accept_foreign=True)
    path.settle()
    assert not is_readable(path)

    path.receive_datagram(data, HOME, NOW)
    path.settle()

    assert is_readable(path)
    path.path.acknowledge()
    assert not is_readable(path)


def is_readable(path: NativeUnderTest) -> bool:
    return bool(select.select([path.path.fileno()], [], [], 0)[0])
