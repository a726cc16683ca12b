"""The time of a ping through the tunnel, at rest and beside TCP streams."""

from typing import Final

from benchmarks.suite.namespaces import INSIDE, Tunnel
from benchmarks.suite.readings import percentile, read_iperf3
from benchmarks.suite.tools import PING_INTERVAL, STARTING, TOOL_TIMEOUT, pings, serving, stream_client
from benchmarks.suite.values import Measure, Plan, Row, Samples

REMOTE: Final = INSIDE[1]
REST_PINGS: Final = 500
TAIL_PINGS: Final = 5000  # five of them are the slowest thousandth
USUAL: Final = {"p50": 0.5, "p99": 0.99}
TAIL: Final = {"p99.9": 0.999}


def _at_rest(tunnel: Tunnel, seconds: float) -> Samples:
    return _samples("rest", pings(tunnel.left, REMOTE, REST_PINGS), USUAL)


def _at_rest_long(tunnel: Tunnel, seconds: float) -> Samples:
    return _samples("rest", pings(tunnel.left, REMOTE, TAIL_PINGS), TAIL)


def _beside_tcp(tunnel: Tunnel, seconds: float) -> Samples:
    return _samples("busy", _pings_beside_tcp(tunnel, round(seconds / PING_INTERVAL)), USUAL)


def _beside_eight(tunnel: Tunnel, seconds: float) -> Samples:
    times = _pings_beside_tcp(tunnel, round(seconds / PING_INTERVAL), "--parallel", "8")
    return _samples("busy8", times, USUAL)


def _beside_tcp_long(tunnel: Tunnel, seconds: float) -> Samples:
    return _samples("busy", _pings_beside_tcp(tunnel, TAIL_PINGS), TAIL)


def _pings_beside_tcp(tunnel: Tunnel, count: int, *options: str) -> list[float]:
    """Return the round trips of pings while one TCP stream runs, or as many as the options of iperf3 say."""
    seconds = count * PING_INTERVAL + 1
    with serving(tunnel.right):
        client = tunnel.left.start(*stream_client(REMOTE, seconds), *options)
        times = pings(tunnel.left, REMOTE, count)
        read_iperf3(client.wait(TOOL_TIMEOUT + seconds).output)
    return times


def _samples(when: str, times: list[float], parts: dict[str, float]) -> Samples:
    """Return percentiles in microseconds."""
    return {f"ping_{when}_{name}": percentile(times, part) * 1e6 for name, part in parts.items()}


def _measures(when: str, title: str, parts: dict[str, float]) -> tuple[Measure, ...]:
    return tuple(
        Measure(f"ping_{when}_{name}", f"{title}, {name}", "µs", more_is_better=False) for name in parts
    )


AT_REST: Final = Row(
    "ping",
    "ping at rest",
    _measures("rest", "ping at rest", USUAL),
    _at_rest,
    Plan.QUICK,
    streams=0,
    seconds=REST_PINGS * PING_INTERVAL + STARTING,
)
AT_REST_LONG: Final = Row(
    "pinglong",
    "many pings at rest",
    _measures("rest", "ping at rest", TAIL),
    _at_rest_long,
    Plan.FULL,
    streams=0,
    seconds=TAIL_PINGS * PING_INTERVAL + STARTING,
)
BESIDE_TCP: Final = Row(
    "busy",
    "ping beside TCP",
    _measures("busy", "ping beside TCP", USUAL),
    _beside_tcp,
    Plan.QUICK,
    seconds=1 + STARTING,
)
BESIDE_EIGHT: Final = Row(
    "busy8",
    "ping beside 8 TCP streams",
    _measures("busy8", "ping beside 8 TCP streams", USUAL),
    _beside_eight,
    Plan.DEFAULT,
    seconds=1 + STARTING,
)
BESIDE_TCP_LONG: Final = Row(
    "busylong",
    "many pings beside TCP",
    _measures("busy", "ping beside TCP", TAIL),
    _beside_tcp_long,
    Plan.FULL,
    streams=0,
    seconds=TAIL_PINGS * PING_INTERVAL + 1 + STARTING,
)
