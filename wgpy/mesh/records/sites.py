"""The sites that a node is a gateway of, as the node announces them.

One record has all sites of its node, so a site that the node withdraws is gone with the next record: nothing
of it stays, and a node cannot fill a network with names that it used once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Final

from wgpy.address import Address, Prefix, overlap
from wgpy.mesh.codec import SPARSE
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.zones import zones_trouble

from .base import MAX_ITEMS, Audience, Author, Kind, NameOf, check_name, check_record

REAL: Final = "real"
MAPPED: Final = "mapped"
EITHER: Final = "either"
FACES: Final = (REAL, MAPPED, EITHER)
DEFAULT_PRIORITY: Final = 100
MAX_PRIORITY: Final = 65_535
MAX_ZONE_TEXT: Final = 4096  # characters of all zones of a node
MAX_ALL_ZONES: Final = 64  # of all sites of a node, with their name servers
MAX_SITES: Final = 200  # of a node: with their MAX_ITEMS prefixes they fit in a body


@dataclass(frozen=True, slots=True)
class AnnouncedSite:
    """A site, as one of its gateways announces it.

    real: its prefixes, in order; mapped: what the mesh routes, one for one and of the same lengths, equal to
    `real` where the site has its real face; face: which one was asked for; is_routed: whether the hosts of
    the site have a route back, so that the gateway does not masquerade; priority: the lowest is used first;
    since: when the gateway announced it first, Unix seconds; servers: the site's own name servers, by their
    real addresses, which are asked about names of `zones`, in lower case. Both are empty, or neither is.
    """

    name: str
    real: tuple[Prefix, ...]
    mapped: tuple[Prefix, ...]
    face: str
    is_routed: bool
    priority: int
    since: int
    servers: tuple[Address, ...] = field(default=(), metadata={SPARSE: True})
    zones: tuple[str, ...] = field(default=(), metadata={SPARSE: True})

    def __post_init__(self) -> None:
        """Raises ValueError."""
        check_name(self.name)
        if self.face not in FACES:
            raise ValueError(f"{self.face!r} is not {', '.join(FACES)}")
        if not 0 <= self.priority <= MAX_PRIORITY:
            raise ValueError(f"a priority is 0 to {MAX_PRIORITY}")
        if not self.real or self.real != in_order(self.real):
            raise ValueError("a site has prefixes, in order")
        if list(map(_shape, self.real)) != list(map(_shape, self.mapped)):
            raise ValueError("a mapped prefix is as long as the real one")
        if trouble := zones_trouble(self.real, self.servers, self.zones):
            raise ValueError(trouble)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """Of which sites a node is a gateway: all, and no other. sequence: the highest of an identity counts."""

    network: bytes
    signer: VerifyKey
    sequence: int
    sites: tuple[AnnouncedSite, ...]

    def __post_init__(self) -> None:
        """Raises ValueError."""
        check_record(self)
        if len(self.sites) > MAX_SITES:
            raise ValueError(f"more than {MAX_SITES} sites")
        if len({site.name for site in self.sites}) < len(self.sites):
            raise ValueError("a node announces a site once")
        if sum(len(site.real) for site in self.sites) > MAX_ITEMS:
            raise ValueError(f"more than {MAX_ITEMS} prefixes of sites")
        if sum(len(site.zones) + len(site.servers) for site in self.sites) > MAX_ALL_ZONES:
            raise ValueError(f"more than {MAX_ALL_ZONES} zones and name servers of sites")
        if sum(len(zone) for site in self.sites for zone in site.zones) > MAX_ZONE_TEXT:
            raise ValueError(f"more than {MAX_ZONE_TEXT} characters of zones of sites")
        if meeting := overlapping(chain.from_iterable(site.real for site in self.sites)):
            raise ValueError(f"{meeting[0]} and {meeting[1]} overlap")

    def site(self, name: str) -> AnnouncedSite | None:
        return next((site for site in self.sites if site.name == name), None)


def routed_to_site(sites: Iterable[AnnouncedSite], route: Prefix) -> AnnouncedSite | None:
    """Return the site of these to which the mesh routes a prefix or a part of it: no exit."""
    return next(
        (site for site in sites if any(overlap(route, mapped) for mapped in site.mapped if mapped.prefixlen)),
        None,
    )


def in_order(prefixes: tuple[Prefix, ...]) -> tuple[Prefix, ...]:
    """Return prefixes in the order that a record has them in: so a site has one spelling."""
    return tuple(sorted(prefixes, key=_place))


def overlapping(prefixes: Iterable[Prefix]) -> tuple[Prefix, Prefix] | None:
    """Return two prefixes that overlap. A default route contains everything, and is none of them."""
    ordered = sorted((prefix for prefix in prefixes if prefix.prefixlen), key=_place)
    return next((pair for pair in pairwise(ordered) if overlap(*pair)), None)


def _place(prefix: Prefix) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def _shape(prefix: Prefix) -> tuple[int, int]:
    return prefix.version, prefix.prefixlen


def _audit(record: Sites, before: Sites | None, name_of: NameOf) -> str:
    """Say what is new, and what is gone."""
    old = {site.name: site for site in before.sites} if before else {}
    new = {site.name: site for site in record.sites}
    changed = [_shown(site) for name, site in new.items() if old.get(name) != site]
    gone = [f"no more {name}" for name in old if name not in new]
    return f"sites of {name_of(record.signer)}: {', '.join([*changed, *gone]) or 'unchanged'}"


def _shown(site: AnnouncedSite) -> str:
    real, mapped = " ".join(map(str, site.real)), " ".join(map(str, site.mapped))
    zones = f" with {' '.join(site.zones)} by {' '.join(map(str, site.servers))}" if site.zones else ""
    return f"{site.name} {real}{'' if real == mapped else f' as {mapped}'}{zones}"


KIND: Final[Kind[Sites]] = Kind(
    name="sites",
    version=1,
    record=Sites,
    author=Author.NODE,
    audience=Audience.REACHABLE,
    limit=100_000,
    subject=lambda sites: bytes(sites.signer),
    describe=lambda sites: f"sites of {sites.signer}",
    audit=_audit,
)
