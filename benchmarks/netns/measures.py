"""What is measured on a tunnel between two hosts.

Each row takes a tunnel and the seconds a stream lasts, and returns samples by the name of their measure.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.netns.namespaces import INSIDE, INSIDE6, Tunnel
from benchmarks.netns.readings import percentile, read_iperf3
from benchmarks.netns.tools import (
    PATIENCE,
    PING_INTERVAL,
    cpu,
    host_cpu,
    memory,
    pings,
    serving,
    stream,
    stream_client,
)

Samples = dict[str, float]

REST_PINGS: Final = 200
REMOTE: Final = INSIDE[1]


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of the table.

    row: in which it is measured; beside: the measure that it should not fall far below; failed_from: a sample
    that reaches it stands for what did not succeed.
    """

    name: str
    title: str
    unit: str
    more_is_better: bool
    row: str = ""
    beside: str = ""
    failed_from: float = math.inf


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is done with a tunnel.

    usual: done unless other rows are asked for; outside6: the tunnel runs over IPv6.
    """

    name: str
    title: str
    measure: Callable[[Tunnel, float], Samples]
    usual: bool = True
    streams: bool = True
    outside6: bool = False


MEASURES: Final = (
    Measure("tcp_1", "TCP, 1 stream", "Gbit/s", more_is_better=True, row="tcp1"),
    Measure("tcp_4", "TCP, 4 streams", "Gbit/s", more_is_better=True, row="tcp4"),
    Measure("tcp_1_back", "TCP, 1 stream back", "Gbit/s", more_is_better=True, row="back"),
    Measure("tcp_inside6", "TCP, IPv6 inside", "Gbit/s", more_is_better=True, row="inside6", beside="tcp_1"),
    Measure(
        "tcp_outside6", "TCP, IPv6 outside", "Gbit/s", more_is_better=True, row="outside6", beside="tcp_1"
    ),
    Measure("tcp_routed", "TCP, routed sender", "Gbit/s", more_is_better=True, row="routed", beside="tcp_1"),
    Measure("udp_1380", "UDP 1,380 B, received", "Gbit/s", more_is_better=True, row="udp1380"),
    Measure("udp_64", "UDP 64 B, received", "1,000/s", more_is_better=True, row="udp64"),
    Measure("cpu_daemons", "CPU of both daemons, TCP 1", "s/GB", more_is_better=False, row="tcp1"),
    Measure("cpu_host", "CPU of the whole host, TCP 1", "s/GB", more_is_better=False, row="tcp1"),
    Measure("ping_rest_p50", "ping at rest, p50", "µs", more_is_better=False, row="ping"),
    Measure("ping_busy_p99", "ping beside TCP, p99", "µs", more_is_better=False, row="busy"),
    Measure("memory", "memory after load, PSS", "MiB", more_is_better=False, row="memory"),
)


def read_rows(text: str) -> list[Row]:
    """Read NAME,... or "all", and return those rows in the order they are done. Raises ValueError."""
    names = [row.name for row in ROWS] if text == "all" else text.split(",")
    if unknown := [name for name in names if name not in [row.name for row in ROWS]]:
        known = ",".join(row.name for row in ROWS)
        raise ValueError(f"there is no row {', '.join(unknown)}; want all, or some of {known}")
    return [row for row in ROWS if row.name in names]


def measures_of(rows: Sequence[Row]) -> list[Measure]:
    names = {row.name for row in rows}
    return [measure for measure in MEASURES if measure.row in names]


def _ping_at_rest(tunnel: Tunnel, seconds: float) -> Samples:
    return {"ping_rest_p50": percentile(pings(tunnel.left, REMOTE, REST_PINGS), 0.5) * 1e6}


def _tcp_1(tunnel: Tunnel, seconds: float) -> Samples:
    daemons, host = cpu(tunnel.daemons), host_cpu()
    transfer = stream(tunnel.left, tunnel.right, REMOTE, seconds)
    gigabytes = transfer.bytes / 1e9
    return {
        "tcp_1": transfer.gigabits,
        "cpu_daemons": (cpu(tunnel.daemons) - daemons) / gigabytes,
        "cpu_host": (host_cpu() - host) / gigabytes,
    }


def _tcp_4(tunnel: Tunnel, seconds: float) -> Samples:
    return {"tcp_4": stream(tunnel.left, tunnel.right, REMOTE, seconds, "--parallel", "4").gigabits}


def _tcp_1_back(tunnel: Tunnel, seconds: float) -> Samples:
    return {"tcp_1_back": stream(tunnel.left, tunnel.right, REMOTE, seconds, "--reverse").gigabits}


def _tcp_inside6(tunnel: Tunnel, seconds: float) -> Samples:
    return {"tcp_inside6": stream(tunnel.left, tunnel.right, INSIDE6[1], seconds).gigabits}


def _tcp_outside6(tunnel: Tunnel, seconds: float) -> Samples:
    return {"tcp_outside6": stream(tunnel.left, tunnel.right, REMOTE, seconds).gigabits}


def _tcp_routed(tunnel: Tunnel, seconds: float) -> Samples:
    return {"tcp_routed": stream(tunnel.behind, tunnel.right, REMOTE, seconds).gigabits}


def _ping_beside_tcp(tunnel: Tunnel, seconds: float) -> Samples:
    with serving(tunnel.right):
        client = tunnel.left.start(*stream_client(REMOTE, seconds + 1))
        times = pings(tunnel.left, REMOTE, round(seconds / PING_INTERVAL))
        read_iperf3(client.wait(PATIENCE + seconds).output)
    return {"ping_busy_p99": percentile(times, 0.99) * 1e6}


def _udp_1380(tunnel: Tunnel, seconds: float) -> Samples:
    flood = ("--udp", "--bitrate", "0", "--length", "1380")
    return {"udp_1380": stream(tunnel.left, tunnel.right, REMOTE, seconds, *flood).gigabits}


def _udp_64(tunnel: Tunnel, seconds: float) -> Samples:
    flood = ("--udp", "--bitrate", "0", "--length", "64")
    transfer = stream(tunnel.left, tunnel.right, REMOTE, seconds, *flood)
    return {"udp_64": transfer.bytes / 64 / transfer.seconds / 1000}


def _memory(tunnel: Tunnel, seconds: float) -> Samples:
    return {"memory": max(map(memory, tunnel.daemons))}


# In this order: rest before load, what is compared with TCP 1 beside it, and the harshest load last.
ROWS: Final = (
    Row("ping", "ping at rest", _ping_at_rest, streams=False),
    Row("tcp1", "TCP, 1 stream", _tcp_1),
    Row("inside6", "TCP, IPv6 inside", _tcp_inside6, usual=False),
    Row("outside6", "TCP, IPv6 outside", _tcp_outside6, usual=False, outside6=True),
    Row("routed", "TCP, routed sender", _tcp_routed, usual=False),
    Row("tcp4", "TCP, 4 streams", _tcp_4),
    Row("back", "TCP, 1 stream back", _tcp_1_back),
    Row("busy", "ping beside TCP", _ping_beside_tcp),
    Row("udp1380", "UDP 1,380 B", _udp_1380),
    Row("udp64", "UDP 64 B", _udp_64),
    Row("memory", "memory after load", _memory, streams=False),
)
