"""Questions outside of the tunnel: what they tell two nodes, and what a stranger has of them."""

from contextlib import suppress
from itertools import count
from random import Random

import pytest

from wgpy.contract.constants import SECOND
from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.errors import DatagramError
from wgpy.paths.discovery import (
    MAX_DELAY,
    MAX_QUESTIONS,
    MAX_SIZE,
    SIZE,
    TOKEN_LIFETIME,
    Answer,
    Discovery,
    Heard,
    Manner,
)
from wgpy.paths.postponed import MAX_OF_PEER, MAX_POSTPONED, Postponed, PostponedAnswers

NOW = 1000 * SECOND
ALICE_AT = Endpoint("198.51.100.1", 1111)
BOB_AT = Endpoint("192.0.2.1", 51820)
BOB_AT6 = Endpoint("2001:db8::1", 51820)
ELSEWHERE = Endpoint("192.0.2.2", 51820)


class Pair:
    """Alice asks Bob. Both know each other's key."""

    def __init__(self) -> None:
        self.alice, self.bob = make_node(1), make_node(2)
        self.alice.set_peers([self.bob.public_key])
        self.bob.set_peers([self.alice.public_key])

    def question(self, at: Endpoint = BOB_AT, size: int = SIZE, now: int = NOW) -> bytes:
        return self.alice.ask(self.bob.public_key, at, now, size)

    def answer_to(self, question: bytes, source: Endpoint = ALICE_AT, now: int = NOW) -> bytes:
        answer = self.bob.receive(question, source, now)
        assert answer is not None
        return answer

    def exchange(self, now: int = NOW) -> None:
        """A question, and its answer."""
        self.alice.receive(self.answer_to(self.question(now=now), now=now), BOB_AT, now)


def make_node(number: int) -> Discovery:
    return Discovery(bytes([number] * 32), Random(number).randbytes)


def refused(node: Discovery, data: bytes, source: Endpoint = ALICE_AT, now: int = NOW) -> DropReason:
    with pytest.raises(DatagramError) as error:
        node.receive(data, source, now)
    return error.value.reason


# -- In another manner ------------------------------------------------------------------------------------


def test_an_answer_after_a_silence_waits_and_is_as_long_as_its_question() -> None:
    pair = Pair()
    question = pair.alice.ask(pair.bob.public_key, BOB_AT, NOW, SIZE + 9, Manner(20))

    assert pair.bob.receive(question, ALICE_AT, NOW) is None

    assert pair.bob.postponed.next_due == NOW + 20 * SECOND
    assert pair.bob.postponed.take_due(NOW + 20 * SECOND - 1) == []
    (late,) = pair.bob.postponed.take_due(NOW + 20 * SECOND)
    assert (len(late.data), late.to, late.elsewhere) == (SIZE + 9, ALICE_AT, False)
    assert pair.bob.postponed.next_due is None
    pair.alice.receive(late.data, BOB_AT, NOW + 20 * SECOND)
    (told,) = pair.alice.take_answers()
    assert (told.manner, told.round_trip) == (Manner(20), 20 * SECOND)


def test_an_answer_from_elsewhere_counts_if_it_was_asked_for() -> None:
    pair = Pair()
    question = pair.alice.ask(pair.bob.public_key, BOB_AT, NOW, manner=Manner(elsewhere=True))
    pair.bob.receive(question, ALICE_AT, NOW)
    (one,) = pair.bob.postponed.take_due(NOW)

    assert one.elsewhere
    pair.alice.receive(one.data, BOB_AT._replace(port=7), NOW)
    assert [(told.remote, told.manner) for told in pair.alice.take_answers()] == [
        (BOB_AT, Manner(elsewhere=True))
    ]


def test_a_question_that_is_repeated_has_one_answer_that_waits() -> None:
    pair = Pair()
    for again in range(5):
        question = pair.alice.ask(pair.bob.public_key, BOB_AT, NOW, manner=Manner(20))
        for _ in range(3):  # as who recorded it may send it
            pair.bob.receive(question, ALICE_AT, NOW + again)

    assert len(pair.bob.postponed.take_due(NOW + 30 * SECOND)) == 1


def test_answers_that_wait_have_a_maximum_for_each_node_and_in_all() -> None:
    waiting = PostponedAnswers()
    for number in range(MAX_POSTPONED * 2):
        for peer in (b"greedy", number.to_bytes(4)):
            waiting.add(peer, Postponed(peer, ALICE_AT._replace(port=number), 0, elsewhere=False))

    due = waiting.take_due(0)
    assert len(due) == MAX_POSTPONED
    assert sum(one.data == b"greedy" for one in due) == MAX_OF_PEER


@pytest.mark.parametrize("manner", [Manner(MAX_DELAY + 1), Manner(255)])
def test_a_question_for_an_answer_after_too_long_is_refused(manner: Manner) -> None:
    pair = Pair()

    assert refused(pair.bob, pair.alice.ask(pair.bob.public_key, BOB_AT, NOW, manner=manner)) is (
        DropReason.MALFORMED
    )


# -- Between two nodes -----------------------------------------------------------------------------------


def test_an_answer_tells_who_is_where_and_how_far_and_what_the_question_was_seen_as() -> None:
    pair = Pair()
    answer = pair.answer_to(pair.question())

    assert pair.alice.receive(answer, BOB_AT._replace(local_address="192.0.2.9"), NOW + 5) is None

    assert pair.alice.take_answers() == [Answer(pair.bob.public_key, BOB_AT, 5, ALICE_AT, SIZE)]
    assert pair.alice.take_answers() == []


def test_what_a_question_was_seen_as_may_be_an_ipv6_address() -> None:
    pair = Pair()
    seen_as = Endpoint("2001:db8::ffff:1", 7)

    pair.alice.receive(pair.answer_to(pair.question(BOB_AT6), seen_as), BOB_AT6, NOW)

    assert [answer.seen_as for answer in pair.alice.take_answers()] == [seen_as]


@pytest.mark.parametrize("size", [SIZE, SIZE + 1, 1400, MAX_SIZE])
def test_an_answer_is_as_long_as_its_question(size: int) -> None:
    pair = Pair()
    question = pair.question(size=size)
    answer = pair.answer_to(question)

    assert len(answer) == len(question) == size
    pair.alice.receive(answer, BOB_AT, NOW)
    assert [told.size for told in pair.alice.take_answers()] == [size]


@pytest.mark.parametrize("size", [SIZE - 1, MAX_SIZE + 1])
def test_a_question_of_another_size_is_a_mistake_of_the_caller(size: int) -> None:
    with pytest.raises(ValueError, match="a question has"):
        Pair().question(size=size)


def test_an_answer_counts_once() -> None:
    pair = Pair()
    answer = pair.answer_to(pair.question())
    pair.alice.receive(answer, BOB_AT, NOW)

    assert refused(pair.alice, answer, BOB_AT) is DropReason.UNEXPECTED_ANSWER


def test_an_answer_from_elsewhere_counts_not_at_all_and_the_right_one_still_does() -> None:
    pair = Pair()
    answer = pair.answer_to(pair.question())

    assert refused(pair.alice, answer, ELSEWHERE) is DropReason.UNEXPECTED_ANSWER

    pair.alice.receive(answer, BOB_AT, NOW)
    assert [told.remote for told in pair.alice.take_answers()] == [BOB_AT]


def test_the_oldest_question_of_too_many_is_forgotten() -> None:
    pair = Pair()
    answers = [pair.answer_to(pair.question()) for _ in range(MAX_QUESTIONS + 1)]

    assert refused(pair.alice, answers[0], BOB_AT) is DropReason.UNEXPECTED_ANSWER
    pair.alice.receive(answers[-1], BOB_AT, NOW)

    assert len(pair.alice.take_answers()) == 1


def test_who_answers_learns_by_the_next_question_that_the_other_receives_there() -> None:
    pair = Pair()
    pair.exchange()
    assert pair.bob.take_heard() == []

    pair.exchange()

    assert pair.bob.take_heard() == [Heard(pair.alice.public_key, ALICE_AT)]
    assert pair.bob.take_heard() == []


def test_a_question_to_oneself_is_answered_so_that_a_hairpin_is_seen() -> None:
    alice = make_node(1)
    alice.set_peers([])

    answer = alice.receive(alice.ask(alice.public_key, ALICE_AT, NOW), ALICE_AT, NOW)

    assert answer is not None
    alice.receive(answer, ALICE_AT, NOW)
    assert [told.peer for told in alice.take_answers()] == [alice.public_key]


def test_a_peer_whose_key_has_low_order_is_asked_in_vain() -> None:
    pair = Pair()
    low = bytes(32)
    pair.bob.set_peers([low])

    question = Discovery(bytes([9] * 32), Random(9).randbytes).ask(low, BOB_AT, NOW)

    assert refused(pair.bob, question) is DropReason.UNKNOWN_PEER


# -- Against a stranger ----------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 4, 5, 6, 8, 16, 24, 32, 48, SIZE - 1])
def test_a_changed_datagram_is_neither_answered_nor_believed(position: int) -> None:
    pair = Pair()
    question = bytearray(pair.question())
    answer = bytearray(pair.answer_to(bytes(question)))
    question[position] ^= 16
    answer[position] ^= 16

    reasons = {refused(pair.bob, bytes(question)), refused(pair.alice, bytes(answer), BOB_AT)}

    assert reasons <= {DropReason.MALFORMED, DropReason.UNKNOWN_PEER, DropReason.INVALID_MAC}
    assert pair.alice.take_answers() == []


@pytest.mark.parametrize("size", [0, 4, SIZE - 1, SIZE + 1])
def test_what_is_of_another_size_than_it_was_is_refused(size: int) -> None:
    pair = Pair()
    question = pair.question().ljust(size, b"\0")[:size]

    assert refused(pair.bob, question) in (DropReason.MALFORMED, DropReason.INVALID_MAC)


def test_who_has_no_key_of_the_network_is_not_answered() -> None:
    pair = Pair()
    stranger = make_node(3)

    question = stranger.ask(pair.bob.public_key, BOB_AT, NOW)

    assert refused(pair.bob, question) is DropReason.UNKNOWN_PEER


def test_who_left_the_network_is_not_answered_any_more() -> None:
    pair = Pair()
    pair.exchange()
    pair.bob.set_peers([])

    assert refused(pair.bob, pair.question()) is DropReason.UNKNOWN_PEER


def test_a_question_sent_back_to_who_asked_is_not_answered() -> None:
    pair = Pair()

    assert refused(pair.alice, pair.question(), BOB_AT) is DropReason.UNKNOWN_PEER


def test_a_question_for_another_node_is_not_answered() -> None:
    pair = Pair()
    carol = make_node(3)
    carol.set_peers([pair.alice.public_key])

    assert refused(carol, pair.question()) is DropReason.UNKNOWN_PEER


def test_who_replays_a_question_from_elsewhere_gets_an_equally_long_answer_and_nothing_more() -> None:
    pair = Pair()
    pair.exchange()
    with_token = pair.question()
    pair.answer_to(with_token)
    assert pair.bob.take_heard() == [Heard(pair.alice.public_key, ALICE_AT)]

    for _ in range(10):
        assert len(pair.answer_to(with_token, ELSEWHERE)) == len(with_token)

    assert pair.bob.take_heard() == []


def test_who_receives_the_answers_to_replayed_questions_cannot_use_their_tokens() -> None:
    pair = Pair()
    token = pair.answer_to(pair.question(), ELSEWHERE)[24:32]
    question = bytearray(pair.question())
    question[24:32] = token

    assert refused(pair.bob, bytes(question), ELSEWHERE) is DropReason.INVALID_MAC
    assert pair.bob.take_heard() == []


def test_a_token_is_of_one_address_and_grows_old() -> None:
    pair = Pair()
    pair.exchange()
    pair.answer_to(pair.question(), ALICE_AT._replace(port=1112))
    assert pair.bob.take_heard() == []

    pair.exchange()
    pair.answer_to(pair.question(now=NOW + 2 * TOKEN_LIFETIME), now=NOW + 2 * TOKEN_LIFETIME)

    assert pair.bob.take_heard() == []


def test_an_old_answer_is_no_answer_to_a_new_question() -> None:
    pair = Pair()
    old = pair.answer_to(pair.question())
    pair.alice.receive(old, BOB_AT, NOW)
    pair.alice.take_answers()
    pair.question()

    assert refused(pair.alice, old, BOB_AT) is DropReason.UNEXPECTED_ANSWER
    assert pair.alice.take_answers() == []


def test_an_answer_does_not_count_for_a_question_of_another_size() -> None:
    """Else who cuts what is too long for a path would make it look passable."""
    pair = Pair()
    long = pair.question(size=1400)
    short_answer = pair.answer_to(pair.question())

    assert pair.alice.receive(short_answer, BOB_AT, NOW) is None
    assert [told.size for told in pair.alice.take_answers()] == [SIZE]
    assert refused(pair.bob, long[:SIZE]) is DropReason.INVALID_MAC


def test_no_two_pairs_have_the_same_hint_and_none_tells_the_other_direction() -> None:
    nodes = [make_node(number) for number in range(1, 4)]
    hints = {
        one.ask(other.public_key, BOB_AT, NOW)[8:16] for one in nodes for other in nodes if one is not other
    }

    assert len(hints) == 6


@pytest.mark.parametrize("seed", range(5))
def test_reordered_repeated_and_lost_datagrams_give_each_answer_at_most_once(seed: int) -> None:
    pair, random, numbers = Pair(), Random(seed), count(NOW)
    to_bob: list[bytes] = []
    to_alice: list[bytes] = []
    for _ in range(50):
        to_bob.append(pair.question(now=next(numbers)))
        if random.random() < 0.7:
            to_alice.append(pair.answer_to(random.choice(to_bob)))
        if to_alice and random.random() < 0.7:
            with suppress(DatagramError):  # it has come before
                pair.alice.receive(random.choice(to_alice), BOB_AT, next(numbers))

    assert 0 < len(pair.alice.take_answers()) <= len(to_bob)
