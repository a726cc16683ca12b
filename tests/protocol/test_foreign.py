"""Chapter 13: datagrams that are not WireGuard's, at the port that is. Of this implementation.

They are a ping's, and pass beside a tunnel that works.
"""

from random import Random

import pytest

from wgpy.contract.drops import DropReason
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.discovery import MAGIC, SIZE, Answer, Discovery
from wgpy.testing import Conditions, Node

from . import whitepaper as wp
from .harness import DELAY, Pair

FLOODING_AT = Endpoint("203.0.113.77", 4000)
MAX_FOREIGN = 64


def pinging(node: Node) -> Discovery:
    """Questions and answers at the node's port, for its peers."""
    discovery = Discovery(node.private_key, Random(7).randbytes)
    discovery.set_peers(node.config)
    node.register_reader(MAGIC, discovery.receive)
    return discovery


def ask(node: Node, discovery: Discovery, remote: Endpoint) -> None:
    (peer,) = node.config
    node.send_raw(remote, discovery.ask(peer, remote, node.now))


@pytest.mark.parametrize("ipv6", [False, True], ids=["IPv4", "IPv6"])
def test_who_is_asked_answers_beside_the_tunnel(ipv6: bool) -> None:
    pair = Pair(ipv6=ipv6)
    asking, _ = pinging(pair.alice), pinging(pair.bob)

    ask(pair.alice, asking, pair.bob.listen)
    pair.run(2 * DELAY)

    seen_as = pair.alice.listen
    assert asking.take_answers() == [Answer(pair.bob.public_key, pair.bob.listen, 2 * DELAY, seen_as, SIZE)]
    pair.assert_works_both_ways()


def test_who_has_no_reader_is_silent() -> None:
    pair = Pair()
    asking = pinging(pair.alice)

    ask(pair.alice, asking, pair.bob.listen)
    pair.run(wp.NS)

    assert asking.take_answers() == []
    assert pair.wire.flights[1:] == []
    assert pair.bob.datapath.counters()[DropReason.UNKNOWN_TYPE] == 1


def test_the_answer_passes_the_nat_that_the_question_opened() -> None:
    pair = Pair(nat=True)
    asking, _ = pinging(pair.alice), pinging(pair.bob)

    ask(pair.alice, asking, pair.bob.listen)
    pair.run(2 * DELAY)

    (answer,) = asking.take_answers()
    assert answer.remote == pair.bob.listen
    assert pair.nat
    assert answer.seen_as.address == pair.nat.address


def test_who_is_behind_a_nat_is_asked_where_its_tunnel_is() -> None:
    pair = Pair(nat=True)
    pinging(pair.alice)
    asking = pinging(pair.bob)
    pair.establish()
    behind = pair.alice_at_bob.endpoint
    assert behind is not None

    ask(pair.bob, asking, behind)
    pair.run(2 * DELAY)

    assert [answer.remote for answer in asking.take_answers()] == [behind]


@pytest.mark.parametrize("seed", range(5))
def test_each_question_is_answered_at_most_once_by_a_network_that_loses_and_repeats(seed: int) -> None:
    pair = Pair(seed)
    pair.simulation.network.conditions = Conditions(
        delay=DELAY, jitter=5 * DELAY, loss=0.3, duplication=0.3, corruption=0.1
    )
    asking, _ = pinging(pair.alice), pinging(pair.bob)

    answers = []
    for _ in range(50):
        ask(pair.alice, asking, pair.bob.listen)
        pair.run(wp.NS // 10)
        answers += asking.take_answers()
    pair.run(wp.NS)
    answers += asking.take_answers()

    assert 5 < len(answers) < 50
    pair.simulation.network.conditions = Conditions()
    pair.keep_talking(3 * wp.NS)
    pair.assert_works_both_ways()


def test_a_flood_of_one_source_does_not_keep_others_from_being_answered() -> None:
    pair = Pair()
    asking, _ = pinging(pair.alice), pinging(pair.bob)
    pair.establish()
    flooding = Discovery(pair.alice.private_key, Random(8).randbytes)
    heard: list[bytes] = []
    pair.simulation.network.attach(FLOODING_AT, lambda data, source, tos: heard.append(data))

    answers = []
    for _ in range(20):
        for _ in range(10 * MAX_FOREIGN):
            question = flooding.ask(pair.bob.public_key, pair.bob.listen, 0)
            pair.simulation.network.send(FLOODING_AT, pair.bob.listen, question)
        ask(pair.alice, asking, pair.bob.listen)
        pair.run(wp.NS // 10)
        answers += asking.take_answers()

    assert len(answers) == 20
    assert len(heard) < 100  # of 12,800
    pair.assert_works_both_ways()


def test_a_reader_stays_when_the_host_restarts() -> None:
    pair = Pair()
    asking, _ = pinging(pair.alice), pinging(pair.bob)
    pair.bob.stop()
    pair.bob.start()

    ask(pair.alice, asking, pair.bob.listen)
    pair.run(2 * DELAY)

    assert len(asking.take_answers()) == 1
