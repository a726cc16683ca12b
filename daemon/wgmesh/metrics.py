"""The coordinator's metrics for Prometheus."""

from bisect import bisect_left
from collections import Counter
from typing import Final

from wgpy.prometheus import Family, Sample

from .snapshot import Snapshot

_BUCKETS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # seconds


class Metrics:
    """Counters since the process began. submissions: by verdict; sent: bytes of records sent to nodes."""

    def __init__(self) -> None:
        self.submissions: Counter[str] = Counter()
        self.sent = 0
        self._delivered = [0] * (len(_BUCKETS) + 1)
        self._delivery_seconds = 0.0

    def deliver(self, seconds: float) -> None:
        """Count a change that was sent to a node. seconds: since it was stored."""
        self._delivered[bisect_left(_BUCKETS, seconds)] += 1
        self._delivery_seconds += seconds

    def families(self, snapshot: Snapshot, followers: int, clones: int) -> list[Family]:
        """followers: nodes that are connected; clones: nodes that are several hosts."""
        records = Counter(key.kind or "unknown" for key in snapshot.entries)
        return [
            Family("wgmesh_followers", "gauge", "Nodes that are connected.", (Sample(followers),)),
            Family(
                "wgmesh_cloned_nodes",
                "gauge",
                "Nodes whose identity several connected hosts have.",
                (Sample(clones),),
            ),
            Family(
                "wgmesh_members",
                "gauge",
                "Nodes that are members.",
                (Sample(len(snapshot.topology.members)),),
            ),
            Family(
                "wgmesh_records",
                "gauge",
                "Stored records, by type.",
                tuple(Sample(count, {"type": kind}) for kind, count in sorted(records.items())),
            ),
            Family("wgmesh_revision", "gauge", "Newest revision.", (Sample(snapshot.revision),)),
            Family(
                "wgmesh_submissions_total",
                "counter",
                "Submitted records, by verdict.",
                tuple(
                    Sample(self.submissions[verdict], {"verdict": verdict})
                    for verdict in ("new", "known", "old", "refused")
                ),
            ),
            Family("wgmesh_sent_bytes_total", "counter", "Records sent to nodes.", (Sample(self.sent),)),
            self._delivery(),
        ]

    def _delivery(self) -> Family:
        samples = []
        count = 0
        for limit, delivered in zip((*_BUCKETS, float("inf")), self._delivered, strict=True):
            count += delivered
            bound = "+Inf" if limit == float("inf") else str(limit)
            samples.append(Sample(count, {"le": bound}, "_bucket"))
        samples += [Sample(self._delivery_seconds, suffix="_sum"), Sample(count, suffix="_count")]
        text = "Seconds from storing a change until it was written to a node's connection."
        return Family("wgmesh_delivery_seconds", "histogram", text, tuple(samples))
