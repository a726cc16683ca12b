"""Paths of a pair of which one end keeps the other's way in open, and nobody registers with a relay."""

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.exchange import Candidate, PathKind
from wgpy.paths.outputs import Ask, Relay, Session, Traffic, Use
from wgpy.paths.selection import ANSWER_TIME, PeerPaths

PUBLIC, OTHER = Endpoint("198.51.100.1", 51820), Endpoint("198.51.100.2", 7000)
RELAY = Relay(bytes(32), Endpoint("203.0.113.1", 51820))
NOW = 100 * SECOND


def leader(traffic: list[Traffic]) -> PeerPaths:
    """Return the paths of an end that leads. traffic: the last one counts."""
    paths = PeerPaths(is_leader=True, traffic=lambda: traffic[-1])
    paths.keep_open(None, NOW)
    return paths


def test_where_a_peer_was_heard_it_stays_though_it_has_relays() -> None:
    paths = leader([Traffic(0, 0)])
    paths.on_endpoint(OTHER, NOW)

    paths.set_relays([RELAY], NOW)

    assert paths.take_outputs() == []


def test_a_peer_that_does_not_answer_and_has_no_relay_is_followed_again() -> None:
    traffic = [Traffic(0, 0)]
    paths = leader(traffic)
    paths.on_endpoint(PUBLIC, NOW)
    paths.set_remote([Candidate(PUBLIC, PathKind.PUBLIC), Candidate(OTHER, PathKind.PUBLIC)], NOW)
    traffic.append(Traffic(0, NOW))
    paths.on_sent(NOW)
    paths.on_answer(OTHER, SECOND // 100, NOW)
    assert Use(OTHER, True, Session.KEEP) in paths.take_outputs()

    for late in range(1, 4):
        paths.expire(NOW + late * ANSWER_TIME)

    outputs = paths.take_outputs()
    assert Ask(OTHER) in outputs
    assert Use(OTHER, False, Session.KEEP) in outputs


def test_after_silence_the_next_packet_goes_where_keepalives_keep_the_way_open() -> None:
    traffic = [Traffic(0, 0)]
    paths = leader(traffic)
    paths.on_endpoint(OTHER, NOW)
    paths.set_relays([RELAY], NOW)
    paths.on_sent(NOW)
    paths.on_answer(OTHER, SECOND // 100, NOW)
    paths.take_outputs()

    while (deadline := paths.next_deadline()) is not None:
        paths.expire(deadline)

    used = paths.path
    assert used
    assert (used.endpoint, used.kind) == (OTHER, PathKind.REFLEXIVE)
    assert not paths.is_active
