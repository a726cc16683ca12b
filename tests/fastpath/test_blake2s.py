"""BLAKE2s in C: RFC 7693, and beside the standard library's at every length."""

import random
from hashlib import blake2s

import pytest

from tests.fastpath.parts import Parts

KEY_LENGTHS = range(33)
DIGEST_SIZES = range(1, 33)


def test_rfc_7693_appendix_b(parts: Parts) -> None:
    digest = parts.blake2s(b"abc", b"", 32)

    assert digest.hex() == "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"


def test_rfc_7693_appendix_e(parts: Parts) -> None:
    """The digest of digests of many sizes, with a sequence that the RFC defines as keys and data."""
    digests = b""
    for digest_size in 16, 20, 28, 32:
        for length in 0, 3, 64, 65, 255, 1024:
            data, key = sequence(length, length), sequence(digest_size, digest_size)
            digests += parts.blake2s(data, b"", digest_size) + parts.blake2s(data, key, digest_size)

    digest = parts.blake2s(digests, b"", 32)
    assert digest.hex() == "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe"


def sequence(length: int, seed: int) -> bytes:
    a, b, values = 0xDEAD4BAD * seed % 2**32, 1, bytearray()
    for _ in range(length):
        a, b = b, (a + b) % 2**32
        values.append(b >> 24)
    return bytes(values)


@pytest.mark.parametrize("key_length", KEY_LENGTHS)
def test_every_length_of_data_and_key_agrees_with_the_standard_library(
    parts: Parts, key_length: int, seed: int
) -> None:
    rng = random.Random(seed)
    for length in range(601):
        data, key = rng.randbytes(length), rng.randbytes(key_length)
        digest_size = rng.choice(DIGEST_SIZES)
        expected = blake2s(data, key=key, digest_size=digest_size).digest()
        assert parts.blake2s(data, key, digest_size) == expected, (length, digest_size)


@pytest.mark.parametrize("digest_size", DIGEST_SIZES)
def test_every_size_of_digest_agrees_with_the_standard_library(parts: Parts, digest_size: int) -> None:
    expected = blake2s(b"data", key=b"key", digest_size=digest_size).digest()

    assert parts.blake2s(b"data", b"key", digest_size) == expected


def test_a_mac_in_two_steps_is_the_same_at_every_length(parts: Parts, seed: int) -> None:
    rng = random.Random(seed)
    for length in range(1, 601):
        data, key = rng.randbytes(length), rng.randbytes(32)
        assert parts.blake2s_mac(data, key) == blake2s(data, key=key, digest_size=16).digest(), length
