"""What this host has to offer: where its peers may reach it, and what they are told of that."""

import pytest

from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.paths.exchange import MAX_CANDIDATES, Candidate, PathKind, PathMessage
from wgpy.paths.local import PREDICTED, local_candidates, predicted_candidates
from wgpy.paths.nat import Dependence, NatBehaviour, NatObserver, PortAssignment
from wgpy.paths.told import Told

NOW = 1000 * SECOND
THERE = Endpoint("198.51.100.2", 2222)
THERE6 = Endpoint("2001:db8:2::1", 51820)
OWN = Endpoint("192.168.0.1", 51820)
PUBLIC = Endpoint("192.0.2.9", 51820)
SEEN = Endpoint("198.51.100.1", 1111)


@pytest.mark.parametrize(
    ("own", "behaviour", "found"),
    [
        ([OWN], NatBehaviour(), [(OWN, PathKind.LAN)]),
        ([OWN], NatBehaviour((SEEN,), True), [(SEEN, PathKind.REFLEXIVE), (OWN, PathKind.LAN)]),
        ([PUBLIC], NatBehaviour((PUBLIC,), False), [(PUBLIC, PathKind.REFLEXIVE)]),
        (
            [PUBLIC],
            NatBehaviour((PUBLIC,), False, filtering=Dependence.ENDPOINT_INDEPENDENT),
            [(PUBLIC, PathKind.PUBLIC)],
        ),
        ([THERE6], NatBehaviour((THERE6,), False), [(THERE6, PathKind.IPV6)]),
    ],
    ids=["unknown", "NAT", "firewall", "open", "IPv6"],
)
def test_a_host_offers_what_it_has_and_what_others_saw(
    own: list[Endpoint], behaviour: NatBehaviour, found: list[tuple[Endpoint, PathKind]]
) -> None:
    assert list(local_candidates(own, [behaviour])) == found


def test_what_the_operator_named_is_public() -> None:
    behaviour = NatBehaviour((PUBLIC,), False)

    assert list(local_candidates([PUBLIC], [behaviour], [PUBLIC])) == [(PUBLIC, PathKind.PUBLIC)]


def test_the_ports_that_a_nat_will_show_come_first_and_all_has_its_bound() -> None:
    behaviour = NatBehaviour(
        (SEEN,), True, Dependence.ADDRESS_AND_PORT_DEPENDENT, PortAssignment.COUNTING, 2, last=SEEN.port
    )
    own = [OWN._replace(port=port) for port in range(1, 50)]
    told = Told(lambda remotes: predicted_candidates(NatObserver(4), behaviour, remotes))

    told.set_local(local_candidates(own, [behaviour]), NOW)

    found = told.candidates
    assert [one.endpoint.port for one in found[:PREDICTED]] == [SEEN.port + 2 * n for n in range(1, 9)]
    assert len(found) == MAX_CANDIDATES


def test_where_a_question_went_out_is_told_before_what_the_nat_will_show_next() -> None:
    """What nobody answered has taken a port, too."""
    observer = NatObserver(4)
    relays = [Endpoint("203.0.113.1", 51820), Endpoint("203.0.113.2", 51820)]
    for number, remote in enumerate([*relays, SEEN, THERE]):
        observer.note_sent(remote, NOW)
        if remote in relays:
            observer.note_answer(remote, SEEN._replace(port=5000 + number))
    behaviour = observer.behaviour([OWN.address], OWN.port)

    shown, later = predicted_candidates(observer, behaviour, [THERE])

    # Other hosts behind the NAT take some, too.
    assert [one.endpoint.port for one in shown] == [5003, 5004, 5002, 5005, 5006, 5007, 4999, 5008]
    assert [one.endpoint.port for one in later] == list(range(5004, 5004 + PREDICTED))


def test_a_peer_is_told_no_more_of_where_questions_come_from_than_a_message_holds() -> None:
    """Else each question would be followed by another list, without end."""
    shown = [Candidate(SEEN._replace(port=port), PathKind.PREDICTED) for port in range(1, 50)]
    told = Told(lambda remotes: (shown, []))
    told.set_local([Candidate(OWN, PathKind.LAN)], NOW)

    assert not told.lacks([THERE])
    assert list(told.candidates) == shown[:MAX_CANDIDATES]


def test_who_is_told_nothing_lacks_nothing() -> None:
    told = Told(lambda remotes: ([Candidate(SEEN, PathKind.PREDICTED)], []))

    assert not told.lacks([THERE])


def test_the_number_of_a_list_fits_into_a_message_after_a_year_whatever_the_list_leaves_out() -> None:
    every = [Candidate(OWN._replace(port=port), PathKind.LAN) for port in range(1, 50)]
    told = Told(lambda remotes: ([], []))
    told.set_local(every, 365 * 86400 * SECOND)

    assert told.set_local(every[:-1], 366 * 86400 * SECOND)

    message = PathMessage(told.number, candidates=told.candidates)
    assert PathMessage.decode(message.encode()) == message
