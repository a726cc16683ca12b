"""What leads into the mesh's interface, and what must not since it is another's already. Pure; ip-route(8)

Invariant: only routes with our mark are ever deleted, and none is added where another to the same prefix is:
it would take what is another's, whatever the metric of either.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

from wgpy.address import Prefix

# Who made a route, in its field for that. The kernel's header and iproute2's rt_protos leave 151 free, and so
# do the routing daemons (FRR to 197, BIRD, Calico's 80, OVN's 84, Open/R's 99).
PROTOCOL: Final = "151"
_BOOT: Final = "3"  # of routes without a protocol of their own; `ip` then leaves it out
_EVERYWHERE: Final = {4: "0.0.0.0/0", 6: "::/0"}
# linux/rtnetlink.h: RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT
_NOWHERE: Final = {"6", "7", "8"}
_DEFAULT_METRIC: Final = {4: 0, 6: 1024}  # of what we add; the lesser is used


@dataclass(frozen=True, slots=True)
class Route:
    """One of the host. device: "" if it leads by several; via: the next hop, "" if there is none."""

    prefix: Prefix
    device: str = ""
    via: str = ""
    protocol: str = _BOOT
    metric: int = 0
    leads_nowhere: bool = False

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
    return [_read_route(found, version) for found in answer]


def _read_route(found: Mapping[str, Any], version: int) -> Route:
    destination = found["dst"]
    return Route(
        ip_network(_EVERYWHERE[version] if destination == "default" else destination),
        found.get("dev", ""),
        found.get("gateway", "") or found.get("via", {}).get("host", ""),
        found.get("protocol", _BOOT),
        found.get("metric", 0),
        found.get("type", "") in _NOWHERE,
    )


def route_changes(found: Sequence[Route], wanted: Sequence[Prefix], interface: str) -> RouteChanges:
    """Return what makes the wanted prefixes lead into the interface, as far as nothing else has them."""
    planned = frozenset(wanted)
    present = {route.prefix for route in found if route.device == interface}
    marked = [route.prefix for route in found if _is_own(route, interface)]
    rivals = {
        route.prefix: route for route in found if route.prefix in planned and _is_rival(route, interface)
    }
    return RouteChanges(
        (
            *(
                _line("delete", prefix, interface)
                for prefix in marked
                if prefix not in planned or prefix in rivals
            ),
            *(
                _line("add", prefix, interface)
                for prefix in dict.fromkeys(wanted)
                if prefix not in present and prefix not in rivals
            ),
        ),
        {prefix: f"{prefix} is not used here: {route}" for prefix, route in rivals.items()},
    )


def _is_own(route: Route, interface: str) -> bool:
    return route.protocol == PROTOCOL and route.device == interface


def _is_rival(route: Route, interface: str) -> bool:
    """What leads nowhere and gives way to ours is meant for when ours is not there."""
    gives_way = route.leads_nowhere and route.metric > _DEFAULT_METRIC[route.prefix.version]
    return route.device != interface and not gives_way


def _line(verb: str, prefix: Prefix, interface: str) -> str:
    return f"route {verb} {prefix} dev {interface} proto {PROTOCOL}"
