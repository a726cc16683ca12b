"""Plans with the gateways that answer, and probes those that do not. `wgpy.mesh.failover` decides.

A probe is a connection to the gateway's gossip, through the tunnel: whatever comes back is an answer.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final

from wgpy.contract.constants import SECOND
from wgpy.contract.events import DataSent
from wgpy.device import DeviceEvent
from wgpy.driver.interface import Interface
from wgpy.engine.actions import HandshakeCompleted
from wgpy.host.bootclock import boottime
from wgpy.keys import PublicKey
from wgpy.mesh.failover import ANSWER_TIME, Failover, Traffic
from wgpy.mesh.member import Member
from wgpy.mesh.plan import LocalView, NodePlan, plan
from wgpy.mesh.records import Network
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Gateway, Site
from wgpy.mesh.topology import Topology

from .probe import probe
from .warnings import Warnings

_PROBE_TIME: Final = ANSWER_TIME / SECOND  # seconds


class GatewayFailover:
    """Of one node, on the running loop.

    moves: how often another gateway was used than before, by the name of the site.
    """

    def __init__(self, interface: Interface, warnings: Warnings, on_change: Callable[[], None]) -> None:
        """on_change: called when another gateway is to be used."""
        self.moves: Counter[str] = Counter()
        self._used: dict[str, VerifyKey] = {}
        self._interface = interface
        self._warnings = warnings
        self._on_change = on_change
        self._failover = Failover(self._traffic)
        self._gateways: dict[VerifyKey, Member] = {}
        self._by_key: Mapping[PublicKey, VerifyKey] = {}
        # By name, or by its prefix what has none: the gateways that are peers.
        self._sites: dict[str, tuple[VerifyKey, ...]] = {}
        self._doubted: list[Member] = []
        self._timer: asyncio.TimerHandle | None = None
        self._probes: set[asyncio.Task[int]] = set()
        self._unsubscribe = interface.subscribe(self._on_event)

    def plan(self, network: Network, topology: Topology, view: LocalView, before: NodePlan) -> NodePlan:
        """As `wgpy.mesh.plan.plan`, by the gateways that answer."""
        before_sites, self._sites = self._sites, {}
        planned = plan(network, topology, view, before, self._choose)
        for table in (self.moves, self._used):
            for name in table.keys() - self._sites.keys():
                del table[name]
        named = frozenset(chain.from_iterable(self._sites.values()))
        self._gateways = {
            peer.member.identity: peer.member for peer in planned.peers if peer.member.identity in named
        }
        self._watch()
        self._warnings.set_all("gateways", list(self._sentences()))
        self._doubted = list(self._begun(before_sites, topology))
        return planned

    def _watch(self) -> None:
        """Judge the gateways from now on, also by what was sent to them before."""
        self._failover.configure(self._sites.values(), boottime())
        watched = self._failover.gateways
        self._by_key = {one.key: identity for identity, one in self._gateways.items() if identity in watched}
        self._interface.watch_sending(self, self._by_key)
        self._schedule()

    def begin(self) -> None:
        """Probe who has a route for which another member stands by since the last plan, which is applied.

        Perhaps that one is dead: if it does not answer, that is traffic without an answer, as any other.
        """
        while self._doubted:
            self._begin_probe(self._doubted.pop())

    def _begun(self, before: Mapping[str, tuple[VerifyKey, ...]], topology: Topology) -> Iterator[Member]:
        """Give who has a route for which other members stand by than before."""
        named = {site.name for site in topology.sites}
        for name, gateways in self._sites.items():
            if name not in named and len(gateways) > 1 and gateways != before.get(name):
                yield self._gateways[gateways[0]]

    def close(self) -> None:
        self._unsubscribe()
        for closable in (*([self._timer] if self._timer else ()), *self._probes):
            closable.cancel()

    def _choose(self, site: Site, gateways: tuple[Gateway, ...]) -> Gateway:
        identities = tuple(gateway.identity for gateway in gateways)
        name = site.name or str(site.mapped[0])  # a route that several nodes announce has none
        self._sites[name] = identities
        chosen = self._failover.choose(identities)
        self.moves[name] += self._used.setdefault(name, chosen) != chosen
        self._used[name] = chosen
        return gateways[identities.index(chosen)]

    def _traffic(self, gateway: VerifyKey) -> Traffic:
        member = self._gateways.get(gateway)
        return Traffic(*self._interface.traffic(member.key)) if member else Traffic(0, 0)

    # -- Events and time -----------------------------------------------------------------------------

    def _on_event(self, key: PublicKey, event: DeviceEvent) -> None:
        gateway = self._by_key.get(key)
        if gateway is None:
            return
        match event:
            case DataSent():
                self._failover.sent(gateway, boottime())
            case HandshakeCompleted():
                self._failover.heard(gateway, boottime())
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._failover.next_deadline()
        loop = asyncio.get_running_loop()
        wait = 0 if deadline is None else max(deadline - boottime(), 0) / SECOND
        self._timer = None if deadline is None else loop.call_later(wait, self._expire)

    def _expire(self) -> None:
        probes, has_changed = self._failover.expire(boottime())
        for gateway in probes:
            self._begin_probe(self._gateways[gateway])
        if has_changed:
            self._on_change()
        self._schedule()

    def _sentences(self) -> Iterator[str]:
        """Say which gateways of which sites do not answer."""
        for site, gateways in self._sites.items():
            failing = [self._gateways[one].name for one in gateways if self._failover.is_failing(one)]
            if failing:
                used = self._gateways[self._failover.choose(gateways)].name
                yield f"{site} is reached by {used}, as {' and '.join(failing)} did not answer"

    def _begin_probe(self, gateway: Member) -> None:
        task = asyncio.create_task(probe(str(gateway.address6), _PROBE_TIME))
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)
