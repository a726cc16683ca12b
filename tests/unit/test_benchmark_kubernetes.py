"""`./run bench kubernetes`: its command line, and what stays of a run that fails."""

from collections import Counter

import pytest

from benchmarks.kubernetes.command import Reading, main, table, take_turns
from benchmarks.kubernetes.processes import PARTS, Load, part_of

READING = Reading(11.2, 15.5, 0.25, Load(Counter(mesh=2), dict.fromkeys(PARTS, 40.0), 1.0), 1, 11)


@pytest.mark.parametrize("option", ["--rounds", "--rest"])
def test_rounds_and_seconds_are_numbers_from_1_on(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option, "0"])

    assert ended.value.code == 2
    assert f"argument {option}: '0' is no number from 1 on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "status"), [(AssertionError("n1 is off"), 1), (KeyboardInterrupt(), 130)]
)
def test_what_was_measured_before_a_failure_is_kept(
    failure: BaseException, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    readings: dict[str, list[Reading]] = {"one": [], "three": []}

    def measure(name: str) -> Reading:
        if name == "three":
            raise failure
        return READING

    assert take_turns(readings, 2, measure) == status

    assert readings == {"one": [READING], "three": []}
    assert ("The benchmark failed: n1 is off\n" in capsys.readouterr().err) == (status == 1)
    assert "| certificates | 11 |  |" in table(readings)


def test_a_cell_has_the_median_and_the_extremes() -> None:
    readings = [Reading(ready, 1.0, 0.5, READING.load, 3, 24) for ready in (10.0, 12.0, 11.5)]

    lines = table({"three": readings})

    assert "| bare hosts to all nodes ready, s | 11.5 (10..12) |" in lines
    assert "| control planes | 3 |" in lines
    assert "| memory (PSS), MiB: mesh | 40 |" in lines
    assert "| memory (PSS), MiB | 120 |" in lines


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("/cache/hk kube-apiserver --secure-port=6443", "control plane"),
        ("/venv/bin/python /venv/bin/wgpyd -f", "mesh"),
        ("/cache/hk kubelet --config=/var/lib/kubelet.json", "nodes"),
    ],
)
def test_a_process_belongs_to_a_part_by_the_words_of_its_command(command: str, part: str) -> None:
    assert part_of(command.split()) == part
