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
_NO_FIREWALL: Final = "not needed, as no firewall of IPv6 is known"


class WantedMapping:
    """Of one node, on the running loop: at a NAT of IPv4, and at a firewall of IPv6."""

    def __init__(
        self, identity: LocalIdentity, port: Callable[[], int], on_change: Callable[[], None]
    ) -> None:
        """port: of wgpyd; on_change: called when `endpoints` has changed."""
        self._identity = identity
        self._port = port
        self._on_change = on_change
        self._mappers: dict[int, PortMapper] = {}  # by version of IP
        self._is_wanted = {4: asyncio.Event(), 6: asyncio.Event()}
        self._why_not = {4: _NO_NAT, 6: _NO_FIREWALL}

    def configure(self, nat: str, seen: Iterable[Endpoint], where: object, own6: str = "") -> None:
        """Ask for a mapping if one is needed, and anew if this host is somewhere else.

        nat: the address of the NAT before this host, "" for none; seen: as relays see it; where: a value that
        differs then; own6: the address of this host by which others would dial it, if a firewall did not
        refuse that perhaps, "" for none.
        """
        self._configure(4, self._reason("" if ":" in nat else nat, _NO_NAT), nat, seen, where)
        self._configure(6, self._reason(own6, _NO_FIREWALL), own6, (), where)

    def _configure(
        self, version: int, why_not: str, nat: str, seen: Iterable[Endpoint], where: object
    ) -> None:
        self._why_not[version] = why_not
        if not why_not:
            self._begin(version)
        if version in self._mappers:
            self._mappers[version].configure(nat, seen, where, why_not)

    def _reason(self, needed: str, why_not: str) -> str:
        """Return why no router is asked, "" if one is. why_not: if it is not needed."""
        if not self._identity.node.port_mapping:
            return _OFF
        if not needed:
            return why_not
        return _GIVEN if self._identity.node.endpoints else ""

    def _begin(self, version: int) -> None:
        if version not in self._mappers:
            from .port_mapping import PortMapper  # noqa: PLC0415 - behind a NAT or a firewall alone

            made = PortMapper(self._identity, self._port, self._on_change, version)
            self._mappers[version] = made
            self._is_wanted[version].set()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return where others reach this node by its mappings."""
        return tuple(endpoint for mapper in self._mappers.values() for endpoint in mapper.endpoints)

    async def is_let_in(self) -> bool:
        """Return whether a firewall lets in what others send to this node because it was asked to.

        Waits until a router that is to be asked was, nine seconds at most.
        """
        if 6 not in self._mappers:
            return False
        await self._mappers[6].settle()
        return bool(self._mappers[6].endpoints)

    def report(self, version: int = 4) -> PortMapping:
        """Return what commands are told. version: of IP."""
        mapper = self._mappers.get(version)
        return mapper.report() if mapper else PortMapping(trouble=self._why_not[version])

    async def check(self) -> RouterCheck:
        """Ask the router what it offers; takes three seconds, and nine at most."""
        return await self._mappers[4].check() if 4 in self._mappers else RouterCheck("", {}, self.report())

    async def run(self) -> None:
        """Keep mappings as long as they are needed, until cancelled; then give them back."""
        async with asyncio.TaskGroup() as group:  # which waits for both, also when it is cancelled
            for version in self._is_wanted:
                group.create_task(self._run(version))

    async def _run(self, version: int) -> None:
        await self._is_wanted[version].wait()
        await self._mappers[version].run()

    def leave(self) -> None:
        """Leave the mappings to another process, which is the same client to the router."""
        for mapper in self._mappers.values():
            mapper.leave()

    def close(self) -> None:
        for mapper in self._mappers.values():
            mapper.close()
