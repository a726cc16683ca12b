"""Whether this node asks its router for a port mapping. Who asks for none imports nothing of what does."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from wgpy.contract.endpoint import Endpoint
from wgpy.node.network_check import PortMapping, RouterCheck

from .identity import LocalIdentity

if TYPE_CHECKING:
    from .port_mapping import PortMapper

_OFF: Final = "not asked for, as --no-port-mapping says"
_GIVEN: Final = "not asked for, as this node's endpoint is given"
_NO_NAT: Final = "not needed, as this host is behind no NAT of IPv4 that is known"


class WantedMapping:
    """Of one node, on the running loop."""

    def __init__(
        self, identity: LocalIdentity, port: Callable[[], int], on_change: Callable[[], None]
    ) -> None:
        """port: of wgpyd; on_change: called when `endpoints` has changed."""
        self._identity = identity
        self._port = port
        self._on_change = on_change
        self._mapper: PortMapper | None = None
        self._is_wanted = asyncio.Event()
        self._why_not = _NO_NAT

    def configure(self, nat: str, seen: Iterable[Endpoint], where: object) -> None:
        """Ask for a mapping if one is needed, and anew if this host is somewhere else.

        nat: the address of the NAT before this host, "" for none; seen: as relays see it; where: a value that
        differs then.
        """
        self._why_not = self._reason(nat)
        if not self._why_not:
            self._begin()
        if self._mapper:
            self._mapper.configure(nat, seen, where, self._why_not)

    def _reason(self, nat: str) -> str:
        """Return why no router is asked, "" if one is."""
        if not self._identity.node.port_mapping:
            return _OFF
        if not nat or ":" in nat:
            return _NO_NAT
        return _GIVEN if self._identity.node.endpoints else ""

    def _begin(self) -> None:
        if self._mapper is None:
            from .port_mapping import PortMapper  # noqa: PLC0415 - behind a NAT alone

            self._mapper = PortMapper(self._identity, self._port, self._on_change)
            self._is_wanted.set()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return where others reach this node by its mapping."""
        return self._mapper.endpoints if self._mapper else ()

    def report(self) -> PortMapping:
        """Return what commands are told."""
        return self._mapper.report() if self._mapper else PortMapping(trouble=self._why_not)

    async def check(self) -> RouterCheck:
        """Ask the router what it offers; takes three seconds, and nine at most."""
        return await self._mapper.check() if self._mapper else RouterCheck("", {}, self.report())

    async def run(self) -> None:
        """Keep a mapping as long as one is needed, until cancelled; then give it back."""
        await self._is_wanted.wait()
        if self._mapper:
            await self._mapper.run()

    def leave(self) -> None:
        """Leave the mapping to another process, which is the same client to the router."""
        if self._mapper:
            self._mapper.leave()

    def close(self) -> None:
        if self._mapper:
            self._mapper.close()
