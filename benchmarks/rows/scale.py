"""What many configured peers cost.

left eth0 -------- veth -------- eth0 right, which has many more peers
 wgbench0 ======== tunnel ====== wgbench0
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from statistics import median
from typing import Final

from benchmarks.rows.daemons import ask
from benchmarks.suite.namespaces import INSIDE, tunnel_of_two
from benchmarks.suite.readings import MeasureFailed, percentile
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import memory, pings
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting
from tests.integration.hosts import Host, HostProcess

SIZES: Final = (10, 100, 1_000, 10_000)
MANY: Final = 1_000  # of fewer, what each adds to the memory is less than that varies by itself
WITHIN: Final = 60.0  # seconds
FIRST: Final = IPv4Address("10.0.0.1")
CHANGES: Final = 11
PINGS: Final = 500


@dataclass(frozen=True, slots=True)
class Crowded:
    """A tunnel whose right end has got many more peers, which took it some seconds.

    before: MiB of PSS without them.
    """

    left: Host
    right: Host
    daemon: HostProcess
    peers: int
    seconds: float
    before: float


def set_request(numbers: Iterable[int]) -> str:
    """Return a request that adds peers with an address each; a number always has the same address."""
    peers = (f"public_key={os.urandom(32).hex()}\nallowed_ip={FIRST + number}/32\n" for number in numbers)
    return f"set=1\n{''.join(peers)}\n"


def _crowded(turn: Turn, peers: int) -> Crowded:
    left, right, (_, daemon) = tunnel_of_two(turn)
    turn.doing = f"configuring {peers:,} peers"
    before = memory(daemon)
    return Crowded(left, right, daemon, peers, _seconds_of(right, set_request(range(peers))), before)


def _seconds_of(host: Host, request: str) -> float:
    """Return how long a daemon took to do what it was asked for. Raises MeasureFailed."""
    began = time.perf_counter()
    try:
        ask(host, request, WITHIN)
    except TimeoutError:
        raise MeasureFailed(f"no answer within {WITHIN:.0f} s") from None
    return time.perf_counter() - began


def _crowd(tunnel: Crowded, _seconds: float) -> Samples:
    name = f"peers_{tunnel.peers}"
    changes = [_seconds_of(tunnel.right, set_request([tunnel.peers + number])) for number in range(CHANGES)]
    samples = {
        f"{name}_configure": tunnel.seconds,
        f"{name}_change": median(changes) * 1000,
        f"{name}_ping": percentile(pings(tunnel.left, INSIDE[1], PINGS), 0.5) * 1e6,
        f"{name}_memory": memory(tunnel.daemon),
    }
    if tunnel.peers >= MANY:
        grown = samples[f"{name}_memory"] - tunnel.before
        samples[f"{name}_growth"] = grown * 1024 / (tunnel.peers + CHANGES)
    return samples


def _setting(peers: int) -> Setting[Crowded]:
    name, title = f"peers_{peers}", f"{peers:,} peers"
    growth = Measure(
        f"{name}_growth", f"{title}, PSS that each adds", "KiB", more_is_better=False, of_process=True
    )
    measures = (
        Measure(f"{name}_configure", f"{title}, to configure them", "s", more_is_better=False),
        Measure(f"{name}_change", f"{title}, to add one more", "ms", more_is_better=False),
        Measure(f"{name}_ping", f"{title}, ping p50", "µs", more_is_better=False),
        Measure(f"{name}_memory", f"{title}, PSS", "MiB", more_is_better=False, of_process=True),
        *([growth] if peers >= MANY else []),
    )
    row = Row(
        f"peers{peers}", title, measures, _crowd, Plan.FULL, streams=0, seconds=2 + peers / 1000, rulers=False
    )
    return Setting(f"peers{peers}", lambda turn: _crowded(turn, peers), (row,))


CROWDS: Final = tuple(_setting(peers) for peers in SIZES)
