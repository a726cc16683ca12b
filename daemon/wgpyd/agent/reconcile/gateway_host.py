"""Makes this host pass packets between the mesh and the sites of its node, and says what is in their way.

Invariant: a host whose node is no gateway, and was none, is not even looked at.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from wgpy.address import Prefix
from wgpy.driver.interface import Interface
from wgpy.host.gateway import Gateway, HostChanges
from wgpy.host.iproute import IpFailed, ask_ip
from wgpy.host.nft_monitor import NftMonitor
from wgpy.host.passages import Obstacles, OwnAddresses, obstacles, passages, unread_firewalls
from wgpy.mesh.plan import NodePlan
from wgpy.model import DeviceUpdate

from .gateway import (
    TCP,
    UDP,
    ClosedPort,
    masquerade,
    mesh_of,
    prefixes_of,
    read_own_addresses,
    translations,
)

_LOG = logging.getLogger("wgpy")


class GatewayHost:
    """Of one interface.

    warnings: sentences, each with what to do; ports: of this host, beside WireGuard's and the coordinator's,
    that are not reached by addresses of a site.
    """

    def __init__(self, interface: Interface, note: Path, on_change: Callable[[], None]) -> None:
        """note: of what is changed at this host; on_change: called when a table of nft has changed."""
        self.warnings: tuple[str, ...] = ()
        self.ports: tuple[ClosedPort, ...] = ()
        self._interface = interface
        self._note = note
        self._on_change = on_change
        self._gateway: Gateway | None = None
        self._applied: object = None
        self._monitor: NftMonitor | None = None
        self._tables: frozenset[str] = frozenset()
        self._own: OwnAddresses | None = None  # as they were read, while they are that

    async def apply(self, plan: NodePlan, opened: frozenset[str], *, is_stale: bool) -> None:
        """opened: names of sites for which forwarding and other firewalls are changed; is_stale: the host has
        changed. Raises ConnectionError if the interface was closed.
        """
        wanted = plan.own_sites, plan.routes, plan.link, self._interface.name, opened
        if not is_stale and wanted == self._applied:
            return
        self._applied = wanted
        if not plan.own_sites and not self._note.exists():
            self._warn([])
            return
        self._own = None if is_stale else self._own
        try:
            own = self._own = self._own or await self._read_own()
        except IpFailed as error:
            self._warn([str(error)])
            return
        await self._translate(plan, own)
        self._watch(is_wanted=bool(plan.own_sites))
        is_unread = self._monitor is None or self._monitor.take_change()  # before it is read
        self._warn(await asyncio.to_thread(self._change_host, plan, opened, own, is_unread))

    async def _read_own(self) -> OwnAddresses:
        """Raises IpFailed."""
        return read_own_addresses(await ask_ip("address"), self._interface.name)

    async def obstacles(self, plan: NodePlan, prefixes: Iterable[Prefix]) -> Obstacles:
        """Return what is in the way of packets to these networks. Raises IpFailed."""
        own = await self._read_own()
        mesh = mesh_of(plan, self._interface.name)
        return await asyncio.to_thread(lambda: obstacles(passages(mesh, prefixes, own), own))

    def close(self) -> None:
        self._watch(is_wanted=False)

    async def _translate(self, plan: NodePlan, own: OwnAddresses) -> None:
        ports = ((UDP, self._interface.listen_port), (TCP, plan.routing.coordinator_port), *self.ports)
        wanted = translations(plan.own_sites, own, [port for port in ports if port[1]])
        if (await self._interface.status()).translations != wanted:
            await self._interface.configure(DeviceUpdate(translations=wanted))

    def _change_host(
        self, plan: NodePlan, opened: frozenset[str], own: OwnAddresses, is_unread: bool
    ) -> list[str]:
        """Return what could not be changed, and what is in the way then. In a thread."""
        self._gateway = self._gateway or Gateway(plan.routing.table, self._note)
        if not plan.own_sites:
            return list(self._gateway.undo())
        mesh = mesh_of(plan, self._interface.name)
        known = passages(mesh, prefixes_of(plan.own_sites, opened), own)
        changes = HostChanges(masquerade(plan, mesh.interface), [one for one in known if one.lan])
        outcome = self._gateway.apply(changes, own, is_unread=is_unread)
        self._tables = outcome.tables
        if outcome.is_repair:
            _LOG.warning("repaired the host: its tables of nft for sites had been changed")
        found = passages(mesh, prefixes_of(plan.own_sites), own)
        left = obstacles(found, own, outcome.firewall)
        return [*outcome.failures, *left.ways, *left.closed, *unread_firewalls(found)]

    # -- Changes by others ---------------------------------------------------------------------------

    def _watch(self, *, is_wanted: bool) -> None:
        """Hear of changes of nft as long as there is something to lose."""
        loop = asyncio.get_running_loop()
        if is_wanted and self._monitor is None:
            with suppress(OSError):  # without nft, as a warning says
                self._monitor = NftMonitor()
                loop.add_reader(self._monitor.fileno(), self._on_notice, self._monitor)
        elif not is_wanted and self._monitor is not None:
            loop.remove_reader(self._monitor.fileno())
            self._monitor.close()
            self._monitor = None

    def _on_notice(self, monitor: NftMonitor) -> None:
        if monitor.has_news(self._tables):
            self._on_change()

    def _warn(self, sentences: list[str]) -> None:
        for sentence in sentences:
            if sentence not in self.warnings:
                _LOG.warning("%s", sentence)
        self.warnings = tuple(sentences)
