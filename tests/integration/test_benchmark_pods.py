"""The rows of pods: by which link their packets pass while it is measured.

pod eth0 -- cni0 left wg0 ==== wg0 right cni0 -- eth0 pod
"""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.rows.pods import ENCAPSULATED, OVERLAY, PLAIN, PODS, ROUTED, Sites, Way
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.namespaces import INTERFACE
from benchmarks.suite.rounds import Turn
from tests.integration.hosts import Lab


@pytest.fixture
def turn(lab: Lab, program: str, tmp_path: Path) -> Turn:
    if shutil.which("iperf3") is None:
        pytest.skip("this host lacks iperf3")
    return Turn(Implementation("wgpyd", Role.OURS, (program, "-f", "{interface}")), lab, 1, {}, tmp_path)


def test_a_stream_of_pods_passes_the_tunnel_and_the_vxlan_as_the_row_says(turn: Turn) -> None:
    sites = PODS.build(turn)

    for way, passed in ((PLAIN, {OVERLAY}), (ROUTED, {INTERFACE}), (ENCAPSULATED, {INTERFACE, OVERLAY})):
        assert passed_by_a_stream(sites, way) == passed
    (row,) = PODS.rows
    samples = row.measure(sites, 1)
    assert set(samples) == {measure.name for measure in row.measures}
    assert all(sample > 0 for sample in samples.values()), samples


def passed_by_a_stream(sites: Sites, way: Way) -> set[str]:
    """Return the links that have received most of a stream."""
    sites.take(way)
    before = received(sites)
    gigabits = sites.gigabits(way, 1)
    after = received(sites)
    return {link for link in after if after[link] - before.get(link, 0) > gigabits * 1e9 / 8 / 2}


def received(sites: Sites) -> dict[str, int]:
    """Return the bytes that the right node has received by each link that packets of pods may pass."""
    cards = json.loads(sites.nodes[1].run("ip", "-json", "-stats", "link"))
    return {
        card["ifname"]: card["stats64"]["rx"]["bytes"]
        for card in cards
        if card["ifname"] in (INTERFACE, OVERLAY)
    }
