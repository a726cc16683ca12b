"""Tells how a proxy and its tunnel are: /metrics for Prometheus, and /health.

Invariant: a tunnel that nobody uses is healthy; one is not while a peer leaves unanswered what was sent.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final

import h11

from wgpy.contract.constants import SECOND
from wgpy.host.bootclock import boottime
from wgpy.model import PeerStatus
from wgpy.prometheus import CONTENT_TYPE, Family, Sample, exposition
from wgpy.tunnel.asynchronous import AsyncTunnel

from .http_message import TEXT, read_head, write_answer
from .joining import Stream

# Whitepaper 6.5: by then a handshake has begun, and been sent again.
_SILENCE: Final = 20 * SECOND
_NANOSECONDS: Final = 1e9


@dataclass(frozen=True, slots=True)
class Connections:
    """Of clients, by the listener that took them: those that are open, and all."""

    open: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)


async def serve(client: Stream, tunnel: AsyncTunnel, connections: Connections) -> None:
    """Serve one request. Raises OSError if the connection breaks."""
    with closing(client.writer), suppress(h11.ProtocolError, ValueError):
        request, _ = await read_head(client.reader)
        peers = (await tunnel.status()).peers
        status, body, content_type = _ANSWERS.get(request.target, _missing)(peers, connections)
        has_body = request.method != b"HEAD"
        client.writer.write(write_answer(status, body, content_type, has_body=has_body))


_Answer = tuple[int, bytes, str]


def _missing(_peers: Sequence[PeerStatus], _connections: Connections) -> _Answer:
    return 404, b"wgpy: there are /metrics and /health.\n", TEXT


def _health(peers: Sequence[PeerStatus], _connections: Connections) -> _Answer:
    silent = silent_peers(peers, boottime())
    said = [f"the peer {peer.public_key} does not answer at {peer.endpoint}\n" for peer in silent]
    return (503, "".join(said).encode(), TEXT) if silent else (200, b"ok\n", TEXT)


def silent_peers(peers: Iterable[PeerStatus], now: int) -> list[PeerStatus]:
    """Return those that have left something unanswered for too long. now: boottime ns."""
    return [peer for peer in peers if peer.unanswered_since and now - peer.unanswered_since > _SILENCE]


def _metrics(peers: Sequence[PeerStatus], connections: Connections) -> _Answer:
    return 200, exposition(measures(peers, connections)), CONTENT_TYPE


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


_ANSWERS: Final = {b"/metrics": _metrics, b"/health": _health}
