"""How what tools and kernel print becomes samples, and what a search makes of them."""

import json

import pytest

from benchmarks.rows.datagrams import highest_rate
from benchmarks.rows.lossy import Way, read_ways
from benchmarks.suite.probe import TIMEOUT
from benchmarks.suite.readings import (
    BACK,
    Datagrams,
    MeasureFailed,
    Transfer,
    percentile,
    read_datagrams,
    read_host_cpu,
    read_iperf3,
    read_probe,
    read_process_cpu,
    read_pss,
)

# -- iperf3 ----------------------------------------------------------------------------------------


def iperf3(**end: object) -> str:
    return json.dumps({"start": {"version": "iperf 3.12"}, "intervals": [], "end": end})


def test_the_receiver_of_a_stream_is_believed_and_not_the_sender() -> None:
    text = iperf3(
        sum_sent={"bytes": 9_000_000_000, "seconds": 2.0},
        sum_received={"bytes": 1_000_000_000, "seconds": 2.0},
    )

    assert read_iperf3(text) == Transfer(1_000_000_000, 2.0)
    assert read_iperf3(text).gigabits == 4.0


def test_a_warning_before_the_report_is_skipped() -> None:
    text = iperf3(sum_received={"bytes": 1, "seconds": 1.0})

    assert read_iperf3(f"warning: UDP block size 1380 exceeds TCP MSS 1368\n{text}") == Transfer(1, 1.0)


def test_a_stream_both_ways_has_a_sum_for_each() -> None:
    text = iperf3(
        sum_received={"bytes": 1_000_000_000, "seconds": 2.0},
        sum_received_bidir_reverse={"bytes": 500_000_000, "seconds": 2.0},
    )

    assert read_iperf3(text, BACK) == Transfer(500_000_000, 2.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"start": {}, "end": {}, "error": "unable to connect to server"}', "unable to connect to server"),
        (iperf3(sum_received={"bytes": 0, "seconds": 5.0}), "nothing was received"),
        (iperf3(), "nothing was received"),
        ("iperf3: not found", "not found"),
        ("", "nothing"),
    ],
)
def test_a_stream_that_failed_says_why(text: str, reason: str) -> None:
    with pytest.raises(MeasureFailed, match=reason):
        read_iperf3(text)


def test_what_tcp_sent_again_is_told_by_the_sender() -> None:
    text = iperf3(
        sum_sent={"bytes": 9, "seconds": 2.0, "retransmits": 7},
        sum_received={"bytes": 8, "seconds": 2.0},
    )

    assert read_iperf3(text).retransmitted == 7


def test_datagrams_are_offered_by_the_sender_and_counted_by_the_receiver() -> None:
    text = iperf3(
        streams=[{"udp": {"out_of_order": 20}}],
        sum_sent={"bytes": 1_000_000, "seconds": 1.0},
        sum_received={"bytes": 750_000, "seconds": 1.5, "packets": 1000},
    )

    assert read_datagrams(text) == Datagrams(offered=8e6, received=4e6, lost=0.25, out_of_order=0.02)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"start": {}, "end": {}, "error": "unable to connect to server"}', "unable to connect to server"),
        (iperf3(sum_sent={"bytes": 9}, sum_received={"bytes": 0}), "nothing was received"),
        (iperf3(), "nothing was received"),
    ],
)
def test_datagrams_that_failed_say_why(text: str, reason: str) -> None:
    with pytest.raises(MeasureFailed, match=reason):
        read_datagrams(text)


# -- The highest rate ------------------------------------------------------------------------------


def path_that_carries(most: float, sender: float = 1e9, stalls: tuple[int, ...] = ()) -> list[float]:
    """Search on a path that loses what is beyond a rate; return what was offered, and last what was found.

    sender: the most that can be offered; stalls: the trials in which half of all is lost, whatever the rate.
    """
    offered: list[float] = []

    def offer(rate: float) -> Datagrams:
        sent = min(rate or sender, sender)
        offered.append(sent)
        lost = 0.5 if len(offered) in stalls else max(1 - most / sent, 0)
        return Datagrams(sent, sent * (1 - lost), lost, out_of_order=0)

    found = highest_rate(offer)
    return [*offered, found]


@pytest.mark.parametrize("most", [2e6, 35e6, 400e6, 980e6])
def test_the_search_ends_near_the_rate_beyond_which_the_path_loses(most: float) -> None:
    *trials, found = path_that_carries(most)

    assert found == pytest.approx(most, rel=0.06)
    assert len(trials) <= 20


def test_a_path_that_carries_all_that_can_be_sent_needs_one_trial() -> None:
    assert path_that_carries(2e9, sender=1e9) == [1e9, 1e9]


def test_a_stall_of_the_host_does_not_end_the_search_below_what_the_path_carries() -> None:
    *_, found = path_that_carries(400e6, stalls=(2, 5))

    assert found == pytest.approx(400e6, rel=0.06)


def test_a_path_that_always_loses_has_no_rate() -> None:
    *trials, found = path_that_carries(0.5e6)

    assert found == 0
    assert len(trials) <= 25


# -- Pings -----------------------------------------------------------------------------------------


def test_a_lost_ping_counts_as_long_as_it_was_waited_for() -> None:
    assert read_probe("[0.000105, 1.0, 0.0124]\n") == [0.000105, TIMEOUT, 0.0124]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Operation not permitted", "not permitted"),
        ("", "nothing"),
        ("[1.0, 1.0]", "no ping came back"),
    ],
)
def test_pings_that_failed_say_why(text: str, reason: str) -> None:
    with pytest.raises(MeasureFailed, match=reason):
        read_probe(text)


def test_percentiles_are_samples_that_occurred() -> None:
    values = [float(value) for value in range(1000, 0, -1)]

    assert percentile(values, 0.5) == 500
    assert percentile(values, 0.99) == 990
    assert percentile(values, 0.999) == 999


@pytest.mark.parametrize(("count", "part"), [(1, 0.5), (99, 0.99), (999, 0.999)])
def test_a_percentile_that_no_sample_lies_beyond_is_not_given(count: int, part: float) -> None:
    with pytest.raises(ValueError, match=f"{count} values have no percentile"):
        percentile([1.0] * count, part)


# -- The wire that loses ---------------------------------------------------------------------------


def test_the_wire_says_last_what_became_of_each_way() -> None:
    text = "to the right: 900 came, 9 lost, 1 overflowed\nto the left: 80 came, 0 lost, 0 overflowed\n"

    assert read_ways(text) == [Way(came=900, lost=9, overflowed=1), Way(came=80, lost=0, overflowed=0)]


@pytest.mark.parametrize("text", ["delay: 1.2.3 is no IPv4 address\n", ""])
def test_a_wire_that_failed_says_why(text: str) -> None:
    with pytest.raises(MeasureFailed, match=text.strip() or "nothing"):
        read_ways(text)


# -- The kernel ------------------------------------------------------------------------------------


def test_a_process_named_with_spaces_and_brackets_has_its_time_read() -> None:
    stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 150 250 0 0 20 0 3 0 1000 0 0"

    assert read_process_cpu(stat, ticks=100) == 4.0


def test_a_host_is_busy_when_it_neither_idles_nor_waits_for_disks() -> None:
    stat = "cpu  100 20 300 9999 8888 4 76 5555 0 0\ncpu0 50 10 150 5000 4444 2 38 2777 0 0\n"

    assert read_host_cpu(stat, ticks=100) == 5.0


def test_memory_is_the_proportional_set() -> None:
    assert read_pss("7f00-7fff ---p 00000000 00:00 0 [rollup]\nRss: 9000 kB\nPss:   2048 kB\n") == 2.0
