"""What is read of meshes behind NATs: pings and packets, and which rows are of meshes."""

import json
from pathlib import Path

import pytest

from benchmarks.nat.readings import (
    Answer,
    beginning,
    direct_since,
    first_answer,
    lost,
    read_answers,
    relay_in_use,
)
from benchmarks.nat.tailscale import peers_with_relay
from benchmarks.nat.wire import Packet, read_packets
from benchmarks.report.table import markdown
from benchmarks.rows import SETTINGS, measures_of, read_rows
from benchmarks.suite.implementations import Implementation, Role, find_implementations
from benchmarks.suite.record import Results
from benchmarks.suite.rounds import settings_for
from benchmarks.suite.values import Kind

RELAY, OTHER, SIZE, INTERVAL = "203.0.113.3", "203.0.113.110", 1000, 0.05
OURS = Implementation("wgpy-mesh", Role.OURS, ("wgpy",), kind=Kind.MESH)
PEER = Implementation("nebula", Role.PEER, ("nebula", "nebula-cert"), kind=Kind.MESH)
TUNNEL = Implementation("boringtun", Role.PEER, ("boringtun", "{interface}"))
PINGS = """\
PING 10.42.0.9 (10.42.0.9) 56(84) bytes of data.
[1796000000.250000] 64 bytes from 10.42.0.9: icmp_seq=3 ttl=64 time=100 ms
[1796000000.251000] From 10.42.0.1 icmp_seq=4 Destination Host Unreachable
[1796000000.210500] 64 bytes from 10.42.0.9: icmp_seq=5 ttl=64 time=0.500 ms
[1796000000.3"""


def passed(at: float, way: str, remote: str, size: int = 1028) -> Packet:
    return Packet(at, way == "out", "udp", remote, size)


# -- Pings ---------------------------------------------------------------------------------------------


def test_only_answers_count() -> None:
    answers = read_answers(PINGS)

    assert [(one.sequence, one.took) for one in answers] == [(3, 0.1), (5, 0.0005)]


def test_the_first_answer_is_counted_from_the_first_ping_also_if_that_was_lost() -> None:
    answers = read_answers(PINGS)

    assert first_answer(answers, INTERVAL) == pytest.approx(2 * INTERVAL + 0.1)
    assert beginning(answers, INTERVAL) == pytest.approx(1796000000.01)


def test_without_an_answer_nothing_is_known() -> None:
    assert first_answer([], INTERVAL) is None
    assert beginning([], INTERVAL) is None


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5], 0, id="none lost"),
        pytest.param([1, 2, 5, 6], 2, id="a gap"),
        pytest.param([1, 2, 5, 7], 3, id="two gaps"),
        pytest.param([2, 3, 4], 0, id="what was lost before does not count"),
        pytest.param([1, 2], 0, id="nothing came after"),
    ],
)
def test_what_is_lost_between_two_answers_is_counted(sequences: list[int], expected: int) -> None:
    answers = [Answer(sequence, float(sequence), 0.001) for sequence in sequences]

    assert lost(answers, then=2.5) == expected


# -- Packets -------------------------------------------------------------------------------------------


def test_the_line_that_is_being_written_is_left_for_later() -> None:
    printed = f"ready\n12.500000 out udp {RELAY} 1028\n13.000000 in tcp {OTHER} 52\n13.5000"

    assert read_packets(printed) == [
        Packet(12.5, is_outbound=True, protocol="udp", remote=RELAY, size=1028),
        Packet(13.0, is_outbound=False, protocol="tcp", remote=OTHER, size=52),
    ]


def test_a_path_is_direct_when_large_packets_take_no_relay_either_way() -> None:
    packets = [
        passed(1, "out", RELAY),
        passed(2, "in", RELAY),
        passed(2.5, "out", OTHER, 100),
        passed(3, "out", OTHER),
        passed(4, "in", RELAY),
        passed(5, "in", OTHER),
        passed(6, "out", OTHER),
    ]

    assert direct_since(packets, SIZE, {RELAY}) == 5


@pytest.mark.parametrize(
    "packets",
    [
        pytest.param([], id="nothing passed"),
        pytest.param([passed(1, "out", OTHER)], id="one way"),
        pytest.param([passed(1, "out", OTHER), passed(2, "in", RELAY)], id="back by the relay"),
        pytest.param(
            [passed(1, "out", OTHER), passed(2, "in", OTHER), passed(3, "out", RELAY)], id="a relay again"
        ),
        pytest.param([passed(1, "out", OTHER, 100), passed(2, "in", OTHER, 100)], id="only small ones"),
    ],
)
def test_any_other_path_is_not_direct(packets: list[Packet]) -> None:
    assert direct_since(packets, SIZE, {RELAY}) is None


def test_the_relay_in_use_is_the_one_of_the_last_large_packet() -> None:
    packets = [passed(1, "out", RELAY), passed(2, "in", OTHER), passed(3, "out", OTHER, 100)]

    assert relay_in_use(packets, SIZE, {RELAY}) == RELAY
    assert relay_in_use([*packets, passed(4, "out", OTHER)], SIZE, {RELAY}) is None


# -- Meshes --------------------------------------------------------------------------------------------


def test_a_node_of_tailscale_knows_those_that_have_a_relay() -> None:
    status = {"Peer": {"a": {"HostName": "cone", "Relay": "r"}, "b": {"HostName": "port", "Relay": ""}}}

    assert peers_with_relay(status) == {"cone"}
    assert peers_with_relay(json.loads('{"Peer": null}')) == set()


def test_rows_of_meshes_are_measured_with_meshes_alone() -> None:
    of_mesh, of_tunnel = (
        {row.name for setting in settings_for(one, SETTINGS) for row in setting.rows}
        for one in (PEER, TUNNEL)
    )

    assert of_mesh == {"nat", "idle", "rebinding", "relaydeath", "natall", "meshrelay", "mesh3", "mesh100"}
    assert not of_mesh & of_tunnel
    assert {"tcp1", "pinglong"} <= of_tunnel


def test_a_mesh_is_found_with_all_of_its_programs_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    monkeypatch.delenv("SUDO_USER", raising=False)
    folder = tmp_path / "go/bin"
    folder.mkdir(parents=True)
    for file in ("lab-tailscaled", "lab-tailscale", "nebula"):
        (folder / file).write_bytes(b"\nmod\texample.org/mesh\tv9.9.9\n")
        (folder / file).chmod(0o755)

    found = {
        one.name: one for one in find_implementations() if one.role is Role.PEER and one.kind is Kind.MESH
    }

    assert found.keys() == {"tailscaled", "tailscaled-peer-relay"}
    assert found["tailscaled"].command == (str(folder / "lab-tailscaled"), str(folder / "lab-tailscale"))
    assert found["tailscaled"].version == "v9.9.9"


def test_the_report_compares_ours_with_the_best_mesh_and_says_how_often_a_path_was_direct() -> None:
    measures = [one for one in measures_of(read_rows("nat")) if one.name == "nat direct public random"]
    samples = {"wgpy-mesh": {1: 0.01, 2: 0.01, 3: 0.02}, "nebula": {1: 5.0, 2: 15.0, 3: 4.0}}
    results = Results({name: {"nat direct public random": by_round} for name, by_round in samples.items()})

    table = markdown(measures, [OURS, PEER], results)

    line = next(line for line in table.splitlines() if "public and random" in line)
    assert "3 of 3" in line
    assert "2 of 3" in line
    assert "nebula |" in line
