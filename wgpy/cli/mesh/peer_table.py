"""The peers of a node as a table, and which of them something is wrong with. Pure."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

from wgpy.cli.colours import Colour, paint
from wgpy.cli.mesh.output import columns, fits, listed, since
from wgpy.cli.mesh.why_paths import milliseconds, used, why_not_directly, words
from wgpy.cli.show import duration, size
from wgpy.node.agent_client import Peer, Status
from wgpy.node.site_report import SILENCE

_HEAD: Final = (
    "NODE", "ADDRESS", "ENDPOINT", "SINCE", "ROUND TRIP", "HANDSHAKE", "RECEIVED / SENT", "TAGS, ROUTES",
    "IPV6",
)  # fmt: skip
_LEFT_OUT: Final = ("IPV6", "SINCE", "ROUND TRIP")  # one after the other, as long as lines are too wide
MAX_REASONS: Final = 8  # lines about peers that are not reached directly


class Health(IntEnum):
    """Of a peer, the worst first."""

    SILENT = 0
    BY_CONNECTION = 1
    BY_RELAY = 2
    GOOD = 3


_COLOURS: Final = {
    Health.SILENT: Colour.BAD,
    Health.BY_CONNECTION: Colour.NOTICE,
    Health.BY_RELAY: Colour.NOTICE,
    Health.GOOD: Colour.GOOD,
}


def health(peer: Peer) -> Health:
    if peer.unanswered > SILENCE:
        return Health.SILENT
    if peer.by_connection:
        return Health.BY_CONNECTION
    return Health.BY_RELAY if peer.relay else Health.GOOD


def table(status: Status, peers: Sequence[Peer] = ()) -> str:
    """Return the peers in this order, or else by their names."""
    if not status.peers and status.rules:
        return (
            "No other node is known here: a node knows those that a rule joins it with (`wgpy mesh allow`)."
        )
    if not status.peers:
        return "No other node is known here; `wgpy mesh token` makes a token for one."
    rows = [_HEAD, *map(_row, peers or sorted(status.peers, key=lambda peer: peer.name))]
    for left_out in _LEFT_OUT:
        if fits(found := columns(rows)):
            return found
        position = rows[0].index(left_out)
        rows = [row[:position] + row[position + 1 :] for row in rows]
    return columns(rows)  # `why NAME` has the rest


def _row(peer: Peer) -> tuple[str, ...]:
    return (
        _name(peer),
        str(peer.address),
        paint(path_text(peer), _COLOURS[health(peer)]) if peer.last_handshake else path_text(peer),
        since(peer.since) if peer.since else "-",
        milliseconds(peer.round_trip),
        since(peer.last_handshake),
        f"{size(peer.received)} / {size(peer.sent)}",
        listed((*peer.tags, *peer.routes)),
        str(peer.address6),
    )


def path_text(peer: Peer) -> str:
    """Return where a peer is reached, or by what."""
    if peer.relay or peer.by_connection:
        return words(used(peer))
    return peer.endpoint or "unknown"


def reasons(status: Status) -> Iterator[str]:
    """Say which peers do not answer, and why others are not reached directly."""
    silent = [peer for peer in status.peers if health(peer) is Health.SILENT]
    for peer in silent[:MAX_REASONS]:
        yield f"{_name(peer)} has not answered for {duration(peer.unanswered)}"
    if len(silent) > MAX_REASONS:
        yield f"{len(silent) - MAX_REASONS} more have not answered either"
    relayed = [peer for peer in status.peers if health(peer) in (Health.BY_RELAY, Health.BY_CONNECTION)]
    for peer in relayed[:MAX_REASONS]:
        yield f"{_name(peer)} is reached {words(used(peer))}, {why_not_directly(status, peer)}"
    if len(relayed) > MAX_REASONS:
        yield f"{len(relayed) - MAX_REASONS} more are not; `wgpy mesh why NAME` says why of each"


def _name(peer: Peer) -> str:
    return peer.name or str(peer.identity)
