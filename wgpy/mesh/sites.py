"""The sites of a network: which are in force, and by which gateways. Pure. mesh.md, "Sites and translation".

Invariant: a site that is in force is changed by no announcement but those of its own gateways. Who announced
first keeps name, prefixes and what the mesh routes; an announcement of the same name with the same prefixes
adds a gateway, and one that is in the way of another site is not in force.

A node claims the time of its announcement; before its token was made is no such time. A coordinator refuses
other times than its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from itertools import chain
from operator import attrgetter
from typing import Final

from wgpy.address import Address, Prefix
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.addressing import NEVER_ANNOUNCED, SITE_LENGTH, is_exit
from wgpy.mesh.prefix_set import Prefixes
from wgpy.mesh.records import AnnouncedSite, Network
from wgpy.mesh.signing import VerifyKey

_NEVER: Final = Prefixes(NEVER_ANNOUNCED)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A node by which a site is reached.

    priority: the lowest is used first; is_routed: whether the hosts of the site have a route back to the
    mesh, so that the gateway does not masquerade.
    """

    identity: VerifyKey
    priority: int
    is_routed: bool


@dataclass(frozen=True, slots=True)
class Site:
    """Prefixes behind gateways.

    real: as the site has them; mapped: as the mesh routes them, one for one and of the same lengths, equal to
    `real` where the site has its real face; gateways: the one that is to be used first comes first; servers:
    its own name servers, by their real addresses; zones: about whose names they are asked; waiting: zones
    that its gateways announce and that nobody has approved.
    """

    name: str
    real: tuple[Prefix, ...]
    mapped: tuple[Prefix, ...]
    gateways: tuple[Gateway, ...]
    servers: tuple[Address, ...] = ()
    zones: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def is_mapped(self) -> bool:
        return self.mapped != self.real

    @property
    def is_exit(self) -> bool:
        """Whether a node may send by it what no other route has: if its prefixes are default routes."""
        return is_exit(self.real)

    def gateway(self, identity: VerifyKey) -> Gateway | None:
        """Return a node as a gateway of this site, if it is one."""
        return next((gateway for gateway in self.gateways if gateway.identity == identity), None)


class SiteExclusion(Enum):
    """Why a site that a node announces is not in force there."""

    NO_RIGHT = "nobody has approved it"
    NEVER = "no node may announce its prefixes"
    NAME_TAKEN = "another site has its name"
    NOT_OF_POOL = "its mapped prefixes are not of the network's pool"
    OVERLAPS = "it overlaps what the mesh routes to another node"


@dataclass(frozen=True, slots=True)
class ExcludedSite:
    """An announcement that is not in force. identity: of its node."""

    identity: VerifyKey
    site: AnnouncedSite
    reason: SiteExclusion


@dataclass(frozen=True, slots=True)
class Claim:
    """A site as a member announces it.

    since: Unix seconds, not before the member's token; is_allowed: whether token or approval let the member
    announce all of its prefixes; zones: those of the site's that an approval lets the member have.
    """

    identity: VerifyKey
    site: AnnouncedSite
    since: int
    is_allowed: bool
    zones: tuple[str, ...] = ()


def settle(
    network: Network, claims: Iterable[Claim], routes: Iterable[Prefix]
) -> tuple[tuple[Site, ...], tuple[ExcludedSite, ...]]:
    """Return the sites that are in force, the first one first, and what is not in force.

    routes: those of members, which no site takes.
    """
    settlement = _Settlement(network, routes)
    excluded = [
        ExcludedSite(claim.identity, claim.site, reason)
        for claim in sorted(claims, key=lambda claim: (claim.since, bytes(claim.identity), claim.site.name))
        if (reason := settlement.add(claim)) is not None
    ]
    return settlement.sites(), tuple(excluded)


class _Settlement:
    """Takes claims in the order of their time."""

    def __init__(self, network: Network, routes: Iterable[Prefix]) -> None:
        self._network = network
        self._ranges = Prefixes((network.addresses, network.addresses6, network.pool))
        self._taken = Prefixes(routes)
        self._claims: dict[str, list[Claim]] = {}  # by the site's name, the first one first

    def add(self, claim: Claim) -> SiteExclusion | None:
        """Return why it is not in force; None if it is."""
        if not claim.is_allowed:
            return SiteExclusion.NO_RIGHT
        if present := self._claims.get(claim.site.name):
            return self._add_gateway(claim, present)
        if reason := self._trouble(claim.site):
            return reason
        self._claims[claim.site.name] = [claim]
        for prefix in () if is_exit(claim.site.real) else claim.site.mapped:
            self._taken.add(prefix)
        return None

    @staticmethod
    def _add_gateway(claim: Claim, present: list[Claim]) -> SiteExclusion | None:
        if claim.site.real != present[0].site.real:
            return SiteExclusion.NAME_TAKEN
        present.append(claim)
        return None

    def _trouble(self, site: AnnouncedSite) -> SiteExclusion | None:
        is_mapped = site.mapped != site.real
        if is_exit(site.real):  # it takes nothing from anybody
            return None
        if any(map(_NEVER.overlap, site.real)):
            return SiteExclusion.NEVER
        if is_mapped and not all(is_mappable(self._network, prefix) for prefix in site.mapped):
            return SiteExclusion.NOT_OF_POOL
        is_taken = any(map(self._ranges.overlap, site.real)) or any(map(self._taken.overlap, site.mapped))
        return SiteExclusion.OVERLAPS if is_taken else None

    def sites(self) -> tuple[Site, ...]:
        return tuple(map(_site, self._claims.values()))


def _site(claims: Sequence[Claim]) -> Site:
    """claims: those of its gateways, the first one first; the first with approved zones names the site's."""
    first = claims[0].site
    named = next((claim for claim in claims if claim.zones), None)
    servers, zones = (named.site.servers, named.zones) if named else ((), ())
    gateways = (Gateway(claim.identity, claim.site.priority, claim.site.is_routed) for claim in claims)
    in_order = tuple(sorted(gateways, key=attrgetter("priority")))
    return Site(first.name, first.real, first.mapped, in_order, servers, zones, _waiting(claims, zones))


def _waiting(claims: Iterable[Claim], used: Sequence[str]) -> tuple[str, ...]:
    announced = (zone for claim in claims for zone in claim.site.zones if zone not in claim.zones)
    return tuple(dict.fromkeys(zone for zone in announced if zone not in used))


def is_mappable(network: Network, prefix: Prefix) -> bool:
    """Return whether a site may be mapped to a prefix: of the pool, or of the /48 of a site other than 0."""
    if isinstance(prefix, IPv4Network):
        return prefix.subnet_of(network.pool)
    return prefix.subnet_of(network.addresses6) and not prefix.overlaps(site_range(network, 0))


def site_range(network: Network, number: int) -> IPv6Network:
    """Return the /48 of a site, by its number; nodes live in that of 0. Raises ValueError for no number."""
    base = int(network.addresses6.network_address)
    if not 0 <= number < 1 << (SITE_LENGTH - network.addresses6.prefixlen):
        raise ValueError(f"{network.addresses6} has no site {number}")
    return IPv6Network((base + (number << (128 - SITE_LENGTH)), SITE_LENGTH))


def lost_site(before: Iterable[Site], after: Iterable[Site], signer: VerifyKey) -> str:
    """Return the name of a site that other nodes would lose by a record, or "".

    signer: of the record, or its subject, whose own sites it may change.
    """
    now = {site.name: site for site in after}
    for site in before:
        others = {gateway for gateway in site.gateways if gateway.identity != signer}
        left = now.get(site.name)
        if others and (left is None or left.mapped != site.mapped or not others <= set(left.gateways)):
            return site.name
    return ""


def within(site: Site, prefixes: Iterable[Prefix]) -> Iterator[Prefix]:
    """Give what the mesh routes of prefixes of a site; nothing for what is not of the site.

    A prefix is as it is there, or as the mesh routes it: of IPv6 only the latter if the site is mapped, as an
    address of a mapped site does not keep its other bits (RFC 6296).
    """
    pairs = tuple(zip(site.real, site.mapped, strict=True))
    for prefix in prefixes:
        for real, mapped in pairs:
            if (moved := _moved(prefix, real, mapped)) is not None:
                yield moved
                break


def _moved(prefix: Prefix, real: Prefix, mapped: Prefix) -> Prefix | None:
    if is_within(prefix, real) and real == mapped:
        return prefix
    if isinstance(prefix, IPv4Network) and is_within(prefix, real):
        offset = int(prefix.network_address) - int(real.network_address)
        return IPv4Network((int(mapped.network_address) + offset, prefix.prefixlen))
    return prefix if is_within(prefix, mapped) else None


def is_within(prefix: Prefix, other: Prefix) -> bool:
    """Return whether a prefix is part of another one, of either version of IP."""
    if isinstance(prefix, IPv4Network):
        return isinstance(other, IPv4Network) and prefix.subnet_of(other)
    return isinstance(other, IPv6Network) and prefix.subnet_of(other)


def own_sites(sites: Iterable[Site], identity: VerifyKey) -> Iterator[Site]:
    """Give the sites that a node is a gateway of."""
    return (site for site in sites if site.gateway(identity) is not None)


def sites_by_gateway(sites: Iterable[Site]) -> Mapping[VerifyKey, Sequence[Site]]:
    """Return the sites that each node is a gateway of, for many look-ups."""
    found: dict[VerifyKey, list[Site]] = {}
    for site in sites:
        for gateway in site.gateways:
            found.setdefault(gateway.identity, []).append(site)
    return found


def prefixes_of(sites: Iterable[Site]) -> Iterator[Prefix]:
    """Give all that the mesh routes to sites, and so takes from others: an exit takes nothing."""
    return chain.from_iterable(site.mapped for site in sites if not site.is_exit)
