"""The Internet checksum, beside RFC 1071 in plain Python."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fastpath.offloads import Buffer, ffi, lib
from tests.fastpath.superpackets import words

uint16 = st.integers(0, 2**16 - 1)
addresses = st.binary(min_size=32, max_size=32)


def folded(total: int) -> int:
    """A sum of the C code, folded, as a number."""
    buffer = Buffer(2)
    lib.wgfp_sum_store(buffer.at, total)
    return int.from_bytes(bytes(buffer))


def same(one: int, other: int) -> bool:
    """Equal as one's complement numbers: there are two zeros."""
    return one % 0xFFFF == other % 0xFFFF


@pytest.mark.parametrize("shift", range(8))
def test_every_length_is_summed_at_every_alignment(shift: int) -> None:
    data = random.Random(shift).randbytes(300)

    for length in range(len(data)):
        buffer = Buffer(data[:length], shift=shift)
        assert folded(lib.wgfp_sum(buffer.at, length)) == words(data[:length])


@pytest.mark.parametrize("byte", [0, 1, 0x80, 0xFF])
@pytest.mark.parametrize("length", [1419, 1420, 65535, 1 << 20])
def test_no_carry_is_lost(byte: int, length: int) -> None:
    data = bytes([byte]) * length

    assert folded(lib.wgfp_sum(Buffer(data).at, length)) == words(data)


@given(st.binary(max_size=300), st.integers(0, 7), st.integers(0, 7))
def test_summing_while_copying_gives_the_same_sum_and_a_copy(
    data: bytes, shift: int, copy_shift: int
) -> None:
    source, copy = Buffer(data, shift=shift), Buffer(len(data), shift=copy_shift)

    total = lib.wgfp_sum_copy(copy.at, source.at, len(data))

    copy.check()
    assert bytes(copy) == data
    assert total == lib.wgfp_sum(source.at, len(data))


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_the_sum_of_a_whole_is_found_from_its_parts_also_at_an_odd_offset(front: bytes, back: bytes) -> None:
    total, rest = (lib.wgfp_sum(Buffer(part).at, len(part)) for part in (front, back))

    total += lib.wgfp_sum_odd(rest) if len(front) % 2 else rest

    assert folded(total) == words(front + back)


@given(uint16)
def test_a_word_is_summed_as_it_lies_in_a_packet(word: int) -> None:
    assert folded(lib.wgfp_sum_word(word)) == word


@given(addresses, st.integers(0, 255), uint16)
def test_the_pseudo_header_of_ipv4_is_that_of_rfc_768(data: bytes, protocol: int, length: int) -> None:
    header = data[:8] + bytes([0, protocol]) + length.to_bytes(2)

    assert folded(lib.wgfp_sum_pseudo4(Buffer(data[:8]).at, protocol, length)) == words(header)


@given(addresses, st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_the_pseudo_header_of_ipv6_is_that_of_rfc_8200(data: bytes, protocol: int, length: int) -> None:
    header = data + length.to_bytes(4) + bytes([0, 0, 0, protocol])

    assert folded(lib.wgfp_sum_pseudo6(Buffer(data).at, protocol, length)) == words(header)


@given(st.integers(0, 2**64 - 1))
def test_folding_keeps_the_sum_and_zero_comes_only_of_zero(total: int) -> None:
    result = lib.wgfp_sum_fold(total)

    assert same(result, total)
    assert (result == 0) == (total == 0)


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=4, max_size=4))
def test_an_updated_checksum_is_the_one_that_would_be_made_anew(header: bytes, new: bytes) -> None:
    checksum = Buffer((0xFFFF - words(header)).to_bytes(2))
    before, after = Buffer(header[4:8]), Buffer(new)
    changed = header[:4] + new + header[8:]

    lib.wgfp_checksum_update(checksum.at, lib.wgfp_sum(before.at, 4), lib.wgfp_sum(after.at, 4))

    assert same(int.from_bytes(bytes(checksum)), 0xFFFF - words(changed))
    assert bytes(checksum) == (0xFFFF - words(changed)).to_bytes(2) or not any(changed)


def test_the_example_of_rfc_1624_section_4() -> None:
    checksum = Buffer(bytes.fromhex("dd2f"))

    lib.wgfp_checksum_update(checksum.at, lib.wgfp_sum_word(0x5555), lib.wgfp_sum_word(0x3285))

    assert bytes(checksum).hex() == "0000"


def test_what_holds_its_checksum_sums_up_to_ffff() -> None:
    header = bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")

    assert lib.wgfp_sum_fold(lib.wgfp_sum(ffi.from_buffer(header), len(header))) == 0xFFFF
