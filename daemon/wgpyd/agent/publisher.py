"""Publishes what this node is: signed, in its file and its store, and submitted to the coordinator.

Invariant: one record at a time is made, above all that were made before, so no
two have one sequence.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from wgpy.address import Prefix
from wgpy.mesh.addressing import announcement_trouble
from wgpy.mesh.records import NAME, AnnouncedSite, Network
from wgpy.mesh.records.sites import routed_to_site
from wgpy.mesh.signing import Signed
from wgpy.node.agent_client import AgentError, RouteChange
from wgpy.node.coordinator_client import CoordinatorError
from wgpy.node.files import StorageError

from .host_networks import HostNetworks, choose
from .identity import IdentityUsedUp, LocalIdentity, OwnPaths
from .store import RecordStore
from .subscription import Subscription
from .warnings import Warnings

SOURCE: Final = "this node"
_MAX_DUPLICATES: Final = 3


class Publisher:
    """Of one node."""

    def __init__(
        self, identity: LocalIdentity, store: RecordStore, subscription: Subscription, warnings: Warnings
    ) -> None:
        self._identity = identity
        self._store = store
        self._subscription = subscription
        self._warnings = warnings
        self._submitting = asyncio.Lock()
        self._duplicates = 0

    def publish(self, network: Network, host: HostNetworks, port: int, paths: OwnPaths) -> None:
        """Submit a new record if the network's of this node is not what it is now.

        port: where it listens; paths: what else leads to it.

        Where it is, a node knows only with the coordinator's help; without, an older record is better.
        """
        is_time = self._subscription.connected or self._identity.record() is None
        if not is_time or self._submitting.locked() or self._duplicates >= _MAX_DUPLICATES:
            return
        mesh: tuple[Prefix, ...] = (network.addresses, network.addresses6, network.pool)
        endpoints = choose(self._identity.node.endpoints, self._subscription.seen, host, port, mesh)
        if not self._identity.is_published(endpoints):
            is_foreign = self._identity.is_foreign()
            if self._publish("endpoints", partial(self._identity.sign, endpoints)):
                self._count_duplicate(is_foreign)
        if not self._identity.are_sites_published():
            self._publish("sites", self._identity.sign_sites)
        if paths != self._identity.published_paths():
            self._publish("paths", partial(self._identity.sign_paths, paths))

    def _publish(self, what: str, sign: Callable[[], Signed]) -> bool:
        """Sign and submit what this node is now; return whether that could be signed."""
        try:
            signed = sign()
        except (StorageError, IdentityUsedUp) as error:
            self._warnings.set(what, f"this node's {what} cannot be published: {error}")
            return False
        self._warnings.set(what, "")
        self._store.learn([signed], SOURCE)
        self._subscription.submit_later([signed])
        return True

    async def rename(self, name: str) -> None:
        """Return once the coordinator has it. Raises AgentError."""
        if not NAME.fullmatch(name):
            raise AgentError(f"{name!r} is no name: want 1 to 63 of a-z, 0-9 and -, none of them - at an end")
        await self._change(self._sign_node, name=name)

    async def change_routes(self, change: RouteChange) -> None:
        """Return once the coordinator has it. Raises AgentError."""
        present = self._identity.node.routes
        for prefix in change.remove:
            if prefix not in present:
                raise AgentError(f"{prefix} is not announced; this node announces {_listed(present)}")
        for prefix in change.add:
            if reason := announcement_trouble(prefix):
                raise AgentError(reason)
            if prefix in present:
                raise AgentError(f"{prefix} is announced already")
            if site := routed_to_site(self._identity.node.sites, prefix):
                raise AgentError(_of_site(prefix, site))
        kept = [prefix for prefix in present if prefix not in change.remove]
        pods = tuple(prefix for prefix in self._identity.node.pod_ranges if prefix in kept)
        routes = tuple(dict.fromkeys((*kept, *change.add)))
        await self._change(self._sign_node, routes=routes, pod_ranges=pods)

    async def follow_pod_ranges(self, node: str, ranges: tuple[Prefix, ...]) -> None:
        """Announce these and no other that came from Kubernetes; the other routes stay.

        node: the name of the Node whose ranges they are. Return once the coordinator has them. Raises
        AgentError.
        """
        file = self._identity.node
        others = (route for route in file.routes if route not in file.pod_ranges)
        routes = tuple(dict.fromkeys((*others, *ranges)))
        await self._change(self._sign_node, routes=routes, pod_ranges=ranges, pod_node=node)

    async def change_sites(self, sites: tuple[AnnouncedSite, ...], firewall: tuple[str, ...]) -> None:
        """Return once the coordinator has them. Raises AgentError."""
        await self._change(self._identity.sign_sites, sites=sites, firewall=firewall)

    def _sign_node(self, **changes: Any) -> Signed:
        record = self._identity.record()
        return self._identity.sign(record.endpoints if record else (), **changes)

    async def _change(self, sign: Callable[..., Signed], **changes: Any) -> None:
        """Publish other fields of the node's file. Raises AgentError, and then they are as they were."""
        async with self._submitting:
            node = self._identity.node
            before = {name: getattr(node, name) for name in changes}
            try:
                signed = sign(**changes)
                try:
                    await self._submit(signed)
                except AgentError:
                    self._identity.change_file(**before)
                    raise
            except (
                StorageError,
                IdentityUsedUp,
                ValueError,
            ) as error:  # or more routes than a record has room for
                raise AgentError(str(error)) from None
            self._store.learn([signed], SOURCE)

    async def leave(self, *, is_over: bool) -> None:
        """Submit a departure unless the membership is over, and forget the network. Raises AgentError."""
        async with self._submitting:
            if not is_over:
                await self._submit(self._identity.node.departure())
            try:
                self._identity.forget()
            except StorageError as error:
                raise AgentError(str(error)) from None

    async def _submit(self, signed: Signed) -> None:
        """Raises AgentError."""
        try:
            outcomes = await self._subscription.submit([signed])
        except CoordinatorError as error:
            raise AgentError(str(error)) from None
        if len(outcomes) != 1 or outcomes[0].verdict == "refused":
            raise AgentError(outcomes[0].reason if outcomes else "the coordinator does not report an outcome")

    def _count_duplicate(self, is_foreign: bool) -> None:
        """A restored backup may forget once what this host signed; more than that is another host."""
        self._duplicates += is_foreign
        if self._duplicates >= _MAX_DUPLICATES:
            self._warnings.set(
                "duplicate",
                "another host publishes with this node's identity: remove it, and join both anew",
            )


def _listed(prefixes: Sequence[Prefix]) -> str:
    return ", ".join(map(str, prefixes)) or "none"


def _of_site(prefix: Prefix, site: AnnouncedSite) -> str:
    return (
        f"{prefix} overlaps {_listed(site.mapped)}, which the mesh routes to this node for the site "
        f"{site.name}, and a route would put the site out of force: leave the route out, or "
        f"`wgpy mesh site remove {site.name}` first"
    )
