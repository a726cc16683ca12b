"""Follows the pod and service ranges of a cluster for the sites that have them as their prefixes.

Invariant: a site's options outlive what is announced of it: they are in the node's file, so that prefixes can
change at any moment. Nothing is announced otherwise because the API is silent.
"""

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Final

from wgpy.address import Address, Prefix
from wgpy.kubernetes.cluster_ranges import cluster_ranges
from wgpy.kubernetes.objects import (
    NODES,
    SERVICE_RANGES,
    NodeObject,
    ServiceRange,
    read_node,
    read_service_range,
)
from wgpy.kubernetes.watch import Watch
from wgpy.mesh.records import AnnouncedSite
from wgpy.mesh.records.sites import in_order
from wgpy.node.agent_client import AgentError, KubernetesStatus
from wgpy.node.kubernetes import KubernetesApi

from .identity import LocalIdentity
from .kubernetes_watch import WatchLoop
from .membership import Membership
from .sites import SiteAnnouncer
from .warnings import Warnings

_ANSWER_TIME: Final = 30.0  # seconds, for the API to answer a command
_TROUBLED_TIME: Final = 3.0  # seconds, while it does not answer
_NAME_SERVER: Final = 10  # the position of its address in the range of services
_LOOK: Final = 0.05  # seconds between looks
_FIRST_PAUSE: Final = 1.0  # seconds between attempts to announce, each twice the one before
_LAST_PAUSE: Final = 30.0
_SUBJECT: Final = "sites of kubernetes"


class ClusterSites:
    """Of one node. The API is asked from when the first site needs it."""

    def __init__(
        self, api: KubernetesApi, identity: LocalIdentity, membership: Membership,
        announcer: SiteAnnouncer, warnings: Warnings, on_change: Callable[[], None],
    ) -> None:  # fmt: skip
        """on_change: called when the node announces others than before."""
        self._api = api
        self._identity = identity
        self._membership = membership
        self._announcer = announcer
        self._warnings = warnings
        self._on_change = on_change
        self._needed = asyncio.Event()
        self._event = asyncio.Event()
        self._nodes: Watch[NodeObject] = Watch(NODES, read_node)
        self._services: Watch[ServiceRange] = Watch(SERVICE_RANGES, read_service_range)
        self._loops = [WatchLoop(api, watch, self._event.set) for watch in (self._nodes, self._services)]

    async def run(self) -> None:
        """Follow until cancelled."""
        if self._identity.node.kubernetes_sites:
            self._needed.set()
        await self._needed.wait()
        async with asyncio.TaskGroup() as tasks:
            for loop in self._loops:
                tasks.create_task(loop.run())
            tasks.create_task(self._announce())

    async def ranges(self) -> tuple[Prefix, ...]:
        """Return the cluster's prefixes. Raises AgentError."""
        self._needed.set()
        began = asyncio.get_running_loop().time()
        while not self._is_known:
            waited = asyncio.get_running_loop().time() - began
            if waited > (_TROUBLED_TIME if self._trouble else _ANSWER_TIME):
                raise AgentError(f"the cluster's ranges are not known: {self._trouble or 'nothing comes'}")
            await asyncio.sleep(_LOOK)
        if not (found := self._ranges):
            raise AgentError("the cluster has no Node with a pod range yet: try again when it has")
        return found

    @property
    def name_servers(self) -> tuple[Address, ...]:
        """The address that a cluster's name server has by custom, of kubeadm, k3s and others."""
        ranges = chain.from_iterable(one.ranges for one in self._services.objects.values())
        found = next((one for one in in_order(tuple(ranges)) if one.num_addresses > _NAME_SERVER), None)
        return () if found is None else (found[_NAME_SERVER],)

    def ways(self) -> dict[Address, str]:
        """Return the address of the API server, which no route of another member may lead elsewhere."""
        return {self._api.remote: "the API server of Kubernetes"} if self._api.remote else {}

    @property
    def status(self) -> KubernetesStatus:
        return KubernetesStatus(server=self._api.server, trouble=self._trouble, is_known=self._is_known)

    # -- What is announced -----------------------------------------------------------------------------

    @property
    def _is_known(self) -> bool:
        return self._nodes.is_known and self._services.is_known

    @property
    def _trouble(self) -> str:
        return next((loop.trouble for loop in self._loops if loop.trouble), "")

    @property
    def _ranges(self) -> tuple[Prefix, ...]:
        return in_order(cluster_ranges(self._nodes.objects.values(), self._services.objects.values()))

    async def _announce(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self._event.wait()
            self._event.clear()
            troubles = [await self._announce_one(one) for one in self._identity.node.kubernetes_sites]
            self._warnings.set_all(_SUBJECT, [*filter(None, (*troubles, self._silence()))])
            if not any(troubles):
                pause = _FIRST_PAUSE
                continue
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
            self._event.set()

    def _silence(self) -> str:
        names = ", ".join(one.name for one in self._identity.node.kubernetes_sites)
        if not names or not self._trouble:
            return ""
        return f"the ranges of {names} are not known anew and stay as they are: {self._trouble}"

    async def _announce_one(self, site: AnnouncedSite) -> str:
        """Return why a site does not have the cluster's prefixes, or ""."""
        present = next((one for one in self._identity.node.sites if one.name == site.name), None)
        ranges = self._ranges
        if not self._is_known or not ranges or (present is not None and present.real == ranges):
            return ""
        try:
            if present is not None and self._has_other_gateways(site.name):
                await self._announcer.remove(site.name)  # the last one that has it changes it
            await self._announcer.announce_again(site, ranges)
        except AgentError as error:
            return f"{site.name} does not have the ranges of its cluster yet: {error}"
        self._on_change()
        return ""

    def _has_other_gateways(self, name: str) -> bool:
        site = self._membership.topology.site(name)
        return site is not None and any(one.identity != self._identity.key for one in site.gateways)
