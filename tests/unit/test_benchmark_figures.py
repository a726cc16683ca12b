"""What the benchmark's samples become: figures, and a table that compares them."""

import dataclasses

import pytest

from benchmarks.report.figures import Figure, beats, best, number, ranking, ratio, ties, wrong
from benchmarks.report.table import markdown, rankings
from benchmarks.suite.record import Failure
from benchmarks.suite.values import Measure

from .benchmark_records import (
    EVERYONE,
    FAST,
    LIMIT,
    LOST,
    MEMORY,
    OURS,
    SLOW,
    TCP_1,
    USUAL,
    cells,
    results_of,
)

# -- Figures --------------------------------------------------------------------------------------


def test_a_figure_is_a_median_with_its_spread() -> None:
    figure = Figure.of([3.0, 1.0, 2.5])

    assert (figure.median, figure.least, figure.most) == (2.5, 1.0, 3.0)
    assert str(figure) == "2.50 (1.00..3.00)"


def test_two_that_swing_together_by_three_are_no_tie_and_two_that_cross_are() -> None:
    swinging, half = Figure.of([2, 6, 4, 3, 5]), Figure.of([1, 3, 2, 1.5, 2.5])
    crossing = Figure.of([1.9, 5.9, 3.9, 2.9, 5.1])

    assert swinging.over(half) == Figure.of([2, 2, 2, 2, 2])
    assert not swinging.ties_with(half)
    assert not half.ties_with(swinging)
    assert swinging.ties_with(crossing)
    assert crossing.ties_with(swinging)


def test_a_ratio_is_taken_within_the_rounds_that_have_both() -> None:
    figure, other = Figure({1: 8.0, 2: 6.0, 4: 1.0}), Figure({2: 3.0, 3: 1.0, 4: 2.0})

    assert figure.over(other) == Figure({2: 2.0, 4: 0.5})
    assert figure.over(Figure({3: 1.0})) is None


def test_who_have_no_round_in_common_are_a_tie() -> None:
    first, second = Figure({1: 8.0}), Figure({2: 1.0})

    assert first.ties_with(second)
    assert not beats(TCP_1, first, second)
    assert ratio(first, second) == "-"


def test_the_best_has_the_most_of_what_is_good_and_the_least_of_what_is_not() -> None:
    found = {"high": Figure.of([2]), "low": Figure.of([1])}

    assert best(TCP_1, found) == "high"
    assert best(MEMORY, found) == "low"
    assert best(MEMORY, {}) is None


def test_a_figure_beats_another_only_if_it_is_better_in_every_round() -> None:
    low, high, wide = Figure.of([1, 1]), Figure.of([2, 2]), Figure.of([0.5, 2.5])

    assert beats(TCP_1, high, low)
    assert not beats(TCP_1, low, high)
    assert beats(MEMORY, low, high)
    assert not beats(TCP_1, wide, low)
    assert not beats(TCP_1, low, low)


def test_nothing_is_less_than_anything_and_alike_to_nothing() -> None:
    nothing, something = Figure.of([0, 0, 0]), Figure.of([1, 2, 3])

    assert beats(MEMORY, nothing, something)
    assert beats(TCP_1, something, nothing)
    assert nothing.ties_with(nothing)


def test_a_ratio_has_a_spread_and_says_when_it_means_nothing() -> None:
    assert ratio(Figure.of([9, 10, 11]), Figure.of([4, 4, 4])) == "2.50 (2.25..2.75)"
    assert ratio(Figure.of([8, 10, 11]), Figure.of([9, 9, 9])) == "1.11 (0.89..1.22, tie)"
    assert ratio(Figure.of([8, 10, 11]), Figure.of([9, 0, 9])) == "1.22 (0.89..∞, tie)"
    assert ratio(Figure.of([8, 10, 11]), Figure.of([0, 0, 0])) == "-"
    assert ratio(Figure.of([9]), Figure.of([3])) == "3.00"
    assert ratio(Figure.of([3]), Figure.of([3])) == "1.00 (tie)"


def test_a_place_is_behind_as_many_as_are_better_beyond_doubt() -> None:
    found = {
        "last": Figure.of([1, 1, 1]),
        "second": Figure.of([5, 4.5, 5.5]),
        "second too": Figure.of([4.9, 5.2, 5.6]),
        "first": Figure.of([9, 8.9, 9.1]),
    }

    assert ranking(TCP_1, found) == {1: ["first"], 2: ["second too", "second"], 4: ["last"]}
    assert ranking(MEMORY, found) == {1: ["last"], 2: ["second", "second too"], 4: ["first"]}
    assert ties(found) == [("second", "second too")]


def test_ties_need_not_chain() -> None:
    found = {"a": Figure.of([2.4, 3, 3.1]), "b": Figure.of([2.5, 2.6, 2.4]), "c": Figure.of([2, 1.5, 2.4])}

    assert ties(found) == [("a", "b"), ("b", "c")]
    assert ranking(TCP_1, found) == {1: ["a", "b"], 2: ["c"]}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345.6, "12,300"), (999.6, "1,000"), (99.96, "100"), (97.84, "97.8"), (9.996, "10.0"),
        (4.8321, "4.83"), (0.42, "0.42"), (0.0996, "0.10"), (0.0123, "0.012"), (0.00021, "0.00021"), (0, "0"),
    ],
)  # fmt: skip
def test_a_number_has_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_who_reaches_what_is_wrong_is_named_with_all_that_is() -> None:
    more = dataclasses.replace(LOST, name="late", title="datagrams late")
    results = results_of({"fast": {"lost": [3, 3.125, 9], "late": [1, 1, 1]}, "slow": {"lost": [0, 0.1, 70]}})

    assert wrong([LOST, more], EVERYONE, results) == {
        "fast": "datagrams lost: 3.12 %; datagrams late: 1.00 %"
    }


# -- The table ------------------------------------------------------------------------------------


def test_the_table_compares_ours_with_the_best_peer_and_with_the_limit() -> None:
    text = markdown([TCP_1, MEMORY], [OURS, FAST, SLOW, LIMIT], results_of(USUAL))
    head, _, tcp, memory, *_ = map(cells, text.splitlines())

    assert head == ["", "wgpyd", "fast", "slow", "limit", "wgpyd / best peer", "wgpyd / limit"]
    assert tcp == [
        "TCP, 1 stream, Gbit/s ↑",
        "6.00 (5.90..6.10)", "3.10 (3.00..3.20)", "1.10 (1.00..1.20)", "8.10 (8.00..8.20)",
        "1.91 (1.90..2.00) fast", "0.75 (0.72..0.75)",
    ]  # fmt: skip
    assert memory[0] == "memory after load, PSS, MiB ↓"
    assert memory[-2:] == ["2.01 (1.94..2.08) fast", "62.8 (62.5..63.0)"]
    assert "Ratios are those within each round" in text
    assert "A tie: neither was better in every round" in text


def test_the_table_calls_a_ratio_a_tie_if_neither_was_better_in_every_round() -> None:
    results = results_of({"wgpyd": {"tcp_1": [4.0, 5.0, 6.0]}, "fast": {"tcp_1": [4.4, 4.5, 4.6]}})

    last = cells(markdown([TCP_1], [OURS, FAST], results).splitlines()[2])[-2:]

    assert last == ["1.11 (0.91..1.30, tie) fast", "-"]


def test_there_is_one_column_of_ratios_though_ours_comes_in_two_kinds() -> None:
    text = markdown([TCP_1], EVERYONE, results_of(USUAL))

    assert cells(text.splitlines()[0])[-2:] == ["wgpyd / best peer", "wgpyd / limit"]
    assert "wgpyd-portable /" not in text


def test_the_table_of_a_run_without_ours_has_no_ratios() -> None:
    assert cells(markdown([TCP_1], [FAST], results_of(USUAL)).splitlines()[0]) == ["", "fast"]


def test_it_is_said_what_a_spread_is_worth() -> None:
    one_round = markdown([TCP_1], [OURS], results_of({"wgpyd": {"tcp_1": [6.0]}}))

    assert cells(one_round.splitlines()[2])[1] == "6.00"
    assert "no spread is known" in one_round
    three_rounds = markdown([TCP_1], [OURS], results_of(USUAL))
    assert "With 3 rounds, the true median is within (least..most) with a probability of 75%." in three_rounds


def test_what_should_not_fall_far_below_another_figure_is_shown_beside_it() -> None:
    beside = Measure("routed", "routed", "Gbit/s", more_is_better=True, beside="tcp_1")
    results = results_of({"wgpyd": {"tcp_1": [4.0], "routed": [3.8]}, "fast": {"tcp_1": [2.0]}})

    lines = markdown([TCP_1, beside], [OURS, FAST], results).splitlines()
    (share,) = (line for line in lines if line.startswith("| routed / "))

    assert cells(share) == ["routed / TCP, 1 stream", "0.95", "-"]


def test_how_often_something_succeeded_stands_beside_how_long_it_took() -> None:
    handshake = Measure("handshake", "handshake", "s", more_is_better=False, failed_from=16)

    table = markdown([handshake], [OURS], results_of({"wgpyd": {"handshake": [0.1, 5.2, 16.0]}}))

    assert cells(table.splitlines()[2])[1] == "5.20 (0.10..16.0), 2 of 3"


def test_an_implementation_that_failed_is_named_and_keeps_its_place_in_the_table() -> None:
    failure = Failure("fast", 2, "TCP, 4 streams", "the daemon ended with status -11: it printed nothing")
    results = results_of({"wgpyd": {"tcp_1": [6.0, 6.0]}, "fast": {}}, failure)
    results.left_out.append("there was no limit here")

    text = markdown([TCP_1, MEMORY], [OURS, FAST], results)

    assert cells(text.splitlines()[2])[1:] == ["6.00 (6.00..6.00)", "-", "-", "-"]
    assert f"- {failure.sentence}" in text.splitlines()
    assert "- there was no limit here" in text.splitlines()


def test_one_who_is_wrong_is_marked_and_is_nobodys_best_peer() -> None:
    results = results_of(
        {
            "wgpyd": {"tcp_1": [6.0, 6.0], "lost": [0, 0]},
            "fast": {"tcp_1": [9.0, 9.0], "lost": [3.0, 3.2]},
            "slow": {"tcp_1": [1.0, 1.0], "lost": [0, 0.2]},
        }
    )

    text = markdown([LOST, TCP_1], [OURS, FAST, SLOW], results)
    warning, _, head, _, lost, tcp = text.splitlines()[:6]

    assert warning == "**(!) fast is wrong: datagrams lost: 3.10 %. Do not compare its figures.**"
    assert cells(head)[2:4] == ["fast (!)", "slow"]
    assert cells(lost)[-2:] == ["-", "-"]
    assert cells(tcp)[-2:] == ["6.00 (6.00..6.00) slow", "-"]
    assert "fast" not in "".join(rankings([LOST, TCP_1], [OURS, FAST, SLOW], results))


def test_ours_is_compared_with_nobody_if_it_is_wrong_itself() -> None:
    results = results_of({"wgpyd": {"tcp_1": [6.0], "lost": [3.0]}, "fast": {"tcp_1": [1.0], "lost": [0]}})

    assert cells(markdown([TCP_1, LOST], [OURS, FAST], results).splitlines()[4])[-2:] == ["-", "-"]


def test_the_ranking_has_neither_the_kernel_nor_the_limit_and_names_ties() -> None:
    samples = USUAL | {"slow": {"tcp_1": [2.9, 3.1, 3.2]}}

    (*_, tcp, memory) = rankings([TCP_1, MEMORY], EVERYONE, results_of(samples))

    assert cells(tcp) == ["TCP, 1 stream", "1. wgpyd; 2. fast, slow; 4. wgpyd-portable", "fast = slow"]
    assert cells(memory) == ["memory after load, PSS", "1. fast; 2. wgpyd; 3. wgpyd-portable", "-"]
