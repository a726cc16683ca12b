"""Lines are read as they arrive, however they are cut, and no line keeps its reader long."""

import json
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mesh.test_wire import LINES
from wgpy.mesh.ledger import StateDigest
from wgpy.mesh.signing import MAX_BODY, Signed
from wgpy.mesh.wire import (
    BYTES_PER_PART,
    MAX_LINE,
    MAX_SHORT_LINE,
    RECORDS_PER_LINE,
    Delta,
    Greeting,
    Line,
    LineReader,
    encode_line,
)

DIGEST = StateDigest(7, bytes(32))
ONE = encode_line(Delta(5, (Signed(b'{"a":"b"}', bytes(64)), Signed(b"{}", bytes(64)))))


def read(pieces: Iterable[bytes]) -> list[Line]:
    reader = LineReader()
    return [line for piece in pieces for line in reader.feed(piece)]


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(st.lists(LINES, max_size=3), st.integers(1, 300))
def test_lines_are_the_same_in_whatever_pieces_they_come(lines: list[Line], size: int) -> None:
    data = b"".join(map(encode_line, lines))

    assert read(cut(data, size)) == read([data]) == lines


def test_a_line_of_very_many_records_comes_in_parts_of_which_the_last_has_the_revision() -> None:
    records = tuple(Signed(b"%d" % number, bytes(64)) for number in range(2 * RECORDS_PER_LINE + 1))

    parts = read([encode_line(Delta(9, records))])

    assert [part.revision for part in parts if isinstance(part, Delta)] == [0, 0, 9]
    assert tuple(signed for part in parts if isinstance(part, Delta) for signed in part.records) == records


def test_a_line_of_large_records_comes_in_parts_too() -> None:
    records = tuple(Signed(b"%d" % number * 30_000, bytes(64)) for number in range(20))

    parts = read([encode_line(Delta(9, records))])

    sizes = [sum(len(signed.body) for signed in part.records) for part in parts if isinstance(part, Delta)]
    assert len(sizes) > 1
    assert max(sizes) < BYTES_PER_PART + MAX_BODY


@pytest.mark.parametrize(
    "data",
    [
        ONE.replace(b'"records":[', b'"records":[ '),
        ONE.replace(b"},{", b"}, {"),
        ONE.replace(b"},{", b"},,{"),
        ONE.replace(b'{"body"', b'{ "body"', 1),
        ONE.replace(b'"signature"', b'"more":[[]],"signature"', 1),
        ONE.replace(b"]}\n", b"]} \n"),
        ONE.replace(b"]}\n", b'],"more":1}\n'),
        ONE.replace(b'{\\"a', b"\\u007b\\u0022a"),
        ONE.replace(b'"body":"{}"', b'"body":[[],[],[]]'),
        ONE.replace(b'"revision":5', b'"revision":05'),
        ONE.replace(b'"revision":5', b'"revision":99999999999999999'),
        ONE.replace(b"AAAA", b"A A=", 1),
        b" " + ONE,
        b"\n",
        b"[" * 9999 + b"\n",
    ],
)
def test_a_line_with_records_has_one_spelling_and_padding_is_damage(data: bytes) -> None:
    assert read([ONE]) == [Delta(5, (Signed(b'{"a":"b"}', bytes(64)), Signed(b"{}", bytes(64))))]

    with pytest.raises(ValueError, match="a line"):
        read([data])
    with pytest.raises(ValueError, match="a line"):
        read(cut(data, 1))


@pytest.mark.parametrize(
    ("beginning", "piece", "limit"),
    [
        (b"", b" ", MAX_SHORT_LINE),
        (b"{", b" ", MAX_SHORT_LINE),
        (b'{"standing":', b"[", MAX_SHORT_LINE),
        (b'{"revision":', b"1", MAX_SHORT_LINE),
        (b'{"revision":5,"records":[', b" ", 100),
        (b'{"revision":5,"records":[{"body":"', b"x", 3 * MAX_BODY),
        (b'{"revision":5,"records":[{"body":"', b"\\u0061", 3 * MAX_BODY),
        (b'{"revision":5,"records":[', ONE[25:-4] + b",", MAX_LINE + 1000),
    ],
)
def test_a_line_without_end_is_given_up(beginning: bytes, piece: bytes, limit: int) -> None:
    fed = [beginning]

    def endless() -> Iterator[bytes]:
        yield beginning
        while len(fed) < MAX_LINE:
            fed.append(piece * (1000 // len(piece)))
            yield fed[-1]

    with pytest.raises(ValueError, match="a line"):
        read(endless())
    assert sum(map(len, fed)) < limit + 2000


def test_a_greeting_may_have_fields_that_are_not_known_yet() -> None:
    greeting = Greeting(DIGEST, b"", "192.0.2.1")
    later = json.loads(encode_line(greeting)) | {"more": [1]}

    assert read([json.dumps(later).encode() + b"\n"]) == [greeting]


def test_a_reader_knows_whether_it_is_within_a_line() -> None:
    reader = LineReader()
    for position in range(1, len(ONE)):
        list(reader.feed(ONE[position - 1 : position]))
        assert reader.is_within_a_line
    assert list(reader.feed(b"\n")) != []
    assert not reader.is_within_a_line
