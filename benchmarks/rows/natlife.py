"""What meshes do behind NATs once hosts have met: what silence costs, and what interruptions do."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.nat.contact import SIZE, WITHIN, becomes_direct, contact
from benchmarks.nat.readings import lost, relay_in_use
from benchmarks.nat.world import Pings, Wire, World, pinging, watching
from benchmarks.suite.readings import MeasureFailed
from benchmarks.suite.values import Kind, Measure, Plan, Row, Samples

STEADY: Final = 0.2  # seconds between pings that something interrupts
UNTIL_IDLE: Final = 75.0  # seconds until a mesh forgets that a pair has talked
IDLE: Final = 60.0  # seconds of silence, for each second of a stream
OUTAGE: Final = 40.0  # seconds, for an interruption to end
_POLL: Final = 0.25  # seconds
_STEADY_FOR: Final = 3.0  # seconds with answers, after which an interruption is over
_STEADY_SHARE: Final = 0.8  # of the pings in them
_REBOUND: Final = {
    "out": "from behind it to public",
    "in": "from public to behind it",
    "both": "to port-restricted",
}
_IDLE_KINDS: Final = ("public", "port-restricted", "UDP blocked")


# -- Silence -------------------------------------------------------------------------------------------


def _idle(world: World, seconds: float) -> Samples:
    """Count packets of hosts that talked before; then one speaks to another behind a NAT."""
    for kind in _IDLE_KINDS:
        contact(world, world.pairs[kind][0], world.pairs["public"][1])
    time.sleep(UNTIL_IDLE)
    duration = IDLE * seconds
    with ExitStack() as stack:
        wires = {kind: stack.enter_context(watching(world.pairs[kind][0])) for kind in _IDLE_KINDS}
        time.sleep(duration)
    samples: Samples = {}
    for kind, wire in wires.items():
        udp = sum(packet.protocol == "udp" for packet in wire.packets)
        samples[f"idle {kind}"] = len(wire.packets) * 3600 / duration
        samples[f"idle udp {kind}"] = udp * 3600 / duration
    samples["awoken"], _ = contact(world, world.pairs["public"][1], world.pairs["port-restricted"][0])
    return samples


# -- Interruptions -------------------------------------------------------------------------------------


def _rebound(world: World, _seconds: float) -> Samples:
    public, hidden = world.pairs["public"][1], world.pairs["port-restricted"][1]
    pairs = {"out": (world.moved, public), "in": (public, world.moved), "both": (world.moved, hidden)}
    samples: Samples = {}
    for name, (left, right) in pairs.items():
        with watching(left) as wire, pinging(world.mesh, left, right, STEADY, SIZE) as pings:
            if becomes_direct(world, wire):  # what is relayed, no NAT interrupts
                samples[f"rebound {name}"] = _interrupted(pings, lambda: world.box.kill(signal.SIGHUP))
    return samples


def _relay_died(world: World, _seconds: float) -> Samples:
    left, right = world.pairs["random"]
    with watching(left) as wire, pinging(world.mesh, left, right, STEADY, SIZE) as pings:
        return {"relay died": _interrupted(pings, lambda: _cut(world, wire))}


def _cut(world: World, wire: Wire) -> None:
    """Take the relay in use from the network, and without a word: its host is gone. Raises MeasureFailed."""
    address = relay_in_use(wire.packets, SIZE, world.relaying)
    relay = next((node for node in (world.hub, *world.relays) if node.outside == address), None)
    if relay is None:
        raise MeasureFailed("the pair uses no relay")
    relay.host.run("ip", "link", "set", "eth0", "down")


def _interrupted(pings: Pings, interrupt: Callable[[], None]) -> float:
    """Return the seconds without answers that an interruption of a steady path costs, at most OUTAGE."""
    if not _is_steady_before(pings, WITHIN):
        raise MeasureFailed("no steady path")
    interrupt()
    began = time.time()
    time.sleep(_STEADY_FOR)
    if not _is_steady_before(pings, OUTAGE - _STEADY_FOR):
        return OUTAGE
    return lost(pings.answers, began) * STEADY


def _is_steady_before(pings: Pings, seconds: float) -> bool:
    """Wait until almost all pings of a while were answered, and return whether they were."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        since = time.time() - _STEADY_FOR
        if sum(answer.at > since for answer in pings.answers) >= _STEADY_SHARE * _STEADY_FOR / STEADY:
            return True
        time.sleep(_POLL)
    return False


# -- The rows ------------------------------------------------------------------------------------------

_IDLE_MEASURES: Final = tuple(
    Measure(f"{name} {kind}", f"{title}, {kind}", "/h", more_is_better=False)
    for kind in _IDLE_KINDS
    for name, title in (("idle", "packets of an idle host"), ("idle udp", "of it UDP"))
)


def _row(
    name: str,
    title: str,
    measures: Sequence[Measure],
    measure: Callable[[World, float], Samples],
    seconds: float,
) -> Row[World]:
    return Row(name, title, tuple(measures), measure, Plan.FULL, streams=0, seconds=seconds, kind=Kind.MESH)


LIFE: Final = (
    _row(
        "idle",
        "packets of idle hosts, and the first one after silence",
        (
            *_IDLE_MEASURES,
            Measure(
                "awoken",
                "first answer after silence, public to port-restricted",
                "s",
                more_is_better=False,
                failed_from=WITHIN,
            ),
        ),
        _idle,
        UNTIL_IDLE + 2 * IDLE + 3,
    ),
    _row(
        "rebinding",
        "a NAT forgets all",
        [
            Measure(
                f"rebound {name}",
                f"interrupted as a NAT forgets all, {title}",
                "s",
                more_is_better=False,
                failed_from=OUTAGE,
            )
            for name, title in _REBOUND.items()
        ],
        _rebound,
        20,
    ),
    _row(
        "relaydeath",
        "the relay in use dies",
        [
            Measure(
                "relay died",
                "interrupted as the relay in use dies",
                "s",
                more_is_better=False,
                failed_from=OUTAGE,
            )
        ],
        _relay_died,
        15,
    ),
)
