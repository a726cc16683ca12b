"""What is measured on a tunnel, and how the tools' outputs are read.

Each step takes a tunnel and the seconds a stream lasts, and returns samples by the name of their measure.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.netns.namespaces import Tunnel
from tests.integration.hosts import Host, HostProcess, eventually

Samples = dict[str, float]

PATIENCE: Final = 15  # seconds that a tool may take longer than its stream
PING_TIMEOUT: Final = 1.0  # seconds; a lost ping counts as this
REST_PINGS: Final = 200
PING_INTERVAL: Final = 0.005  # seconds


@dataclass(frozen=True, slots=True)
class Measure:
    """A row of the table."""

    name: str
    title: str
    unit: str
    more_is_better: bool


MEASURES: Final = (
    Measure("tcp_1", "TCP, 1 stream", "Gbit/s", more_is_better=True),
    Measure("tcp_4", "TCP, 4 streams", "Gbit/s", more_is_better=True),
    Measure("tcp_1_back", "TCP, 1 stream back", "Gbit/s", more_is_better=True),
    Measure("udp_1380", "UDP 1,380 B, received", "Gbit/s", more_is_better=True),
    Measure("udp_64", "UDP 64 B, received", "1,000/s", more_is_better=True),
    Measure("cpu_daemons", "CPU of both daemons, TCP 1", "s/GB", more_is_better=False),
    Measure("cpu_host", "CPU of the whole host, TCP 1", "s/GB", more_is_better=False),
    Measure("ping_rest_p50", "ping at rest, p50", "µs", more_is_better=False),
    Measure("ping_busy_p99", "ping beside TCP, p99", "µs", more_is_better=False),
    Measure("memory", "memory after load, PSS", "MiB", more_is_better=False),
)


class MeasureFailed(Exception):
    """A tool did not measure; the message says what it said instead."""


# -- Reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transfer:
    """What arrived at the receiver of a stream."""

    bytes: int
    seconds: float

    @property
    def gigabits(self) -> float:
        """Per second."""
        return self.bytes * 8 / self.seconds / 1e9


def read_iperf3(text: str) -> Transfer:
    """Read what `iperf3 --json` printed, warnings before it included. Raises MeasureFailed."""
    start = max(text.find("{"), 0)
    try:
        report: dict[str, Any] = json.loads(text[start:])
    except json.JSONDecodeError:
        raise MeasureFailed(f"iperf3 said: {text.strip() or 'nothing'}") from None
    if "error" in report:
        raise MeasureFailed(f"iperf3 said: {report['error']}")
    received = report["end"].get("sum_received", {})
    if not received.get("bytes"):
        raise MeasureFailed("nothing was received")
    return Transfer(received["bytes"], received["seconds"])


def read_ping(text: str, sent: int) -> list[float]:
    """Read what ping printed and return a round trip in seconds for each of the pings sent.

    One that was lost counts as long as ping waited for it.
    """
    times = [float(time) / 1000 for time in re.findall(r"time=([\d.]+) ms", text)]
    return times + [PING_TIMEOUT] * (sent - len(times))


def percentile(values: Sequence[float], part: float) -> float:
    """Return the least value that `part` of all values do not exceed."""
    return sorted(values)[max(math.ceil(part * len(values)) - 1, 0)]


def read_process_cpu(stat: str, ticks: int) -> float:
    """Return the seconds that all threads of a process ran, by its /proc/PID/stat; proc(5)."""
    after_name = stat.rpartition(")")[2].split()  # begins with the third field
    return (int(after_name[11]) + int(after_name[12])) / ticks


def read_host_cpu(stat: str, ticks: int) -> float:
    """Return the seconds that all processors together were busy, by /proc/stat; proc(5)."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, stat.split()[1:8])
    return (user + nice + system + irq + softirq) / ticks


def read_pss(rollup: str) -> float:
    """Return MiB by /proc/PID/smaps_rollup: memory of its own, and its share of what others use too."""
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    if found is None:
        raise MeasureFailed("smaps_rollup has no Pss")
    return int(found[1]) / 1024


# -- Measuring ------------------------------------------------------------------------------------


def _ping_at_rest(tunnel: Tunnel, seconds: float) -> Samples:
    return {"ping_rest_p50": percentile(_pings(tunnel, REST_PINGS), 0.5) * 1e6}


def _tcp_1(tunnel: Tunnel, seconds: float) -> Samples:
    before = _cpu(tunnel)
    transfer = _iperf3(tunnel, seconds)
    daemons, host = (after - then for after, then in zip(_cpu(tunnel), before, strict=True))
    gigabytes = transfer.bytes / 1e9
    return {"tcp_1": transfer.gigabits, "cpu_daemons": daemons / gigabytes, "cpu_host": host / gigabytes}


def _tcp_4(tunnel: Tunnel, seconds: float) -> Samples:
    return {"tcp_4": _iperf3(tunnel, seconds, "--parallel", "4").gigabits}


def _tcp_1_back(tunnel: Tunnel, seconds: float) -> Samples:
    return {"tcp_1_back": _iperf3(tunnel, seconds, "--reverse").gigabits}


def _ping_beside_tcp(tunnel: Tunnel, seconds: float) -> Samples:
    with _server(tunnel.right):
        stream = tunnel.left.start(*_client(tunnel, seconds + 1))
        times = _pings(tunnel, round(seconds / PING_INTERVAL))
        read_iperf3(stream.wait(PATIENCE + seconds).output)
    return {"ping_busy_p99": percentile(times, 0.99) * 1e6}


def _udp_1380(tunnel: Tunnel, seconds: float) -> Samples:
    return {"udp_1380": _udp(tunnel, seconds, 1380).gigabits}


def _udp_64(tunnel: Tunnel, seconds: float) -> Samples:
    transfer = _udp(tunnel, seconds, 64)
    return {"udp_64": transfer.bytes / 64 / transfer.seconds / 1000}


def _memory(tunnel: Tunnel, seconds: float) -> Samples:
    return {"memory": max(read_pss(_proc(daemon, "smaps_rollup")) for daemon in tunnel.daemons)}


# In this order: rest before load, and the harshest load last.
STEPS: Final[tuple[tuple[str, Callable[[Tunnel, float], Samples]], ...]] = (
    ("ping at rest", _ping_at_rest),
    ("TCP, 1 stream", _tcp_1),
    ("TCP, 4 streams", _tcp_4),
    ("TCP, 1 stream back", _tcp_1_back),
    ("ping beside TCP", _ping_beside_tcp),
    ("UDP 1,380 B", _udp_1380),
    ("UDP 64 B", _udp_64),
    ("memory after load", _memory),
)


def _udp(tunnel: Tunnel, seconds: float, size: int) -> Transfer:
    return _iperf3(tunnel, seconds, "--udp", "--bitrate", "0", "--length", str(size))


def _iperf3(tunnel: Tunnel, seconds: float, *options: str) -> Transfer:
    """Stream from left to right, and return what arrived."""
    with _server(tunnel.right):
        client = (*_client(tunnel, seconds), *options)
        return read_iperf3(tunnel.left.attempt(*client, timeout=seconds + PATIENCE).output)


def _client(tunnel: Tunnel, seconds: float) -> tuple[str, ...]:
    return ("iperf3", "--json", "--client", tunnel.address, "--time", f"{seconds:.0f}")


@contextmanager
def _server(host: Host) -> Iterator[None]:
    """Serve one stream; at the end the port is free for the next."""
    server = host.start("iperf3", "--server", "--one-off")
    eventually(lambda: host.run("ss", "-Hltn", "sport = :5201") != "", "iperf3 listens")
    yield
    server.wait(PATIENCE)


def _pings(tunnel: Tunnel, count: int) -> list[float]:
    ping = ("ping", "-n", "-c", str(count), "-i", str(PING_INTERVAL), "-W", f"{PING_TIMEOUT:.0f}")
    done = tunnel.left.attempt(*ping, tunnel.address, timeout=count * PING_INTERVAL + PATIENCE)
    return read_ping(done.output, count)


def _cpu(tunnel: Tunnel) -> tuple[float, float]:
    """Return the CPU seconds of both daemons, and of the whole host."""
    ticks = os.sysconf("SC_CLK_TCK")
    daemons = sum(read_process_cpu(_proc(daemon, "stat"), ticks) for daemon in tunnel.daemons)
    return daemons, read_host_cpu(Path("/proc/stat").read_text(), ticks)


def _proc(daemon: HostProcess, file: str) -> str:
    """Read a file of /proc/PID. Raises MeasureFailed if the daemon is gone."""
    try:
        return Path(f"/proc/{daemon.pid}/{file}").read_text()
    except OSError as error:
        raise MeasureFailed(f"the daemon is gone: {error}") from None
