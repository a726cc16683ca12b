"""How long a tunnel is interrupted when one of its ends is killed and restarted.

left eth0 -------- veth -------- eth0 right, which is killed
 wgbench0 ======== tunnel ====== wgbench0
"""

import time
from dataclasses import dataclass
from typing import Final

from benchmarks.rows.daemons import kill, launch, until_ready
from benchmarks.suite.namespaces import INSIDE, INSIDE6, INTERFACE, MTU, tunnel_of_two
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, HostProcess, add_addresses

INTERVAL: Final = 0.02  # seconds between pings
KEY: Final = "/run/private.key"  # as the tunnel was configured; boringtun shows nobody its own
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
        saved = self.right.write("/run/saved.conf", self.right.run("wg", "showconf", INTERFACE))
        began = time.monotonic()
        kill(self.turn, self.daemon)
        # With a deadline, -c counts answers.
        pings = self.left.start(
            "ping", "-n", "-q", "-i", str(INTERVAL), "-c", "1", "-w", str(WITHIN), INSIDE[1]
        )
        self.daemon = launch(self.turn, self.right)
        until_ready(self.right, self.daemon, time.monotonic())
        self.right.run("wg", "set", INTERFACE, "private-key", KEY)
        self.right.run("wg", "addconf", INTERFACE, saved)
        add_addresses(self.right, INTERFACE, f"{INSIDE[1]}/24", f"{INSIDE6[1]}/64")
        self.right.run("ip", "link", "set", INTERFACE, "mtu", str(MTU), "up")
        if right_speaks:
            self.right.start("ping", "-n", "-q", "-c", "1", INSIDE[0])
        end = pings.wait(WITHIN + 5)
        took = time.monotonic() - began
        if end.status not in (0, 1):  # 1: no answer in time
            raise MeasureFailed(f"ping printed: {end.output.strip()}")
        return took if end.status == 0 else WITHIN


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


RECOVERY: Final = Setting(
    "recovery",
    _mortal,
    (
        _row("restartspeaks", "interrupted by a restart, it speaks first", True, 1),
        _row("restartsilent", "interrupted by a restart, it is silent", False, 16),
    ),
)
