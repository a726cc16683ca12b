"""A tunnel during floods of handshake messages.

    left eth0 192.0.2.1 -------- 192.0.2.2 eth0 right eth1 198.51.100.1 -------- 198.51.100.2 eth0 flooder
     wgbench0 198.18.0.1 ====== 198.18.0.2 wgbench0

The flooder sends from addresses of 10.128.0.0/9, and the right one has a route to all of them: through the
flooder, where whatever is answered ends.
"""

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.compiler import build
from benchmarks.suite.namespaces import INSIDE, INTERFACE, PORT, configure, join, ping_through
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import AHEAD, stream
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, HostProcess, add_addresses, connect

HERE: Final = Path(__file__).parent
FASTPATH: Final = HERE.parents[1] / "wgpy" / "fastpath"
SOURCES: Final = (HERE / "flood.c", FASTPATH / "blake2s.c", FASTPATH / "cookie.c")

SPOOFED: Final = "10.128.0.0/9"
RIGHT: Final = "198.51.100.1"
FLOODER: Final = "198.51.100.2"
CLOSED_PORT: Final = PORT + 1
JUNK_RATE: Final = 200_000  # messages a second
VALID_RATE: Final = 20_000
WITHIN: Final = 16.0  # seconds: three tries, 5 s and a little apart
POLL: Final = 0.05  # seconds
LEAD: Final = 1.0  # seconds that a flood runs before what it is to disturb begins
SPARE: Final = 30  # seconds after which a flood that nobody ended ends by itself

# -- Floods ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Flood:
    """A flood that runs, and after its end the messages a second that it reached."""

    process: HostProcess
    rate: float = 0


def read_rate(text: str) -> float:
    """Parse the generator's last line: messages a second. Raises MeasureFailed."""
    found = re.search(r"^sent \d+ in [\d.]+ s: (\d+) a second\n\Z", text, re.MULTILINE)
    if found is None:
        raise MeasureFailed(f"the generator printed: {text.strip() or 'nothing'}")
    return float(found[1])


@dataclass(frozen=True, slots=True)
class Floodable:
    """A tunnel whose right end can be flooded, and the generator; no packet went through it yet."""

    turn: Turn
    left: Host
    right: Host
    flooder: Host
    program: Path

    @contextmanager
    def flooding(self, port: int, rate: int, seconds: float, key: str = "") -> Iterator[Flood]:
        """Flood a port of the right host for as long as this lasts, about so many seconds.

        key: mac1 is valid for it, if it is given.
        """
        public_key = [base64.b64decode(key).hex()] if key else []
        words = (RIGHT, str(port), str(rate), f"{seconds + SPARE:.0f}", SPOOFED, *public_key)
        flood = Flood(self.flooder.start(*AHEAD, str(self.program), *words))
        time.sleep(LEAD)
        yield flood
        if flood.process.is_running():
            flood.process.kill()
        flood.rate = read_rate(flood.process.wait().output)


def build_flood(turn: Turn) -> Path:
    """Return the generator. Raises BuildFailed."""
    program = turn.programs / "flood"
    if not program.exists():
        build(program, SOURCES, "-I", str(FASTPATH))
    return program


def attach_flooder(turn: Turn, flooded: Host, card: str) -> Host:
    """Return a host that can flood another one, by that one's card."""
    flooder = turn.host("flooder")
    connect(flooded, card, flooder, "eth0")
    add_addresses(flooded, card, f"{RIGHT}/24")
    add_addresses(flooder, "eth0", f"{FLOODER}/24")
    flooded.run("ip", "route", "add", SPOOFED, "via", FLOODER)
    return flooder


def _floodable(turn: Turn) -> Floodable:
    program = build_flood(turn)
    left, right = turn.host("left"), turn.host("right")
    join(left, right)
    flooder = attach_flooder(turn, right, "eth1")
    for host in (left, right):
        turn.start_daemon(host)
    configure(turn.implementation, left, right)
    return Floodable(turn, left, right, flooder, program)


# -- What is measured -----------------------------------------------------------------------------


def _junk(tunnel: Floodable, seconds: float) -> Samples:
    turn, left, right = tunnel.turn, tunnel.left, tunnel.right
    turn.doing = "the first ping"
    ping_through(left)
    turn.doing = "TCP without a flood"
    samples = {"tcp_calm": stream(left, right, INSIDE[1], seconds).gigabits}
    for name, port in (("closed", CLOSED_PORT), ("junk", PORT)):
        turn.doing = f"TCP beside the flood to port {port}"
        with tunnel.flooding(port, JUNK_RATE, seconds) as flood:
            samples[f"tcp_{name}"] = stream(left, right, INSIDE[1], seconds).gigabits
        samples[f"rate_{name}"] = flood.rate / 1000
    return samples


def _handshake(tunnel: Floodable, seconds: float) -> Samples:
    left = tunnel.left
    key = tunnel.right.run("wg", "show", INTERFACE, "public-key").strip()
    with tunnel.flooding(PORT, VALID_RATE, WITHIN, key) as flood:
        if _has_session(left):
            raise MeasureFailed("the handshake came before it was asked for")
        began = time.monotonic()
        left.start("ping", "-n", "-q", "-c", "1", INSIDE[1])  # a packet is what asks for a handshake
        while not _has_session(left) and time.monotonic() - began < WITHIN:
            time.sleep(POLL)
        took = time.monotonic() - began
    return {"handshake_flooded": min(took, WITHIN), "rate_valid": flood.rate / 1000}


def _has_session(host: Host) -> bool:
    """Return whether a handshake has completed; its time is behind the peer's key, 0 for never."""
    return not host.run("wg", "show", INTERFACE, "latest-handshakes").endswith("\t0\n")


JUNK: Final = Setting(
    "junk",
    _floodable,
    (
        Row(
            "junk",
            "flood with wrong mac1",
            (
                Measure("tcp_calm", "TCP, no flood", "Gbit/s", more_is_better=True),
                Measure("tcp_closed", "TCP, flood to a closed port", "Gbit/s", more_is_better=True),
                Measure(
                    "tcp_junk",
                    "TCP, flood with wrong mac1",
                    "Gbit/s",
                    more_is_better=True,
                    beside="tcp_closed",
                ),
                Measure("rate_closed", "that flood to a closed port", "1,000/s", more_is_better=True),
                Measure("rate_junk", "that flood with wrong mac1", "1,000/s", more_is_better=True),
            ),
            _junk,
            Plan.FULL,
            streams=3,
            seconds=4,
            rulers=False,
        ),
    ),
)

VALID: Final = Setting(
    "valid",
    _floodable,
    (
        Row(
            "valid",
            "flood with valid mac1",
            (
                Measure(
                    "handshake_flooded",
                    "handshake, flood with valid mac1",
                    "s",
                    more_is_better=False,
                    failed_from=WITHIN,
                ),
                Measure("rate_valid", "that flood with valid mac1", "1,000/s", more_is_better=True),
            ),
            _handshake,
            Plan.FULL,
            streams=0,
            seconds=8,
            rulers=False,
        ),
    ),
)
