"""The endpoints that the operator gave this node, by name or address: names are resolved again and again.

A node resolves its own names, and others learn addresses: so no member makes another look anything up.

Invariant: a look-up never holds the loop up, and there is one at a time, with a pause after each; a name that
cannot be resolved keeps its last addresses. Names that lead to this very host are looked up only when its
networks change, so that an idle node does not wake for them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from math import inf
from typing import Final

from wgpy.address import HostPort, is_address, parse_host_port
from wgpy.contract.endpoint import Endpoint
from wgpy.device import DeviceEvent
from wgpy.engine.actions import PeerUnreachable
from wgpy.node.files import StorageError
from wgpy.node.names import addresses_of, describe

from .host_networks import NOWHERE, HostNetworks, counts, preference
from .identity import LocalIdentity
from .wake import Wake
from .warnings import Warnings

PAUSE: Final = 15.0  # seconds after a look-up
RECHECK_TIME: Final = 60.0  # seconds until names that lead to another host, such as a NAT, are due again
_MAX_ADDRESSES: Final = 4  # of a name

Resolver = Callable[[HostPort], Awaitable[Iterable[str]]]  # gives addresses; raises OSError


class GivenEndpoints:
    """Of one node."""

    def __init__(
        self,
        identity: LocalIdentity,
        warnings: Warnings,
        on_change: Callable[[], None],
        resolver: Resolver | None = None,
        pause: float = PAUSE,
    ) -> None:
        """on_change: called when the node's file has other endpoints; resolver: None for `addresses_of`.

        pause: seconds.
        """
        self._identity = identity
        self._warnings = warnings
        self._on_change = on_change
        self._resolver = resolver or partial(addresses_of, mark=identity.node.coordinator.mark)
        self._pause = pause
        self._wake = Wake()
        self._known: dict[HostPort, tuple[Endpoint, ...]] = {}
        self._from = ("", NOWHERE)

    def notice(self, seen: str, here: HostNetworks) -> None:
        """Look names up if this host is somewhere else. seen: the address that the coordinator saw."""
        if self._from != (seen, here):
            self._from = seen, here
            self._wake.now()

    def on_event(self, event: DeviceEvent) -> None:
        """Look names up if a peer does not answer: perhaps it looks for this node at an old address."""
        if isinstance(event, PeerUnreachable):
            self._wake.now()

    async def run(self) -> None:
        """Look names up when it is time, until cancelled."""
        while True:
            await self._wake.wait()
            if hosts := _names(self._identity.node.hosts):
                await self._look_up(hosts)
                self._wake.after(RECHECK_TIME if self._lead_elsewhere(hosts) else inf)
                await asyncio.sleep(self._pause)
            else:  # a look-up that was under way may have warned of a name that is no more
                self._warnings.set("endpoints", "")

    async def change(self, hosts: Sequence[HostPort]) -> None:
        """Have these endpoints from now on. Raises OSError for a name without addresses, StorageError."""
        self._known = {host: await self._addresses(host) for host in _names(map(str, hosts))}
        self._identity.change_file(hosts=tuple(map(str, hosts)), endpoints=resolved(hosts, self._known, ()))
        self._warnings.set("endpoints", "")
        self._wake.now()
        self._on_change()

    def close(self) -> None:
        self._wake.close()

    async def _look_up(self, names: Sequence[HostPort]) -> None:
        failures = []
        for name in names:
            try:
                self._known[name] = await self._addresses(name)
            except OSError as error:
                failures.append(f"{name.host} cannot be resolved ({describe(error)})")
        self._warnings.set("endpoints", _sentence(failures))
        node = self._identity.node
        endpoints = resolved(map(parse_host_port, node.hosts), self._known, node.endpoints)
        if endpoints != node.endpoints:
            self._keep(endpoints)

    def _keep(self, endpoints: tuple[Endpoint, ...]) -> None:
        try:
            self._identity.change_file(endpoints=endpoints)
        except StorageError as error:
            self._warnings.set("endpoints", f"this node's endpoints cannot be stored: {error}")
        else:
            self._on_change()

    async def _addresses(self, name: HostPort) -> tuple[Endpoint, ...]:
        """Return the endpoints of a name, always in the same order. Raises OSError if it has none."""
        addresses = set(map(ip_address, await self._resolver(name)))
        usable = sorted(filter(counts, addresses), key=preference)[:_MAX_ADDRESSES]
        if not usable:
            raise OSError("it has no address that others could reach")
        return tuple(Endpoint(str(address), name.port) for address in usable)

    def _lead_elsewhere(self, names: Iterable[HostPort]) -> bool:
        """Return whether a name has an address that is none of this host, or none at all."""
        own = set(map(str, self._from[1].addresses))
        found = [self._known.get(name, ()) for name in names]
        return any(not one or any(endpoint.address not in own for endpoint in one) for one in found)


def resolved(
    hosts: Iterable[HostPort], known: Mapping[HostPort, tuple[Endpoint, ...]], last: Sequence[Endpoint]
) -> tuple[Endpoint, ...]:
    """Return the endpoints of hosts, in their order. last: those before, which stay for an unknown name."""
    endpoints: list[Endpoint] = []
    for host in hosts:
        if is_address(host.host):
            endpoints.append(Endpoint(host.host, host.port))
        else:
            endpoints += known.get(host, last)
    return tuple(dict.fromkeys(endpoints))


def _names(hosts: Iterable[str]) -> list[HostPort]:
    return [host for host in map(parse_host_port, hosts) if not is_address(host.host)]


def _sentence(failures: Sequence[str]) -> str:
    return f"this node's endpoint {' and '.join(failures)}: its last addresses count" if failures else ""
