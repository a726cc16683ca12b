"""TCP through a tunnel whose wire takes its time and loses.

    left eth0 192.0.2.1 -- 192.0.2.254 eth0 middle eth1 198.51.100.254 -- 198.51.100.1 eth0 right
     wgbench0 198.18.0.1 ========================================= 198.18.0.2 wgbench0

In the middle runs a program that holds each datagram for 10 ms, so a round trip takes 20, and loses some. It
is not the kernel's netem, since not every kernel has that, and since all are to lose the same in a round.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.compiler import build
from benchmarks.suite.namespaces import INSIDE, PORT, configure, ping_through
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import AHEAD, stream
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, add_addresses, connect, eventually

SOURCE: Final = Path(__file__).parent / "delay.c"
LEFT, LEFT_MIDDLE = "192.0.2.1", "192.0.2.254"
RIGHT_MIDDLE, RIGHT = "198.51.100.254", "198.51.100.1"
DELAY: Final = 10  # ms each way
_REPORT: Final = re.compile(
    r"^to the (?:right|left): (\d+) came, (\d+) lost, (\d+) overflowed$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Way:
    """What became of the datagrams of one direction. overflowed: lost because they came too fast."""

    came: int
    lost: int
    overflowed: int


def read_ways(text: str) -> list[Way]:
    """Parse the last line of the program: of the way to the right, and to the left. Raises MeasureFailed."""
    found = [Way(*map(int, counts)) for counts in _REPORT.findall(text)]
    if len(found) != 2:
        raise MeasureFailed(f"the delaying program printed: {text.strip() or 'nothing'}")
    return found


@dataclass(frozen=True, slots=True)
class Lossy:
    """Two hosts, and the one between them. seed: decides which datagrams are lost."""

    left: Host
    middle: Host
    right: Host
    program: Path
    seed: int

    @contextmanager
    def losing(self, percent: int) -> Iterator[list[Way]]:
        """Join the ends by a wire that loses so much each way; afterwards the list has what it did."""
        where = (LEFT, LEFT_MIDDLE, RIGHT_MIDDLE, RIGHT, str(PORT))
        wire = self.middle.start(*AHEAD, str(self.program), *where, str(DELAY), str(percent), str(self.seed))
        eventually(lambda: self.middle.run("ss", "-Hlun").count(f":{PORT} ") == 2, "the wire is there")
        ways: list[Way] = []
        yield ways
        wire.kill()
        ways += read_ways(wire.wait().output)


def join(left: Host, middle: Host, right: Host) -> None:
    """Lay the wires between the ends and the middle."""
    connect(left, "eth0", middle, "eth0")
    connect(middle, "eth1", right, "eth0")
    add_addresses(left, "eth0", f"{LEFT}/24")
    add_addresses(middle, "eth0", f"{LEFT_MIDDLE}/24")
    add_addresses(middle, "eth1", f"{RIGHT_MIDDLE}/24")
    add_addresses(right, "eth0", f"{RIGHT}/24")


def lossy(turn: Turn) -> Lossy:
    """Make a fresh tunnel through a host in the middle, and ping through it. Raises BuildFailed."""
    program = turn.programs / "delay"
    if not program.exists():
        build(program, [SOURCE])
    left, middle, right = (turn.host(name) for name in ("left", "middle", "right"))
    join(left, middle, right)
    turn.start_daemon(left, LEFT_MIDDLE)
    turn.start_daemon(right, RIGHT_MIDDLE)
    made = Lossy(left, middle, right, program, seed=turn.round + 1)
    turn.doing = "the first ping"
    with made.losing(0):
        configure(turn.implementation, left, right, (RIGHT_MIDDLE, LEFT_MIDDLE))
        ping_through(left)
    return made


def _row(name: str, measure: str, title: str, percent: int, beside: str = "") -> Row[Lossy]:
    def streamed(tunnel: Lossy, seconds: float) -> Samples:
        with tunnel.losing(percent):
            return {measure: stream(tunnel.left, tunnel.right, INSIDE[1], seconds).gigabits * 1000}

    return Row(
        name,
        title,
        (Measure(measure, title, "Mbit/s", more_is_better=True, beside=beside),),
        streamed,
        Plan.FULL,
    )


LOSSY: Final = Setting(
    "lossy",
    lossy,
    (
        _row("delay", "tcp_delayed", "TCP, 20 ms", 0),
        _row("loss1", "tcp_loss_1", "TCP, 20 ms, 1 % loss", 1, beside="tcp_delayed"),
        _row("loss5", "tcp_loss_5", "TCP, 20 ms, 5 % loss", 5, beside="tcp_delayed"),
    ),
)
