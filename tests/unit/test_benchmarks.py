"""The benchmark's arithmetic: what is measured, samples become figures, figures a table."""

import argparse
from pathlib import Path

import pytest
from benchmarks.micro.path.path import read_count, read_numbers

from benchmarks.report.table import Figure, best, markdown, ratio
from benchmarks.rows import SETTINGS, measures_of, read_rows, rows_of
from benchmarks.rows.flood import read_rate
from benchmarks.suite.implementations import Implementation, Role, go_build, read_implementation
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.record import Failure, Results
from benchmarks.suite.rounds import turned
from benchmarks.suite.values import Measure, Plan

MEASURES = {measure.name: measure for measure in measures_of(SETTINGS)}
TCP_1 = MEASURES["tcp_1"]
MEMORY = MEASURES["memory"]
OURS = Implementation("wgpyd", Role.OURS, ("wgpyd",))
FAST = Implementation("fast", Role.PEER, ("fast",))
SLOW = Implementation("slow", Role.PEER, ("slow",))
LIMIT = Implementation("limit", Role.LIMIT, ("limit",))


# -- What our own programs print -------------------------------------------------------------------


@pytest.mark.parametrize("warning", ["", "nice: cannot set niceness: Permission denied\n"])
def test_a_flood_says_last_what_rate_it_reached(warning: str) -> None:
    assert read_rate(f"{warning}sent 400000 in 2.000 s: 199994 a second\n") == 199994


@pytest.mark.parametrize("text", ["flood: cannot send: Network is unreachable\n", ""])
def test_a_flood_that_failed_says_why(text: str) -> None:
    with pytest.raises(MeasureFailed, match=text.strip() or "nothing"):
        read_rate(text)


def test_instructions_are_read_behind_whatever_else_the_emulator_says() -> None:
    assert read_count("qemu-aarch64: a warning\ninstructions: 123456\n") == 123456


@pytest.mark.parametrize("text", ["qemu-aarch64: unknown option\n", ""])
def test_an_emulator_that_did_not_count_says_why(text: str) -> None:
    with pytest.raises(ValueError, match=text.strip() or "nothing"):
        read_count(text)


@pytest.mark.parametrize("text", ["0", "46", "8,", "x"])
def test_numbers_of_packets_that_no_superpacket_has_are_refused(text: str) -> None:
    assert read_numbers("1,8,45") == [1, 8, 45]
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 45"):
        read_numbers(text)


# -- Which rows -----------------------------------------------------------------------------------


def test_rows_are_measured_in_their_order_whatever_the_order_they_are_asked_for_in() -> None:
    (setting,) = read_rows("memory,tcp1,ping")

    assert [row.name for row in setting.rows] == ["ping", "tcp1", "memory"]


def test_the_full_plan_gives_all_measures_and_one_row_only_its_own() -> None:
    assert rows_of(Plan.FULL) == list(SETTINGS)
    assert [measure.name for measure in measures_of(read_rows("tcp1"))] == [
        "tcp_1",
        "tcp_1_again",
        "cpu_daemons",
        "cpu_host",
    ]


def test_every_measure_has_a_name_of_its_own() -> None:
    assert len(MEASURES) == len(measures_of(SETTINGS))


def test_a_row_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="no row tcp9; want some of ping,tcp1"):
        read_rows("tcp1,tcp9")


# -- Which implementations ------------------------------------------------------------------------


def test_an_implementation_is_given_by_name_and_command() -> None:
    assert read_implementation("mine=/opt/mine --flag 'two words'") == Implementation(
        "mine", Role.PEER, ("/opt/mine", "--flag", "two words", "{interface}")
    )
    assert read_implementation("mine=mine --tun={interface} -f").command == (
        "mine",
        "--tun={interface}",
        "-f",
    )
    assert read_implementation("wgpy-portable=env WGPY_DATAPATH=portable wgpyd -f").role is Role.OURS


@pytest.mark.parametrize("text", ["mine", "=mine", "mine=", ""])
def test_half_an_implementation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=COMMAND"):
        read_implementation(text)


def test_two_go_programs_of_one_name_are_told_apart_by_what_they_were_built_from(tmp_path: Path) -> None:
    program = tmp_path / "wireguard-go"
    program.write_bytes(
        b"\x7fELF\0\0path\tgithub.com/some/fork\nmod\tgithub.com/some/fork\tv1.2.3\th1:sum=\ndep\tother\tv4\n\0"
    )
    other = tmp_path / "other"
    other.write_bytes(b"\x7fELF no Go in here")

    assert go_build(program) == ("github.com/some/fork", "v1.2.3")
    assert go_build(other) == ("", "")


def test_every_round_begins_with_another_implementation() -> None:
    rounds = [turned("abc", number) for number in range(4)]

    assert rounds == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


# -- Figures ---------------------------------------------------------------------------------------


def test_a_figure_is_a_median_with_its_spread() -> None:
    assert Figure.of([3.0, 1.0, 2.5]) == Figure(median=2.5, least=1.0, most=3.0)


def test_figures_tie_when_their_difference_is_within_the_larger_spread() -> None:
    steady, shaky = Figure(10, 9.9, 10.1), Figure(12, 10.5, 12.5)

    assert steady.ties_with(shaky)
    assert shaky.ties_with(steady)
    assert not steady.ties_with(Figure(12, 11.9, 12.1))


def test_the_best_has_the_most_of_what_is_good_and_the_least_of_what_is_not() -> None:
    found = {"high": Figure(2, 2, 2), "low": Figure(1, 1, 1)}

    assert best(TCP_1, found) == "high"
    assert best(MEMORY, found) == "low"
    assert best(MEMORY, {}) is None


def test_a_ratio_says_when_it_means_nothing() -> None:
    assert ratio(Figure(10, 9, 11), Figure(4, 4, 4)) == "2.50"
    assert ratio(Figure(10, 9, 11), Figure(9, 9, 9)) == "1.11 (tie)"
    assert ratio(Figure(10, 9, 11), Figure(0, 0, 0)) == "-"


def test_the_table_compares_ours_with_the_best_peer_and_with_the_limit() -> None:
    results = results_of(
        {
            "wgpyd": {"tcp_1": [6.0, 6.1, 5.9]},
            "fast": {"tcp_1": [3.0]},
            "slow": {"tcp_1": [1.0]},
            "limit": {"tcp_1": [8.0]},
        }
    )
    table = markdown([TCP_1, MEMORY], [OURS, FAST, SLOW, LIMIT], results).splitlines()

    assert cells(table[0]) == ["", "wgpyd", "fast", "slow", "limit", "wgpyd / best peer", "wgpyd / limit"]
    assert cells(table[2])[1:] == [
        "6.00 (5.90..6.10)", "3.00 (3.00..3.00)", "1.00 (1.00..1.00)", "8.00 (8.00..8.00)",
        "2.00 fast", "0.75",
    ]  # fmt: skip
    assert len(table) == 2 + 2


def test_what_should_not_fall_far_below_another_figure_is_shown_beside_it() -> None:
    rows = read_rows("tcp1,routed")
    results = results_of({"wgpyd": {"tcp_1": [4.0], "tcp_routed": [3.8]}, "fast": {"tcp_1": [2.0]}})

    shares = markdown(measures_of(rows), [OURS, FAST], results).split("\n\n")[1].splitlines()

    assert cells(shares[0]) == ["", "wgpyd", "fast"]
    assert cells(shares[2]) == ["TCP, routed sender / TCP, 1 stream", "0.95", "-"]
    assert len(shares) == 3


def test_how_often_something_succeeded_stands_beside_how_long_it_took() -> None:
    handshake = Measure("handshake", "handshake", "s", more_is_better=False, failed_from=16)

    table = markdown([handshake], [OURS], results_of({"wgpyd": {"handshake": [0.1, 5.2, 16.0]}}))

    assert cells(table.splitlines()[2])[1] == "5.20 (0.10..16.0), 2 of 3"


def test_an_implementation_that_failed_is_named_and_keeps_its_place_in_the_table() -> None:
    failure = Failure("fast", 2, "TCP, 4 streams", "the daemon ended with status -11: it said nothing")
    results = results_of({"wgpyd": {"tcp_1": [6.0]}, "fast": {}}, failure)

    text = markdown([TCP_1, MEMORY], [OURS, FAST], results)

    assert cells(text.splitlines()[2])[1:] == ["6.00 (6.00..6.00)", "-", "-", "-"]
    assert text.endswith("- fast, round 2, TCP, 4 streams: the daemon ended with status -11: it said nothing")


def results_of(samples: dict[str, dict[str, list[float]]], *failures: Failure) -> Results:
    """Return the results of rounds that all gave a sample."""
    by_round = {
        name: {measure: dict(enumerate(taken, 1)) for measure, taken in measures.items()}
        for name, measures in samples.items()
    }
    return Results(by_round, list(failures))


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]
