"""The macs of handshake messages in C, beside the engine's checker of both."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fastpath.parts import CookieSecret, Mac1, Parts
from wgpy.contract.constants import INITIATION_SIZE, RESPONSE_SIZE
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.messages import HandshakeInitiation
from wgpy.engine.cookie import CookieChecker, CookieMaker, has_valid_mac2
from wgpy.engine.crypto import hash_, mac

SECRET = bytes(range(32))
SOURCES = Endpoint("192.0.2.7", 51820), Endpoint("2001:db8::7", 1)

keys = st.binary(min_size=32, max_size=32)
sizes = st.sampled_from([INITIATION_SIZE, RESPONSE_SIZE]) | st.integers(33, 300)
endpoints = st.builds(
    Endpoint, (st.ip_addresses(v=4) | st.ip_addresses(v=6)).map(str), st.integers(0, 2**16 - 1)
)


def with_macs(body: bytes, public_key: bytes, secret: bytes, source: Endpoint) -> bytes:
    """A message as its sender makes it who was given a cookie."""
    message = body + mac(hash_(b"mac1----", public_key), body)
    return message + mac(mac(secret, source.packed()), message)


def answers(parts: Parts, message: bytes, public_key: bytes, secret: bytes, source: Endpoint) -> list[bool]:
    """mac1 and mac2 according to C; fails the test if the engine is of another opinion."""
    checker = CookieChecker(public_key, lambda _: secret)
    expected = [checker.has_valid_mac1(message), has_valid_mac2(message, checker.cookie(source, now=0))]
    given = [
        parts.mac1(public_key).is_valid(message),
        parts.cookie_secret(secret).is_valid(message, source),
    ]
    assert given == expected
    return given


@given(keys, keys, sizes, endpoints, st.data())
def test_a_message_is_valid_as_made_and_with_no_bit_flipped(
    parts: Parts, public_key: bytes, secret: bytes, size: int, source: Endpoint, data: st.DataObject
) -> None:
    body = data.draw(st.binary(min_size=size - 32, max_size=size - 32))
    message = with_macs(body, public_key, secret, source)
    bit = data.draw(st.integers(0, 8 * size - 1))
    flipped = (int.from_bytes(message) ^ 1 << bit).to_bytes(size)  # bit 0 is the last one
    in_mac2 = bit < 128

    assert answers(parts, message, public_key, secret, source) == [True, True]
    assert answers(parts, flipped, public_key, secret, source) == [in_mac2, False]


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_cookie_is_for_one_address_and_one_port(parts: Parts, source: Endpoint) -> None:
    message = with_macs(bytes(100), bytes(32), SECRET, source)
    other_port = Endpoint(source.address, source.port + 1)
    swapped_port = Endpoint(source.address, source.port.to_bytes(2, "little")[0] << 8 | source.port >> 8)
    other_address = Endpoint("192.0.2.8" if not source.is_ipv6 else "2001:db8::8", source.port)

    assert answers(parts, message, bytes(32), SECRET, source) == [True, True]
    for other in other_port, swapped_port, other_address:
        assert answers(parts, message, bytes(32), SECRET, other) == [True, False]


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_the_cookie_that_the_engine_gives_is_known_again(parts: Parts, source: Endpoint) -> None:
    public_key = bytes(range(100, 132))
    checker, maker = CookieChecker(public_key, lambda length: SECRET[:length]), CookieMaker(public_key)
    initiation = HandshakeInitiation(1, bytes(32), bytes(48), bytes(28))
    first = maker.seal(initiation, now=0)

    maker.consume_reply(checker.create_reply(first, 1, checker.cookie(source, now=0)), now=0)
    second = maker.seal(initiation, now=0)

    assert answers(parts, first, public_key, SECRET, source) == [True, False]
    assert answers(parts, second, public_key, SECRET, source) == [True, True]


@pytest.mark.parametrize("length", [0, 1, 15, 16, 31, 32])
def test_what_is_too_short_to_hold_both_macs_is_not_valid(parts: Parts, length: int) -> None:
    message = with_macs(b"", bytes(32), SECRET, SOURCES[0])[:length]

    assert not parts.mac1(bytes(32)).is_valid(message)
    assert not parts.cookie_secret(SECRET).is_valid(message, SOURCES[0])


@pytest.mark.parametrize("make", [Parts.mac1, Parts.cookie_secret])
def test_nothing_is_left_of_a_key_that_was_cleared(
    parts: Parts, make: Callable[[Parts, bytes], Mac1 | CookieSecret]
) -> None:
    key = make(parts, SECRET)
    assert any(key.buffer[:])

    key.clear()

    assert not any(key.buffer[:])
