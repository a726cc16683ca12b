"""What leads into the mesh's interface, and what must not since it is another's already. Pure; ip-route(8)

Our routes are in a table of their own, which is looked up before the main one. Of all routes the longest
prefix counts, as if there were one table: where another route is within one of ours, ours has an exception
(`throw`). What has no way into the interface leads nowhere, also while the daemon is away; and so does what
is reserved, unless something else has it.

Invariant: only routes with our mark are ever deleted, and none is added where another to the same prefix is:
it would take what is another's, whatever the metric of either.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, Final

from wgpy.address import Prefix
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.host.iprule import MAIN_TABLE, PROTOCOL
from wgpy.mesh.addressing import DEFAULT_ROUTES
from wgpy.mesh.exit import Exit
from wgpy.mesh.prefix_set import Prefixes
from wgpy.mesh.return_route import ReturnRoute

_BOOT: Final = "3"  # of routes without a protocol of their own; `ip` then leaves it out
_KERNEL: Final = "2"  # of the network of an address
_EVERYWHERE: Final = {4: "0.0.0.0/0", 6: "::/0"}
_DEFAULT_METRIC: Final = {4: 0, 6: 1024}  # of what we add; the lesser is used
_LAST_METRIC: Final = 4278198272  # gives way to every route that leads somewhere

# linux/rtnetlink.h: RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW
_UNICAST: Final = "1"
_UNREACHABLE: Final = "7"
_THROW: Final = "9"
_NOWHERE: Final = {"6", _UNREACHABLE, "8"}
_NO_MTUS: Final[Mapping[Prefix, int]] = {}
_NAMES: Final = {_UNREACHABLE: "unreachable ", _THROW: "throw "}


@dataclass(frozen=True, slots=True)
class Route:
    """One of the host.

    device: "" if it leads by several; via: the next hop, "" if there is none; kind: as in linux/rtnetlink.h;
    mtu: of its packets, 0 for that of the device.
    """

    prefix: Prefix
    device: str = ""
    via: str = ""
    protocol: str = _BOOT
    metric: int = 0
    kind: str = _UNICAST
    table: str = MAIN_TABLE
    mtu: int = 0

    @property
    def leads_nowhere(self) -> bool:
        return self.kind in _NOWHERE

    def __str__(self) -> str:
        if self.protocol == PROTOCOL:
            return f"another network of this host has it, on {self.device}"
        if self.leads_nowhere:
            return "a route of this host makes it unreachable"
        via = f"via {self.via} " if self.via else ""
        return f"this host routes it {via}by {self.device or 'several interfaces'}"


@dataclass(frozen=True, slots=True)
class RouteChanges:
    """lines: for `ip`; conflicts: by the prefix that is not used for it, a sentence."""

    lines: tuple[str, ...]
    conflicts: Mapping[Prefix, str]


def read_routes(answer: Iterable[Mapping[str, Any]], version: int) -> list[Route]:
    """Read what `ip -N -json route show table main` answers for a version of IP."""
    return [_read_route(found, version, _BOOT) for found in answer]


def read_marked_routes(answer: Iterable[Mapping[str, Any]], version: int) -> list[Route]:
    """Read what `ip -N -json route show table all proto 151` answers, without those of the main table."""
    return [_read_route(found, version, PROTOCOL) for found in answer if "table" in found]


def _read_route(found: Mapping[str, Any], version: int, protocol: str) -> Route:
    destination, kind = found["dst"], found.get("type", _UNICAST)
    return Route(
        ip_network(_EVERYWHERE[version] if destination == "default" else destination),
        found.get("dev", "") if kind == _UNICAST else "",
        found.get("gateway", "") or found.get("via", {}).get("host", ""),
        found.get("protocol", protocol),
        found.get("metric", 0),
        kind,
        found.get("table", MAIN_TABLE),
        next((metrics["mtu"] for metrics in found.get("metrics", ()) if "mtu" in metrics), 0),
    )


def route_changes(
    found: Sequence[Route],
    wanted: Sequence[Prefix],
    interface: str,
    table: int,
    reserved: Iterable[Prefix] = (),
    mtus: Mapping[Prefix, int] = _NO_MTUS,
) -> RouteChanges:
    """Return what makes the wanted prefixes lead into the interface, as far as nothing else has them.

    reserved: prefixes that lead nowhere, unless anything else has them; none of the wanted ones covers them;
    mtus: of prefixes that are wanted with a smaller one than the interface has; default routes are an exit's.
    """
    planned, number = frozenset((*wanted, *mtus)).difference(DEFAULT_ROUTES), str(table)
    own = [route for route in found if (route.table, route.protocol) == (number, PROTOCOL)]
    others = [route for route in found if route.table != number and _is_others(route, interface, planned)]
    present = {route.prefix for route in own if route.device == interface}
    ours = planned.union(reserved)
    rivals = {
        route.prefix: route
        for route in others
        if route.prefix in ours and _is_rival(route, number, route.prefix in present)
    }
    made = {
        *_ways(planned - rivals.keys(), interface, number, mtus),
        *_ends(ours - rivals.keys(), number),
        *_exceptions(ours, rivals, others, number),
    }
    stale = [route for route in found if route.table != number and _is_stale(route, interface, planned)]
    return RouteChanges(
        (*_difference(own, made), *(_line("delete", route) for route in stale)),
        {
            prefix: f"{prefix} is not used here: {route}"
            for prefix, route in rivals.items()
            if prefix in planned
        },
    )


def exit_changes(
    found: Iterable[Route],
    exit_: Exit | None,
    interface: str,
    table: int,
    behind: Iterable[Prefix] = (),
    mtus: Mapping[Prefix, int] = _NO_MTUS,
) -> tuple[str, ...]:
    """Return what makes the default routes of an exit lead into the interface, and all others nowhere.

    found: routes with our mark; behind: what the table has exceptions for; mtus: as in `route_changes`.
    Without an exit it has none.
    """
    own = [route for route in found if (route.table, route.protocol) == (str(table), PROTOCOL)]
    made = set[Route]()
    if exit_:
        made.update(_ways(exit_.routes, interface, str(table), mtus), _ends(DEFAULT_ROUTES, str(table)))
        made.update(_exception(prefix, str(table)) for prefix in behind)
    return tuple(_difference(own, made))


def return_changes(found: Iterable[Route], wanted: ReturnRoute | None, table: int) -> tuple[str, ...]:
    """Return what makes the table of the return route that of a host of a site. found: as above."""
    own = [route for route in found if (route.table, route.protocol) == (str(table), PROTOCOL)]
    made = {
        Route(prefix, "", str(gateway), PROTOCOL, _DEFAULT_METRIC[prefix.version], _UNICAST, str(table))
        for gateway in (wanted.gateways if wanted else ())
        for prefix in (wanted.destinations if wanted else ())
        if prefix.version == gateway.version
    }
    return tuple(_difference([replace(route, device="") for route in own], made))


def _difference(own: Sequence[Route], made: Collection[Route]) -> Iterator[str]:
    """Give lines for `ip` that leave nothing of what is ours without a way or an end meanwhile."""
    old = [route for route in own if route not in made]
    yield from (_line("delete", route) for route in old if route.kind != _UNREACHABLE)
    yield from (_line("add", route) for route in sorted({*made} - {*own}, key=_order))
    yield from (_line("delete", route) for route in old if route.kind == _UNREACHABLE)


def leading_nowhere(found: Iterable[Route], table: int) -> frozenset[Prefix]:
    """Return the prefixes that a network's table has ways to, or none."""
    return frozenset(
        route.prefix for route in found if (route.table, route.kind) == (str(table), _UNREACHABLE)
    )


def _ways(
    prefixes: Iterable[Prefix], interface: str, table: str, mtus: Mapping[Prefix, int] = _NO_MTUS
) -> Iterable[Route]:
    for prefix in prefixes:
        metric, mtu = _DEFAULT_METRIC[prefix.version], mtus.get(prefix, 0)
        yield Route(prefix, interface, "", PROTOCOL, metric, _UNICAST, table, mtu)


def _ends(prefixes: Iterable[Prefix], table: str) -> Iterable[Route]:
    for prefix in prefixes:
        yield Route(prefix, "", "", PROTOCOL, _LAST_METRIC, _UNREACHABLE, table)


def _exceptions(
    ours: frozenset[Prefix], rivals: Collection[Prefix], others: Iterable[Route], table: str
) -> Iterable[Route]:
    """Give those for what others have within ours."""
    covering = Prefixes(ours)
    for prefix in {route.prefix for route in others} - ours.difference(rivals):
        if covering.cover(prefix):
            yield _exception(prefix, table)


def _exception(prefix: Prefix, table: str) -> Route:
    return Route(prefix, "", "", PROTOCOL, _DEFAULT_METRIC[prefix.version], _THROW, table)


def _is_others(route: Route, interface: str, planned: frozenset[Prefix]) -> bool:
    """Whether another has the prefix of a route.

    An exception of a network has nothing itself, and a return route, which has a gateway and a table of its
    own, is for some alone.
    """
    is_exception = (route.protocol, route.kind) == (PROTOCOL, _THROW)
    is_return_route = route.protocol == PROTOCOL and route.via != "" and route.table != MAIN_TABLE
    return not is_exception and not is_return_route and not _is_ours(route, interface, planned)


def _is_ours(route: Route, interface: str, planned: frozenset[Prefix]) -> bool:
    """Whether a route of another table is no exception: whoever made it, it leads into our interface."""
    return route.device == interface and (route.prefix in planned or route.protocol == PROTOCOL)


def _is_stale(route: Route, interface: str, planned: frozenset[Prefix]) -> bool:
    """Whether it must go from the main table: an older wgpyd's, and the kernel's of our address."""
    by_kernel = route.protocol == _KERNEL and route.prefix in planned
    return route.device == interface and (by_kernel or route.protocol == PROTOCOL)


def _is_rival(route: Route, table: str, is_present: bool) -> bool:
    """What leads nowhere and gives way to ours is meant for when ours is not there.

    Of two networks of this host the one that has the prefix keeps it; of two that have it, the lower table's.
    """
    if route.protocol == PROTOCOL and route.table != MAIN_TABLE:
        return route.kind == _UNICAST and not (is_present and int(table) < int(route.table))
    return not (route.leads_nowhere and route.metric > _DEFAULT_METRIC[route.prefix.version])


def _order(route: Route) -> tuple[bool, int, Prefix]:
    """Wherever it leads, what leads nowhere comes first."""
    return route.kind != _UNREACHABLE, route.prefix.version, route.prefix


def _line(verb: str, route: Route) -> str:
    device = f" via {route.via}" if route.via and route.protocol == PROTOCOL else ""
    device += f" dev {route.device}" if route.device else ""
    metric = f" metric {route.metric}" if route.kind == _UNREACHABLE else ""
    kind = _NAMES.get(route.kind, "")
    mtu = f" mtu {route.mtu}" if route.mtu else ""
    return (
        f"route {verb} {kind}{route.prefix}{device} table {route.table} proto {route.protocol}{metric}{mtu}"
    )
