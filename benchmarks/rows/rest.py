"""The start of a daemon, and its memory and wake-ups at rest.

left eth0 -------- veth -------- eth0 right
 wgbench0 ======== tunnel ====== wgbench0
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.rows.daemons import kill, launch, until_ready
from benchmarks.suite.namespaces import INSIDE, configure, join
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import memory, pings
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import HostProcess

STARTS: Final = 3
SETTLED: Final = 12.0  # seconds: whoever was sent data last says 10 s later that it came
WINDOW: Final = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Fresh:
    """A tunnel through which one ping went.

    ready, first_ping: seconds at each start of the left daemon; since: by the monotonic clock.
    """

    daemons: tuple[HostProcess, ...]
    ready: list[float]
    first_ping: list[float]
    since: float


# -- From start to ready --------------------------------------------------------------------------


def _fresh(turn: Turn) -> Fresh:
    left, right = turn.host("left"), turn.host("right")
    join(left, right)
    ready, first_ping = [], []
    daemons: tuple[HostProcess, ...] = ()
    for _ in range(STARTS):
        for daemon in daemons:
            kill(turn, daemon)
        turn.doing = "starting"
        theirs = turn.start_daemon(right)
        began = time.monotonic()
        daemons = (launch(turn, left), theirs)
        ready.append(until_ready(left, daemons[0], began))
        turn.doing = "the first ping"
        configure(turn.implementation, left, right)
        first_ping += pings(left, INSIDE[1], 1)
    return Fresh(daemons, ready, first_ping, time.monotonic())


def _start(fresh: Fresh, seconds: float) -> Samples:
    return {
        "start_ready": median(fresh.ready) * 1000,
        "start_ping": median(fresh.first_ping) * 1000,
    }


# -- At rest --------------------------------------------------------------------------------------


def _memory(fresh: Fresh, seconds: float) -> Samples:
    return {"rest_memory": max(memory(daemon) for daemon in fresh.daemons)}


def _wakeups(fresh: Fresh, seconds: float) -> Samples:
    time.sleep(max(fresh.since + SETTLED - time.monotonic(), 0))
    before = [context_switches(daemon.pid) for daemon in fresh.daemons]
    time.sleep(WINDOW)
    after = [context_switches(daemon.pid) for daemon in fresh.daemons]
    most = max(switched(*counts) for counts in zip(before, after, strict=True))
    return {"rest_wakeups": most * 60 / WINDOW}


def context_switches(pid: int) -> dict[str, int]:
    """Return how often each thread of a process left a processor. Raises MeasureFailed if it has ended."""
    counts = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # a thread that has just ended
            counts[task.name] = read_switches((task / "status").read_text())
    if not counts:
        raise MeasureFailed("the daemon is gone")
    return counts


def read_switches(status: str) -> int:
    """Read /proc/PID/task/TID/status: how often it waited, or had to let others go first; proc(5)."""
    values = dict(line.split(":", 1) for line in status.splitlines())
    return int(values["voluntary_ctxt_switches"]) + int(values["nonvoluntary_ctxt_switches"])


def switched(before: dict[str, int], after: dict[str, int]) -> int:
    """Return the switches in between of all threads that are there at the end; new ones began with none."""
    return sum(count - before.get(thread, 0) for thread, count in after.items())


REST: Final = Setting(
    "rest",
    _fresh,
    (
        Row(
            "start",
            "from start to ready",
            (
                Measure("start_ready", "from start to ready", "ms", more_is_better=False),
                Measure(
                    "start_ping", "first ping, with its handshake", "ms",
                    more_is_better=False, failed_from=1000,
                ),
            ),
            _start,
            Plan.DEFAULT,
            streams=0,
            seconds=0,
            rulers=False,
        ),
        Row(
            "restmemory",
            "memory at rest",
            (
                Measure(
                    "rest_memory", "memory after the first ping, PSS", "MiB",
                    more_is_better=False, of_process=True,
                ),
            ),
            _memory,
            Plan.DEFAULT,
            streams=0,
            seconds=0,
            rulers=False,
        ),
        Row(
            "wakeups",
            "wake-ups at rest",
            (
                Measure(
                    "rest_wakeups", "wake-ups at rest", "1/min", more_is_better=False, of_process=True,
                ),
            ),
            _wakeups,
            Plan.FULL,
            streams=0,
            seconds=SETTLED + WINDOW,
            rulers=False,
        ),
    ),
    seconds=2.5,
)  # fmt: skip
