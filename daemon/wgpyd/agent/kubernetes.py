"""Publishes the pod ranges that Kubernetes gives this host's Node, as routes of this node.

Invariant: of the node's routes only those are removed that came from Kubernetes, and none is because the API
is silent. Once its Node is gone the last known ones stay until the Node is back with others, another member
wants them, or some minutes are over. wgpy.kubernetes.pod_ranges decides.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from itertools import chain
from math import inf
from typing import Final

from wgpy.address import Address, Prefix, overlap
from wgpy.kubernetes.objects import NODES, NodeObject, read_node
from wgpy.kubernetes.pod_ranges import Constraints, Holder, Judgement, judge
from wgpy.kubernetes.watch import Watch
from wgpy.mesh.addressing import NEVER_ANNOUNCED
from wgpy.mesh.member import Member
from wgpy.mesh.records import Network
from wgpy.mesh.topology import Topology
from wgpy.node.agent_client import AgentError, KubernetesStatus
from wgpy.node.kubernetes import KubernetesApi

from .identity import LocalIdentity
from .kubernetes_watch import WatchLoop
from .membership import Membership
from .publisher import Publisher
from .store import RecordStore
from .warnings import Warnings

_FIRST_PAUSE: Final = 1.0  # seconds between attempts to publish, each twice the one before
_LAST_PAUSE: Final = 30.0
_SUBJECT: Final = "kubernetes"


class PodRangeFollower:
    """Of one node."""

    def __init__(
        self,
        name: str,
        api: KubernetesApi,
        identity: LocalIdentity,
        store: RecordStore,
        membership: Membership,
        publisher: Publisher,
        warnings: Warnings,
        on_change: Callable[[], None],
        gone_time: float,
    ) -> None:
        """name: of the host's Node; on_change: called when this node announces others than before.

        gone_time: seconds for which ranges stay that no other member wants, once there is no such Node.
        """
        self._gone_time = gone_time
        self._gone_since = inf
        self._timer: asyncio.TimerHandle | None = None
        self._name = name
        self._api = api
        self._identity = identity
        self._store = store
        self._membership = membership
        self._publisher = publisher
        self._warnings = warnings
        self._on_change = on_change
        self._watch: Watch[NodeObject] = Watch(NODES, read_node, f"metadata.name={self._name}")
        self._event = asyncio.Event()
        self._loop = WatchLoop(api, self._watch, self._event.set)
        self._seen: tuple[Topology, tuple[Prefix, ...]] | None = None
        self._refusal = ""  # of the coordinator

    def notice(self) -> None:
        """Judge anew if other members, or the node's routes, are not what they were."""
        seen = (self._membership.topology, self._identity.node.routes)
        if self._seen is None or self._seen[0] is not seen[0] or self._seen[1] != seen[1]:
            self._seen = seen
            self._event.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._loop.run())
            tasks.create_task(self._publish())

    @property
    def status(self) -> KubernetesStatus:
        node = self._identity.node
        return KubernetesStatus(
            self._name, self._api.server, self._loop.trouble, node.pod_ranges, self._watch.is_known
        )

    def _ways(self) -> dict[Address, str]:
        """Return the address of the API server, which no route of another member may lead elsewhere."""
        return {self._api.remote: "the API server of Kubernetes"} if self._api.remote else {}

    async def _publish(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self._event.wait()
            self._event.clear()
            if await self._publish_once():
                pause = _FIRST_PAUSE
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
            self._event.set()

    async def _publish_once(self) -> bool:
        """Return whether what is published is what is to be."""
        network, topology = self._store.ledger.charter(), self._membership.topology
        if network is None or topology.member(self._identity.key) is None:
            return True  # the topology that has it wakes
        judgement = judge(self._wanted(topology), self._constraints(network, topology))
        self._refusal = await self._announce(judgement.announced)
        self._warnings.set_all(_SUBJECT, list(self._sentences(judgement)))
        return not self._refusal

    async def _announce(self, ranges: tuple[Prefix, ...]) -> str:
        """Return why the coordinator does not take them, or ""."""
        node = self._identity.node
        fixed = frozenset(node.routes).difference(node.pod_ranges)
        ranges = tuple(prefix for prefix in ranges if prefix not in fixed)
        if (node.pod_ranges, node.pod_node) == (ranges, self._name):
            return ""
        try:
            await self._publisher.follow_pod_ranges(self._name, ranges)
        except AgentError as error:
            return f"the pod ranges {_listed(ranges)} are not announced yet: {error}"
        self._on_change()
        return ""

    # -- What is wanted ------------------------------------------------------------------------------

    @property
    def _node(self) -> NodeObject | None:
        return self._watch.objects.get(self._name)

    def _wanted(self, topology: Topology) -> tuple[Prefix, ...]:
        present = self._identity.node.pod_ranges
        if self._node is not None and self._node.pod_ranges:
            self._gone_since = inf
            return self._node.pod_ranges
        if not self._watch.is_known:
            return present
        if self._is_long_gone():
            return ()
        others = (one.announced for one in topology.members if not self._is_own(one))
        taken = set(chain.from_iterable(others))
        return tuple(prefix for prefix in present if prefix not in taken)

    def _is_long_gone(self) -> bool:
        """Return whether the API has said for a while that there is no such Node; wake when that is so."""
        loop = asyncio.get_running_loop()
        if self._node is not None or self._loop.trouble:
            self._gone_since = inf
            return False
        self._gone_since = min(self._gone_since, loop.time())
        left = self._gone_since + self._gone_time - loop.time()
        if left > 0 and (self._timer is None or self._timer.when() <= loop.time()):
            self._timer = loop.call_later(left, self._event.set)
        return left <= 0

    def _constraints(self, network: Network, topology: Topology) -> Constraints:
        ranges = {
            network.addresses: f"the range of {network.name}",
            network.addresses6: f"the range of {network.name}",
            network.pool: f"the pool of {network.name}",
            **NEVER_ANNOUNCED,
        }
        for site in self._identity.node.sites:
            ranges |= dict.fromkeys(site.mapped, f"routed to this node for its site {site.name}")
        own = next((place for place, one in enumerate(topology.members) if self._is_own(one)), 0)
        others = (
            Holder(one.name or str(one.identity), one.routes, is_senior=place < own)
            for place, one in enumerate(topology.members)
            if not self._is_own(one)
        )
        return Constraints(
            {prefix: what for prefix, what in ranges.items() if prefix.prefixlen},
            {**self._ways(), **self._own_addresses()},
            tuple(others),
        )

    def _is_own(self, member: Member) -> bool:
        return member.identity == self._identity.key

    def _own_addresses(self) -> dict[Address, str]:
        local = self._api.local
        found = {local: "by which this host reaches the API server"} if local else {}
        given = (ip_address(endpoint.address) for endpoint in self._identity.node.endpoints)
        return {**dict.fromkeys(given, "an endpoint of this node"), **found}

    # -- What is told --------------------------------------------------------------------------------

    def _sentences(self, judgement: Judgement) -> Iterator[str]:
        yield from judgement.sentences
        if self._refusal:
            yield self._refusal
        if self._loop.trouble:
            yield from self._silence()
        elif self._watch.is_known:
            yield from self._of_node()
        yield from self._unapproved()

    def _silence(self) -> Iterator[str]:
        present = self._identity.node.pod_ranges
        kept = f"; this node goes on announcing {_listed(present)}" if present else ""
        yield f"the pod ranges of {self._name} are not known anew: {self._loop.trouble}{kept}"

    def _of_node(self) -> Iterator[str]:
        if self._node is None:
            present = self._identity.node.pod_ranges
            kept = f"; until then this node goes on announcing {_listed(present)}, for some minutes at most"
            yield (
                f"Kubernetes has no Node {self._name}: start its kubelet, or give the Node's name with "
                f"--node-name{kept if present else ''}"
            )
        elif self._node.network:
            yield (
                f"{self._node.network} gives pods addresses of its own pools, which are no pod ranges of "
                f"{self._name} unless it is told to use those: run it as an overlay and leave out "
                "--kubernetes, or have it use the ranges of Kubernetes (host-local, ipam: kubernetes)"
            )

    def _unapproved(self) -> Iterator[str]:
        member = self._membership.topology.member(self._identity.key)
        waiting = [one for one in self._identity.node.pod_ranges if member and one in member.requested]
        if waiting and not any(self._overlaps_others(one) for one in waiting):
            yield (
                f"no token lets this node announce its pod ranges {_listed(waiting)}: `wgpy mesh approve "
                f"{self._identity.node.name}` allows them, and a token made with --routes and the cluster's "
                "pod range allows those of all its nodes"
            )

    def _overlaps_others(self, prefix: Prefix) -> bool:
        others = (one for one in self._membership.topology.members if not self._is_own(one))
        return any(overlap(route, prefix) for one in others for route in one.routes)


def _listed(prefixes: Sequence[Prefix]) -> str:
    return ", ".join(map(str, prefixes)) or "none"
