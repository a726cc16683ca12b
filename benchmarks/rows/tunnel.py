"""One tunnel between two hosts, and what goes through it."""

from typing import Final

from benchmarks.rows import datagrams, latency, streams
from benchmarks.suite.namespaces import OUTSIDE6, Tunnel, tunnel
from benchmarks.suite.rounds import Turn
from benchmarks.suite.values import Setting


def _over6(turn: Turn) -> Tunnel:
    return tunnel(turn, OUTSIDE6)


TUNNEL: Final = Setting(
    "tunnel",
    tunnel,
    (
        latency.AT_REST,
        latency.AT_REST_LONG,
        datagrams.FAITHFUL,
        streams.ONE,
        streams.CUBIC,
        *streams.OTHER_SENDERS,
        *streams.MORE,
        latency.BESIDE_TCP,
        latency.BESIDE_EIGHT,
        latency.BESIDE_TCP_LONG,
        *datagrams.SEARCHES,
        datagrams.FLOOD_1380,
        datagrams.FLOOD_64,
        streams.MEMORY,
    ),
)
TUNNEL6: Final = Setting("tunnel6", _over6, (streams.OUTSIDE6,))
