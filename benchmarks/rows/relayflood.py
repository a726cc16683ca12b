"""What a flood of initiations for nobody costs the host of a relay, beside the same flood to a closed port.

A program that only forwards UDP between two addresses is flooded, too: it receives the flood and drops it.
The ends and the relay are those of the row relay; the flooder has a wire of its own, as in the row junk. Read
is the time of all threads that the flood can wake: so another program on this machine counts for nothing.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.rows.flood import CLOSED_PORT, JUNK_RATE, Flood, Floodable, attach_flooder, build_flood
from benchmarks.rows.relay import FORWARD_PORT, Ends, connect_ends
from benchmarks.suite.namespaces import PORT
from benchmarks.suite.readings import read_process_cpu
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import cpu
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting

_CARD: Final = "eth2"  # of the relay
_DROPPED_PORT: Final = CLOSED_PORT + 1
_PORTS: Final[Mapping[str, int]] = {
    "dropped": _DROPPED_PORT,
    "closed": CLOSED_PORT,
    "forwarder": FORWARD_PORT,
    "relay": PORT,
}


@dataclass(frozen=True, slots=True)
class _Scene:
    ends: Ends
    floodable: Floodable


def _scene(turn: Turn) -> _Scene:
    ends, program = connect_ends(turn), build_flood(turn)
    relay = ends.host
    flooder = attach_flooder(turn, relay, _CARD)
    hook = f"type filter hook ingress device {_CARD} priority 0;"
    relay.run("nft", f"add table netdev early {{ chain in {{ {hook} udp dport {_DROPPED_PORT} drop; }}; }}")
    return _Scene(ends, Floodable(turn, ends.hosts[0], relay, flooder, program))


def _used(scene: _Scene, flood: Flood) -> float:
    """Return the CPU seconds of the generator, of the receivers, and of the kernel's threads behind them."""
    return cpu([flood.process, scene.ends.relay, scene.ends.forwarder]) + _softirqs()


def _softirqs() -> float:
    ticks, used = os.sysconf("SC_CLK_TCK"), 0.0
    for name in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # it has ended
            if name.read_text().startswith("ksoftirqd/"):
                used += read_process_cpu(name.with_name("stat").read_text(), ticks)
    return used


def _cost(scene: _Scene, port: int, seconds: float) -> tuple[float, float]:
    """Return the CPU time for a message of a flood, in µs, and the messages a second."""
    with scene.floodable.flooding(port, JUNK_RATE, seconds) as flood:
        before, began = _used(scene, flood), time.monotonic()
        time.sleep(seconds)
        used = (_used(scene, flood) - before) / (time.monotonic() - began)
    return used / flood.rate * 1e6, flood.rate


def _flooded(scene: _Scene, seconds: float) -> Samples:
    scene.ends.way(PORT)
    costs, rates = {}, {}
    for name in sorted(_PORTS, reverse=bool(scene.ends.turn.round % 2)):
        scene.ends.turn.doing = f"a flood to port {_PORTS[name]}"
        costs[name], rates[name] = _cost(scene, _PORTS[name], seconds)
    return {
        **{f"relayflood_{name}": costs[name] - costs["dropped"] for name in ("closed", "forwarder", "relay")},
        "relayflood_rate": min(rates.values()) / 1000,
    }


RELAY_FLOOD: Final = Setting(
    "relayflood",
    _scene,
    (
        Row(
            "relayflood",
            "flood of a relay by nobody it knows",
            (
                Measure("relayflood_closed", "CPU, a message to a closed port", "µs", more_is_better=False),
                Measure(
                    "relayflood_forwarder", "CPU, a message to a forwarder of UDP", "µs",
                    more_is_better=False, beside="relayflood_closed",
                ),
                Measure(
                    "relayflood_relay", "CPU, a message to a relay", "µs", more_is_better=False,
                    beside="relayflood_closed",
                ),
                Measure("relayflood_rate", "the slowest of these floods", "1,000/s", more_is_better=True),
            ),
            _flooded,
            Plan.FULL,
            streams=4,
            seconds=5,
            rulers=False,
            ours=True,
        ),
    ),
)  # fmt: skip
