"""Rows that measure a daemon's life, beside what others say of the same.

left wg0 ==== wg0 right
"""

import re
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from benchmarks.rows import initiators
from benchmarks.rows.daemons import launch, until_ready
from benchmarks.rows.handshakes import busy, handshakes, read_outcome, silence
from benchmarks.rows.recovery import PACE, RECOVERY
from benchmarks.rows.rest import context_switches, switched
from benchmarks.rows.scale import CROWDS
from benchmarks.suite.implementations import Implementation, Role
from benchmarks.suite.namespaces import INSIDE, INTERFACE, OUTSIDE, PORT, tunnel
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import pings
from tests.integration.hosts import Lab


@pytest.fixture
def turn(lab: Lab, program: str, tmp_path: Path) -> Turn:
    command = ("env", "LOG_LEVEL=debug", program, "-f", "{interface}")
    daemon = Implementation("wgpyd", Role.OURS, command)
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


def test_a_daemon_is_ready_when_its_log_says_that_it_serves(turn: Turn) -> None:
    host = turn.host("left")
    began, by_the_wall = time.monotonic(), time.time()
    daemon = launch(turn, host)

    took = until_ready(host, daemon, began)

    daemon.kill()
    said = re.search(r"(\S+ \S+),(\d+) serving at", daemon.wait().output)
    assert said is not None
    serving = datetime.fromisoformat(said[1]).timestamp() + int(said[2]) / 1000 - by_the_wall
    assert serving - 0.05 <= took < serving + 3  # the answer may have to wait for a busy host


def test_threads_leave_a_processor_as_often_as_the_scheduler_says_that_they_had_one(turn: Turn) -> None:
    made = tunnel(turn)
    pid = made.daemons[0].pid
    if not Path(f"/proc/{pid}/schedstat").exists():
        pytest.skip("this kernel keeps no statistics of its scheduler")
    before = context_switches(pid), turns_on_a_processor(pid)

    pings(made.left, INSIDE[1], 300)

    left = switched(before[0], context_switches(pid))
    had = switched(before[1], turns_on_a_processor(pid))
    assert left > 30, "pings and their answers wake one, on a busy host several at once"
    assert left == pytest.approx(had, rel=0.1, abs=20)


def test_wake_ups_beside_silent_peers_are_those_of_the_scheduler_and_follow_what_is_asked_for(
    turn: Turn,
) -> None:
    hosts = busy(turn, 50)
    pid = hosts.daemon.pid
    if not Path(f"/proc/{pid}/schedstat").exists():
        pytest.skip("this kernel keeps no statistics of its scheduler")
    handshakes(hosts)
    time.sleep(2)  # the responder has no more to say to who said nothing
    before = turns_on_a_processor(pid)

    silent = silence(hosts.daemon, 5)["silent_wakeups"] * 5 / 60

    had = switched(before, turns_on_a_processor(pid))
    assert silent == pytest.approx(had, abs=20)
    peer = hosts.right.run("wg", "show", INTERFACE, "peers").split()[0]
    hosts.right.run("wg", "set", INTERFACE, "peer", peer, "persistent-keepalive", "1")
    assert silence(hosts.daemon, 5)["silent_wakeups"] * 5 / 60 >= silent + 3, "one a second was asked for"


def turns_on_a_processor(pid: int) -> dict[str, int]:
    """The third number of each thread's schedstat; sched-stats in the kernel's documentation."""
    tasks = Path(f"/proc/{pid}/task").glob("*")
    return {task.name: int((task / "schedstat").read_text().split()[2]) for task in tasks}


def test_an_interruption_ends_with_the_handshake_that_wg_shows(turn: Turn) -> None:
    mortal = RECOVERY.build(turn)
    began = time.time()

    took = mortal.interruption(right_speaks=True)

    shown = mortal.left.run("wg", "show", INTERFACE, "latest-handshakes").split()[1]
    assert began - 1 <= int(shown) <= began + took + 1  # it shows whole seconds


def test_a_restart_loses_what_is_sent_meanwhile_and_a_replacement_nothing(turn: Turn) -> None:
    mortal = RECOVERY.build(turn)

    restarted = mortal.losses(mortal.restart, "restart")
    replaced = mortal.losses(mortal.replace, "replace")

    assert restarted["restart_lost"] > 0
    assert restarted["restart_gap"] > restarted["restart_lost"] * PACE * 1000 / 2
    assert replaced["replace_lost"] == 0
