"""The benchmark's command: how rounds go, what a record keeps, who is found, its output."""

import io
import json
import os
import pwd
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.rows import SETTINGS
from benchmarks.suite.implementations import Implementation, Role, find_implementations, usual_folders
from benchmarks.suite.progress import Progress
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.record import Failure, Machine, Record, RecordUnreadable, Results
from benchmarks.suite.rounds import NotStarted, Run, Turn, run_rounds, settings_for
from benchmarks.suite.timetable import Timetable, in_words, rounds_within
from benchmarks.suite.values import Kind, Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import HostProcess

ROOT = Path(__file__).parents[2]
GOOD = Implementation("good", Role.PEER, ("good",))
BAD = Implementation("bad", Role.PEER, ("bad",))
KERNEL = Implementation("kernel", Role.KERNEL, ("true",))
SPEED = Measure("speed", "speed", "Gbit/s", more_is_better=True)
MEMORY = Measure("memory", "memory", "MiB", more_is_better=False, of_process=True)
SUCCESS = Measure("success", "success", "s", more_is_better=False, failed_from=16.0)


# -- Rounds ---------------------------------------------------------------------------------------


def row(name: str, measure: Callable[[Turn, float], Samples], *measures: Measure) -> Row[Turn]:
    return Row(name, f"the row {name}", measures, measure, Plan.QUICK)


def setting(*rows: Row[Turn]) -> Setting[Turn]:
    """Make a setting without hosts: its rows get the turn itself."""
    return Setting("nothing", lambda turn: turn, rows)


def measured(
    rows: Sequence[Row[Turn]],
    implementations: Sequence[Implementation] = (GOOD, BAD),
    rounds: int = 3,
    timetable: Timetable | None = None,
) -> tuple[Results, str]:
    """Run rounds, and return the results and the output."""
    results, output = Results(), io.StringIO()
    forever = Timetable(float("inf"), dict.fromkeys((one.name for one in implementations), 0.0))
    run = Run(implementations, [setting(*rows)], rounds, seconds=1)
    run_rounds(run, timetable or forever, results, Progress(rounds, output))
    return results, output.getvalue()


def speed(turn: Turn, seconds: float) -> Samples:
    return {"speed": 10.0 * turn.round}


def speed_of_the_good(turn: Turn, seconds: float) -> Samples:
    if turn.implementation == BAD:
        raise MeasureFailed("nothing was received")
    return speed(turn, seconds)


def both(turn: Turn, seconds: float) -> Samples:
    return {"speed": 5.0, "memory": 7.0}


def test_samples_are_kept_with_their_rounds() -> None:
    results, output = measured([row("speed", speed, SPEED)])

    assert results.samples == {name: {"speed": {1: 10.0, 2: 20.0, 3: 30.0}} for name in ("good", "bad")}
    assert results.taken("good", "speed") == [10.0, 20.0, 30.0]
    assert results.taken("good", "other") == []
    assert output.splitlines()[-1] == "round 3 of 3, about 0 seconds left: bad"


def test_one_that_failed_at_something_twice_is_not_tried_at_it_again_and_does_the_rest() -> None:
    results, output = measured(
        [row("first", speed_of_the_good, SPEED), row("second", both, MEMORY)], rounds=4
    )

    assert [(one.implementation, one.round, one.doing) for one in results.failures] == [
        ("bad", 1, "the row first"),
        ("bad", 2, "the row first"),
    ]
    assert results.samples["bad"] == {"memory": {3: 7.0, 4: 7.0}}
    assert results.taken("good", "speed") == [10.0, 20.0, 30.0, 40.0]
    assert results.left_out == ["bad failed 2 times at this, and is not tried at it again: the row first"]
    assert "bad failed in round 1, the row first: nothing was received\n" in output
    assert results.left_out[0] in output


def test_what_could_not_be_built_twice_is_not_built_again() -> None:
    def build(turn: Turn) -> Turn:
        built.append(turn.round)
        raise AssertionError("no namespaces")

    built: list[int] = []
    results, output = Results(), io.StringIO()
    rows = (row("first", speed, SPEED), row("second", speed, SPEED))
    run = Run([GOOD], [Setting("broken", build, rows)], rounds=4, seconds=1)

    run_rounds(run, Timetable(float("inf"), {"good": 0}), results, Progress(4, output))

    assert built == [1, 2]
    assert results.left_out == [
        "good failed 2 times at this, and is not tried at it again: the row first; the row second"
    ]


def test_one_that_cannot_be_started_is_not_tried_in_every_setting() -> None:
    def build(turn: Turn) -> Turn:
        turn.daemons.append(ended)
        raise NotStarted("the daemon ended at once")

    ended = HostProcess(subprocess.Popen(["false"], text=True), Path(os.devnull))
    ended.wait()
    results, output = Results(), io.StringIO()
    settings = [Setting(name, build, (row(name, speed, SPEED),)) for name in ("one", "other")]

    run_rounds(
        Run([GOOD], settings, rounds=3, seconds=1),
        Timetable(float("inf"), {"good": 0}),
        results,
        Progress(3, output),
    )

    reason = "the daemon ended with status 1: it printed nothing"
    assert results.failures == [Failure("good", number, "starting", reason) for number in (1, 2)]
    assert results.left_out == [
        "good failed 2 times at this, and is not tried at it again: starting, and so everything"
    ]


def test_what_a_tool_says_that_nobody_expects_is_a_failure_and_no_end_of_the_run() -> None:
    def measure(turn: Turn, seconds: float) -> Samples:
        return {"speed": {"tcp": 1.0}["udp"]}

    results, _ = measured([row("speed", measure, SPEED)], [GOOD], rounds=1)

    assert results.failures == [Failure("good", 1, "the row speed", "KeyError: 'udp'")]


def test_no_turn_begins_that_would_end_too_late_but_the_first() -> None:
    timetable = Timetable(budget=3600, expected={"good": 9999, "bad": 9999})

    results, output = measured([row("speed", speed, SPEED)], timetable=timetable)

    assert results.taken("good", "speed") == [10.0, 20.0, 30.0]  # its first turn took no time
    assert results.taken("bad", "speed") == []
    assert results.left_out == ["bad was left out of round 1, 2, 3: the time was up"]
    assert results.left_out[0] in output


def test_the_kernel_has_no_figures_of_a_process() -> None:
    results, _ = measured([row("both", both, SPEED, MEMORY)], [KERNEL, GOOD], rounds=1)

    assert results.samples["kernel"] == {"speed": {1: 5.0}}
    assert results.samples["good"] == {"speed": {1: 5.0}, "memory": {1: 7.0}}


def test_what_is_no_daemon_is_measured_where_none_is_needed() -> None:
    limit = Implementation("limit", Role.LIMIT, ("limit",))
    rows_of = {
        one.name: {row.name for setting in settings_for(one, SETTINGS) for row in setting.rows}
        for one in (GOOD, KERNEL, limit)
    }

    assert rows_of["good"] == {
        row.name for setting in SETTINGS for row in setting.rows if not row.ours and row.kind is Kind.TUNNEL
    }
    assert {"tcp1"} <= rows_of["kernel"] < rows_of["good"]
    assert {"tcp1"} <= rows_of["limit"] < rows_of["good"]
    assert settings_for(limit, [setting(row("memory", both, MEMORY))])
    assert not settings_for(KERNEL, [setting(row("memory", both, MEMORY))])
    assert KERNEL.has_keys
    assert not limit.has_keys


# -- Time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("budget", "rounds"), [(float("inf"), 5), (1200, 5), (105, 3), (59, 1), (1, 1)])
def test_there_are_as_many_rounds_as_the_budget_has_time_for_and_one_at_least(
    budget: float, rounds: int
) -> None:
    assert rounds_within(budget, {"one": 10, "other": 20}, wanted=5) == rounds


def test_the_time_left_is_no_longer_than_the_budget_lasts() -> None:
    timetable = Timetable(budget=100, expected={"one": 30, "other": 10}, began=1000)

    assert timetable.left(["one", "other", "one"], now=1000) == 70
    assert timetable.left(["one", "other", "one"], now=1090) == 10
    assert timetable.left(["one"], now=1200) == 0
    assert timetable.has_time_for("one", now=1070)
    assert not timetable.has_time_for("one", now=1071)


def test_times_are_said_in_words() -> None:
    assert [in_words(seconds) for seconds in (1, 99, 120, 1200, 9000)] == [
        "1 second", "99 seconds", "2 minutes", "20 minutes", "2.5 hours",
    ]  # fmt: skip


# -- Progress -------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_changes_and_what_is_to_be_remembered_above_it() -> None:
    terminal = Terminal()
    progress = Progress(5, terminal)

    progress.turn(2, GOOD, 60)
    progress.row("TCP, 4 streams")
    progress.failed(Failure("good", 2, "TCP, 4 streams", "nothing was received"))
    progress.row("memory")
    progress.end()

    clear = "\r\033[K"
    assert terminal.getvalue() == (
        f"{clear}round 2 of 5, about 60 seconds left: good: TCP, 4 streams"
        f"{clear}good failed in round 2, TCP, 4 streams: nothing was received\n"
        f"{clear}round 2 of 5, about 60 seconds left: good: memory"
        f"{clear}"
    )


def test_elsewhere_there_is_a_line_for_each_turn() -> None:
    file = io.StringIO()
    progress = Progress(5, file)

    progress.turn(2, GOOD, 60)
    progress.row("TCP, 4 streams")
    progress.end()

    assert file.getvalue() == "round 2 of 5, about 60 seconds left: good\n"


# -- The record -----------------------------------------------------------------------------------


def record(**changed: object) -> Record:
    fields = {
        "date": "2026-01-02T03:04:05+00:00",
        "host": "lab",
        "machine": Machine("Some CPU", 2, 4096, True, "6.1 x86_64", "Debian", "3.11.2", 0.5),
        "plan": "quick",
        "rounds": 2,
        "seconds": 1.0,
        "implementations": [GOOD, Implementation("wgpyd", Role.OURS, ("wgpyd", "-f", "{interface}"), "0.1")],
        "measures": [SPEED, SUCCESS],
        "results": Results(
            {"good": {"speed": {1: 1.5, 2: 2.5}}, "wgpyd": {"speed": {2: 3.5}}},
            [Failure("wgpyd", 1, "starting", "it hung")],
            ["the limit was left out: there is no C compiler"],
        ),
    }
    return Record(**{**fields, **changed})  # type: ignore[arg-type]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "record.json"

    record().write(path)

    assert Record.read(path) == record()
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_is_json_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "record.json"

    record().write(path)

    found = json.loads(path.read_text(), parse_constant=pytest.fail)  # Infinity is no JSON
    assert found["results"]["samples"]["good"]["speed"] == {"1": 1.5, "2": 2.5}
    assert [measure["failed_from"] for measure in found["measures"]] == [None, 16.0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not JSON", "no record of a benchmark: it is not JSON"),
        ("\xff", "no record of a benchmark: it is not JSON"),
        ("[]", "no record of a benchmark"),
        ('{"format": "other"}', "no record of a benchmark"),
        ('{"format": "wgpy benchmark", "version": 9}', "is of version 9; this reads 2"),
        ('{"format": "wgpy benchmark", "version": 2}', "is damaged: KeyError: 'date'"),
    ],
)
def test_what_is_no_record_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text, encoding="latin-1")

    with pytest.raises(RecordUnreadable, match=re.escape(f"{path} ") + ".*" + re.escape(reason)):
        Record.read(path)


@pytest.mark.parametrize("part", ["machine", "implementations", "measures", "results", "rounds"])
def test_a_record_with_something_else_in_a_place_is_refused(tmp_path: Path, part: str) -> None:
    path = tmp_path / "record.json"
    record().write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), part: ["something else"]}))

    with pytest.raises(RecordUnreadable, match="is damaged"):
        Record.read(path)


def test_a_record_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RecordUnreadable, match=r"absent\.json cannot be read: No such file or directory"):
        Record.read(tmp_path / "absent.json")


def test_a_record_that_does_not_fit_leaves_the_one_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record().write(path)

    with no_file_larger_than(100), pytest.raises(OSError, match="File too large"):
        record(host="other").write(path)

    assert Record.read(path) == record()
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_written_to_and_not_replaced() -> None:
    with pytest.raises(OSError, match="No space left"):
        record().write(Path("/dev/full"))

    assert Path("/dev/full").is_char_device()


def test_this_machine_can_be_described() -> None:
    here = Machine.here()

    assert here.processor
    assert 1 <= here.processors <= (os.cpu_count() or 1)
    assert here.memory > 16
    assert here.kernel.startswith(os.uname().release)


# -- Who is here ----------------------------------------------------------------------------------


def test_peers_are_looked_for_at_home_of_who_called_sudo_and_then_in_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caller = pwd.getpwuid(os.getuid())
    monkeypatch.setenv("SUDO_USER", caller.pw_name)
    monkeypatch.setenv("HOME", "/home/of-root")
    monkeypatch.setenv("PATH", "/first:/second")

    assert [str(folder) for folder in usual_folders("go/bin")] == [
        f"{caller.pw_dir}/go/bin", "/home/of-root/go/bin", "/first", "/second",
    ]  # fmt: skip


@pytest.mark.parametrize("status", [0, 2], ids=["has", "has not"])
def test_the_kernel_is_measured_where_it_has_wireguard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    script(tmp_path / "unshare", f"exit {status}")  # as it ends with what `ip link add` ends with
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    found = {one.name: one for one in find_implementations()}

    assert ("kernel" in found) == (status == 0)
    if status == 0:
        assert found["kernel"].role is Role.KERNEL
        assert found["kernel"].version == os.uname().release


def test_what_is_at_home_goes_before_what_is_in_path_and_wgpyd_is_found_with_both_data_paths(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    newer, older = tmp_path / "go/bin/wireguard", tmp_path / "bin/wireguard-go"
    script(newer, "\nmod\tgolang.zx2c4.com/wireguard\tv9.9.9\t")
    script(older, "echo wireguard-go v0.0.1")
    script(tmp_path / "bin/wgpyd", "echo wgpyd 9.9")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin:/usr/bin")
    monkeypatch.delenv("SUDO_USER", raising=False)

    found = {one.name: one for one in find_implementations()}

    assert found["wireguard-go"].command == (str(newer), "-f", "{interface}")
    assert found["wireguard-go"].version == "v9.9.9"
    assert ("wgpyd-portable" in found) == (find_spec("wgpy._fastpath") is not None)
    for one in found.values():
        if one.name == "wgpyd-portable":
            assert one.command == ("env", "WGPY_DATAPATH=portable", *found["wgpyd"].command)


def test_peers_that_cannot_be_had_are_named_and_left_out(tmp_path: Path) -> None:
    nothing = {"HOME": str(tmp_path), "PATH": str(tmp_path), "GOPROXY": "off"}

    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "install-peers"],
        cwd=ROOT,
        env=nothing,
        capture_output=True,
        text=True,
    )

    lines = dict(re.split(" {2,}", line, maxsplit=1) for line in done.stdout.splitlines())
    assert lines.keys() >= {"wireguard-go", "tailscale", "boringtun", "gotatun"}
    assert lines["boringtun"].startswith("left out: there is no cargo on this host; it comes with Rust")
    assert all("left out: " in line for line in lines.values())
    assert done.returncode == 1
    assert done.stderr == ""


# -- Help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["install-peers", "--help"]])
def test_help_needs_no_root(arguments: list[str]) -> None:
    done = benchmarks(*arguments)

    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m benchmarks")


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["--quick", "--full"], "not allowed with argument"),
        (["--rounds", "0"], "'0' is no number from 1 on"),
        (["--rows", "none"], "there is no row none"),
        (["--json", "/absent/file.json"], "there is no folder /absent to write file.json to"),
        (["--json", "/"], "/ is a folder; name a file"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], output: str) -> None:
    done = benchmarks(*arguments)

    assert done.returncode == 2
    assert output in done.stderr


def benchmarks(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let writing fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
