"""Has this host forward between the clients that enter here and the other members.

Invariant: a host by which no client enters, and entered, is not even looked at.
"""

import asyncio
import logging
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from wgpy.host.client_forwarding import ClientForwarding, Forwarding
from wgpy.host.firewall.passage import Firewall
from wgpy.host.firewall.verdict import Flow
from wgpy.host.nftables import NftFailed
from wgpy.host.passages import dropped
from wgpy.mesh.plan import NodePlan

from .gateway import mesh_of

_LOG = logging.getLogger("wgpy")
_FAILED = "clients that enter by this node reach no other member"


class ClientHost:
    """Of one interface. warnings: sentences, what else is to be done."""

    def __init__(self) -> None:
        self.warnings: tuple[str, ...] = ()
        self._forwarding = ClientForwarding()
        self._applied: Forwarding | None = None

    async def apply(self, plan: NodePlan, interface: str, *, is_stale: bool) -> None:
        """is_stale: whether the host has changed."""
        own = [ip_network(address.ip) for address in plan.link.addresses] if plan.client_exit else ()
        wanted = Forwarding(interface, plan.routing.table, plan.behind, tuple(own))
        if plan.clients and (is_stale or self._is_missing(wanted)):
            self._warn(await asyncio.to_thread(self._open, wanted, _flows(plan, interface)))
            self._applied = wanted
        elif not plan.clients and (self._applied or self._is_left_open(wanted)):
            self._warn(await asyncio.to_thread(self._close, wanted))
            self._applied = None

    def _is_missing(self, wanted: Forwarding) -> bool:
        return wanted != self._applied or not self._forwarding.forwards(wanted.interface)

    def _is_left_open(self, wanted: Forwarding) -> bool:
        return not wanted.behind and self._forwarding.is_left_open(wanted.interface)

    def _open(self, wanted: Forwarding, flows: Sequence[Flow]) -> list[str]:
        try:
            return [*self._forwarding.open(wanted), *dropped(flows, Firewall.read())]
        except (NftFailed, OSError) as error:
            return [f"{_FAILED}: {error}"]

    def _close(self, wanted: Forwarding) -> list[str]:
        try:
            self._forwarding.close(wanted, is_gateway=bool(wanted.behind))
        except (NftFailed, OSError) as error:
            return [f"this host still forwards for clients that there are no more: {error}"]
        return []

    def _warn(self, sentences: list[str]) -> None:
        for sentence in sentences:
            if sentence not in self.warnings:
                _LOG.warning("%s", sentence)
        self.warnings = tuple(sentences)


def _flows(plan: NodePlan, interface: str) -> list[Flow]:
    """Return what a client begins to another member, and what answers, in each version of IP."""
    members = mesh_of(plan, interface).members
    tunnel = plan.tunnels[min(plan.clients, key=str)]
    clients = [ip_address(prefix.address) for prefix in tunnel.allowed_ips]
    begun = [
        Flow(interface, interface, client, members[client.version], "new")
        for client in clients
        if client.version in members
    ]
    return [*begun, *(flow.reply() for flow in begun)]
