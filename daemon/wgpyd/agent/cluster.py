"""The Kubernetes cluster that a node follows, if it is told to; else nothing of that is imported."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from wgpy.address import Address
from wgpy.node.agent_client import NO_KUBERNETES, KubernetesStatus
from wgpyd.options import KubernetesOptions

from .identity import LocalIdentity
from .membership import Membership
from .publisher import Publisher
from .store import RecordStore
from .warnings import Warnings

if TYPE_CHECKING:
    from .kubernetes import PodRangeFollower


class Node(Protocol):
    """Who follows."""

    identity: LocalIdentity
    store: RecordStore
    membership: Membership
    warnings: Warnings


class Cluster:
    """Of one node."""

    def __init__(self, node: Node, publisher: Publisher, on_change: Callable[[], None]) -> None:
        """on_change: as for `PodRangeFollower`."""
        self._node = node
        self._publisher = publisher
        self._on_change = on_change
        self._follower: PodRangeFollower | None = None

    def follow(self, options: KubernetesOptions) -> None:
        """Follow a cluster from the node's start on."""
        from .kubernetes import PodRangeFollower  # noqa: PLC0415 - of clusters' nodes alone

        node, others = self._node, (self._publisher, self._node.warnings, self._on_change)
        self._follower = PodRangeFollower(options, node.identity, node.store, node.membership, *others)

    def running(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is to run while the node does."""
        return [self._follower.run()] if self._follower else []

    def notice(self) -> dict[Address, str]:
        """Judge anew what the node announces if what it knows has changed.

        Return addresses to which no route of another member may lead, each with what is there.
        """
        if self._follower is None:
            return {}
        self._follower.notice()
        return self._follower.ways()

    @property
    def status(self) -> KubernetesStatus:
        return self._follower.status if self._follower else NO_KUBERNETES
