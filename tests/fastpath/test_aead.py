"""Each kernel of the C data path's ChaCha20-Poly1305, also where this machine would choose another one."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from tests.fastpath.kernels import NAMES, TAG, Kernel, ffi, lib
from tests.fastpath.poly1305 import (
    P,
    aead_message,
    ciphertext_that_sums_to,
    halves,
    nonce,
    one_time_key,
    poly1305,
    tag,
)

LONGEST = 3000  # two packets of an Ethernet
SHAPES = range(150)
GROUPS = json.loads((Path(__file__).parents[1] / "vectors/chacha20poly1305.json").read_text())["groups"]
BATCHES = 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100

kernels = pytest.mark.parametrize("kernel", [Kernel(name) for name in NAMES], ids=NAMES)


def expected(key: bytes, packets: list[tuple[int, bytes]]) -> list[bytes]:
    """What the library `cryptography` makes of them."""
    aead = ChaCha20Poly1305(key)
    return [aead.encrypt(nonce(counter), data, None) for counter, data in packets]


def with_counters(packets: list[tuple[int, bytes]], data: list[bytes]) -> list[tuple[int, bytes]]:
    return [(counter, one) for (counter, _), one in zip(packets, data, strict=True)]


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


# -- Choosing ------------------------------------------------------------------------------------


def test_the_best_kernel_is_one_of_those_that_can_be_named() -> None:
    best = ffi.string(lib.wgfp_aead_kernel_name(lib.wgfp_aead_kernel_best())).decode()

    assert best in NAMES


def test_a_kernel_that_is_not_there_is_not_found() -> None:
    assert lib.wgfp_aead_kernel_find(b"sse9") == ffi.NULL


def test_every_host_has_the_portable_kernel() -> None:
    assert "portable" in NAMES


# -- Published vectors ---------------------------------------------------------------------------


def published() -> Iterator[tuple[int, bytes, bytes, bytes]]:
    """Counter, key, plaintext and ciphertext of the vectors whose nonce begins with zeros."""
    path = Path(cryptography_vectors.__file__).parent / "ciphers/ChaCha20Poly1305/boringssl.txt"
    for block in path.read_text().split("\n\n"):
        fields = {
            name.strip(): value.strip()
            for name, equals, value in (line.partition("=") for line in block.splitlines())
            if equals
        }
        nonce = unquoted(fields.get("NONCE", ""))
        if len(nonce) == 12 and nonce[:4] == bytes(4):
            counter = int.from_bytes(nonce[4:], "little")
            yield counter, unquoted(fields["KEY"]), unquoted(fields["IN"]), unquoted(fields["CT"])


def unquoted(value: str) -> bytes:
    return value[1:-1].encode() if value.startswith('"') else bytes.fromhex(value)


@kernels
def test_the_ciphertexts_of_boringssl(kernel: Kernel) -> None:
    """Their tags are over associated data as well."""
    vectors = list(published())
    assert vectors

    for counter, key, plain, ciphertext in vectors:
        (sealed,) = kernel.seal(key, [(counter, plain)])
        assert sealed[:-TAG] == ciphertext


@kernels
def test_the_ciphertext_of_rfc_8439_section_2_4_2(kernel: Kernel) -> None:
    plain = (
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
        b"sunscreen would be it."
    )

    (sealed,) = kernel.seal(bytes(range(32)), [(0x4A000000, plain)])

    assert sealed[:-TAG].hex() == (
        "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b357"
        "1639d624e65152ab8f530c359f0861d807ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
        "5af90bbf74a35be6b40b8eedf2785e42874d"
    )


@kernels
@pytest.mark.parametrize(
    ("key", "counter", "stream"),
    [
        # test vectors 2 and 3
        (
            bytes(32),
            0,
            (
                "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
                "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
            ),
        ),
        (
            bytes(31) + b"\x01",
            0,
            (
                "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
                "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"
            ),
        ),
    ],
)
def test_the_key_stream_of_rfc_8439_appendix_a_1(
    kernel: Kernel, key: bytes, counter: int, stream: str
) -> None:
    (sealed,) = kernel.seal(key, [(counter, bytes(64))])

    assert sealed[:-TAG].hex() == stream


# The tags that RFC 8439 prints are over associated data, or of Poly1305 alone: they are held against
# poly1305.py, and that against the kernels.


def test_the_tag_of_rfc_8439_section_2_5_2() -> None:
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")

    assert poly1305(key, b"Cryptographic Forum Research Group").hex() == "a8061dc1305136c6c22b8baf0c0127a9"


@kernels
@pytest.mark.parametrize(
    ("key", "counter", "one_time"),
    [
        # Appendix A.4, test vectors 1 to 3
        (bytes(32), 0, "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"),
        (bytes(31) + b"\x01", 2 << 56, "ecfa254f845f647473d3cb140da9e87606cb33066c447b87bc2666dde3fbb739"),
        (
            bytes.fromhex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"),
            2 << 56,
            "965e3bc6f9ec7ed9560808f4d229f94b137ff275ca9b3fcbdd59deaad23310ae",
        ),
        # Appendix A.5
        (
            bytes.fromhex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"),
            0x0807060504030201,
            "bdf04aa95ce4de8995b14bb6a18fecaf26478f50c054f563dbc0a21e261572aa",
        ),
    ],
)
def test_the_one_time_keys_of_rfc_8439_make_the_tags(
    kernel: Kernel, key: bytes, counter: int, one_time: str
) -> None:
    for length in (0, 16, 265, 1420):
        (sealed,) = kernel.seal(key, [(counter, bytes(length))])

        assert sealed[-TAG:] == poly1305(bytes.fromhex(one_time), aead_message(sealed[:-TAG]))


@kernels
@pytest.mark.parametrize("group", GROUPS, ids=[group["about"] for group in GROUPS])
def test_the_packets_of_the_vectors_are_sealed_and_opened_or_refused(
    kernel: Kernel, group: dict[str, Any]
) -> None:
    key = bytes.fromhex(group["key"])
    plain = [
        None if one["plaintext"] is None else bytes.fromhex(one["plaintext"]) for one in group["packets"]
    ]
    arriving = [(one["counter"], bytes.fromhex(one["sealed"])) for one in group["packets"]]

    assert kernel.open(key, arriving) == plain
    for (counter, sealed), data in zip(arriving, plain, strict=True):
        assert kernel.open(key, [(counter, sealed)]) == [data]
        if data is not None:
            assert kernel.seal(key, [(counter, data)]) == [sealed]


# -- Beside another implementation ---------------------------------------------------------------


@kernels
@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in place"])
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 8, 64])
def test_every_length_is_sealed_and_opened_as_by_cryptography(
    kernel: Kernel, batch: int, in_place: bool
) -> None:
    key = random.Random(batch).randbytes(32)
    lengths = list(range(LONGEST + 1))
    data = random.Random(1).randbytes(LONGEST)

    for first in range(0, len(lengths), batch):
        packets = [(2**64 - 1 - length, data[:length]) for length in lengths[first : first + batch]]
        sealed = expected(key, packets)

        assert kernel.seal(key, packets, in_place=in_place) == sealed
        opened = kernel.open(key, with_counters(packets, sealed), in_place=in_place)
        assert opened == [plain for _, plain in packets]


@kernels
@pytest.mark.parametrize("seed", SHAPES)
def test_random_batches_are_sealed_and_opened_as_by_cryptography(kernel: Kernel, seed: int) -> None:
    source = random.Random(seed)
    key = source.randbytes(32)
    in_place = source.random() < 0.5
    gap = source.randrange(16, 80)
    limit = source.choice([64, 200, 1420, LONGEST])
    common = source.randrange(limit)
    alike = source.choice([0.0, 0.7, 1.0])
    lengths = [
        common if source.random() < alike else source.randrange(limit) for _ in range(source.choice(BATCHES))
    ]
    first = source.getrandbits(63)
    packets = [(first + i, source.randbytes(length)) for i, length in enumerate(lengths)]
    sealed = expected(key, packets)
    forged = [source.random() < 0.1 for _ in packets]
    arriving = [
        flipped(data, source.randrange(8 * len(data))) if bad else data
        for data, bad in zip(sealed, forged, strict=True)
    ]

    assert kernel.seal(key, packets, in_place=in_place, gap=gap) == sealed
    opened = kernel.open(key, with_counters(packets, arriving), in_place=in_place, gap=gap)
    assert opened == [None if bad else plain for (_, plain), bad in zip(packets, forged, strict=True)]


@kernels
@given(key=st.binary(min_size=32, max_size=32), data=st.lists(st.binary(max_size=300), max_size=20))
def test_any_batch_is_sealed_as_by_cryptography(kernel: Kernel, key: bytes, data: list[bytes]) -> None:
    packets = list(enumerate(data))

    assert kernel.seal(key, packets) == expected(key, packets)


@kernels
@pytest.mark.parametrize("length", [9000, 65535, 1 << 18])
def test_long_packets_are_sealed_and_opened_as_by_cryptography(kernel: Kernel, length: int) -> None:
    packets = [(i, random.Random(i).randbytes(length - i)) for i in range(3)]
    sealed = expected(bytes(32), packets)

    assert kernel.seal(bytes(32), packets) == sealed
    assert kernel.open(bytes(32), with_counters(packets, sealed)) == [plain for _, plain in packets]


@kernels
def test_an_empty_batch_is_nothing(kernel: Kernel) -> None:
    assert kernel.seal(bytes(32), []) == []
    assert kernel.open(bytes(32), []) == []


# -- What is not authentic -----------------------------------------------------------------------


@kernels
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 64, 100])
def test_no_bit_can_be_changed(kernel: Kernel, length: int) -> None:
    key = bytes(range(32))
    (sealed,) = expected(key, [(7, bytes(length))])
    arriving = [(7, flipped(sealed, bit)) for bit in range(8 * len(sealed))]

    assert kernel.open(key, arriving) == [None] * len(arriving)


@kernels
@pytest.mark.parametrize("batch", BATCHES)
def test_one_forged_packet_leaves_the_others_alone(kernel: Kernel, batch: int) -> None:
    key = bytes(range(32))
    packets = [(i, bytes([i]) * 1420) for i in range(batch)]
    sealed = expected(key, packets)

    for bad in range(0, batch, max(1, batch // 8)):
        arriving = with_counters(packets, sealed)
        arriving[bad] = (bad, flipped(sealed[bad], 99))
        opened = kernel.open(key, arriving)
        assert opened == [None if i == bad else plain for i, (_, plain) in enumerate(packets)]


@kernels
def test_a_packet_opens_only_with_its_key_and_its_counter(kernel: Kernel) -> None:
    key, other = bytes(32), bytes(31) + b"\x01"
    (sealed,) = expected(key, [(7, bytes(100))])

    assert kernel.open(key, [(7, sealed), (8, sealed), (7 << 32, sealed)]) == [bytes(100), None, None]
    assert kernel.open(other, [(7, sealed)]) == [None]


# -- Poly1305 at the edges of its field ----------------------------------------------------------
#
# No random message comes near them. Whoever knows the key can choose a ciphertext whose sum is any number.


@kernels
@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("blocks", [2, 5, 23, 40])
def test_the_tag_is_right_where_the_sum_is_next_to_a_limit(kernel: Kernel, blocks: int, batch: int) -> None:
    source = random.Random(blocks)
    key = bytes(range(32))
    wanted = [
        value % P
        for limit in (0, P, 2**128, 2**129, 2**26, 2**52, 2**78, 2**104, 2**44, 2**88, 2**64)
        for value in (limit - 2, limit - 1, limit, limit + 1, limit + 2, limit + 5)
    ]
    packets = []
    for counter, value in enumerate(wanted):
        r, s = halves(one_time_key(key, counter))
        data = ciphertext_that_sums_to(value, r, blocks, source)
        packets.append((counter, data + tag(value, s)))

    for first in range(0, len(packets), batch):
        assert None not in kernel.open(key, packets[first : first + batch])
