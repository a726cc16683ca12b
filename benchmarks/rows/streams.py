"""One tunnel between two hosts, and what goes through it."""

from typing import Final

from benchmarks.suite.namespaces import INSIDE, INSIDE6, OUTSIDE6, Tunnel, tunnel
from benchmarks.suite.readings import percentile, read_iperf3
from benchmarks.suite.rounds import Turn
from benchmarks.suite.tools import (
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
from benchmarks.suite.values import Measure, Plan, Row, Samples, Setting

REST_PINGS: Final = 200
REMOTE: Final = INSIDE[1]


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


def _over6(turn: Turn) -> Tunnel:
    return tunnel(turn, OUTSIDE6)


def _gigabits(name: str, title: str, beside: str = "") -> Measure:
    return Measure(name, title, "Gbit/s", more_is_better=True, beside=beside)


def _tcp(name: str, title: str) -> Measure:
    return _gigabits(name, title, beside="tcp_1")


TUNNEL: Final = Setting(
    "tunnel",
    tunnel,
    (
        Row(
            "ping",
            "ping at rest",
            (Measure("ping_rest_p50", "ping at rest, p50", "µs", more_is_better=False),),
            _ping_at_rest,
            Plan.QUICK,
            streams=0,
        ),
        Row(
            "tcp1",
            "TCP, 1 stream",
            (
                _gigabits("tcp_1", "TCP, 1 stream"),
                Measure("cpu_daemons", "CPU of both daemons, TCP 1", "s/GB", more_is_better=False),
                Measure("cpu_host", "CPU of the whole host, TCP 1", "s/GB", more_is_better=False),
            ),
            _tcp_1,
            Plan.QUICK,
        ),
        Row(
            "inside6", "TCP, IPv6 inside", (_tcp("tcp_inside6", "TCP, IPv6 inside"),), _tcp_inside6, Plan.FULL
        ),
        Row(
            "routed",
            "TCP, routed sender",
            (_tcp("tcp_routed", "TCP, routed sender"),),
            _tcp_routed,
            Plan.FULL,
        ),
        Row("tcp4", "TCP, 4 streams", (_gigabits("tcp_4", "TCP, 4 streams"),), _tcp_4, Plan.DEFAULT),
        Row(
            "back",
            "TCP, 1 stream back",
            (_gigabits("tcp_1_back", "TCP, 1 stream back"),),
            _tcp_1_back,
            Plan.DEFAULT,
        ),
        Row(
            "busy",
            "ping beside TCP",
            (Measure("ping_busy_p99", "ping beside TCP, p99", "µs", more_is_better=False),),
            _ping_beside_tcp,
            Plan.QUICK,
        ),
        Row(
            "udp1380",
            "UDP 1,380 B",
            (_gigabits("udp_1380", "UDP 1,380 B, received"),),
            _udp_1380,
            Plan.DEFAULT,
        ),
        Row(
            "udp64",
            "UDP 64 B",
            (Measure("udp_64", "UDP 64 B, received", "1,000/s", more_is_better=True),),
            _udp_64,
            Plan.QUICK,
        ),
        Row(
            "memory",
            "memory after load",
            (Measure("memory", "memory after load, PSS", "MiB", more_is_better=False),),
            _memory,
            Plan.QUICK,
            streams=0,
        ),
    ),
)

TUNNEL6: Final = Setting(
    "tunnel6",
    _over6,
    (
        Row(
            "outside6",
            "TCP, IPv6 outside",
            (_tcp("tcp_outside6", "TCP, IPv6 outside"),),
            _tcp_outside6,
            Plan.FULL,
            rulers=False,  # they know IPv4 only
        ),
    ),
)
