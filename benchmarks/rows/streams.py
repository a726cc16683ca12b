"""TCP streams through the tunnel, and what they cost in CPU time and memory."""

from collections.abc import Callable
from typing import Final

from benchmarks.suite.namespaces import INSIDE, INSIDE6, Tunnel
from benchmarks.suite.readings import BACK, Transfer, read_iperf3
from benchmarks.suite.tools import STARTING, cpu, host_cpu, iperf3, memory, stream
from benchmarks.suite.values import Measure, Plan, Row, Samples

REMOTE: Final = INSIDE[1]
Gigabits = Callable[[Tunnel, float], float]


def _one(tunnel: Tunnel, seconds: float) -> Samples:
    host = host_cpu()
    transfer, daemons = _stream_and_cpu(tunnel, seconds)
    return {
        "tcp_1": transfer.gigabits,
        "tcp_1_again": transfer.retransmitted / _gigabytes(transfer),
        "cpu_daemons": daemons,
        "cpu_host": (host_cpu() - host) / _gigabytes(transfer),
    }


def _cubic(tunnel: Tunnel, seconds: float) -> Samples:
    transfer, daemons = _stream_and_cpu(tunnel, seconds, "--congestion", "cubic")
    return {"tcp_cubic": transfer.gigabits, "cpu_cubic": daemons}


def _stream_and_cpu(tunnel: Tunnel, seconds: float, *options: str) -> tuple[Transfer, float]:
    """Return a stream to the right, and the CPU time of both daemons for it, s/GB."""
    before = cpu(tunnel.daemons)
    transfer = stream(tunnel.left, tunnel.right, REMOTE, seconds, *options)
    return transfer, (cpu(tunnel.daemons) - before) / _gigabytes(transfer)


def _gigabytes(transfer: Transfer) -> float:
    return transfer.bytes / 1e9


def _to_right(*options: str) -> Gigabits:
    return lambda tunnel, seconds: stream(tunnel.left, tunnel.right, REMOTE, seconds, *options).gigabits


def _each_way(*options: str) -> Gigabits:
    """Return what measures the sum of both ways."""

    def measure(tunnel: Tunnel, seconds: float) -> float:
        report = iperf3(tunnel.left, tunnel.right, REMOTE, seconds, "--bidir", *options)
        return read_iperf3(report).gigabits + read_iperf3(report, BACK).gigabits

    return measure


def _inside6(tunnel: Tunnel, seconds: float) -> float:
    return stream(tunnel.left, tunnel.right, INSIDE6[1], seconds).gigabits


def _routed(tunnel: Tunnel, seconds: float) -> float:
    return stream(tunnel.behind, tunnel.right, REMOTE, seconds).gigabits


def _memory(tunnel: Tunnel, seconds: float) -> Samples:
    return {"memory": max(map(memory, tunnel.daemons))}


def _row(
    name: str,
    measure: str,
    title: str,
    gigabits: Gigabits,
    plan: Plan,
    *,
    beside: str = "",
    rulers: bool = True,
) -> Row[Tunnel]:
    return Row(
        name,
        title,
        (Measure(measure, title, "Gbit/s", more_is_better=True, beside=beside),),
        lambda tunnel, seconds: {measure: gigabits(tunnel, seconds)},
        plan,
        seconds=STARTING,
        rulers=rulers,
    )


ONE: Final = Row(
    "tcp1",
    "TCP, 1 stream",
    (
        Measure("tcp_1", "TCP, 1 stream", "Gbit/s", more_is_better=True),
        Measure("tcp_1_again", "TCP, 1 stream, sent again", "segments/GB", more_is_better=False),
        Measure("cpu_daemons", "CPU of both daemons, TCP 1", "s/GB", more_is_better=False, of_process=True),
        Measure("cpu_host", "CPU of the whole host, TCP 1", "s/GB", more_is_better=False),
    ),
    _one,
    Plan.QUICK,
    seconds=STARTING,
)
CUBIC: Final = Row(
    "cubic",
    "TCP, 1 stream, CUBIC",
    (
        Measure("tcp_cubic", "TCP, 1 stream, CUBIC", "Gbit/s", more_is_better=True),
        Measure("cpu_cubic", "CPU of both daemons, CUBIC", "s/GB", more_is_better=False, of_process=True),
    ),
    _cubic,
    Plan.DEFAULT,
    seconds=STARTING,
)
OTHER_SENDERS: Final = (
    _row("inside6", "tcp_inside6", "TCP, IPv6 inside", _inside6, Plan.FULL, beside="tcp_1"),
    _row("routed", "tcp_routed", "TCP, routed sender", _routed, Plan.FULL, beside="tcp_1"),
)
OUTSIDE6: Final = _row(
    "outside6",
    "tcp_outside6",
    "TCP, IPv6 outside",
    _to_right(),
    Plan.FULL,
    beside="tcp_1",
    rulers=False,  # they know IPv4 only
)
FOUR, SIXTEEN = ("--parallel", "4"), ("--parallel", "16")
MORE: Final = (
    _row("tcp4", "tcp_4", "TCP, 4 streams", _to_right(*FOUR), Plan.DEFAULT),
    _row("tcp16", "tcp_16", "TCP, 16 streams", _to_right(*SIXTEEN), Plan.FULL),
    _row("back", "tcp_1_back", "TCP, 1 stream back", _to_right("--reverse"), Plan.DEFAULT),
    _row("back4", "tcp_4_back", "TCP, 4 streams back", _to_right("--reverse", *FOUR), Plan.FULL),
    _row("back16", "tcp_16_back", "TCP, 16 streams back", _to_right("--reverse", *SIXTEEN), Plan.FULL),
    _row("both", "tcp_1_both", "TCP, 1 stream each way", _each_way(), Plan.DEFAULT),
    _row("both4", "tcp_4_both", "TCP, 4 streams each way", _each_way(*FOUR), Plan.FULL),
    _row("both16", "tcp_16_both", "TCP, 16 streams each way", _each_way(*SIXTEEN), Plan.FULL),
)
MEMORY: Final = Row(
    "memory",
    "memory after load",
    (Measure("memory", "memory after load, PSS", "MiB", more_is_better=False, of_process=True),),
    _memory,
    Plan.QUICK,
    streams=0,
    seconds=0,
)
