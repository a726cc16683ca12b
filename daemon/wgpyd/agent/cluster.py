"""The Kubernetes cluster that a node follows, if it is told to; else nothing of that is imported."""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from wgpy.address import Address, Prefix
from wgpy.node.agent_client import NO_KUBERNETES, AgentError, KubernetesStatus, SiteAddition
from wgpy.node.files import StorageError
from wgpyd.options import KubernetesOptions

from .identity import LocalIdentity
from .membership import Membership
from .publisher import Publisher
from .sites import SiteAnnouncer
from .store import RecordStore
from .subscription import Subscription
from .warnings import Warnings

if TYPE_CHECKING:
    from .cluster_sites import ClusterSites
    from .coredns import CoreDns
    from .kubernetes import PodRangeFollower


_GONE_TIME: Final = 300.0  # seconds: by then Kubernetes has given up the pods of a Node that is gone
_CLUSTER_DOMAIN: Final = "cluster.local"  # unless an operator says otherwise
_FOLLOWS_NONE: Final = (
    "this node follows no cluster: start wgpyd with --kubernetes, or, if pods of this host alone are not to "
    "be routed to it, with --kubernetes=gateway"
)


class Node(Protocol):
    """Who follows."""

    identity: LocalIdentity
    store: RecordStore
    membership: Membership
    subscription: Subscription
    warnings: Warnings


class Cluster:
    """Of one node."""

    def __init__(self, node: Node, publisher: Publisher, on_change: Callable[[], None]) -> None:
        """on_change: as for `PodRangeFollower`."""
        self._node = node
        self._publisher = publisher
        self._on_change = on_change
        self._pods: PodRangeFollower | None = None
        self._sites: ClusterSites | None = None
        self._dns: CoreDns | None = None

    def follow(self, options: KubernetesOptions, gone_time: float = _GONE_TIME) -> None:
        """Follow a cluster from the node's start on. gone_time: as for `PodRangeFollower`."""
        from wgpy.node.kubernetes import ApiOptions, KubernetesApi  # noqa: PLC0415 - of clusters' nodes alone

        from .cluster_sites import ClusterSites  # noqa: PLC0415
        from .coredns import CoreDns  # noqa: PLC0415
        from .kubernetes import PodRangeFollower  # noqa: PLC0415

        node, on_change = self._node, self._on_change
        access = ApiOptions(options.server, options.token_file, options.ca_file, options.kubeconfig)
        api = KubernetesApi(access)
        announcer = SiteAnnouncer(node.identity, node.store, node.subscription, self._publisher)
        self._dns = CoreDns(api)
        self._sites = ClusterSites(api, node.identity, node.membership, announcer, node.warnings, on_change)
        if options.role != "gateway":
            others = (self._publisher, node.warnings, on_change, gone_time)
            name = options.node or socket.gethostname().lower()
            self._pods = PodRangeFollower(name, api, node.identity, node.store, node.membership, *others)

    def running(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is to run while the node does."""
        return [follower.run() for follower in (self._pods, self._sites) if follower]

    def notice(self) -> dict[Address, str]:
        """Judge anew what the node announces if what it knows has changed.

        Return addresses to which no route of another member may lead, each with what is there.
        """
        if self._pods:
            self._pods.notice()
        return self._sites.ways() if self._sites else {}

    async def site_ranges(self) -> tuple[Prefix, ...]:
        """Return the prefixes of the cluster's pods and services. Raises AgentError."""
        if self._sites is None:
            raise AgentError(_FOLLOWS_NONE)
        return await self._sites.ranges()

    async def change_dns(self, domain: str, servers: Iterable[Address]) -> str:
        """Have the cluster's CoreDNS ask these about a domain, nobody if there are none.

        Return the name of the ConfigMap that says so. Raises AgentError.
        """
        if self._dns is None:
            raise AgentError(_FOLLOWS_NONE)
        return await self._dns.change(domain, servers)

    async def completed(self, addition: SiteAddition) -> SiteAddition:
        """Return an addition with the cluster's prefixes and, unless others are given, its name server.

        Raises AgentError.
        """
        prefixes = await self.site_ranges()
        known = {one.name for one in self._node.identity.node.sites}
        if self._sites is None or addition.servers or addition.zones or addition.name in known:
            return replace(addition, prefixes=prefixes)
        kept = tuple(one for one in addition.kept if one not in ("servers", "zones"))
        servers = self._sites.name_servers
        zones = (_CLUSTER_DOMAIN,) if servers else ()
        return replace(addition, prefixes=prefixes, servers=servers, zones=zones, kept=kept)

    def follow_site(self, name: str, *, is_followed: bool) -> None:
        """Have a site that this node announces follow the cluster, or no more. Raises AgentError."""
        identity = self._node.identity
        site = next((one for one in identity.node.sites if one.name == name and is_followed), None)
        others = tuple(one for one in identity.node.kubernetes_sites if one.name != name)
        try:
            if (sites := (*others, site) if site else others) != identity.node.kubernetes_sites:
                identity.change_file(kubernetes_sites=sites)
        except StorageError as error:
            raise AgentError(str(error)) from None

    @property
    def status(self) -> KubernetesStatus:
        found = self._pods.status if self._pods else self._sites.status if self._sites else NO_KUBERNETES
        return replace(found, sites=tuple(one.name for one in self._node.identity.node.kubernetes_sites))
