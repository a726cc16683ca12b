"""Which face a new site gets, and what it is mapped to. Pure. mesh.md, "Sites and translation".

Invariant: a proposal is in the way of no site that is in force, and never smaller than what was asked for. It
also avoids sites that wait for an approval, and what is reserved, as far as something else is free: these
take nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import chain, count
from typing import Final

from wgpy.address import Prefix, overlap
from wgpy.contract.errors import WgpyError
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.mesh.addressing import SITE_LENGTH, announcement_trouble, is_exit
from wgpy.mesh.records import Network
from wgpy.mesh.records.sites import MAPPED, REAL, in_order, overlapping
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import ExcludedSite, Site, SiteExclusion, is_mappable, prefixes_of, site_range
from wgpy.mesh.topology import Topology

_BEHIND_SITE: Final = (1 << (128 - SITE_LENGTH)) - 1  # a mask: the bits behind the /48 of a site

_ALONE: Final = "; default routes alone make an exit: give the other prefixes to another site"


class SiteRefused(WgpyError, ValueError):
    """A site cannot be announced so; one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class WantedSite:
    """What a node wants to announce. prefixes: of the site, in order; face: real, mapped or either."""

    name: str
    prefixes: tuple[Prefix, ...]
    face: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """mapped: what the mesh is to route for each prefix; reason: why that is so, "" if nothing is to say."""

    mapped: tuple[Prefix, ...]
    reason: str = ""


def check_prefixes(prefixes: tuple[Prefix, ...]) -> tuple[Prefix, ...]:
    """Return prefixes in the order that a record has them in. Raises SiteRefused."""
    trouble = "" if is_exit(prefixes) else next(filter(None, map(announcement_trouble, prefixes)), "")
    if trouble:
        raise SiteRefused(f"{trouble}{_ALONE if any(not one.prefixlen for one in prefixes) else ''}")
    if len(set(prefixes)) < len(prefixes):
        raise SiteRefused("a prefix is named twice: name it once")
    if pair := overlapping(prefixes):
        raise SiteRefused(f"{pair[0]} and {pair[1]} overlap: name one of them")
    return in_order(prefixes)


def propose(
    network: Network,
    topology: Topology,
    identity: VerifyKey,
    wanted: WantedSite,
    reserved: Iterable[Prefix] = (),
) -> Proposal:
    """Return what the mesh is to route for a site that a node wants to announce. Raises SiteRefused.

    topology: of all nodes; identity: the node's; reserved: of the pool, for what other nodes announce soon.
    """
    check_prefixes(wanted.prefixes)
    if not is_exit(wanted.prefixes):
        _check_ranges(network, wanted)
    if site := topology.site(wanted.name):
        if site.real != wanted.prefixes and all(one.identity == identity for one in site.gateways):
            return _changed(network, topology, identity, site, wanted, tuple(reserved))
        return _as_another_gateway(site, wanted)
    if any(member.name == wanted.name for member in topology.members):
        raise SiteRefused(f"{wanted.name} is the name of a node: choose another name for the site")
    if is_exit(wanted.prefixes):
        return _exit(wanted)
    view = _View(topology, identity)
    if wanted.face == REAL:
        return _real(view, wanted)
    waiting = tuple(_waiting(topology, wanted.name))
    reason = "that was asked for" if wanted.face == MAPPED else view.obstacle(wanted.prefixes, waiting)
    if not reason:
        return Proposal(wanted.prefixes)
    requested = [*reserved, *(prefix for one in waiting for prefix in one.site.mapped)]
    return Proposal(_mapped(network, topology, wanted, requested), reason)


def _waiting(topology: Topology, name: str) -> Iterator[ExcludedSite]:
    """Give what waits for an approval, save other gateways of the wanted site, and exits."""
    for one in topology.excluded_sites:
        if one.reason is SiteExclusion.NO_RIGHT and one.site.name != name and not is_exit(one.site.real):
            yield one


def is_proposal(network: Network, wanted: WantedSite, proposal: Proposal) -> bool:
    """Return whether a proposal, whoever made it, is of the right lengths and of the network's pool."""
    lengths = [(prefix.version, prefix.prefixlen) for prefix in wanted.prefixes]
    if lengths != [(prefix.version, prefix.prefixlen) for prefix in proposal.mapped]:
        return False
    return proposal.mapped == wanted.prefixes or all(is_mappable(network, one) for one in proposal.mapped)


def _check_ranges(network: Network, wanted: WantedSite) -> None:
    """Raise SiteRefused if a gateway could not tell the site's addresses from those of the mesh."""
    ranges: dict[Prefix, str] = dict.fromkeys((network.addresses, network.addresses6), "the range of")
    ranges[network.pool] = "the pool of"
    for prefix in wanted.prefixes:
        for known, what in ranges.items():
            if overlap(prefix, known):
                raise SiteRefused(
                    f"{prefix} overlaps {known}, {what} {network.name} itself, which no site can be in: give "
                    "a narrower prefix"
                )


def _as_another_gateway(site: Site, wanted: WantedSite) -> Proposal:
    """Raises SiteRefused."""
    if site.real != wanted.prefixes:
        raise SiteRefused(
            f"{site.name} already is {_listed(site.real)}: give another name, or exactly these prefixes for "
            "another gateway"
        )
    if wanted.face not in ("either", MAPPED if site.is_mapped else REAL):
        raise SiteRefused(
            f"{site.name} is reached as {_listed(site.mapped)}, as its first gateway announced it: leave out "
            f"--{wanted.face}"
        )
    return Proposal(site.mapped, f"{site.name} has another gateway already")


def _changed(
    network: Network,
    topology: Topology,
    identity: VerifyKey,
    site: Site,
    wanted: WantedSite,
    reserved: tuple[Prefix, ...],
) -> Proposal:
    """Propose other prefixes for a site of one gateway; those that stay are mapped as before.

    Raises SiteRefused.
    """
    if not site.is_mapped or site.is_exit or is_exit(wanted.prefixes) or wanted.face == REAL:
        others = tuple(one for one in topology.sites if one.name != site.name)
        return propose(network, replace(topology, sites=others), identity, wanted, reserved)
    found = dict(zip(site.real, site.mapped, strict=True))
    new = WantedSite(site.name, tuple(one for one in wanted.prefixes if one not in found), MAPPED)
    waiting = (prefix for one in _waiting(topology, site.name) for prefix in one.site.mapped)
    found.update(zip(new.prefixes, _mapped(network, topology, new, [*reserved, *waiting]), strict=True))
    return Proposal(tuple(found[prefix] for prefix in wanted.prefixes), f"{site.name} was mapped before")


def _exit(wanted: WantedSite) -> Proposal:
    """Raises SiteRefused."""
    if wanted.face == MAPPED:
        raise SiteRefused(f"{wanted.name} is an exit, as its prefixes are default routes: leave out --mapped")
    return Proposal(wanted.prefixes)


def _real(view: "_View", wanted: WantedSite) -> Proposal:
    """Raises SiteRefused."""
    if taken := view.taken(wanted.prefixes):
        raise SiteRefused(f"{wanted.name} cannot have its real face, because {taken}: leave out --real")
    return Proposal(wanted.prefixes)


@dataclass(frozen=True, slots=True)
class _View:
    """What a node is told of others: those that no rule joins with it have no names for it."""

    topology: Topology
    identity: VerifyKey

    @property
    def _sites(self) -> Iterator[Site]:
        """Give those that are in the way of others: an exit is not."""
        return (site for site in self.topology.sites if not site.is_exit)

    def obstacle(self, prefixes: tuple[Prefix, ...], waiting: Iterable[ExcludedSite]) -> str:
        """Return why prefixes are better not routed as they are, or ""."""
        return next(
            chain(self._routed(prefixes), self._in_use(prefixes), self._requested(prefixes, waiting)), ""
        )

    def taken(self, prefixes: Iterable[Prefix]) -> str:
        """Return what the mesh routes already, or ""."""
        return next(self._routed(tuple(prefixes)), "")

    def _routed(self, prefixes: tuple[Prefix, ...]) -> Iterator[str]:
        for site in self._sites:
            for prefix in _meeting(site.mapped, prefixes):
                yield f"{self._name_of(site)} already is {prefix}"
        for member in self.topology.members:
            for prefix in _meeting(member.routes, prefixes):
                yield f"{self._called(member.identity, member.name)} already announces {prefix}"

    def _in_use(self, prefixes: tuple[Prefix, ...]) -> Iterator[str]:
        """Give what would be in the way of hosts that have such addresses nearby."""
        for site in self._sites:
            for prefix in _meeting(site.real, prefixes):
                yield f"{self._name_of(site)} already is {prefix}"
        for member in self.topology.members:
            for endpoint in member.endpoints if member.identity != self.identity else ():
                if any(prefix for prefix in prefixes if _contains(prefix, endpoint.address)):
                    yield self._is_at(member.identity, member.name, endpoint.address)

    def _requested(self, prefixes: tuple[Prefix, ...], waiting: Iterable[ExcludedSite]) -> Iterator[str]:
        for one in waiting:
            name = one.site.name if self._knows(one.identity) else "another site"
            for prefix in _meeting((*one.site.mapped, *one.site.real), prefixes):
                yield f"{name} waits for an approval as {prefix}"

    def _name_of(self, site: Site) -> str:
        known = any(self._knows(gateway.identity) for gateway in site.gateways)
        return site.name if known else "another site"

    def _called(self, identity: VerifyKey, name: str) -> str:
        return name if name and self._knows(identity) else "another node"

    def _is_at(self, identity: VerifyKey, name: str, address: str) -> str:
        if not self._knows(identity):
            return "another node is there itself"
        return f"{name or identity} itself is at {address}"

    def _knows(self, identity: VerifyKey) -> bool:
        local, other = self.topology.member(self.identity), self.topology.member(identity)
        if identity == self.identity:
            return True
        return local is not None and other is not None and self.topology.are_peers(local, other)


def _meeting(known: Iterable[Prefix], prefixes: tuple[Prefix, ...]) -> Iterator[Prefix]:
    return (one for one in known if any(overlap(one, prefix) for prefix in prefixes))


def _contains(prefix: Prefix, address: str) -> bool:
    found = ip_address(address)
    return found.version == prefix.version and found in prefix


# -- What is free ----------------------------------------------------------------------------------


def _mapped(
    network: Network, topology: Topology, wanted: WantedSite, requested: Iterable[Prefix]
) -> tuple[Prefix, ...]:
    """Return a prefix of the same length for each. Raises SiteRefused."""
    taken: list[Prefix] = [
        *prefixes_of(topology.sites),
        *(route for member in topology.members for route in member.routes),
    ]
    try:
        return _free(network, [*taken, *requested], wanted)
    except SiteRefused:  # what is not in force uses up no pool
        return _free(network, taken, wanted)


def _free(network: Network, taken: list[Prefix], wanted: WantedSite) -> tuple[Prefix, ...]:
    """Return a prefix of the same length for each, the largest first chosen. Raises SiteRefused."""
    found: dict[Prefix, Prefix] = {}
    own: list[Prefix] = []
    for prefix in sorted(wanted.prefixes, key=lambda prefix: prefix.prefixlen):
        if isinstance(prefix, IPv4Network):
            found[prefix] = _free_of_pool(network, prefix, [*taken, *own])
        else:
            found[prefix] = _free_of_range6(network, prefix, taken, own)
        own.append(found[prefix])
    return tuple(found[prefix] for prefix in wanted.prefixes)


def _free_of_pool(network: Network, prefix: IPv4Network, taken: Iterable[Prefix]) -> IPv4Network:
    """Return the first prefix of its length in the pool that is free. Raises SiteRefused."""
    pool, size = network.pool, prefix.num_addresses
    start, end = int(pool.network_address), int(pool.broadcast_address) + 1
    for other in sorted(one for one in taken if isinstance(one, IPv4Network) and one.overlaps(pool)):
        if int(other.network_address) >= start + size:
            break
        start = max(start, -(-(int(other.broadcast_address) + 1) // size) * size)
    if start + size > end:
        raise SiteRefused(
            f"{network.name} has no /{prefix.prefixlen} left in its pool {pool} for {prefix}: remove a site "
            "that nobody needs, or give a narrower prefix"
        )
    return IPv4Network((start, prefix.prefixlen))


def _free_of_range6(
    network: Network, prefix: IPv6Network, taken: Iterable[Prefix], own: Iterable[Prefix]
) -> IPv6Network:
    """Return the same prefix behind the first /48 that no other site has. Raises SiteRefused.

    own: of the same site, which share their /48 with it unless they are the same there.
    """
    if prefix.prefixlen < SITE_LENGTH:
        raise SiteRefused(
            f"{prefix} is wider than a site's /{SITE_LENGTH}, so it cannot be mapped: give narrower prefixes"
        )
    others = {_number_of(network, one) for one in taken if overlap(one, network.addresses6)}
    for number in count(1):
        if number in others:
            continue
        base = _site_range(network, number).network_address
        found = IPv6Network((int(base) | int(prefix.network_address) & _BEHIND_SITE, prefix.prefixlen))
        if not any(overlap(found, one) for one in own):
            return found
    raise AssertionError


def _site_range(network: Network, number: int) -> IPv6Network:
    """Raises SiteRefused."""
    try:
        return site_range(network, number)
    except ValueError:
        raise SiteRefused(
            f"{network.name} has no /{SITE_LENGTH} left in {network.addresses6}: remove a site that nobody "
            "needs"
        ) from None


def _number_of(network: Network, prefix: Prefix) -> int:
    """Return the number of the site that an IPv6 prefix is of."""
    behind = int(prefix.network_address) - int(network.addresses6.network_address)
    return behind >> (128 - SITE_LENGTH)


def _listed(prefixes: Iterable[Prefix]) -> str:
    return ", ".join(map(str, prefixes))
