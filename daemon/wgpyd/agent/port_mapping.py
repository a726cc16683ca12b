"""This node's port mapping at the router before its host. See `wgpy.paths.port_mapping`.

Invariant: only a node that is behind a NAT asks, and nothing waits for the router; what the router says
counts as far as what others see of this host does not contradict it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2s
from ipaddress import IPv4Address, IPv6Address
from math import inf
from typing import Final

from wgpy.address import Address
from wgpy.contract.constants import SECOND
from wgpy.contract.endpoint import Endpoint
from wgpy.host.bootclock import boottime
from wgpy.node.network_check import PortMapping, RouterCheck
from wgpy.paths.pcp import NONCE_LENGTH
from wgpy.paths.port_mapping import EpochClock, Grant, Protocol, Refusal, Renewal, trouble_of

from .identity import LocalIdentity
from .router import (
    NO_LIBRARY,
    Request,
    Router,
    ask_for_mapping,
    find_router,
    find_router_of,
    give_back,
    survey,
)
from .router_announcements import Announcements
from .wake import Wake

_END_TIME: Final = 10.0  # seconds, in which a mapping is given back when the node ends
_SETTLING_TIME: Final = 9.0
_LABEL: Final = b"wgpy port mapping 1"
_ANYWHERE: Final[dict[int, Address]] = {4: IPv4Address(0), 6: IPv6Address(0)}


@dataclass(frozen=True, slots=True)
class _Mapping:
    """What was granted last, where and how. port: of this host."""

    router: Router
    protocol: Protocol
    grant: Grant
    port: int


@dataclass(frozen=True, slots=True)
class _Place:
    """nat: the address of the NAT before this host; where: a value that differs if the host moves."""

    nat: str
    where: object


class PortMapper:
    """Of one node, on the running loop. trouble: why there is no mapping, "" while it is asked for."""

    def __init__(
        self, identity: LocalIdentity, port: Callable[[], int], on_change: Callable[[], None],
        version: int = 4,
    ) -> None:  # fmt: skip
        """port: of wgpyd; on_change: called when `endpoints` has changed; version: of IP.

        By IPv6 there is a firewall and no NAT: it lets the port of this host in.
        """
        self._version = version
        self._identity = identity
        self._port = port
        self._on_change = on_change
        self._wake = Wake()
        self._renewal, self._epochs = Renewal(), EpochClock()
        self._announcements = Announcements(self._on_announcement)
        self._place: _Place | None = None
        self._seen: tuple[str, ...] = ()
        self._last: _Mapping | None = None
        self.trouble = ""
        self._is_left = False
        self._is_settled = asyncio.Event()

    # -- What is so ----------------------------------------------------------------------------------

    def configure(self, nat: str, seen: Iterable[Endpoint], where: object, why_not: str) -> None:
        """Ask for a mapping if one is needed, and anew if this host is somewhere else.

        nat: the address of the NAT before this host, by IPv6 its own; seen: as relays see it; where: a value
        that differs then; why_not: why none is needed, "" if one is.
        """
        addresses = dict.fromkeys((nat, *(endpoint.address for endpoint in seen)))
        self._seen = tuple(one for one in addresses if one and (":" in one) == (self._version == 6))
        place = None if why_not else _Place(nat, where)
        if place != self._place:
            self._place, self._epochs, self.trouble = place, EpochClock(), ""
            self._renewal.begin(boottime())
            self._is_settled.clear()
            self._wake.now()
        if why_not:
            self.trouble = why_not

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return where others reach this node by its mapping."""
        return (self._renewal.grant.endpoint,) if self._renewal.grant else ()

    def report(self) -> PortMapping:
        """Return what commands are told."""
        if self._renewal.grant is None or self._last is None:
            return PortMapping(trouble=self.trouble)
        left = (self._renewal.until - boottime()) // SECOND
        endpoint, protocol = str(self._renewal.grant.endpoint), self._last.protocol.value
        return PortMapping(endpoint, protocol, int(time.time()) + left)

    async def check(self) -> RouterCheck:
        """Ask the router what it offers; takes three seconds, and nine at most."""
        router = await self._router() if self._place else None
        if router is None:
            return RouterCheck("", {}, self.report())
        offers = await survey(router, self._identity.node.mark)
        found = {protocol.value: trouble for protocol, trouble in offers.items()}
        return RouterCheck(str(router.address), found, self.report())

    async def settle(self) -> None:
        """Return once the router of here has been asked, after nine seconds at most."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_settled.wait(), _SETTLING_TIME)

    # -- Work ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a mapping as long as one is needed, until cancelled; then give it back."""
        try:
            while True:
                await self._wake.wait()
                await self._work()
                self._is_settled.set()
                self._wake.after(self._seconds_left())
        finally:
            if not self._is_left:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_END_TIME):
                        await self._give_back()

    def leave(self) -> None:
        """Give the mapping back no more."""
        self._is_left = True

    def close(self) -> None:
        self._wake.close()
        self._announcements.close()

    def _seconds_left(self) -> float:
        return inf if self._renewal.due is None else max(self._renewal.due - boottime(), 0) / SECOND

    async def _work(self) -> None:
        before = self.endpoints
        if self._place is None:
            self._renewal.end()
            await self._give_back()
        elif self._renewal.due is not None and self._renewal.due <= boottime():
            await self._ask(self._place)
        is_announced = self._last and self._version == 4 and self._last.protocol is not Protocol.UPNP
        self._announcements.listen(self._last.router if self._last and is_announced else None)
        if self.endpoints != before:
            self._on_change()

    async def _ask(self, place: _Place) -> None:
        self._renewal.on_asked(boottime())
        router = await self._router()
        found = await self._ask_router(router) if router else "no router is known on the way to it"
        if place is not self._place:
            return  # this host is somewhere else by now, and asks again
        if isinstance(found, str):
            self._renewal.on_failed(boottime())
            self.trouble = found
        else:
            self._last, self.trouble = found, ""
            self._note_epoch(found.grant)
            self._renewal.on_granted(found.grant, boottime())
        if self._renewal.grant is None:
            self._last = None

    async def _router(self) -> Router | None:
        assert self._place
        nat, mark = self._place.nat, self._identity.node.mark
        return await (find_router_of(IPv6Address(nat), mark) if ":" in nat else find_router(nat, mark))

    async def _ask_router(self, router: Router) -> _Mapping | str:
        """Return what the router grants, or why it is of no use; by what worked before first."""
        refusals = []
        request = self._request(self._port())
        known = self._last.protocol if self._last else None
        for protocol in sorted(router.protocols, key=lambda one: one is not known):
            answer = await ask_for_mapping(router, protocol, request)
            if isinstance(answer, Grant):
                if trouble := trouble_of(answer, self._seen):
                    return f"the router {router.address} is of no use: {trouble}"
                return _Mapping(router, protocol, answer, request.port)
            refusals.append(answer)
        return f"the router {router.address} grants no port mapping: {_reason(router, refusals)}"

    def _request(self, port: int) -> Request:
        node, grant = self._identity.node, self._last.grant if self._last else None
        wanted = (grant.address, grant.port) if grant else (_ANYWHERE[self._version], port)
        return Request(port, _nonce(bytes(node.key)), wanted, node.mark)

    async def _give_back(self) -> None:
        """End the mapping, if there is one."""
        if last := self._last:
            request, self._last = self._request(last.port), None
            await give_back(last.router, last.protocol, request)

    # -- A router that has lost its mappings ---------------------------------------------------------

    def _note_epoch(self, grant: Grant) -> None:
        if grant.epoch is not None:
            self._epochs.note(grant.epoch, boottime())

    def _on_announcement(self, epoch: int, address: IPv4Address | None) -> None:
        is_lost = self._epochs.note(epoch, boottime())
        is_moved = self._last is not None and address not in (None, self._last.grant.address)
        if is_lost or is_moved:
            self._renewal.on_lost(boottime())
            self._wake.now()


def _nonce(key: bytes) -> bytes:
    """Return always the same for a node, as its router knows the mapping by it; only the node knows it."""
    return blake2s(_LABEL, key=key, digest_size=NONCE_LENGTH).digest()


def _reason(router: Router, refusals: list[Refusal]) -> str:
    """Return what says most of several refusals."""
    spoken = [one.reason for one in refusals if not one.is_unsupported]
    missing = f" (UPnP: {NO_LIBRARY.reason})" if NO_LIBRARY in refusals else ""
    return spoken[0] if spoken else f"it answers by none of {_names(router)}{missing}"


def _names(router: Router) -> str:
    return ", ".join(protocol.value for protocol in router.protocols)
