"""What rows read of daemons at rest, of initiators, and what they ask of a daemon with many peers."""

import pytest

from benchmarks.rows.handshakes import read_outcome
from benchmarks.rows.initiators import Outcome
from benchmarks.rows.recovery import longest_gap
from benchmarks.rows.rest import read_switches, switched
from benchmarks.rows.scale import set_request
from benchmarks.suite.probe import TIMEOUT
from benchmarks.suite.readings import MeasureFailed


def test_a_thread_left_a_processor_when_it_waited_and_when_others_went_first() -> None:
    status = "Name:\twgpyd\nvoluntary_ctxt_switches:\t41\nnonvoluntary_ctxt_switches:\t1\n"

    assert read_switches(status) == 42


def test_threads_that_began_in_between_count_from_nothing_and_those_that_ended_do_not() -> None:
    assert switched({"1": 10, "2": 5}, {"1": 13, "3": 4}) == 7


def test_initiators_say_how_many_handshakes_took_how_long() -> None:
    text = '{"asked": 2000, "answered": 1999, "seconds": 0.5, "cookies": 3}\n'

    assert read_outcome(text) == Outcome(2000, 1999, 0.5, 3)


def test_a_gap_is_between_answers_whenever_their_pings_were_sent() -> None:
    at_once, late, lost = 0.01, 0.9, TIMEOUT

    assert longest_gap([at_once] * 10, 0.1) == pytest.approx(0.1)
    assert longest_gap([at_once, at_once, lost, lost, at_once, at_once], 0.1) == pytest.approx(0.3)
    assert longest_gap([at_once, late, late, at_once], 0.1) == pytest.approx(0.69)
    assert longest_gap([at_once, lost, lost, lost], 0.1) == pytest.approx(0.39)
    assert longest_gap([lost] * 10, 0.1) == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["OSError: no buffer\n", "", "{}"])
def test_initiators_that_failed_say_why(text: str) -> None:
    with pytest.raises(MeasureFailed, match=text.strip() or "nothing"):
        read_outcome(text)


def test_each_of_many_peers_has_a_key_and_an_address_of_its_own() -> None:
    lines = set_request(range(300)).splitlines()

    keys = {line for line in lines if line.startswith("public_key=")}
    addresses = [line for line in lines if line.startswith("allowed_ip=")]
    assert len(keys) == len(set(addresses)) == 300
    assert (addresses[0], addresses[-1]) == ("allowed_ip=10.0.0.1/32", "allowed_ip=10.0.1.44/32")
