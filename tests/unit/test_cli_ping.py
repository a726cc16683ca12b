"""`wgpy mesh ping`: what it shows of answers and of paths."""

import json
from collections.abc import Iterator

import pytest

from tests.unit.mesh_statuses import peer
from wgpy.cli import colours
from wgpy.cli.mesh.ping import FIRST_PATIENCE, NEXT_PATIENCE, PATIENCE, Answer, Report, answers
from wgpy.cli.mesh.ping_paths import paths
from wgpy.node.agent_client import RoundTrip, UdpAnswer, UsedPath
from wgpy.node.network_check import RelayCheck

RELAYED = UsedPath("203.0.113.2:51820", "hub", False)
DIRECT = UsedPath("203.0.113.20:51820", "", False)
BY_TLS = UsedPath("127.0.0.1:4000", "hub", True)
NOWHERE = UsedPath("", "", False)


def shown(*given: Answer) -> list[str]:
    report = Report("web2")
    return [line for answer in given for line in report.add(answer)]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer(1, 12_300, RELAYED, 6), "1  by the relay hub  12.3 ms"),
        (Answer(2, 400, DIRECT, 1), "2  directly, 203.0.113.20:51820  0.4 ms"),
        (Answer(3, 80_000, BY_TLS, 1), "3  by TLS and the relay hub  80.0 ms"),
        (Answer(4, 0, RELAYED, 1), "4  by the relay hub  no answer within 1 s"),
        (Answer(5, 0, NOWHERE, 6), "5  by no path yet  no answer within 6 s"),
    ],
)
def test_an_answer_is_a_line_with_its_path_and_its_round_trip(answer: Answer, line: str) -> None:
    assert shown(answer) == [line]


def test_a_line_says_so_when_the_path_changes() -> None:
    other_port = UsedPath("203.0.113.2:4000", "hub", False)

    lines = shown(Answer(1, 900, RELAYED, 6), Answer(2, 900, other_port, 1), Answer(3, 100, DIRECT, 1))

    assert lines[2:] == [
        "web2 is reached directly, 203.0.113.20:51820 now, no longer by the relay hub",
        "3  directly, 203.0.113.20:51820  0.1 ms",
    ]


def report_of(*given: Answer) -> Report:
    report = Report("web2")
    for answer in given:
        list(report.add(answer))
    return report


def test_the_summary_is_by_path() -> None:
    report = report_of(
        *(Answer(number, 1000 * number, RELAYED, 1) for number in (1, 2, 9)),
        Answer(4, 0, RELAYED, 1),
        Answer(5, 250, DIRECT, 1),
    )

    assert report.summary().splitlines() == [
        "web2: 5 sent, 4 answered; least / median / most:",
        "by the relay hub              3 answered  1.0 / 2.0 / 9.0 ms",
        "directly, 203.0.113.20:51820  1 answered  0.2 / 0.2 / 0.2 ms",
    ]


def test_where_nothing_answers_the_summary_is_a_line() -> None:
    assert report_of(Answer(1, 0, RELAYED, 1)).summary() == "web2: 1 sent, 0 answered"


def test_programs_get_each_answer_and_each_path() -> None:
    report = report_of(Answer(1, 1500, DIRECT, 6), Answer(2, 0, DIRECT, 1))

    document = json.loads(json.dumps(report.document()))

    at = {"endpoint": DIRECT.endpoint, "relay": "", "by_connection": False}
    assert document == {
        "name": "web2",
        "sent": 2,
        "answered": 1,
        "answers": [
            {"number": 1, "milliseconds": 1.5, **at},
            {"number": 2, "milliseconds": None, **at},
        ],
        "paths": [{**at, "answered": 1, "least": 1.5, "median": 1.5, "most": 1.5}],
    }


def test_an_answer_is_waited_for_thrice_as_long_as_the_one_before_took() -> None:
    given: Iterator[int] = iter([0, 1000, 700_000, 0, 9_000_000, 0])
    patience = []

    def measure(seconds: float) -> RoundTrip:
        patience.append(seconds)
        return RoundTrip(next(given), DIRECT)

    found = list(answers(measure, 6, interval=0))

    assert [answer.number for answer in found] == [1, 2, 3, 4, 5, 6]
    assert patience == [FIRST_PATIENCE, NEXT_PATIENCE, PATIENCE, pytest.approx(2.1), pytest.approx(2.1), 6]


def test_all_paths_are_the_nodes_endpoints_and_its_relays() -> None:
    known = peer(relay="hub", relays=("hub",), endpoint="203.0.113.2:51820")
    given = (UdpAnswer("203.0.113.20:51820", True, 900),)
    relays = (RelayCheck("hub", "203.0.113.2:51820", 4.25), RelayCheck("spare", "203.0.113.3:51820", 1.0))

    found = [(one.path, one.microseconds, one.in_use) for one in paths(known, given, relays)]

    assert found == [(DIRECT, 900, False), (RELAYED, 4250, True)]


def test_of_a_relay_itself_its_own_endpoint_is_measured() -> None:
    known, at = peer(name="hub", endpoint="203.0.113.2:51820"), "203.0.113.2:51820"

    found = list(paths(known, (UdpAnswer(at, True, 800),), (RelayCheck("hub", at, 0.8),)))

    assert [(one.path.relay, one.microseconds, one.in_use) for one in found] == [("", 800, True)]


# -- Colours -----------------------------------------------------------------------------------------


def test_colours_are_shown_if_they_are_asked_for_and_take_no_width() -> None:
    colours.choose("always")
    try:
        (line,) = shown(Answer(1, 400, DIRECT, 1))
    finally:
        colours.choose("never")

    assert line == "1  directly, 203.0.113.20:51820  \x1b[32m0.4 ms\x1b[0m"
    assert colours.width(line) == len("1  directly, 203.0.113.20:51820  0.4 ms")


def test_what_is_no_terminal_gets_no_colours() -> None:
    colours.choose("auto")
    try:
        assert shown(Answer(1, 0, DIRECT, 1)) == ["1  directly, 203.0.113.20:51820  no answer within 1 s"]
    finally:
        colours.choose("never")
