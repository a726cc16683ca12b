"""Rows that measure a daemon's life, beside what others say of the same.

left wg0 ==== wg0 right
"""

import sys
from pathlib import Path

import pytest

from benchmarks.rows import initiators
from benchmarks.rows.handshakes import busy, read_outcome
from benchmarks.rows.scale import CROWDS
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.namespaces import INTERFACE, OUTSIDE, PORT
from benchmarks.suite.rounds import Turn
from tests.integration.hosts import Lab


@pytest.fixture
def turn(lab: Lab, program: str, tmp_path: Path) -> Turn:
    daemon = Implementation("wgpyd", Role.OURS, (program, "-f", "{interface}"))
    return Turn(daemon, lab, 1, {}, tmp_path)


def test_every_handshake_that_is_counted_crossed_the_wire(turn: Turn) -> None:
    hosts = busy(turn, 50)
    counter = "/sys/class/net/eth0/statistics/rx_packets"
    before = int(hosts.left.run("cat", counter))

    words = (hosts.keys, hosts.public_key.hex(), OUTSIDE[1], str(PORT))
    outcome = read_outcome(hosts.left.run(sys.executable, initiators.__file__, *words))

    received = int(hosts.left.run("cat", counter)) - before
    assert outcome.asked == outcome.answered == 50 * (initiators.PASSES - 1)
    assert received >= 50 * initiators.PASSES + outcome.cookies


def test_a_crowd_is_as_large_as_it_says(turn: Turn) -> None:
    hosts = CROWDS[1].build(turn)

    assert len(hosts.right.run("wg", "show", INTERFACE, "peers").splitlines()) == 100 + 1
