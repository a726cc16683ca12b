"""What is said on the way is read as it was said, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.network import key_of
from wgpy.mesh.ledger import StateDigest
from wgpy.mesh.signing import MAX_BODY, Signed
from wgpy.mesh.wire import (
    BYTES_PER_LINE,
    Delta,
    Greeting,
    check_proof,
    decode_line,
    deltas,
    encode_line,
    proof,
)

KEY = key_of(1)
NETWORK = bytes(16)
NUMBERS = st.integers(0, (1 << 53) - 1)
RECORDS = st.builds(Signed, st.binary(max_size=50), st.binary(min_size=64, max_size=64))
STANDINGS = st.builds(StateDigest, NUMBERS, st.binary(min_size=32, max_size=32))
LINES = (
    st.builds(Delta, NUMBERS, st.lists(RECORDS, max_size=3).map(tuple))
    | STANDINGS
    | st.builds(Greeting, STANDINGS, st.binary(max_size=32), st.text(max_size=20))
)


@given(LINES)
def test_a_line_is_read_as_it_was_written(line: Delta | StateDigest | Greeting) -> None:
    encoded = encode_line(line)

    assert encoded.index(b"\n") == len(encoded) - 1
    assert decode_line(encoded) == line


@given(st.binary(max_size=100) | LINES.map(encode_line).map(lambda line: line[:-2]))
def test_what_is_no_line_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="a line"):
        decode_line(data)


@pytest.mark.parametrize("said", ['{"revision":1,"records":[7]}', '{"revision":-1,"records":[]}', "[]", "{}"])
def test_json_that_says_something_else_is_a_value_error(said: str) -> None:
    with pytest.raises(ValueError, match="a line"):
        decode_line(said.encode())


@given(st.integers(0, 450))
def test_much_news_is_cut_and_only_the_last_line_has_the_new_revision(count: int) -> None:
    records = [Signed(b"%d" % number, bytes(64)) for number in range(count)]

    cut = list(deltas(5, 9, records))

    assert [signed for delta in cut for signed in delta.records] == records
    assert [delta.revision for delta in cut] == [5] * (len(cut) - 1) + [9]


def test_large_records_are_cut_into_lines_that_anybody_reads() -> None:
    records = [Signed(b'"' * MAX_BODY, bytes(64)) for _ in range(100)]

    lines = [encode_line(delta) for delta in deltas(5, 9, records)]

    assert [signed for line in lines for signed in decoded(line).records] == records
    assert max(map(len, lines)) < 3 * BYTES_PER_LINE


def decoded(line: bytes) -> Delta:
    delta = decode_line(line)
    assert isinstance(delta, Delta)
    return delta


def test_a_proof_is_of_one_key_one_network_and_one_challenge() -> None:
    said = proof(KEY, NETWORK, "abc")

    assert check_proof(said, NETWORK) == (KEY.verify_key(), "abc")
    other = said.replace(str(KEY.verify_key()), str(key_of(2).verify_key()))
    for wrong, network in ((said.replace("abc", "abd"), NETWORK), (other, NETWORK), (said, b"1" * 16)):
        with pytest.raises(ValueError, match="not of that key"):
            check_proof(wrong, network)
