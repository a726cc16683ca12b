"""Has this host forward between the clients that enter here and the other members.

Invariant: a host by which no client enters, and entered, is not even looked at.
"""

import asyncio
import logging

from wgpy.host.client_forwarding import ClientForwarding, Forwarding
from wgpy.host.nftables import NftFailed
from wgpy.mesh.plan import NodePlan

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
        wanted = Forwarding(interface, plan.routing.table, plan.behind)
        if plan.clients and (is_stale or wanted != self._applied):
            self._warn(await asyncio.to_thread(self._open, wanted))
            self._applied = wanted
        elif not plan.clients and (self._applied or self._is_left_open(plan, interface)):
            self._warn(await asyncio.to_thread(self._close, wanted))
            self._applied = None

    def _is_left_open(self, plan: NodePlan, interface: str) -> bool:
        return not plan.behind and self._forwarding.is_open(interface)

    def _open(self, wanted: Forwarding) -> list[str]:
        try:
            return self._forwarding.open(wanted)
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
