"""What Prometheus is told of a node: https://prometheus.io/docs/practices/naming. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from wgpy.datapath import Counters
from wgpy.metrics import Family, Sample
from wgpy.node.agent import Peer, Status


def measures(status: Status, drops: Counters, refusals: Mapping[tuple[str, str], int]) -> list[Family]:
    """Return all families; those of the mesh alone begin with `wgpy_mesh`. refusals: by source and reason."""
    excluded = Counter(one.reason for one in status.excluded)
    return [
        *_of_peers(status.peers),
        Family(
            "wgpy_dropped_packets_total", "counter", "Packets and datagrams that were not passed on.",
            tuple(Sample(count, {"reason": reason.value}) for reason, count in drops.items()),
        ),
        _gauge("wgpy_mesh_revision", "Up to which the coordinator has told all news.", status.revision),
        _gauge("wgpy_mesh_decree_sequence", "Of the newest word of the administrator.", status.sequence),
        _gauge(
            "wgpy_mesh_members", "Nodes that this one meets, and itself if it is one.",
            len(status.peers) + status.member,
        ),
        _gauge("wgpy_mesh_coordinator_connected", "1 while the coordinator sends news.", status.connected),
        _gauge(
            "wgpy_mesh_withheld_records", "What neighbours knew and the coordinator did not tell.",
            len(status.withheld),
        ),
        Family(
            "wgpy_mesh_excluded_nodes", "gauge", "Nodes that speak and are no members.",
            tuple(Sample(count, {"reason": reason}) for reason, count in excluded.items()),
        ),
        Family(
            "wgpy_mesh_refused_total", "counter", "What others told that is not so.",
            tuple(
                Sample(count, {"source": source, "reason": reason})
                for (source, reason), count in refusals.items()
            ),
        ),
    ]  # fmt: skip


def _of_peers(peers: Iterable[Peer]) -> list[Family]:
    def family(name: str, kind: str, what: str, value: Callable[[Peer], int]) -> Family:
        samples = (Sample(value(peer), {"name": peer.name, "key": str(peer.key)}) for peer in peers)
        return Family(name, kind, what, tuple(samples))

    return [
        family("wgpy_peer_received_bytes_total", "counter", "By the tunnel.", lambda peer: peer.received),
        family("wgpy_peer_sent_bytes_total", "counter", "By the tunnel.", lambda peer: peer.sent),
        family(
            "wgpy_peer_last_handshake_timestamp_seconds", "gauge", "Since 1970; 0 for never.",
            lambda peer: peer.last_handshake,
        ),
    ]  # fmt: skip


def _gauge(name: str, what: str, value: int) -> Family:
    return Family(name, "gauge", what, (Sample(int(value)),))
