"""One node: it wakes, makes a plan of what it knows, and hands that on.

Invariant: one task applies, so what is applied is always the whole of what was known at one moment; whatever
may have changed that only wakes it. It wakes for news, for a change of the host, and when a membership ends.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.plan import NodePlan
from wgpy.mesh.records import Network
from wgpy.node.files import NodeFile, gateway_note

from .cluster import Cluster
from .commands import Control
from .endpoints import GivenEndpoints
from .failover import GatewayFailover
from .gossip import Gossip
from .host_check import HostCheck
from .host_monitor import HostMonitor
from .identity import LocalIdentity
from .membership import Membership
from .names import Names
from .neighbours import learn_from_neighbour
from .node_paths import NodePaths
from .publisher import Publisher
from .reconcile.reconciler import Reconciler
from .store import RecordStore
from .subscription import Subscription
from .wake import Wake, end, first_of, rest_after
from .warm_up import warm_up
from .warnings import Warnings
from .withholding_detector import WithholdingDetector


class Agent:
    """Works from `start` to `stop`, on the loop of a started interface; it ends that if it fails itself."""

    def __init__(
        self, name: str, folder: Path, node: NodeFile, interface: Interface,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        """name: of the network; folder: where `node` was loaded from. Raises StorageError."""
        self.name, self.interface = name, interface
        self.plan, self.warnings, self.up = NodePlan.empty(), Warnings(), asyncio.Event()
        self.check, self._wake = HostCheck(self.warnings), Wake()
        self.store = RecordStore(folder, node.network, node.identity.verify_key(), clock)
        self.identity = LocalIdentity(folder, node, self.store.ledger)
        self.membership = Membership(self.store.ledger, self.identity.key, self.warnings, clock)
        self.withholding = WithholdingDetector(self.store.ledger)
        self.subscription = Subscription(self.identity, self.store, self.withholding, self._wake.now)
        self.reconciler = Reconciler(interface, self.identity, gateway_note(name), self._wake.now)
        self._publisher = Publisher(self.identity, self.store, self.subscription, self.warnings)
        self._host = HostMonitor(interface, self.reconciler.host_changed)
        learn = partial(learn_from_neighbour, self.store, self.withholding, self._wake.now)
        self.names, self.control = Names(self, self._wake.now), Control(self, self._publisher, self._wake)
        self._gossip = Gossip(self.store.ledger, self.store.rejected, learn, self.names.node_at)
        self.endpoints = GivenEndpoints(self.identity, self.warnings, self._wake.now)
        wake, coordinator = self._wake.now, self.subscription.coordinator
        self.paths = NodePaths(interface, self.identity, coordinator, self.warnings, wake)
        self.failover = GatewayFailover(interface, self.warnings, wake)
        self.cluster = Cluster(self, self._publisher, wake)
        self._unsubscribe = interface.subscribe(self._on_event)
        interface.watch_unknown(self.subscription.unknown_called)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> bool:
        """Return once the known peers are configured, False if the interface ended before.

        Raises OSError if the port cannot be had.
        """
        node = self.identity.node
        await self.reconciler.take_over(node.listen_port, node.mark)
        self.plan = NodePlan.empty(await self.reconciler.leading_nowhere(node.routing_table))
        self._host.start()
        self._wake.start()
        running = (self._work(), self.subscription.run(), self.endpoints.run(), *self.paths.running())
        self._tasks = [asyncio.create_task(task) for task in (*running, *self.cluster.running())]
        for task in self._tasks:
            task.add_done_callback(self._on_end)
        await first_of(self.up.wait(), self.interface.wait_closed())
        self._tasks.append(asyncio.create_task(warm_up(self.interface, self.paths.selection, self._wake.now)))
        return self.up.is_set()

    async def stop(self) -> None:
        """Raises whatever ended it."""
        self._unsubscribe()
        hearing = (self._gossip, self._host, self._wake, self.paths, self.endpoints, self.failover)
        try:
            await end(self._tasks)  # first, as they open anew what is closed
        finally:
            for closable in (*hearing, self.reconciler):
                closable.close()
            await self.names.close()

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """If it failed: a node that is deaf must not look well."""
        if not task.cancelled() and task.exception():
            self.interface.close()

    # -- What others begin ---------------------------------------------------------------------------

    def _on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        self.paths.on_event(key, event)
        self.endpoints.on_event(event)
        if peer := self.plan.by_key.get(key):
            self._gossip.on_event(peer.member.address6, event)

    # -- What it does then ---------------------------------------------------------------------------

    async def _work(self) -> None:
        with suppress(ConnectionError):  # the interface was closed
            while True:
                await self._wake.wait()
                began = time.monotonic()
                if await self._host.read_networks():
                    self.subscription.reconnect()
                if network := self.store.ledger.charter():
                    await self._apply(network)
                    self.up.set()
                worked = time.monotonic() - began
                self._host.rest(worked)
                await asyncio.sleep(rest_after(worked))

    async def _apply(self, network: Network) -> None:
        here = self._host.networks
        if self.membership.exclusion is None:
            self._publisher.publish(network, here, self.interface.listen_port, self.paths.own)
        topology = self.membership.derive()
        if self.membership.is_over:
            self.subscription.give_up()
        until_withheld = self.withholding.log(time.monotonic())
        view = self.identity.view(here, self.cluster.notice())
        self.plan = self.failover.plan(network, topology, view, self.plan)
        self.endpoints.notice(self.subscription.seen, here)
        self.check.compare(network, self.plan.peers, self.identity.node.routes, here)
        await self.paths.reach(self.plan, self.subscription.seen, here, self.reconciler.apply)
        self.failover.begin()
        await self.names.apply(network)
        await self._gossip.listen(node_address6(network.addresses6, self.identity.key))
        self._wake.after(min(self.membership.seconds_left, self.paths.seconds_left, until_withheld))
