"""The command line: `python -m benchmarks.flood`.

    left eth0 192.0.2.1 -------- 192.0.2.2 eth0 right eth1 198.51.100.1 -------- 198.51.100.2 eth0 flooder
          wg0 10.0.0.1 ========== 10.0.0.2 wg0

The flooder sends from addresses of 10.128.0.0/9, and the right one has a route to all of them: through the
flooder, where whatever is answered ends.
"""

import argparse
import base64
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.compiler import BuildFailed, build
from benchmarks.netns.command import Benchmark, parse, parser, positive, run
from benchmarks.netns.measures import Measure
from benchmarks.netns.namespaces import INSIDE, INTERFACE, PORT, configure, join, ping_through
from benchmarks.netns.readings import MeasureFailed
from benchmarks.netns.rounds import Trial, Turn
from benchmarks.netns.tools import stream
from tests.integration.hosts import Host, HostProcess, add_addresses, connect

HERE: Final = Path(__file__).parent
FASTPATH: Final = HERE.parents[1] / "wgpy" / "fastpath"
SOURCES: Final = (HERE / "flood.c", FASTPATH / "blake2s.c", FASTPATH / "cookie.c")

SPOOFED: Final = "10.128.0.0/9"
FLOODED: Final = "198.51.100.1"
FLOODER: Final = "198.51.100.2"
CLOSED_PORT: Final = PORT + 1
WITHIN: Final = 16.0  # seconds: three tries, 5 s and a little apart
POLL: Final = 0.05  # seconds
AHEAD: Final = ("nice", "--adjustment=-10")  # hosts that are elsewhere wait for no processor here
LEAD: Final = 1.0  # seconds that a flood runs before what it is to disturb begins
SPARE: Final = 30  # seconds after which a flood that nobody ended ends by itself

MEASURES: Final = {
    "junk": (
        Measure("tcp_calm", "TCP, no flood", "Gbit/s", more_is_better=True),
        Measure("tcp_closed", "TCP, flood to a closed port", "Gbit/s", more_is_better=True),
        Measure("tcp_junk", "TCP, flood with wrong mac1", "Gbit/s", more_is_better=True, beside="tcp_closed"),
        Measure("rate_closed", "that flood to a closed port", "1,000/s", more_is_better=True),
        Measure("rate_junk", "that flood with wrong mac1", "1,000/s", more_is_better=True),
    ),
    "valid": (
        Measure(
            "handshake", "handshake, flood with valid mac1", "s", more_is_better=False, failed_from=WITHIN
        ),
        Measure("rate_valid", "that flood with valid mac1", "1,000/s", more_is_better=True),
    ),
}


def main() -> int:
    command = parser("benchmarks.flood", "Measure what floods of handshake messages leave of a tunnel.")
    command.add_argument(
        "--only", choices=list(MEASURES), help="only the floods with wrong or with valid mac1"
    )
    command.add_argument(
        "--junk-rate", metavar="N", type=positive, default=200_000,
        help="messages with a wrong mac1 a second (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--valid-rate", metavar="N", type=positive, default=20_000,
        help="messages with a valid mac1 a second (default: %(default)s)",
    )  # fmt: skip
    command.add_argument(
        "--handshakes", metavar="N", type=positive, default=4,
        help="in each round, each between two new daemons (default: %(default)s)",
    )  # fmt: skip
    options = parse(command)
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = build(Path(folder) / "flood", SOURCES, "-I", str(FASTPATH))
        except BuildFailed as error:
            sys.exit(f"The generator is missing: {error}")
        return run(_benchmark(program, options), options)


def _benchmark(program: Path, options: argparse.Namespace) -> Benchmark:
    handshakes = [_handshake(program, options.valid_rate)] * options.handshakes
    floods: dict[str, tuple[list[Trial], float]] = {
        "junk": ([_throughput(program, options.junk_rate, options.seconds)], 5 + 3 * options.seconds),
        "valid": (handshakes, 10 * options.handshakes),
    }
    chosen = [options.only] if options.only else list(floods)
    return Benchmark(
        trials=[trial for name in chosen for trial in floods[name][0]],
        measures=[measure for name in chosen for measure in MEASURES[name]],
        seconds=sum(floods[name][1] for name in chosen),
        with_limit=False,
    )


# -- Floods ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Flood:
    """A flood that runs, and after its end the messages a second that it reached."""

    process: HostProcess
    rate: float = 0


def read_rate(text: str) -> float:
    """Read what the generator said last: messages a second. Raises MeasureFailed."""
    found = re.search(r"^sent \d+ in [\d.]+ s: (\d+) a second\n\Z", text, re.MULTILINE)
    if found is None:
        raise MeasureFailed(f"the generator said: {text.strip() or 'nothing'}")
    return float(found[1])


@contextmanager
def _flooding(
    flooder: Host, program: Path, port: int, rate: int, seconds: float, key: str = ""
) -> Iterator[Flood]:
    """Flood a port of the right host for as long as this lasts, about so many seconds.

    key: mac1 is valid for it, if it is given.
    """
    public_key = [base64.b64decode(key).hex()] if key else []
    words = (str(program), FLOODED, str(port), str(rate), f"{seconds + SPARE:.0f}", SPOOFED, *public_key)
    flood = Flood(flooder.start(*AHEAD, *words))
    time.sleep(LEAD)
    yield flood
    if flood.process.is_running():
        flood.process.kill()
    flood.rate = read_rate(flood.process.wait().output)


def _with_flooder(turn: Turn) -> tuple[Host, Host, Host]:
    """Make a tunnel whose right end can be flooded; no packet went through it yet."""
    left, right, flooder = (turn.host(name) for name in ("left", "right", "flooder"))
    join(left, right)
    connect(right, "eth1", flooder, "eth0")
    add_addresses(right, "eth1", f"{FLOODED}/24")
    add_addresses(flooder, "eth0", f"{FLOODER}/24")
    right.run("ip", "route", "add", SPOOFED, "via", FLOODER)
    for host in (left, right):
        turn.start_daemon(host)
    configure(turn.implementation, left, right)
    return left, right, flooder


# -- What is measured -----------------------------------------------------------------------------


def _throughput(program: Path, rate: int, seconds: float) -> Trial:
    def measure(turn: Turn) -> None:
        left, right, flooder = _with_flooder(turn)
        turn.doing = "the first ping"
        ping_through(left)
        turn.doing = "TCP without a flood"
        turn.add({"tcp_calm": stream(left, right, INSIDE[1], seconds).gigabits})
        for name, port in (("closed", CLOSED_PORT), ("junk", PORT)):
            turn.doing = f"TCP beside the flood to port {port}"
            with _flooding(flooder, program, port, rate, seconds) as flood:
                gigabits = stream(left, right, INSIDE[1], seconds).gigabits
            turn.add({f"tcp_{name}": gigabits, f"rate_{name}": flood.rate / 1000})

    return measure


def _handshake(program: Path, rate: int) -> Trial:
    def measure(turn: Turn) -> None:
        left, right, flooder = _with_flooder(turn)
        key = right.run("wg", "show", INTERFACE, "public-key").strip()
        turn.doing = "a handshake beside the flood"
        with _flooding(flooder, program, PORT, rate, WITHIN, key) as flood:
            if _has_session(left):
                raise MeasureFailed("the handshake came before it was asked for")
            began = time.monotonic()
            left.start("ping", "-n", "-q", "-c", "1", INSIDE[1])  # a packet is what asks for a handshake
            while not _has_session(left) and time.monotonic() - began < WITHIN:
                time.sleep(POLL)
            took = time.monotonic() - began
        turn.add({"handshake": min(took, WITHIN), "rate_valid": flood.rate / 1000})

    return measure


def _has_session(host: Host) -> bool:
    """Say whether a handshake has completed; its time is behind the peer's key, 0 for never."""
    return not host.run("wg", "show", INTERFACE, "latest-handshakes").endswith("\t0\n")


if __name__ == "__main__":
    sys.exit(main())
