"""The benchmark's report: what two runs agree on, the document and its pictures."""

import dataclasses
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.report.command import main
from benchmarks.report.document import document, verdict
from benchmarks.report.runs import agreement
from benchmarks.suite.record import Record
from benchmarks.suite.values import Measure

from .benchmark_records import (
    EVERYONE,
    LIMIT,
    LOST,
    MACHINE,
    MEASURES,
    MEMORY,
    TCP_1,
    USUAL,
    png_size,
    record_of,
    words,
    written,
)

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

    for output in (
        "Some(R) Processor",
        "2 virtual processors",
        "Some Linux",
        "wgpyd 1.2",
        "v0.5",
        "3 interleaved",
    ):
        assert output in text
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
        output = words(report / f"overview-{variant}.svg")
        assert {one.name for one in EVERYONE if one is not LIMIT} <= output
        assert {"TCP, 1 stream", "Gbit/s, more is better", "MiB, less is better"} <= output
        assert {"6.00", "3.10", "limit 8.10", "291"} <= output


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

    output = words(tmp_path / "overview-light.svg")
    assert "fast (!)" in output
    assert "(!) fast is wrong: datagrams lost: 3.10 %. Do not compare its figures." in output


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
        ('{"format": "wgpy benchmark", "version": 2}', "is damaged"),
    ],
)
def test_what_is_no_record_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)

    assert main([str(path)]) == 2

    output = capsys.readouterr().err
    assert reason in output
    assert str(path) in output
    assert len(output.splitlines()) == 1
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
