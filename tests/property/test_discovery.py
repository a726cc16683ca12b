"""Whatever arrives, discovery answers with as many bytes or refuses it, and does not grow."""

from hypothesis import given
from hypothesis import strategies as st

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.paths.discovery import MAGIC, MAX_ANSWERS, MAX_SIZE, SIZE, Discovery

START = 1000 * SECOND
KEY, OTHER_KEY = bytes([1] * 32), bytes([2] * 32)

endpoints = st.builds(
    Endpoint, st.ip_addresses().map(str).filter(lambda text: "%" not in text), st.integers(0, 65535)
)
damages = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 255)), max_size=3)


def pair() -> tuple[Discovery, Discovery]:
    """Two nodes, whose questions all have one id, so that answers can be guessed."""
    left, right = Discovery(KEY, bytes), Discovery(OTHER_KEY, bytes)
    left.set_peers([right.public_key])
    right.set_peers([left.public_key])
    return left, right


@given(st.binary(max_size=MAX_SIZE + 8) | st.binary(max_size=200).map(MAGIC.__add__), endpoints)
def test_any_bytes_are_refused(data: bytes, source: Endpoint) -> None:
    left, _ = pair()

    try:
        answer = left.receive(data, source, START)
    except DatagramError:
        return

    raise AssertionError(f"a datagram that no node made has the answer {answer!r}")


@given(endpoints, st.integers(SIZE, MAX_SIZE), damages)
def test_a_question_is_answered_with_as_many_bytes_and_a_damaged_one_not_at_all(
    source: Endpoint, size: int, damage: list[tuple[int, int]]
) -> None:
    left, right = pair()
    question = bytearray(left.ask(right.public_key, Endpoint("192.0.2.1", 1), START, size))
    before = bytes(question)
    for position, change in damage:
        question[position] ^= change

    try:
        answer = right.receive(bytes(question), source, START)
    except DatagramError:
        assert question != before
    else:
        assert question == before
        assert answer is not None
        assert len(answer) == size
        left.receive(answer, Endpoint("192.0.2.1", 1), START)
        assert [told.seen_as.packed()[-2:] for told in left.take_answers()] == [source.packed()[-2:]]


@given(st.lists(endpoints, max_size=100), st.integers(0, 5))
def test_it_keeps_no_more_than_it_says(sources: list[Endpoint], repeats: int) -> None:
    left, right = pair()
    for source in sources:
        for _ in range(repeats):
            answer = right.receive(left.ask(right.public_key, source, START), source, START)
            assert answer is not None
            left.receive(answer, source, START)

    assert len(left.take_answers()) <= MAX_ANSWERS
    assert len(right.take_heard()) <= MAX_ANSWERS
