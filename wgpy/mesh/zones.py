"""The DNS zones of a site, about whose names the site's own name servers are asked. Pure.

Invariant: nobody announces a top-level domain of the Internet, nor what the mesh or a host answers by itself.

A zone below `local`, such as a cluster's cluster.local, is the same at many sites. So nobody asks for it by
its own name, and it needs no approval: its names are asked for below the site's own name in the mesh.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from wgpy.address import Address, Prefix

from .addressing import is_exit

MAX_ZONES: Final = 16  # of a site
MAX_SERVERS: Final = 4  # of a site
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LONGEST: Final = 253  # characters of a name
_PRIVATE: Final = frozenset(("corp", "home", "internal", "intranet", "lan", "localdomain", "private"))
_OTHERS: Final = frozenset(("arpa", "localhost", "mesh"))
_LOCAL: Final = "local"  # RFC 6762 section 3
_HOME: Final = "home.arpa"  # RFC 8375


def zone_trouble(zone: str) -> str:
    """Return why no site can have a zone, or "". zone: in lower case, without a dot at its end."""
    labels = zone.split(".")
    if len(zone) > _LONGEST or not all(map(_LABEL.fullmatch, labels)):
        return f"{zone!r} is no DNS zone: want a name such as office.example, in letters of ASCII"
    if labels[-1] in _OTHERS and labels[-2:] != _HOME.split("."):
        return f"{zone} is no zone of a site: names below {labels[-1]} are answered elsewhere"
    if len(labels) == 1 and zone not in _PRIVATE:
        return f"{zone} is no zone of a site: of top-level domains it may have {', '.join(sorted(_PRIVATE))}"
    return ""


def zones_trouble(real: Iterable[Prefix], servers: Sequence[Address], zones: Sequence[str]) -> str:
    """Return why a site cannot have these name servers and zones, or ""."""
    prefixes = tuple(real)
    if bool(servers) != bool(zones):
        return "a site's zones and its name servers go together: give both, --dns ADDRESS and --zone ZONE"
    if zones and is_exit(prefixes):
        return "an exit has no zones: nodes that use it have its gateway asked for all names"
    if len(servers) > MAX_SERVERS or len(zones) > MAX_ZONES:
        return f"a site has at most {MAX_SERVERS} name servers and {MAX_ZONES} zones"
    if len({*servers}) < len(servers) or len({*zones}) < len(zones):
        return "name each name server and each zone of a site once"
    for server in servers:
        if not any(_contains(prefix, server) for prefix in prefixes):
            return f"{server} is no address of the site: its name servers are in its own prefixes"
    return next(filter(None, map(zone_trouble, zones)), "")


def is_local(zone: str) -> bool:
    """Return whether the names of a zone are asked for below the name of its site alone."""
    return zone.rsplit(".", maxsplit=1)[-1] == _LOCAL


def unapproved(zones: Iterable[str], approved: Sequence[str]) -> tuple[str, ...]:
    """Return the zones that are neither approved nor below what is."""
    return tuple(
        zone
        for zone in zones
        if not is_local(zone) and not any(_is_at_or_below(zone, one) for one in approved)
    )


def _is_at_or_below(zone: str, parent: str) -> bool:
    return zone == parent or zone.endswith(f".{parent}")


def _contains(prefix: Prefix, address: Address) -> bool:
    return prefix.version == address.version and address in prefix
