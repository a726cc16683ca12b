"""What Prometheus scrapes of a node: https://prometheus.io/docs/practices/naming. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from wgpy.datapath import Counters
from wgpy.node.agent_client import KubernetesStatus, Peer, Status
from wgpy.prometheus import Family, Sample


def measures(status: Status, drops: Counters, rejected: Mapping[tuple[str, str], int]) -> list[Family]:
    """Return all families; those of the mesh alone begin with `wgpy_mesh`. rejected: by source and reason."""
    excluded = Counter(one.reason for one in status.excluded)
    return [
        *_of_peers(status.peers),
        Family(
            "wgpy_dropped_packets_total", "counter", "Packets and datagrams that were dropped.",
            tuple(Sample(count, {"reason": reason.value}) for reason, count in drops.items()),
        ),
        _gauge(
            "wgpy_mesh_revision", "Revision up to which the coordinator has sent everything.",
            status.revision,
        ),
        _gauge(
            "wgpy_mesh_admin_record_sequence", "Sequence number of the newest admin record.", status.sequence
        ),
        _gauge(
            "wgpy_mesh_members", "Members that this node knows, itself included.",
            len(status.peers) + status.member,
        ),
        Family(
            "wgpy_mesh_site_reached", "gauge",
            "1 for a site in force that this node reaches, by a gateway or as one, else 0.",
            tuple(
                Sample(int(bool(site.used or site.own)), {"site": site.name, "gateway": site.used})
                for site in status.sites
                if not site.exclusion
            ),
        ),
        Family(
            "wgpy_mesh_sites", "gauge", "Sites in force, and those that are announced in vain.",
            tuple(
                Sample(sum(bool(site.exclusion) is is_excluded for site in status.sites), {"state": state})
                for state, is_excluded in (("in force", False), ("excluded", True))
            ),
        ),
        Family(
            "wgpy_mesh_gateway_moves_total", "counter",
            "How often another gateway of a site, or of a shared route, was used than before.",
            tuple(Sample(count.times, {"site": count.what}) for count in status.gateway_moves),
        ),
        Family(
            "wgpy_mesh_exit_used", "gauge",
            "1 while this node sends by its exit what no other route has, 0 while that leads nowhere.",
            tuple(
                Sample(int(bool(status.exit_routes)), {"site": name, "gateway": status.exit_gateway})
                for name in filter(None, (status.exit,))
            ),
        ),
        Family(
            "wgpy_mesh_name_questions_total", "counter",
            "Questions about names that were answered, forwarded to other servers, or refused.",
            tuple(Sample(count.times, {"outcome": count.what}) for count in status.questions),
        ),
        _gauge(
            "wgpy_mesh_clients", "Clients that enter by this node.",
            sum(client.gateway == status.name for client in status.clients),
        ),
        Family(
            "wgpy_mesh_relayed_datagrams_total", "counter",
            "Datagrams that this node, a relay, passed on between others.",
            (Sample(status.relayed_datagrams),),
        ),
        Family(
            "wgpy_mesh_relayed_bytes_total", "counter",
            "Bytes that this node, a relay, passed on between others.",
            (Sample(status.relayed_bytes),),
        ),
        _gauge(
            "wgpy_mesh_peers_by_relay", "Peers that this node reaches by a relay.",
            sum(bool(peer.relay) for peer in status.peers),
        ),
        _gauge(
            "wgpy_mesh_peers_by_tls", "Peers that this node reaches by its connection to the coordinator.",
            sum(peer.by_connection for peer in status.peers),
        ),
        _gauge(
            "wgpy_mesh_coordinator_connected", "1 while the node follows the coordinator, else 0.",
            status.connected,
        ),
        _gauge(
            "wgpy_mesh_withheld_records", "Records that neighbours had and the coordinator did not send.",
            len(status.withheld),
        ),
        Family(
            "wgpy_mesh_permitted_packets_total", "counter", "Packets that a rule let in.",
            tuple(
                Sample(rule.packets, {"source": rule.source, "destination": rule.destination})
                for rule in status.rules
            ),
        ),
        Family(
            "wgpy_mesh_excluded_nodes", "gauge", "Nodes whose records are known and that are not members.",
            tuple(Sample(count, {"reason": reason}) for reason, count in excluded.items()),
        ),
        Family(
            "wgpy_mesh_rejected_records_total", "counter", "Records from others that were rejected.",
            tuple(
                Sample(count, {"source": source, "reason": reason})
                for (source, reason), count in rejected.items()
            ),
        ),
        *_of_kubernetes(status.kubernetes),
    ]  # fmt: skip


def _of_kubernetes(found: KubernetesStatus) -> list[Family]:
    if not found.node:
        return []
    return [
        _gauge(
            "wgpy_kubernetes_connected", "1 while the API server of Kubernetes answers, else 0.",
            not found.trouble,
        ),
        _gauge(
            "wgpy_kubernetes_pod_ranges", "Pod ranges that this node announces for Kubernetes.",
            len(found.ranges),
        ),
    ]  # fmt: skip


def _of_peers(peers: Iterable[Peer]) -> list[Family]:
    def family(name: str, kind: str, what: str, value: Callable[[Peer], float]) -> Family:
        samples = (Sample(value(peer), {"name": peer.name, "key": str(peer.key)}) for peer in peers)
        return Family(name, kind, what, tuple(samples))

    return [
        family(
            "wgpy_peer_received_bytes_total", "counter", "Bytes received through the tunnel.",
            lambda peer: peer.received,
        ),
        family(
            "wgpy_peer_sent_bytes_total", "counter", "Bytes sent through the tunnel.", lambda peer: peer.sent
        ),
        family(
            "wgpy_peer_last_handshake_timestamp_seconds", "gauge",
            "Time of the last handshake, Unix time; 0 for never.",
            lambda peer: peer.last_handshake,
        ),
        family(
            "wgpy_peer_unanswered_seconds", "gauge",
            "Time since the oldest packet was sent that nothing has followed; 0 for none.",
            lambda peer: peer.unanswered,
        ),
        family(
            "wgpy_peer_round_trip_seconds", "gauge",
            "Round trip as it was last measured by the path in use; 0 for unknown.",
            lambda peer: peer.round_trip / 1_000_000,
        ),
    ]  # fmt: skip


def _gauge(name: str, what: str, value: int) -> Family:
    return Family(name, "gauge", what, (Sample(int(value)),))
