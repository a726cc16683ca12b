"""How the tools' outputs and the kernel's files are read."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

PING_TIMEOUT: Final = 1.0  # seconds; a lost ping counts as this


class MeasureFailed(Exception):
    """A tool did not measure; the message says what it said instead."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What arrived at the receiver of a stream."""

    bytes: int
    seconds: float

    @property
    def gigabits(self) -> float:
        """Per second."""
        return self.bytes * 8 / self.seconds / 1e9


def read_iperf3(text: str, received: str = "sum_received") -> Transfer:
    """Read what `iperf3 --json` printed, warnings before it included. Raises MeasureFailed.

    received: which sum of it; `--bidir` has a second one, of the way back.
    """
    start = max(text.find("{"), 0)
    try:
        report: dict[str, Any] = json.loads(text[start:])
    except json.JSONDecodeError:
        raise MeasureFailed(f"iperf3 said: {text.strip() or 'nothing'}") from None
    if "error" in report:
        raise MeasureFailed(f"iperf3 said: {report['error']}")
    found = report["end"].get(received, {})
    if not found.get("bytes"):
        raise MeasureFailed("nothing was received")
    return Transfer(found["bytes"], found["seconds"])


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
