"""Tells how a proxy and its tunnel are: /metrics for Prometheus, and /health.

Invariant: a tunnel that nobody uses is healthy; one is not while a peer leaves unanswered what was sent.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from wgpy.contract.constants import SECOND
from wgpy.host.bootclock import boottime
from wgpy.model import PeerStatus
from wgpy.node import http
from wgpy.node.http import Answer, Request
from wgpy.prometheus import CONTENT_TYPE, Family, Sample, exposition
from wgpy.tunnel.asynchronous import AsyncTunnel

from .stream import Stream

# Whitepaper 6.5: by then a handshake has begun, and been sent again.
_SILENCE: Final = 20 * SECOND
_NANOSECONDS: Final = 1e9
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Connections:
    """Of clients, by the listener that took them: those that are open, and all."""

    open: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)


async def serve(client: Stream, tunnel: AsyncTunnel, connections: Connections) -> None:
    """Serve one request. Raises OSError once the tunnel has ended."""

    async def answer(request: Request) -> Answer:
        peers = (await tunnel.status()).peers
        return _ANSWERS.get(request.target, _missing)(peers, connections)

    reader, writer = await asyncio.open_connection(sock=client.detach())
    await http.serve(reader, writer, answer)


def _missing(_peers: Sequence[PeerStatus], _connections: Connections) -> Answer:
    return Answer(404, b"wgpy: there are /metrics and /health.\n", _TEXT)


def _health(peers: Sequence[PeerStatus], _connections: Connections) -> Answer:
    silent = silent_peers(peers, boottime())
    lines = [f"the peer {peer.public_key} does not answer at {peer.endpoint}\n" for peer in silent]
    return Answer(503, "".join(lines).encode(), _TEXT) if silent else Answer(200, b"ok\n", _TEXT)


def silent_peers(peers: Iterable[PeerStatus], now: int) -> list[PeerStatus]:
    """Return those that have left something unanswered for too long. now: boottime ns."""
    return [peer for peer in peers if peer.unanswered_since and now - peer.unanswered_since > _SILENCE]


def _metrics(peers: Sequence[PeerStatus], connections: Connections) -> Answer:
    return Answer(200, exposition(measures(peers, connections)), CONTENT_TYPE)


def measures(peers: Sequence[PeerStatus], connections: Connections) -> list[Family]:
    """Return what Prometheus scrapes."""
    names = [{"key": str(peer.public_key)} for peer in peers]
    amounts = (
        ("sent", "Bytes sent through the tunnel.", [peer.tx_bytes for peer in peers]),
        ("received", "Bytes received through the tunnel.", [peer.rx_bytes for peer in peers]),
    )
    return [
        *(
            Family(
                f"wgpy_peer_{way}_bytes_total", "counter", what, tuple(map(Sample, amount, names))
            )
            for way, what, amount in amounts
        ),
        Family(
            "wgpy_peer_last_handshake_timestamp_seconds", "gauge",
            "Time of the last handshake, Unix time; 0 for never.",
            tuple(
                Sample(peer.last_handshake_time / _NANOSECONDS, name)
                for peer, name in zip(peers, names, strict=True)
            ),
        ),
        Family(
            "wgpy_proxy_connections", "gauge", "Connections of clients that are open.",
            _by_listener(connections.open),
        ),
        Family(
            "wgpy_proxy_connections_total", "counter", "Connections of clients.",
            _by_listener(connections.total),
        ),
    ]  # fmt: skip


def _by_listener(counts: Counter[str]) -> tuple[Sample, ...]:
    return tuple(Sample(count, {"listener": listener}) for listener, count in counts.items())


_ANSWERS: Final = {"/metrics": _metrics, "/health": _health}
