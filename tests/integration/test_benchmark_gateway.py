"""The rows of a gateway that translates, and of a relay: what is in force while they measure.

left wg0 ==== wg0 right eth1 ---- eth0 office
"""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.rows import read_rows
from benchmarks.rows.gateway import CROWD, GATEWAY, ONE_RULE, ONE_SITE, PLAIN, Site
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.rounds import Turn, settings_for
from tests.integration.hosts import Host, Lab

REAL, MAPPED = "10.0.0.2", "100.64.0.2"


@pytest.fixture(autouse=True)
def _tools() -> None:
    if shutil.which("iperf3") is None:
        pytest.skip("this host lacks iperf3")


@pytest.fixture(params=["wgpyd", "wireguard-go"])
def turn(lab: Lab, program: str, tmp_path: Path, request: pytest.FixtureRequest) -> Turn:
    if shutil.which("wireguard-go") is None:
        pytest.skip("this host lacks wireguard-go")
    ours = Implementation("wgpyd", Role.OURS, (program, "-f", "{interface}"))
    other = Implementation("wireguard-go", Role.PEER, ("wireguard-go", "-f", "{interface}"))
    return Turn(ours if request.param == "wgpyd" else other, lab, 1, {}, tmp_path)


def test_every_measure_of_a_gateway_is_taken(turn: Turn) -> None:
    (setting,) = settings_for(turn.implementation, read_rows("gateway,sites"))
    assert [row.name for row in setting.rows] == (
        ["gateway", "sites"] if turn.implementation.role is Role.OURS else ["gateway"]
    )

    built = setting.build(turn)

    for row in setting.rows:
        samples = row.measure(built, 1)
        assert set(samples) == {measure.name for measure in row.measures}
        assert all(sample > 0 for sample in samples.values()), samples


@pytest.mark.parametrize("turn", ["wgpyd"], indirect=True)
def test_every_measure_of_a_relay_is_taken(turn: Turn) -> None:
    if shutil.which("cc") is None:
        pytest.skip("this host lacks a C compiler")
    (setting,) = settings_for(turn.implementation, read_rows("relay"))
    (row,) = setting.rows

    samples = row.measure(setting.build(turn), 1)

    assert set(samples) == {measure.name for measure in row.measures}
    assert samples["relay_relayed"] > 0
    assert samples["relay_forwarded"] > 0


@pytest.mark.parametrize("turn", ["wgpyd"], indirect=True)
def test_a_relay_is_flooded_by_nobody_whom_it_answers(turn: Turn) -> None:
    if shutil.which("cc") is None:
        pytest.skip("this host lacks a C compiler")
    (setting,) = settings_for(turn.implementation, read_rows("relayflood"))
    (row,) = setting.rows
    scene = setting.build(turn)

    samples = row.measure(scene, 1)

    assert set(samples) == {measure.name for measure in row.measures}
    assert samples["relayflood_rate"] > 0
    wire = scene.floodable.flooder.run("ip", "-s", "-json", "link", "show", "eth0")
    (card,) = json.loads(wire)
    assert card["stats64"]["rx"]["packets"] < card["stats64"]["tx"]["packets"] / 4


def test_a_site_is_reached_by_mapped_addresses_while_these_are_translated(turn: Turn) -> None:
    site = GATEWAY.build(turn)

    for state, address, other in ((PLAIN, REAL, MAPPED), (ONE_SITE, MAPPED, REAL), (PLAIN, REAL, MAPPED)):
        site.translator.translate(*state)

        assert answers(site.left, address)
        assert state == ONE_SITE or not answers(site.left, other)


@pytest.mark.parametrize("turn", ["wgpyd"], indirect=True)
def test_rules_let_nothing_pass_but_the_stream(turn: Turn) -> None:
    site: Site = GATEWAY.build(turn)

    for state in (ONE_RULE, CROWD):
        assert site.gigabits(state, 1) > 0
        assert not answers(site.left, MAPPED)


def answers(host: Host, address: str) -> bool:
    return host.attempt("ping", "-n", "-c", "1", "-W", "1", address).status == 0
