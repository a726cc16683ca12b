"""How long a tunnel is interrupted, and what it loses, when one of its daemons is restarted or replaced.

left eth0 -------- veth -------- eth0 right, whose daemon is
 wgbench0 ======== tunnel ====== wgbench0
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from benchmarks.rows.daemons import kill, launch, until_ready
from benchmarks.suite import probe
from benchmarks.suite.namespaces import INSIDE, INSIDE6, INTERFACE, MTU, tunnel_of_two
from benchmarks.suite.readings import MeasureFailed, read_probe
from benchmarks.suite.rounds import Turn
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, HostProcess, add_addresses

INTERVAL: Final = 0.02  # seconds between pings
KEY: Final = "/run/private.key"  # as the tunnel was configured; boringtun shows nobody its own
PROBES: Final = 1600  # pings while a daemon is restarted or replaced
PACE: Final = 0.005  # seconds between them
LEAD: Final = 0.5  # seconds of pings before
WITHIN: Final = 40  # seconds; by the protocol it takes 15, or 20 if one message is lost


@dataclass(slots=True)
class Mortal:
    """A tunnel whose right daemon can be replaced by one with the same keys."""

    turn: Turn
    left: Host
    right: Host
    daemon: HostProcess

    def interruption(self, *, right_speaks: bool) -> float:
        """Kill the right daemon, start it anew, and return the seconds until the left one's pings come back.

        right_speaks: whether it has something to send when it is back, or waits for the left one to notice.
        """
        saved = self._save()
        began = time.monotonic()
        kill(self.turn, self.daemon)
        # With a deadline, -c counts answers.
        pings = self.left.start(
            "ping", "-n", "-q", "-i", str(INTERVAL), "-c", "1", "-w", str(WITHIN), INSIDE[1]
        )
        self._start_anew(saved, speaks=right_speaks)
        end = pings.wait(WITHIN + 5)
        took = time.monotonic() - began
        if end.status not in (0, 1):  # 1: no answer in time
            raise MeasureFailed(f"ping printed: {end.output.strip()}")
        return took if end.status == 0 else WITHIN

    def restart(self) -> None:
        """Kill the right daemon and start it anew; then it has something to send."""
        saved = self._save()
        kill(self.turn, self.daemon)
        self._start_anew(saved, speaks=True)

    def replace(self) -> None:
        """Have another process take over from the right daemon, and return when that has ended."""
        former = self.daemon
        self.daemon = launch(self.turn, self.right, "--replace")
        if (end := former.wait(WITHIN)).status != 0:
            raise MeasureFailed(f"it gave up what it served: {end.output.strip()}")
        self.turn.daemons.remove(former)

    def losses(self, change: Callable[[], None], name: str) -> Samples:
        """Return how many pings are lost by a change, and the longest time without an answer, in ms."""
        command = (sys.executable, "-I", "-S", str(probe.__file__), INSIDE[1], str(PROBES), str(PACE))
        pings = self.left.start(*command)
        time.sleep(LEAD)
        change()
        times = read_probe(pings.wait().output)
        return {f"{name}_lost": times.count(probe.TIMEOUT), f"{name}_gap": longest_gap(times, PACE) * 1000}

    def _save(self) -> str:
        return self.right.write("/run/saved.conf", self.right.run("wg", "showconf", INTERFACE))

    def _start_anew(self, saved: str, *, speaks: bool) -> None:
        self.daemon = launch(self.turn, self.right)
        until_ready(self.right, self.daemon, time.monotonic())
        self.right.run("wg", "set", INTERFACE, "private-key", KEY)
        self.right.run("wg", "addconf", INTERFACE, saved)
        add_addresses(self.right, INTERFACE, f"{INSIDE[1]}/24", f"{INSIDE6[1]}/64")
        self.right.run("ip", "link", "set", INTERFACE, "mtu", str(MTU), "up")
        if speaks:
            self.right.start("ping", "-n", "-q", "-c", "1", INSIDE[0])


def longest_gap(times: Sequence[float], pace: float) -> float:
    """Return the longest time in which no answer came. times: of round trips; pace: between two pings."""
    came = sorted(index * pace + took for index, took in enumerate(times) if took < probe.TIMEOUT)
    end = max([len(times) * pace, *came])
    return max(after - before for before, after in pairwise((0.0, *came, end)))


def _mortal(turn: Turn) -> Mortal:
    left, right, (_, daemon) = tunnel_of_two(turn)
    return Mortal(turn, left, right, daemon)


def _row(name: str, title: str, right_speaks: bool, seconds: float) -> Row[Mortal]:
    def measure(tunnel: Mortal, _seconds: float) -> Samples:
        return {name: tunnel.interruption(right_speaks=right_speaks)}

    return Row(
        name,
        title,
        (Measure(name, title, "s", more_is_better=False, failed_from=WITHIN),),
        measure,
        Plan.FULL,
        streams=0,
        seconds=seconds,
        rulers=False,
    )


def _loss_row(
    name: str, title: str, change: Callable[[Mortal], None], seconds: float, *, ours: bool = False
) -> Row[Mortal]:
    return Row(
        f"{name}loss",
        f"lost by {title}",
        (
            Measure(f"{name}_lost", f"lost by {title}, of 200 pings a second", "pings", more_is_better=False),
            Measure(f"{name}_gap", f"longest gap by {title}", "ms", more_is_better=False),
        ),
        lambda tunnel, _seconds: tunnel.losses(lambda: change(tunnel), name),
        Plan.FULL,
        streams=0,
        seconds=seconds,
        rulers=False,
        ours=ours,
    )


RECOVERY: Final = Setting(
    "recovery",
    _mortal,
    (
        _row("restartspeaks", "interrupted by a restart, it speaks first", True, 1),
        _row("restartsilent", "interrupted by a restart, it is silent", False, 16),
        _loss_row("restart", "a restart", Mortal.restart, PROBES * PACE),
        _loss_row("replace", "`wgpyd --replace`", Mortal.replace, PROBES * PACE, ours=True),
    ),
)
