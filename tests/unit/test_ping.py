"""Our ping: each answer counts once, from where it was asked; what it keeps is bounded."""

from itertools import count

import pytest

from wgpy.contract.constants import SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.paths.ping import MAX_QUESTIONS, Answer, Ping

NOW = 1000 * SECOND
THERE = Endpoint("192.0.2.1", 51820)
ELSEWHERE = Endpoint("192.0.2.2", 51820)


def make_ping() -> Ping:
    numbers = count()
    return Ping(lambda size: next(numbers).to_bytes(size, "big"))


def answer_to(question: bytes) -> bytes:
    answer = make_ping().receive(question, THERE, NOW)
    assert answer is not None
    return answer


def test_an_answer_tells_where_it_came_from_and_how_long_it_took() -> None:
    ping = make_ping()
    answer = answer_to(ping.ask(THERE, NOW))

    assert ping.receive(answer, THERE._replace(local_address="192.0.2.9"), NOW + 5) is None

    assert ping.take_answers() == [Answer(THERE, 5)]
    assert ping.take_answers() == []


def test_an_answer_is_as_long_as_its_question() -> None:
    question = make_ping().ask(THERE, NOW)

    assert len(answer_to(question)) == len(question) == 14


def test_an_answer_counts_once() -> None:
    ping = make_ping()
    answer = answer_to(ping.ask(THERE, NOW))
    ping.receive(answer, THERE, NOW)

    with pytest.raises(DatagramError, match="unexpected_answer"):
        ping.receive(answer, THERE, NOW)


def test_an_answer_from_elsewhere_counts_not_at_all_and_the_right_one_still_does() -> None:
    ping = make_ping()
    answer = answer_to(ping.ask(THERE, NOW))

    with pytest.raises(DatagramError, match="unexpected_answer"):
        ping.receive(answer, ELSEWHERE, NOW)

    ping.receive(answer, THERE, NOW)
    assert ping.take_answers() == [Answer(THERE, 0)]


def test_the_oldest_question_of_too_many_is_forgotten() -> None:
    ping = make_ping()
    answers = [answer_to(ping.ask(THERE, NOW)) for _ in range(MAX_QUESTIONS + 1)]

    with pytest.raises(DatagramError, match="unexpected_answer"):
        ping.receive(answers[0], THERE, NOW)
    for answer in answers[1:]:
        ping.receive(answer, THERE, NOW)

    assert len(ping.take_answers()) == MAX_QUESTIONS


@pytest.mark.parametrize("change", [(0, 1), (4, 1), (5, 16)], ids=["magic", "version", "kind"])
def test_what_is_of_another_kind_is_malformed(change: tuple[int, int]) -> None:
    position, by = change
    question = bytearray(make_ping().ask(THERE, NOW))
    question[position] ^= by

    with pytest.raises(DatagramError) as error:
        make_ping().receive(bytes(question), THERE, NOW)

    assert error.value.reason is DropReason.MALFORMED


@pytest.mark.parametrize("size", [0, 4, 13, 15])
def test_what_is_of_another_size_is_malformed(size: int) -> None:
    question = make_ping().ask(THERE, NOW).ljust(size, b"x")[:size]

    with pytest.raises(DatagramError, match="malformed"):
        make_ping().receive(question, THERE, NOW)
