"""Compares a host with its node's plan, and makes the difference.

Invariant: what is compared is the host as it is, read whenever the host or its part of the plan has changed
and only then; all of it if the host has. What the host refuses is a warning, and is asked for again with the
next change of either.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wgpy.address import Prefix
from wgpy.contract.errors import StateError
from wgpy.driver.interface import Interface
from wgpy.host.iproute import IpFailed, ask_ip, ask_ip_all, change_ip
from wgpy.host.iprule import PROTOCOL, TableUse, rule_changes
from wgpy.host.nftables import NftFailed
from wgpy.mesh.exit import Exit
from wgpy.mesh.plan import LinkPlan, NodePlan, Routing
from wgpy.mesh.return_route import ReturnRoute
from wgpy.model import DeviceUpdate
from wgpyd.agent.identity import LocalIdentity

from .clients import ClientHost
from .gateway_host import GatewayHost
from .keepalives import Intervals, read_keepalives, with_keepalives
from .link import link_changes, read_link
from .policy import read_filter, with_policies
from .relay import relay_rate
from .reverse_path import accept_own
from .routes import (
    Route,
    exit_changes,
    leading_nowhere,
    read_marked_routes,
    read_routes,
    return_changes,
    route_changes,
)
from .tunnels import difference, read_tunnels, without_preshared_keys

if TYPE_CHECKING:
    from .pods import PodHost

_LOG = logging.getLogger("wgpy")

_MAX_NAMED: Final = 3  # changes, in a line of the log
_QUIET_TIME: Final = 60.0  # seconds until the same repair is logged again
_VERSIONS: Final = (4, 6)
_MARKED_ROUTES: Final = f"route show table all proto {PROTOCOL}"
_STRICT_FILTER: Final = (
    "this host filters strictly (rp_filter is 1), so what comes from within announced prefixes is dropped; "
    "`sysctl -w net.ipv4.conf.all.rp_filter=2` lets it in"
)

_ClientExit = tuple[Exit | None, Sequence[Prefix]]  # of clients, and what is behind this host
_HostPlan = tuple[
    LinkPlan, Sequence[Prefix], Collection[Prefix], Routing, Exit | None, _ClientExit, ReturnRoute | None,
    Mapping[Prefix, int],
]  # fmt: skip


class Reconciler:
    """Of one interface.

    conflicts: sentences, by the prefix that another route has; warnings: sentences, what else failed; exit:
    what was last made of it.
    """

    def __init__(
        self, interface: Interface, identity: LocalIdentity, note: Path, on_change: Callable[[], None]
    ) -> None:
        """identity: of the node, whose key the interface is to have; note: of settings changed for sites.

        on_change: called when the plan is to be applied again.
        """
        self._on_change = on_change
        self._interface = interface
        interface.set_silent(True)  # until a plan is in force: no connection is to fail at once meanwhile
        self._identity = identity
        self._key = identity.node.key
        self._applied: _HostPlan | None = None
        self._is_stale = True
        self._tunnels_failed = ""
        self._failures: tuple[str, ...] = ()
        self._logged = ("", 0.0)  # the last repair that was, and when
        self.conflicts: Mapping[Prefix, str] = {}
        self.exit: Exit | None = None
        self._clients = ClientHost()
        self.pods: PodHost | None = None  # if pods of this host are joined to its ranges
        self.gateway = GatewayHost(interface, note, self.host_changed)

    @property
    def warnings(self) -> tuple[str, ...]:
        return (
            *filter(None, (self._tunnels_failed,)),
            *self._failures,
            *self._clients.warnings,
            *self.gateway.warnings,
            *(self.pods.warnings if self.pods else ()),
        )

    def host_changed(self) -> None:
        """Look at the host again, even if the plan is the same."""
        self._is_stale = True
        self._on_change()

    def close(self) -> None:
        """Hear of no change any more. What was made stays: the mesh outlives its daemon."""
        self.gateway.close()

    async def take_over(self, port: int, mark: int) -> None:
        """Have the interface listen, without peers. Raises OSError if the port cannot be had."""
        await self._interface.configure(DeviceUpdate(self._key, port, mark, replace_peers=True))

    async def leading_nowhere(self, table: int) -> frozenset[Prefix]:
        """Return the prefixes that do in a table of the host, where `ip` can tell."""
        try:
            found = await asyncio.gather(*map(_read_marked_routes, _VERSIONS))
        except IpFailed:  # a warning comes when the plan is applied
            return frozenset()
        return leading_nowhere(chain.from_iterable(found), table)

    async def apply(self, plan: NodePlan, keepalives: Intervals) -> None:
        """Raises ConnectionError if the interface was closed."""
        of_clients = plan.client_exit.exit if plan.client_exit else None
        behind = plan.behind if of_clients else ()
        wanted = (
            plan.link, plan.routes, plan.reserved, plan.routing, plan.exit, (of_clients, behind),
            plan.return_route, plan.mtus,
        )  # fmt: skip
        is_stale = self._is_stale
        if not of_clients:
            await self._apply_to_interface(plan, keepalives)
        if is_stale or self._applied != wanted:
            await self._apply_to_host(wanted)
        if of_clients:  # later than the host: what clients send must not leave by the host's own way
            await self._apply_to_interface(plan, keepalives)
        await self.gateway.apply(plan, frozenset(self._identity.node.firewall), is_stale=is_stale)
        await self._clients.apply(plan, self._interface.name, is_stale=is_stale)
        if self.pods:
            ranges, mtu = self._identity.node.pod_ranges, plan.link.mtu
            await self.pods.apply(ranges, mtu, self._interface.name, is_stale=is_stale)
        self._interface.set_silent(False)

    async def _apply_to_interface(self, plan: NodePlan, keepalives: Intervals) -> None:
        status = await self._interface.status()
        tunnels = without_preshared_keys(difference(read_tunnels(status), plan.tunnels), status)
        policies = with_policies(tunnels, read_filter(status), plan.filter)
        changes = list(with_keepalives(policies, read_keepalives(status), keepalives))
        mark = plan.routing.mark if status.fwmark != plan.routing.mark else None
        key = self._key if status.private_key != self._key else None
        rate = relay_rate(plan) if status.relay_rate != relay_rate(plan) else None
        try:
            if changes or (mark, key, rate) != (None, None, None):
                update = DeviceUpdate(key, fwmark=mark, peers=changes, relay_rate=rate)
                await self._interface.configure(update)
            self._tunnels_failed = ""
        except StateError as error:
            self._tunnels_failed = self._warn(str(error), (self._tunnels_failed,))

    # -- Link, routes and rules ----------------------------------------------------------------------

    async def _apply_to_host(self, wanted: _HostPlan) -> None:
        is_repair, is_stale = self._applied == wanted, self._is_stale or bool(self._failures)
        before, conflicts = None if is_stale else self._applied, self.conflicts
        self._applied, self._is_stale = wanted, False
        try:
            changes = await self._apply_parts(wanted, before)
        except IpFailed as error:
            changes, failures = [], [str(error)]
        else:
            failures = [f"`ip {line}` failed: {why}" for line, why in changes if why]
            self.exit = wanted[4]
        if before is None or before[3] != wanted[3]:
            failures += await self._apply_reverse_path(wanted[3])
        self._failures = tuple(self._warn(sentence, self._failures) for sentence in failures)
        # To follow the host's own routes, by an exception or as one is to our prefix, is no repair.
        made = [line for line, why in changes if not why and " throw " not in line]
        if is_repair and made and self.conflicts.keys() <= conflicts.keys():
            self._log_repair(made)

    async def _apply_parts(self, wanted: _HostPlan, before: _HostPlan | None) -> list[tuple[str, str]]:
        """Return what was changed, each with why it failed or "". Raises IpFailed.

        before: what the host has, None if that is not known. The link comes first, as the kernel takes no
        route into one that is down, and the rules last: the table is whole when it is first looked up.
        """
        is_new_link = before is None or before[0] != wanted[0]
        made = await self._apply_link(wanted[0]) if is_new_link else []
        uses = [] if before is not None and self._uses(before) == self._uses(wanted) else self._uses(wanted)
        found = await asyncio.gather(*(_read(version, with_rules=bool(uses)) for version in _VERSIONS))
        made += await self._apply_routes([route for routes, _ in found for route in routes], wanted)
        rules = dict(zip(_VERSIONS, (rules for _, rules in found), strict=True))
        for version, use in uses:
            made += await _make(rule_changes(rules[version], use), f"-{version}")
        return made

    async def _apply_link(self, plan: LinkPlan) -> list[tuple[str, str]]:
        """Raises IpFailed."""
        name = self._interface.name
        found = read_link(await ask_ip("address", "show", "dev", name))
        return await _make(list(link_changes(found, plan, name)))

    async def _apply_routes(self, found: Sequence[Route], wanted: _HostPlan) -> list[tuple[str, str]]:
        _, prefixes, reserved, routing, exit_, of_clients, back, mtus = wanted
        name, exits = self._interface.name, (routing.exit_table, routing.clients_table)
        others = [route for route in found if route.table not in map(str, exits)]
        changes = route_changes(others, prefixes, name, routing.table, reserved, mtus)
        for sentence in changes.conflicts.values():
            self._warn(sentence, self.conflicts.values())
        self.conflicts = changes.conflicts
        own = exit_changes(found, exit_, name, routing.exit_table, mtus=mtus)
        passed = exit_changes(found, of_clients[0], name, routing.clients_table, of_clients[1], mtus)
        returned = return_changes(found, back, routing.return_table)
        return await _make((*changes.lines, *own, *passed, *returned))

    def _uses(self, wanted: _HostPlan) -> list[tuple[int, TableUse]]:
        """Return who looks the tables up, by the version of IP."""
        link, _, _, routing, exit_, of_clients, back, _ = wanted
        return [
            (
                address.version,
                TableUse(
                    routing.table, routing.mark, str(address.network), routing.coordinator_port,
                    routing.exit_table, exit_ is not None,
                    routing.clients_table, self._interface.name if of_clients[0] is not None else "",
                    routing.return_table, _texts_of(back.sources if back else (), address.version),
                ),
            )
            for address in link.addresses
        ]  # fmt: skip

    async def _apply_reverse_path(self, routing: Routing) -> list[str]:
        """Return why it failed, if it did."""
        try:
            await accept_own(routing)
        except (IpFailed, NftFailed, OSError) as error:
            return [f"{_STRICT_FILTER}: {error}"]
        return []

    # -- The log -------------------------------------------------------------------------------------

    def _warn(self, sentence: str, known: Iterable[str]) -> str:
        """Log a sentence that is a new one."""
        if sentence not in known:
            _LOG.warning("%s", sentence)
        return sentence

    def _log_repair(self, made: Sequence[str]) -> None:
        """One line for all. The same repair is logged once a minute."""
        more = f" and {len(made) - _MAX_NAMED} more" if len(made) > _MAX_NAMED else ""
        sentence = f"repaired the host: {', '.join(made[:_MAX_NAMED])}{more}"
        last, when = self._logged
        if sentence != last or time.monotonic() - when >= _QUIET_TIME:
            _LOG.warning("%s", sentence)
            self._logged = sentence, time.monotonic()


async def _read(version: int, *, with_rules: bool) -> tuple[list[Route], list[Any]]:
    """Return the routes of the main table and those with our mark, and the rules. Raises IpFailed."""
    lines = ("route show table main", _MARKED_ROUTES, *(("rule",) if with_rules else ()))
    main, marked, *rules = await ask_ip_all(lines, "-N", f"-{version}")
    routes = [*read_routes(main, version), *read_marked_routes(marked, version)]
    return routes, rules[0] if with_rules else []


async def _read_marked_routes(version: int) -> list[Route]:
    """Raises IpFailed."""
    (found,) = await ask_ip_all((_MARKED_ROUTES,), "-N", f"-{version}")
    return read_marked_routes(found, version)


def _texts_of(prefixes: Iterable[Prefix], version: int) -> tuple[str, ...]:
    return tuple(str(prefix) for prefix in prefixes if prefix.version == version)


async def _make(lines: Sequence[str], *options: str) -> list[tuple[str, str]]:
    """Make changes; each with why it failed, or ""."""
    failures = await change_ip(lines, *options) if lines else {}
    return [(line, failures.get(index, "")) for index, line in enumerate(lines)]
