"""What a benchmark measures, of whom, and in which order."""

import re
from pathlib import Path

import pytest

from benchmarks.rows import SETTINGS, gateway_host, measures_of, read_rows, rows_of
from benchmarks.rows.flood import read_rate
from benchmarks.rows.gateway import GATEWAY
from benchmarks.suite.implementations import Implementation, Role, go_build, read_implementation
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import settings_for, turned
from benchmarks.suite.values import Plan
from wgpy.contract.constants import MAX_PERMITS
from wgpy.model import NO_POLICY

MEASURES = {measure.name: measure for measure in measures_of(SETTINGS)}


# -- What our own programs print -------------------------------------------------------------------


@pytest.mark.parametrize("warning", ["", "nice: cannot set niceness: Permission denied\n"])
def test_a_flood_says_last_what_rate_it_reached(warning: str) -> None:
    assert read_rate(f"{warning}sent 400000 in 2.000 s: 199994 a second\n") == 199994


@pytest.mark.parametrize("text", ["flood: cannot send: Network is unreachable\n", ""])
def test_a_flood_that_failed_says_why(text: str) -> None:
    with pytest.raises(MeasureFailed, match=text.strip() or "nothing"):
        read_rate(text)


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
    with pytest.raises(ValueError, match="no row tcp9; want some of start,"):
        read_rows("tcp1,tcp9")


def test_the_method_of_every_row_is_told_by_its_name() -> None:
    page = (Path(__file__).parents[2] / "benchmarks/README.md").read_text()
    cells = " ".join(re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE))
    options = re.findall(r"--rows[\s\\]+([a-z0-9,]+)", page)
    told = {*re.findall(r"`([a-z0-9]+)`", cells), *",".join(options).split(",")}

    assert {row.name for setting in SETTINGS for row in setting.rows} <= told


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


# -- A gateway's sites and rules -------------------------------------------------------------------


@pytest.mark.parametrize("rules", [1, 10, MAX_PERMITS, 10_000])
def test_as_many_rules_are_in_force_as_a_row_says_and_the_streams_comes_last(rules: int) -> None:
    first, *others = gateway_host.policies(rules)

    permits = [permit for policy in (*reversed(others), first) for permit in policy.permits or ()]
    assert len(set(permits)) == len(permits) == rules
    assert permits[-1].destination == gateway_host.translations(1).translations[0].mapped
    assert all(len(policy.permits or ()) <= MAX_PERMITS for policy in (first, *others))


def test_no_rules_are_no_policy() -> None:
    assert gateway_host.policies(0) == [NO_POLICY]


def test_as_many_sites_are_translated_as_a_row_says() -> None:
    assert len(set(gateway_host.translations(1000).translations)) == 1000


def test_what_only_wgpyd_can_do_is_measured_with_no_other() -> None:
    peer = read_implementation("peer=peer")

    assert [row.name for setting in settings_for(peer, [GATEWAY]) for row in setting.rows] == ["gateway"]
