"""The benchmark's report: samples become figures, figures a table, a ranking and pictures."""

import dataclasses
import struct
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.report.command import main
from benchmarks.report.document import document, verdict
from benchmarks.report.figures import Figure, beats, best, number, ranking, ratio, ties, wrong
from benchmarks.report.runs import agreement
from benchmarks.report.table import markdown, rankings
from benchmarks.rows import SETTINGS, measures_of
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.record import Failure, Machine, Record, Results
from benchmarks.suite.values import Measure

MEASURES = {measure.name: measure for measure in measures_of(SETTINGS)}
TCP_1 = MEASURES["tcp_1"]
MEMORY = MEASURES["memory"]
LOST = Measure("lost", "datagrams lost", "%", more_is_better=False, wrong_from=1)
OURS = Implementation("wgpyd", Role.OURS, ("/home/someone/wgpyd", "-f", "{interface}"), "wgpyd 1.2")
OURS_TOO = Implementation("wgpyd-portable", Role.OURS, ("wgpyd-portable",))
FAST = Implementation("fast", Role.PEER, ("fast",), "v0.5")
SLOW = Implementation("slow", Role.PEER, ("slow",))
KERNEL = Implementation("kernel", Role.KERNEL, ("sh",))
LIMIT = Implementation("limit", Role.LIMIT, ("limit",))
EVERYONE = [OURS, OURS_TOO, FAST, SLOW, KERNEL, LIMIT]
MACHINE = Machine("Some(R) Processor", 2, 4096, True, "6.1 x86_64", "Some Linux", "3.11.2", 0.1)
USUAL = {
    "wgpyd": {"tcp_1": [6.0, 6.1, 5.9], "memory": [25.0, 25.1, 25.2]},
    "wgpyd-portable": {"tcp_1": [0.5, 0.5, 0.5], "memory": [30.0, 31.0, 32.0]},
    "fast": {"tcp_1": [3.0, 3.2, 3.1], "memory": [12.0, 12.5, 13.0]},
    "slow": {"tcp_1": [1.0, 1.1, 1.2], "memory": [290.0, 291.0, 292.0]},
    "kernel": {"tcp_1": [7.0, 7.1, 7.2]},
    "limit": {"tcp_1": [8.0, 8.1, 8.2], "memory": [0.4, 0.4, 0.4]},
}
SVG = "{http://www.w3.org/2000/svg}"


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
    failure = Failure("fast", 2, "TCP, 4 streams", "the daemon ended with status -11: it said nothing")
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


# -- Two runs -------------------------------------------------------------------------------------


def test_two_runs_with_the_same_order_agree_however_fast_the_machine_was() -> None:
    slower = {
        name: {measure: [sample / 2 for sample in taken] for measure, taken in measures.items()}
        for name, measures in USUAL.items()
    }

    found = agreement(record_of(USUAL), record_of(slower))

    assert (found.alike, found.tied, found.contradictions) == (12, 0, [])


def test_an_order_that_turned_is_a_contradiction_and_is_named() -> None:
    turned = USUAL | {"slow": {"tcp_1": [5.0, 5.1, 5.2], "memory": [290.0, 291.0, 292.0]}}

    found = agreement(record_of(USUAL), record_of(turned))

    (contradiction,) = found.contradictions
    assert str(contradiction) == (
        "TCP, 1 stream, Gbit/s ↑: fast was 2.91 (2.58..3.00) of slow, then 0.60 (0.60..0.63)"
    )
    assert (found.alike, found.tied) == (11, 0)


def test_an_order_that_turned_in_some_rounds_of_a_run_is_a_tie() -> None:
    turned = USUAL | {"slow": {"tcp_1": [2.0, 5.1, 5.2], "memory": [290.0, 291.0, 292.0]}}

    found = agreement(record_of(USUAL), record_of(turned))

    assert found.contradictions == []
    assert (found.alike, found.tied) == (11, 1)


def test_who_is_wrong_in_a_run_is_not_part_of_the_ranking() -> None:
    def lossy(lost: float, tcp: float) -> Record:
        measured = {"fast": {"lost": [lost] * 2, "tcp_1": [tcp] * 2}, "slow": {"tcp_1": [2.0, 2.0]}}
        return record_of(measured, measures=[LOST, TCP_1])

    assert agreement(lossy(0, 3), lossy(0, 1)).contradictions
    assert not agreement(lossy(0, 3), lossy(5, 1)).contradictions


def test_the_report_says_whether_two_runs_agree() -> None:
    turned = USUAL | {"slow": {"tcp_1": [5.0, 5.1, 5.2]}}

    assert "**The ranking is the same, apart from ties.**" in document(
        record_of(USUAL), [record_of(USUAL)], []
    )
    differing = document(record_of(USUAL), [record_of(turned)], [])
    assert "**The ranking differs in 1 pair that is no tie:**\n\n- TCP, 1 stream" in differing


def test_runs_with_nothing_in_common_are_not_said_to_agree() -> None:
    other = record_of({"someone": {"tcp_1": [1.0]}})

    text = document(record_of(USUAL), [other], [])

    assert "nothing in common" in text
    assert "the same" not in text[text.index("## Run 2") : text.index("## The machine")]


def test_a_run_on_another_machine_is_said_to_be_one() -> None:
    elsewhere = dataclasses.replace(MACHINE, processor="Another")
    other = dataclasses.replace(record_of(USUAL), machine=elsewhere)

    assert "It ran on another machine, Another" in document(record_of(USUAL), [other], [])


# -- The report -----------------------------------------------------------------------------------


def test_the_report_says_what_was_measured_on_which_machine_and_how_to_repeat_it() -> None:
    text = document(record_of(USUAL), [], [])

    for said in (
        "Some(R) Processor",
        "2 virtual processors",
        "Some Linux",
        "wgpyd 1.2",
        "v0.5",
        "3 interleaved",
    ):
        assert said in text
    assert "`wgpyd -f {interface}`" in text
    assert "/home" not in text
    assert "--rows tcp1,memory --rounds 3 --seconds 2 --implementations wgpyd,wgpyd-portable,fast" in text


def test_the_report_begins_with_where_ours_is_ahead_and_where_behind() -> None:
    assert verdict(record_of(USUAL)) == [
        (
            "Of 2 measures, wgpyd beats the best peer in 1, and is behind in 1: "
            "memory after load, PSS, 2.01 (1.94..2.08) of fast's."
        )
    ]
    assert verdict(record_of({"fast": {"tcp_1": [1.0]}})) == []


def test_a_machine_that_was_busy_is_said_to_have_been(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    busy = dataclasses.replace(record_of(USUAL), machine=dataclasses.replace(MACHINE, load=7.5))
    sentence = "The machine was busy with other work (load 7.5 before the run): repeat it."

    main([str(written(busy, tmp_path)), "--to", str(tmp_path)])

    assert f"**{sentence}**" in (tmp_path / "report.md").read_text()
    assert sentence in words(tmp_path / "overview-light.svg")
    assert sentence not in document(record_of(USUAL), [], [])


@pytest.mark.parametrize(
    "samples",
    [
        {},
        {"wgpyd": {}},
        {"wgpyd": {"tcp_1": [6.0]}},
        {"limit": {"tcp_1": [8.0]}},
        {name: taken for name, taken in USUAL.items() if name != "limit"},
        {"wgpyd": {"tcp_1": [6.0, 6.1]}, "fast": {"memory": [0.0, 0.0]}},
    ],
    ids=["nothing", "no samples", "one of them", "the limit alone", "no limit", "gaps and zeros"],
)
def test_a_run_that_got_only_so_far_has_a_report(
    tmp_path: Path, samples: dict[str, dict[str, list[float]]]
) -> None:
    path = written(record_of(samples), tmp_path)

    assert main([str(path), str(path), "--to", str(tmp_path / "report")]) == 0
    report = (tmp_path / "report" / "report.md").read_text()
    assert "## Figures" in report
    assert all(
        f"{figure[0]:.2f}" in report for one in samples.values() for figure in one.values() if figure[0] == 6
    )


# -- Plots ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole report."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("report")
    more = [Measure(f"more_{place}", f"more {place}", "s", more_is_better=False) for place in range(4)]
    ours = USUAL["wgpyd"] | {measure.name: [1.0] for measure in more}
    every = record_of(USUAL | {"wgpyd": ours}, measures=[*more, TCP_1, MEMORY])
    assert main([str(written(every, folder)), "--to", str(folder)]) == 0
    return folder


def test_a_picture_names_everyone_the_units_and_what_is_better(report: Path) -> None:
    for variant in ("light", "dark"):
        said = words(report / f"overview-{variant}.svg")
        assert {one.name for one in EVERYONE if one is not LIMIT} <= said
        assert {"TCP, 1 stream", "Gbit/s, more is better", "MiB, less is better"} <= said
        assert {"6.00", "3.10", "limit 8.10", "291"} <= said


def test_the_first_picture_shows_the_usual_measures_and_another_one_all(report: Path) -> None:
    assert "more 3" not in words(report / "overview-light.svg")
    assert {"more 3", "TCP, 1 stream"} <= words(report / "everything-light.svg")


def test_every_picture_comes_in_two_themes_and_as_svg_and_png(report: Path) -> None:
    sizes = {}
    for name in ("overview", "everything"):
        for variant in ("light", "dark"):
            svg = ET.parse(report / f"{name}-{variant}.svg").getroot()
            assert float(svg.attrib["width"].removesuffix("pt")) == pytest.approx(830 * 0.75)
            sizes[name, variant] = png_size(report / f"{name}-{variant}.png")
    assert {width for width, _ in sizes.values()} == {1660}
    assert sizes["overview", "light"] == sizes["overview", "dark"]
    assert (report / "overview-light.svg").read_text() != (report / "overview-dark.svg").read_text()


def test_the_report_shows_the_pictures_that_were_written(report: Path) -> None:
    text = (report / "report.md").read_text()

    for name in ("overview-light.svg", "overview-dark.svg", "everything-light.svg", "everything-dark.svg"):
        assert f'"{name}"' in text


def test_the_same_record_gives_the_same_bytes(tmp_path: Path, report: Path) -> None:
    (path,) = report.glob("*.json")

    assert main([str(path), "--to", str(tmp_path)]) == 0

    for file in report.iterdir():
        if file != path:
            assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_measures_of_the_first_picture_exist() -> None:
    plots = pytest.importorskip("benchmarks.report.plots")

    assert set(plots.HEADLINES) <= MEASURES.keys()


def test_no_title_runs_into_the_next_panel() -> None:
    sheet = pytest.importorskip("benchmarks.report.sheet")
    names = sheet.width_of("wgpyd-portable (!)", sheet.TEXT, "bold")
    panel = (sheet.WIDTH - 2 * sheet.MARGIN - names - 10 - 2 * sheet.GAP) / sheet.COLUMNS

    for measure in MEASURES.values():
        for line in sheet.wrapped(measure.title, panel):
            assert sheet.width_of(line, sheet.TEXT, "bold") <= panel + sheet.GAP / 2, measure.title


def test_a_panel_ends_before_what_is_so_bad_that_it_dwarfs_the_rest() -> None:
    sheet = pytest.importorskip("benchmarks.report.sheet")

    assert sheet.edge(MEMORY, [12, 25, 291]) == 25
    assert sheet.edge(MEMORY, [12, 25, 30]) == 30
    assert sheet.edge(TCP_1, [0.5, 1, 6]) == 6
    assert sheet.edge(MEMORY, [291]) == 291


def test_who_is_wrong_is_so_in_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lossy = {"fast": {"tcp_1": [9.0, 9.0], "lost": [3.0, 3.2]}, "slow": {"tcp_1": [1.0, 1.0]}}
    path = written(record_of(lossy, measures=[LOST, TCP_1]), tmp_path)

    main([str(path), "--to", str(tmp_path)])

    said = words(tmp_path / "overview-light.svg")
    assert "fast (!)" in said
    assert "(!) fast is wrong: datagrams lost: 3.10 %. Do not compare its figures." in said


def test_without_matplotlib_there_is_a_report_and_it_is_said_how_to_get_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for module in ("benchmarks.report.plots", "benchmarks.report.sheet"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    path = written(record_of(USUAL), tmp_path)

    assert main([str(path), "--to", str(tmp_path)]) == 0

    assert "'.[bench]'" in capsys.readouterr().err
    assert "<picture>" not in (tmp_path / "report.md").read_text()


# -- What cannot be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON"),
        ("[1, 2]", "is no record of a benchmark"),
        ('{"format": "wgpy benchmark", "version": 99}', "is of version 99"),
        ('{"format": "wgpy benchmark", "version": 1}', "is damaged"),
    ],
)
def test_what_is_no_record_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)

    assert main([str(path)]) == 2

    said = capsys.readouterr().err
    assert reason in said
    assert str(path) in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_that_is_not_there_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "gone.json")]) == 2
    assert capsys.readouterr().err == f"{tmp_path}/gone.json cannot be read: No such file or directory.\n"


def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(record_of(USUAL), tmp_path)

    assert main([str(path), "--to", str(path / "below")]) == 2
    assert capsys.readouterr().err == f"The report cannot be written to {path}/below: Not a directory.\n"


# -- Records and what was written -----------------------------------------------------------------


def results_of(samples: dict[str, dict[str, list[float]]], *failures: Failure) -> Results:
    """Return the results of rounds that all gave a sample."""
    by_round = {
        name: {measure: dict(enumerate(taken, 1)) for measure, taken in measures.items()}
        for name, measures in samples.items()
    }
    return Results(by_round, list(failures))


def record_of(samples: dict[str, dict[str, list[float]]], measures: list[Measure] | None = None) -> Record:
    """Return a run of three rounds; in it are those who have samples, and may have none."""
    return Record(
        date="2026-01-02T03:04:05+00:00",
        host="here",
        machine=MACHINE,
        plan="default",
        rounds=3,
        seconds=2,
        implementations=[one for one in EVERYONE if one.name in samples],
        measures=measures or [TCP_1, MEMORY],
        results=results_of(samples),
    )


def written(record: Record, folder: Path) -> Path:
    path = folder / "record.json"
    record.write(path)
    return path


def words(svg: Path) -> set[str]:
    """Return the texts of a picture."""
    return {"".join(text.itertext()).strip() for text in ET.parse(svg).iter(f"{SVG}text")}


def png_size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]
