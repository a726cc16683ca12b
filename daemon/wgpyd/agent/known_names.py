"""The names that one node knows, and which of them it tells whom. Pure.

Invariant: whoever asks learns only of what the rules let it know.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from ipaddress import ip_address
from itertools import chain, filterfalse
from typing import Final

from wgpy.address import Address, Prefix
from wgpy.contract.lazy_dataclass import dataclass
from wgpy.contract.orders import AllowedIP
from wgpy.datapath.translation import mapped_address
from wgpy.dns.message import Labels, name_of
from wgpy.dns.renaming import Renaming
from wgpy.dns.zone import Site as SiteHosts
from wgpy.dns.zone import Zone, apexes
from wgpy.mesh.links import site_selector
from wgpy.mesh.member import Member
from wgpy.mesh.plan import NodePlan
from wgpy.mesh.reach import ends
from wgpy.mesh.records import ANY, Client, Network
from wgpy.mesh.sites import Site
from wgpy.mesh.topology import Topology
from wgpy.mesh.zones import is_local

_MAX_VIEWS: Final = 64
_NOBODY: Final = "localhost"  # serves the zone of a node without a name

_Pairs = tuple[tuple[Prefix, Prefix], ...]


class SiteNames:
    """The hosts of a site, by their real addresses."""

    def __init__(self, pairs: _Pairs) -> None:
        """pairs: a real prefix, and how whoever asks reaches it."""
        self._pairs = pairs

    def mapped(self, real: Address) -> Address | None:
        return _other(real, self._pairs)

    def real(self, mapped: Address) -> Address | None:
        return _other(mapped, ((after, before) for before, after in self._pairs))


@dataclass(frozen=True, slots=True)
class Delegation:
    """Who answers the names of a site's own zone.

    servers: as this node reaches them, none if it does not use the site; site: as whoever asks reaches its
    hosts; renaming: of a zone that is asked for below the site's own name, else None.
    """

    servers: tuple[Address, ...]
    site: SiteHosts
    renaming: Renaming | None = None


class KnownNames:
    """What one node knows at one moment, computed when it is asked for."""

    def __init__(self, network: Network, plan: NodePlan, topology: Topology) -> None:
        self.network = network
        self._plan = plan
        self._topology = topology
        self._views: dict[Member | Client, Zone] = {}

    def apexes(self) -> Iterator[Labels]:
        return apexes(self.network.name, self._ranges)

    @cached_property
    def zone(self) -> Zone:
        """All names, for other nodes and clients."""
        everybody: tuple[Member | Client, ...] = (*self._topology.clients, *self._local, *self._peers)
        hosts = {one.name: _addresses(one) for one in everybody if one.name}
        sites = {
            site.name: SiteNames(tuple(zip(site.real, site.mapped, strict=True))) for site in self._sites
        }
        server = next((member.name for member in self._local), "")
        served = (site.name for site in self._sites if _local_zone(site))
        return Zone.of(self.network.name, server or _NOBODY, hosts, self._ranges, sites, served)

    def zone_for(self, asker: Address) -> Zone | None:
        """Return what somebody may know, None for nobody that is known."""
        if any(asker == own.ip for own in self._plan.link.addresses):
            return self._own_zone
        if asker in self._gateways_beside:
            return self._zone_of_hosts
        if one := self._clients.get(asker) or self._members.get(asker) or self._owner(asker):
            return self._view(one)
        return self._zone_of_hosts if self._is_host_of_site(asker) else None

    def enters_here(self, asker: Address) -> bool:
        """Return whether somebody is a client that enters by this node."""
        client = self._clients.get(asker)
        return client is not None and client.key in self._plan.clients

    def uses_exit(self, asker: Address) -> bool:
        """Return whether somebody is such a client, and sends by an exit of another node."""
        client, found = self._clients.get(asker), self._plan.client_exit
        return client is not None and found is not None and client.key in found.users

    # -- Zones of sites -------------------------------------------------------------------------------

    @property
    def site_zones(self) -> Iterable[Labels]:
        """The zones about which name servers of sites are asked."""
        return self._delegated.keys()

    def delegation(self, asker: Address, name: Labels) -> Delegation | None:
        """Return who answers a name for somebody, None if that is no name server of a site."""
        zone = self.zone_for(asker)
        renaming = self._renaming(zone, name) if zone else None
        if renaming:
            site = next((one for one in self._sites if one.name.encode() == renaming.mesh[0]), None)
        else:
            above = (name[start:] for start in range(len(name)))
            site = next(filter(None, map(self._delegated.get, above)), None)
        label = site.name.encode() if site else b""
        if site is None or zone is None or label not in zone.sites:
            return None
        servers = map(self._own_zone.sites[label].mapped, site.servers)
        is_own = site in self._plan.own_sites
        used = tuple(one for one in servers if one and (is_own or self._owner(one)))
        return Delegation(used, zone.sites[label], renaming)

    def _renaming(self, zone: Zone, name: Labels) -> Renaming | None:
        """Return how a site's name server knows a name below the site's own, None if it is no such name."""
        if not zone.is_served(name):
            return None
        mesh = name[-len(zone.domain) - 1 :]
        local = next(_local_zone(one) for one in self._sites if one.name.encode() == mesh[0])
        return Renaming(mesh, name_of(local))

    def serves_hosts_of_sites(self, asker: Address, name: Labels) -> bool:
        """Return whether a host of a site that this host is in asks for a name below that of a site."""
        found = self.delegation(asker, name) if self._is_host_of_site(asker) else None
        return found is not None and found.renaming is not None

    @cached_property
    def _delegated(self) -> dict[Labels, Site]:
        """Return the site of each zone: the first site that has it."""
        known = {site.name for site in self._sites}
        first: dict[Labels, Site] = {}
        for site in self._topology.sites:
            for zone in filterfalse(is_local, site.zones if site.name in known else ()):
                first.setdefault(name_of(zone), site)
        return first

    # -- What there is --------------------------------------------------------------------------------

    @property
    def _ranges(self) -> tuple[Prefix, ...]:
        return self.network.addresses, self.network.addresses6, self.network.pool

    @cached_property
    def _own_zone(self) -> Zone:
        """For the host itself, which reaches its own sites as they are."""
        own = {site.name.encode(): SiteNames(_as_they_are(site.real)) for site in self._plan.own_sites}
        return self.zone.with_sites(own) if own else self.zone

    @cached_property
    def _zone_of_hosts(self) -> Zone:
        """For hosts of the sites that this host is in, which reach each other as they are."""
        route = self._plan.return_route
        within = {route.site.encode(): SiteNames(_as_they_are(route.sources))} if route else {}
        return self._own_zone.with_sites(within)

    @cached_property
    def _gateways_beside(self) -> frozenset[Address]:
        """The other gateways of this node's own sites, each of which lends its address to hosts of them."""
        sites = (site for site in self._plan.own_sites if not site.is_exit)
        lending = {one.identity for site in sites for one in site.gateways if not one.is_routed}
        members = (peer for peer in self._peers if peer.identity in lending)
        return frozenset(address for member in members for address in _addresses(member))

    def _is_host_of_site(self, asker: Address) -> bool:
        """Return whether somebody is in a site that this host is in, as a gateway or with a return route."""
        if asker in self._gateways_beside:
            return True
        own = chain.from_iterable(site.real for site in self._plan.own_sites if not site.is_exit)
        route = self._plan.return_route
        within = (*own, *(route.sources if route else ()))
        return any(asker.version == prefix.version and asker in prefix for prefix in within)

    @property
    def _sites(self) -> Iterator[Site]:
        """Those that this node reaches, its own among them."""
        return chain(self._plan.own_sites, *(peer.sites for peer in self._plan.peers))

    @cached_property
    def _local(self) -> tuple[Member, ...]:
        view = self._plan.view
        member = self._topology.member(view.identity) if view else None
        return (member,) if member else ()

    @property
    def _peers(self) -> Iterator[Member]:
        return (peer.member for peer in self._plan.peers)

    # -- Who asks, and what it may know --------------------------------------------------------------

    @cached_property
    def _clients(self) -> dict[Address, Client]:
        return {address: client for client in self._topology.clients for address in _addresses(client)}

    @cached_property
    def _members(self) -> dict[Address, Member]:
        return {address: member for member in self._peers for address in _addresses(member)}

    def _owner(self, asker: Address) -> Member | None:
        """Return the peer behind whom somebody is."""
        return next(
            (peer.member for peer in self._plan.peers for route in peer.routes if asker in route), None
        )

    def _view(self, one: Member | Client) -> Zone:
        if one not in self._views:
            if len(self._views) >= _MAX_VIEWS:
                self._views.clear()
            self._views[one] = (
                self._zone_of_client(one) if isinstance(one, Client) else self._zone_of_member(one)
            )
        return self._views[one]

    def _zone_of_member(self, member: Member) -> Zone:
        if not self._topology.rules:
            return self.zone
        known = (member, *self._local, *self._topology.joined_peers(member.identity))
        identities = {one.identity for one in known}
        sites = (site for site in self._sites if any(one.identity in identities for one in site.gateways))
        clients = (client for client, found in self._ends if not found.isdisjoint(member.selectors))
        return self._only((*known, *clients), sites)

    def _zone_of_client(self, client: Client) -> Zone:
        selectors = ends(self._topology, client)
        if ANY in selectors:
            return self.zone
        everybody: tuple[Member | Client, ...] = (*self._peers, *self._topology.clients)
        known = (one for one in everybody if not selectors.isdisjoint(one.selectors))
        sites = (site for site in self._sites if site_selector(site.name) in selectors)
        return self._only((client, *self._local, *known), sites)

    @cached_property
    def _ends(self) -> list[tuple[Client, set[str]]]:
        """Return each client with the selectors of what a rule or its destinations join with it."""
        return [(client, ends(self._topology, client)) for client in self._topology.clients]

    def _only(self, known: Iterable[Member | Client], sites: Iterable[Site]) -> Zone:
        names = {one.name.encode() for one in known}
        return self.zone.only(names, {site.name.encode() for site in sites})


def _as_they_are(prefixes: tuple[Prefix, ...]) -> _Pairs:
    return tuple(zip(prefixes, prefixes, strict=True))


def _addresses(one: Member | Client) -> tuple[Address, ...]:
    """Return those of a node, or of a client at all of its gateways."""
    places = one.ingresses if isinstance(one, Client) else (one,)
    return tuple(chain.from_iterable((place.address, place.address6) for place in places))


def _other(address: Address, pairs: Iterable[tuple[Prefix, Prefix]]) -> Address | None:
    """Return what an address is in the other prefix of its pair."""
    for before, after in pairs:
        if before.version == address.version and address in before:
            other = mapped_address(address.packed, _allowed_ip(before), _allowed_ip(after))
            return None if other is None else ip_address(other)
    return None


def _allowed_ip(prefix: Prefix) -> AllowedIP:
    return AllowedIP(prefix.network_address.packed, prefix.prefixlen)


def _local_zone(site: Site) -> str:
    """Return the zone whose names are asked for below the site's own, "" if it has none."""
    return next(filter(is_local, site.zones), "")
