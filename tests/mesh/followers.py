"""Nodes that follow Kubernetes, beside the real coordinator; what a node does to its host is left out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.mesh.coordinator import Site as Coordination
from tests.mesh.network import Administrator, prefixes
from tests.mesh.nodes import Network
from wgpy.mesh.member import Member
from wgpy.node.agent_client import SiteAddition
from wgpy.node.files import NodeFile
from wgpyd.agent import cluster
from wgpyd.agent.identity import LocalIdentity
from wgpyd.agent.membership import Membership
from wgpyd.agent.publisher import Publisher
from wgpyd.agent.sites import SiteAnnouncer
from wgpyd.agent.store import RecordStore
from wgpyd.agent.subscription import Subscription
from wgpyd.agent.warnings import Warnings
from wgpyd.agent.withholding_detector import WithholdingDetector
from wgpyd.options import KubernetesOptions

CLUSTER = ("10.244.0.0/16", "fd77:244::/56")


class FollowingNode:
    """A node as the coordinator knows it, that follows Kubernetes."""

    def __init__(
        self, folder: Path, options: KubernetesOptions, clock: Callable[[], float], gone_time: float
    ) -> None:
        node = NodeFile.load(folder)
        self.folder = folder
        self.warnings = Warnings()
        self.store = RecordStore(folder, node.network, node.identity.verify_key())
        self.identity = LocalIdentity(folder, node, self.store.ledger)
        self.membership = Membership(self.store.ledger, self.identity.key, self.warnings, clock)
        withholding = WithholdingDetector(self.store.ledger)
        self.subscription = Subscription(self.identity, self.store, withholding, self._on_news)
        self.publisher = Publisher(self.identity, self.store, self.subscription, self.warnings)
        self.membership.derive()
        self.sites = SiteAnnouncer(self.identity, self.store, self.subscription, self.publisher)
        self.cluster = cluster.Cluster(self, self.publisher, self._on_news)
        self.cluster.follow(options, gone_time)

    def _on_news(self) -> None:
        """What an agent does whenever it wakes."""
        self.membership.derive()
        self.cluster.notice()

    @property
    def routes(self) -> list[str]:
        """What it announces, as its file says."""
        return list(map(str, NodeFile.load(self.folder).routes))

    def routes_of(self, name: str) -> list[str]:
        """What another node has, as this one knows it."""
        found = self.member(name)
        return list(map(str, found.routes)) if found else []

    async def add_site(self, name: str, **changes: Any) -> str:
        """Do what the command does."""
        usual = SiteAddition(name, (), "either", False, 100, False, kubernetes=True)
        addition = await self.cluster.completed(replace(usual, **changes))
        answer = await self.sites.add(addition)
        self.cluster.follow_site(name, is_followed=True)
        return answer

    def site(self, name: str) -> tuple[list[str], list[str], int]:
        """Return real and mapped prefixes of a site as this node knows it, and how many gateways it has."""
        found = self.membership.topology.site(name)
        if found is None:
            return [], [], 0
        return list(map(str, found.real)), list(map(str, found.mapped)), len(found.gateways)

    def member(self, name: str) -> Member | None:
        return next((one for one in self.membership.topology.members if one.name == name), None)

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():  # noqa: ASYNC110 - no one event is all it tells
            await asyncio.sleep(0.01)


def told(node: FollowingNode, *words: str) -> bool:
    """Return whether a sentence of the node has all of these."""
    return any(all(word in sentence for word in words) for sentence in node.warnings)


@dataclass(slots=True)
class Cluster:
    """A network whose nodes n1 to n3 may announce the cluster's pod ranges; n1 was admitted first."""

    folder: Path
    site: Coordination
    network: Network
    nodes: list[NodeFile]
    clock: Callable[[], float] = field(default=lambda: 0.0)

    @classmethod
    async def create(cls, folder: Path, site: Coordination, ranges: tuple[str, ...] = CLUSTER) -> "Cluster":
        network = Network(site.administrator, url=site.address.url, key_hash=site.address.key_hash)
        site.administrator.found()
        site.administrator.invite(network.token, routes=prefixes(*ranges))
        nodes = [network.join() for _ in range(3)]
        await site.submit_all()
        for number, node in enumerate(nodes, 1):
            (folder / f"n{number}").mkdir()
            network.store(node, folder / f"n{number}")
        return cls(folder, site, network, nodes)

    @property
    def administrator(self) -> Administrator:
        return self.site.administrator

    @asynccontextmanager
    async def node(
        self, number: int, options: KubernetesOptions, gone_time: float = 300
    ) -> AsyncIterator[FollowingNode]:
        """Run a node from what is on its disk, from when the coordinator sends it news."""
        node = FollowingNode(self.folder / f"n{number}", options, lambda: self.administrator.now, gone_time)
        following = [asyncio.create_task(one) for one in (node.subscription.run(), *node.cluster.running())]
        try:
            await node.until(lambda: node.subscription.connected)
            yield node
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


@asynccontextmanager
async def a_cluster(folder: Path, ranges: tuple[str, ...] = CLUSTER) -> AsyncIterator[Cluster]:
    site = Coordination.create(folder / "coordinator")
    async with site.serve():
        yield await Cluster.create(folder, site, ranges)
