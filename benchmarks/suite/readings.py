"""Parsers of the tools' outputs and of the kernel's files."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.suite.probe import TIMEOUT

THERE: Final = "sum_received"
BACK: Final = "sum_received_bidir_reverse"  # what `--bidir` has beside it


class MeasureFailed(Exception):
    """A tool did not measure; the message has its output."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a stream's receiver got. retransmitted: segments that TCP sent again."""

    bytes: int
    seconds: float
    retransmitted: int = 0

    @property
    def gigabits(self) -> float:
        """Per second."""
        return self.bytes * 8 / self.seconds / 1e9


@dataclass(frozen=True, slots=True)
class Datagrams:
    """The loss and order of UDP datagrams that were sent at one rate.

    offered, received: bits per second, each in the time that it took, since a long queue may still give when
    nothing is sent any more; lost, out_of_order: parts of 1.
    """

    offered: float
    received: float
    lost: float
    out_of_order: float


def read_iperf3(text: str, received: str = THERE) -> Transfer:
    """Read what `iperf3 --json` printed of a stream. received: THERE or BACK. Raises MeasureFailed."""
    end = _end_of_report(text)
    found, sent = end.get(received, {}), end.get(received.replace("received", "sent"), {})
    if not found.get("bytes"):
        raise MeasureFailed("nothing was received")
    return Transfer(found["bytes"], found["seconds"], sent.get("retransmits", 0))


def read_datagrams(text: str) -> Datagrams:
    """Read what `iperf3 --json --udp` printed. Raises MeasureFailed.

    What came out of order only the receiver knows: the client has to be it, by --reverse.
    """
    end = _end_of_report(text)
    received, sent = end.get(THERE, {}), end.get("sum_sent", {})
    if not (received.get("bytes") and sent.get("bytes")):
        raise MeasureFailed("nothing was received")
    return Datagrams(
        offered=sent["bytes"] * 8 / sent["seconds"],
        received=received["bytes"] * 8 / received["seconds"],
        lost=max(1 - received["bytes"] / sent["bytes"], 0),  # its own count misses those at the end
        out_of_order=sum(stream["udp"]["out_of_order"] for stream in end["streams"]) / received["packets"],
    )


def _end_of_report(text: str) -> dict[str, Any]:
    """Return what a report of iperf3 sums up, whatever warnings are before it. Raises MeasureFailed."""
    start = max(text.find("{"), 0)
    try:
        report: dict[str, Any] = json.loads(text[start:])
    except json.JSONDecodeError:
        raise MeasureFailed(f"iperf3 printed: {text.strip() or 'nothing'}") from None
    if "error" in report:
        raise MeasureFailed(f"iperf3 printed: {report['error']}")
    end: dict[str, Any] = report["end"]
    return end


def read_probe(text: str) -> list[float]:
    """Parse the probe's output, seconds for each ping. Raises MeasureFailed, also if no answer came."""
    try:
        times: list[float] = json.loads(text)
    except json.JSONDecodeError:
        raise MeasureFailed(f"the probe printed: {text.strip() or 'nothing'}") from None
    if min(times) >= TIMEOUT:
        raise MeasureFailed("no ping came back")
    return times


def percentile(values: Sequence[float], part: float) -> float:
    """Return the least value that `part` of all values do not exceed.

    Raises ValueError for one that no value lies beyond: it would be the greatest, however many there are.
    """
    number = math.ceil(part * len(values))
    if number >= len(values):
        raise ValueError(f"{len(values)} values have no percentile {part * 100:g}")
    return sorted(values)[number - 1]


def read_process_cpu(stat: str, ticks: int) -> float:
    """Return the seconds that all threads of a process ran, by its /proc/PID/stat; proc(5)."""
    after_name = stat.rpartition(")")[2].split()  # begins with the third field
    return (int(after_name[11]) + int(after_name[12])) / ticks


def read_host_cpu(stat: str, ticks: int) -> float:
    """Return the seconds that all processors together were busy, by /proc/stat; proc(5)."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, stat.split()[1:8])
    return (user + nice + system + irq + softirq) / ticks


def read_pss(rollup: str) -> float:
    """Return the proportional set size (PSS) in MiB, by /proc/PID/smaps_rollup."""
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    if found is None:
        raise MeasureFailed("smaps_rollup has no Pss")
    return int(found[1]) / 1024
