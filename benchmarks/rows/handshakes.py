"""How many handshakes a second a responder completes, and what its peers cost it once they are silent.

left eth0 -------- veth -------- eth0 right
1,000 initiators                 wgbench0, of whom each is a peer
"""

import base64
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.rows import initiators
from benchmarks.rows.daemons import ask
from benchmarks.rows.rest import SETTLED, WINDOW, context_switches, switched
from benchmarks.suite.namespaces import INTERFACE, OUTSIDE, PORT, join
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import cpu
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, HostProcess
from tests.integration.peers import key_pair
from wgpy.engine.crypto import dh_public

INITIATORS: Final = 1_000
WITHIN: Final = 10.0  # seconds to take a configuration in
INITIATORS_TIMEOUT: Final = 60.0  # seconds
ENOUGH: Final = 0.99  # of all messages have to be answered


@dataclass(frozen=True, slots=True)
class Busy:
    """A responder that has all initiators as peers; their keys are in a file of the left host."""

    left: Host
    right: Host
    daemon: HostProcess
    public_key: bytes
    keys: str


def busy(turn: Turn, number: int = INITIATORS) -> Busy:
    """Make a responder with so many peers."""
    left, right = turn.host("left"), turn.host("right")
    join(left, right)
    daemon = turn.start_daemon(right)
    private, public = key_pair()
    key = right.write("/run/private.key", private)
    right.run("wg", "set", INTERFACE, "listen-port", str(PORT), "private-key", key)
    right.run("ip", "link", "set", INTERFACE, "up")
    private_keys = [os.urandom(32) for _ in range(number)]
    # Some answer a peer only where they were told that it is.
    peers = "".join(
        f"public_key={dh_public(key).hex()}\nendpoint={OUTSIDE[0]}:{initiators.FIRST_PORT + index}\n"
        for index, key in enumerate(private_keys)
    )
    ask(right, f"set=1\n{peers}\n", WITHIN)
    keys = left.write("/run/initiators", "\n".join(key.hex() for key in private_keys))
    return Busy(left, right, daemon, base64.b64decode(public), keys)


def measure(hosts: Busy, _seconds: float) -> Samples:
    """Raises MeasureFailed."""
    outcome = handshakes(hosts)
    return {"handshakes": outcome.answered / outcome.seconds}


def handshakes(hosts: Busy) -> initiators.Outcome:
    """Have each initiator do some. Raises MeasureFailed, also if too few messages were answered."""
    words = (hosts.keys, hosts.public_key.hex(), OUTSIDE[1], str(PORT))
    outcome = read_outcome(
        hosts.left.attempt(sys.executable, initiators.__file__, *words, timeout=INITIATORS_TIMEOUT).output
    )
    if outcome.answered < outcome.asked * ENOUGH:
        raise MeasureFailed(f"{outcome.answered:,} of {outcome.asked:,} handshakes were answered")
    return outcome


def measure_silence(hosts: Busy, _seconds: float) -> Samples:
    """Raises MeasureFailed."""
    handshakes(hosts)
    time.sleep(SETTLED)
    return silence(hosts.daemon, WINDOW)


def silence(daemon: HostProcess, window: float) -> Samples:
    """Measure so many seconds in which nobody says anything."""
    used, switches = cpu([daemon]), context_switches(daemon.pid)
    time.sleep(window)
    minutes = window / 60
    return {
        "silent_wakeups": switched(switches, context_switches(daemon.pid)) / minutes,
        "silent_cpu": (cpu([daemon]) - used) * 1000 / minutes,
    }


def read_outcome(text: str) -> initiators.Outcome:
    """Read what the initiators printed. Raises MeasureFailed."""
    try:
        return initiators.Outcome(**json.loads(text))
    except (json.JSONDecodeError, TypeError):
        raise MeasureFailed(f"the initiators printed: {text.strip() or 'nothing'}") from None


HANDSHAKES: Final = Setting(
    "handshakes",
    busy,
    (
        Row(
            "handshakes",
            "handshakes",
            (Measure("handshakes", "handshakes as responder", "1/s", more_is_better=True),),
            measure,
            Plan.DEFAULT,
            streams=0,
            seconds=3,
            rulers=False,
        ),
        Row(
            "silentpeers",
            "beside 1,000 silent peers",
            (
                Measure.less("silent_wakeups", "beside 1,000 silent peers, wake-ups", "1/min"),
                Measure.less("silent_cpu", "beside 1,000 silent peers, CPU", "ms/min"),
            ),
            measure_silence,
            Plan.FULL,
            streams=0,
            seconds=3 + SETTLED + WINDOW,
            rulers=False,
        ),
    ),
    seconds=1,
)
