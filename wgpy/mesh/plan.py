"""From what a node knows to all that its host shall be. Pure.

Invariant: the same records and the same local view give the same plan, whatever was planned before, save for
what is reserved: what a node has withdrawn is in no record any more.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from itertools import chain, islice
from typing import Final, Self

from wgpy.address import Address, Prefix, is_private, overlap
from wgpy.contract.endpoint import Endpoint
from wgpy.contract.orders import AllowedIP, Permit
from wgpy.keys import PublicKey
from wgpy.mesh.addressing import node_address6
from wgpy.mesh.client_exit import ClientExit, client_exit, exit_name
from wgpy.mesh.exit import Exit, exit_of
from wgpy.mesh.ingress import EnteringClient, Passage, entering_by_gateway, permits
from wgpy.mesh.member import Member
from wgpy.mesh.prefix_set import Prefixes
from wgpy.mesh.records import Network
from wgpy.mesh.relays import Relays, relays_to, usable_relays
from wgpy.mesh.return_route import ReturnRoute, return_route
from wgpy.mesh.rules import allowed_ip
from wgpy.mesh.signing import VerifyKey
from wgpy.mesh.sites import Gateway, Site, own_sites, prefixes_of
from wgpy.mesh.topology import Topology

MAX_WITHDRAWN: Final = 1_000  # prefixes: a node may announce others again and again
_NO_SITES: Final[Mapping[VerifyKey, tuple[Site, ...]]] = {}


@dataclass(frozen=True, slots=True)
class Tunnel:
    """What the interface knows of a peer.

    endpoints: where it may be reached, the best first; relays: by which it is reached if it is nowhere there,
    as others cannot dial it; the shortest way first.
    """

    allowed_ips: frozenset[AllowedIP]
    endpoints: tuple[Endpoint, ...]
    relays: tuple[PublicKey, ...] = ()


Tunnels = Mapping[PublicKey, Tunnel]
Filter = Mapping[PublicKey, tuple[Permit, ...] | None]  # what a peer may begin, None for everything
Chooser = Callable[[Site, tuple[Gateway, ...]], Gateway]  # of the gateways that are peers, the one to use


@dataclass(frozen=True, slots=True)
class Peer:
    """A member that this node knows, and how it is configured here.

    sites: those that are reached by it; routes: what is used here of the member's and of these sites', but no
    default route of an exit; left_out: sentences, why the rest is not; is_joined: whether it may reach this
    node or be reached by it, and is not known just because one of the two is a relay.
    """

    member: Member
    sites: tuple[Site, ...]
    routes: tuple[Prefix, ...]
    left_out: tuple[str, ...]
    tunnel: Tunnel
    is_joined: bool = True


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """How the interface is to be, which is up. addresses: with the prefix length of the network."""

    mtu: int
    addresses: tuple[IPv4Interface | IPv6Interface, ...]


@dataclass(frozen=True, slots=True)
class Routing:
    """Where a node's routes are.

    table: that has them; mark: of packets that it does not route, those of the mesh itself; coordinator_port:
    TCP, of a coordinator on this host, whose answers it does not route either; 0 for none; exit_table: that
    has the default routes of an exit, and is looked up for what no other route has; clients_table: that has
    those of the exit of clients, and is looked up for what comes by the mesh's interface; return_table: that
    has the return route of a host of a site.
    """

    table: int
    mark: int
    coordinator_port: int = 0
    exit_table: int = 0
    clients_table: int = 0
    return_table: int = 0


@dataclass(frozen=True, slots=True)
class KnownMembers:
    """What a node knows of the other members together.

    shared: routes that are among the sites of somebody; relays: those that the node may use; joined: members
    that may reach the node or be reached by it, None for all, no part of the value.
    """

    shared: frozenset[Prefix] = frozenset()
    relays: Relays = field(default_factory=dict)
    joined: frozenset[VerifyKey] | None = field(default=None, compare=False)

    def is_joined(self, member: Member) -> bool:
        return self.joined is None or member.identity in self.joined


_NOTHING_KNOWN: Final = KnownMembers()


@dataclass(frozen=True, slots=True)
class LocalView:
    """What a node knows of itself and of where its host is.

    identity, address: its own in the network; networks: that must not lead into the mesh, each with its
    description; own_endpoints: addresses at which the node itself may be reached; versions: of IP that it can
    send by; routing: of its host; exit: name of the site that it uses as its exit, "" for none; return_site,
    return_gateways: as in `ReturnRoute`, "" for none.
    """

    identity: VerifyKey
    address: IPv4Address
    networks: Mapping[Prefix, str]
    own_endpoints: frozenset[str]
    versions: frozenset[int]
    routing: Routing
    exit: str = ""
    return_site: str = ""
    return_gateways: tuple[Address, ...] = ()
    _own: Prefixes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_own", Prefixes(self.networks))

    def peer(self, member: Member, sites: tuple[Site, ...], known: "KnownMembers") -> Peer:
        """Leave out of what is behind a member what would take traffic from where this host is itself.

        sites: those that are reached by the member.
        """
        is_joined = known.is_joined(member)
        routes = member.routes if is_joined else ()
        behind = {route: "" for route in routes if route not in known.shared}
        behind.update((prefix, _of(site)) for site in sites for prefix in prefixes_of((site,)))
        left_out = {
            prefix: f"{prefix}{of_site} is not used here: it overlaps {network}, {self.networks[network]}"
            for prefix, of_site in behind.items()
            for network in self._in_the_way(prefix)
        }
        used = tuple(prefix for prefix in behind if prefix not in left_out)
        own = frozenset(member.allowed_ips).difference(member.routes)
        defaults = (prefix for site in sites if site.is_exit for prefix in site.mapped)
        allowed_ips = frozenset(map(allowed_ip, own.union(used, defaults)))
        published = dict.fromkeys((*member.endpoints, *(member.paths.endpoints if member.paths else ())))
        endpoints = tuple(sorted(filter(self._may_be_elsewhere, published), key=self._distance))
        tunnel = Tunnel(allowed_ips, endpoints, relays_to(member, known.relays))
        return Peer(member, sites, used, tuple(left_out.values()), tunnel, is_joined)

    def _in_the_way(self, prefix: Prefix) -> list[Prefix]:
        """Return the first network that a prefix overlaps, if there is one."""
        if not self.overlaps(prefix):
            return []
        return [network for network in self.networks if overlap(network, prefix)][:1]

    def overlaps(self, prefix: Prefix) -> bool:
        """Return whether one of the networks overlaps a prefix. Costs the same however many there are."""
        return self._own.overlap(prefix)

    def with_sites(self, sites: Iterable[Site]) -> Self:
        """Return the view of a gateway, for which the prefixes of its own sites are behind its host."""
        behind = {
            prefix: f"of {site.name}, a site of this node"
            for site in sites
            for prefix in (() if site.is_exit else site.real)
        }
        return replace(self, networks={**behind, **self.networks})

    def _may_be_elsewhere(self, endpoint: Endpoint) -> bool:
        """Return whether an address may mean another host; where all nodes are on one, each does."""
        return not _is_of_one_host(endpoint.address) or any(map(_is_of_one_host, self.own_endpoints))

    def _distance(self, endpoint: Endpoint) -> int:
        """The lesser is tried first: what is reached from everywhere, and what is in a network of this host.

        An address that is ours, too, is our own NAT's, and we are behind it.
        """
        if (6 if endpoint.is_ipv6 else 4) not in self.versions:
            return 4
        address = ip_address(endpoint.address.partition("%")[0])
        if endpoint.address in self.own_endpoints:
            return 3
        if not is_private(address):
            return 0
        return 1 if any(address in network for network in self.networks) else 2


def _is_of_one_host(text: str) -> bool:
    address = ip_address(text.partition("%")[0])
    return address.is_loopback or address.is_link_local


@dataclass(frozen=True, slots=True)
class NodePlan:
    """All that a host shall be, for one network.

    view: what it was planned for; by_key: the nodes that the interface knows; tunnels: of these and of the
    clients that enter here, as the interface has them; filter: what each may begin; names: of peers, by their
    own addresses; routes: prefixes that lead into the interface, by the table of `routing`; reserved:
    prefixes of the network that lead nowhere; own_sites: those that this node is a gateway of; known: of the
    members; is_relay: whether it passes on what others send each other; clients: keys of those that enter
    here; behind: real prefixes that others reach by this node; exit: by which it sends what no other route
    has, None for the host's own way; client_exit: by which it sends that of clients, None where there is no
    such client; return_route: None unless the host is one of a site; mtus: of prefixes whose packets must be
    smaller than those of the link.
    """

    view: LocalView | None
    by_key: Mapping[PublicKey, Peer]
    tunnels: Tunnels
    filter: Filter
    names: Mapping[IPv6Address, str]
    link: LinkPlan
    routes: tuple[Prefix, ...]
    reserved: frozenset[Prefix]
    routing: Routing
    own_sites: tuple[Site, ...] = ()
    known: KnownMembers = field(default_factory=KnownMembers)
    is_relay: bool = False
    clients: frozenset[PublicKey] = frozenset()
    behind: tuple[Prefix, ...] = ()
    exit: Exit | None = None
    client_exit: ClientExit | None = None
    return_route: ReturnRoute | None = None
    mtus: Mapping[Prefix, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, reserved: frozenset[Prefix] = frozenset()) -> Self:
        """Return that of a node that knows nothing yet. reserved: of an earlier life, as the host has it."""
        return cls(None, {}, {}, {}, {}, LinkPlan(0, ()), (), reserved, Routing(0, 0))

    @property
    def peers(self) -> Collection[Peer]:
        return self.by_key.values()

    @property
    def tunnels_to_nodes(self) -> Tunnels:
        """Return the tunnels without those to clients, which would be woken by keepalives."""
        return {key: self.tunnels[key] for key in self.by_key} if self.clients else self.tunnels


def first_gateway(site: Site, gateways: tuple[Gateway, ...]) -> Gateway:
    """Return the gateway that comes first by priority."""
    return gateways[0]


def plan(
    network: Network, topology: Topology, view: LocalView, before: NodePlan, choose: Chooser = first_gateway
) -> NodePlan:
    """Return what a node's host shall be.

    before: what was planned last, or an empty one. It makes it faster; and what it led into the interface or
    nowhere, and nobody announces any more, is reserved as long as some node may announce it. choose: which
    gateway of a site is used.
    """
    local = topology.member(view.identity)
    own = tuple(own_sites(topology.sites, view.identity)) if local else ()
    view = view.with_sites(own)
    shared = shared_routes(topology.members)
    joined = topology.joined_peers(view.identity)
    known = KnownMembers(
        frozenset(prefixes_of(shared)), usable_relays(topology, local), _identities(topology, joined)
    )
    entering = entering_by_gateway(topology)
    own_clients = entering.get(view.identity, [])
    passed = exit_name(topology, [one.client for one in own_clients], view.identity, view.exit)
    used = used_sites((*topology.sites, *shared), joined, view.identity, choose, {view.exit, passed})
    peers_before = before.peers if (before.view, before.known) == (view, known) else ()
    peers = reachable(topology.peers(view.identity), view, peers_before, used, known)
    address = IPv4Interface((view.address, network.addresses.prefixlen))
    address6 = IPv6Interface((node_address6(network.addresses6, view.identity), network.addresses6.prefixlen))
    routes = (address.network, address6.network, *(route for peer in peers for route in peer.routes))
    clients = {one.client.key: Tunnel(one.allowed_ips, ()) for one in own_clients}
    ranges = (network.addresses, network.addresses6, network.pool)
    return NodePlan(
        view,
        {peer.member.key: peer for peer in peers},
        {**{peer.member.key: _tunnel(peer, entering) for peer in peers}, **clients},
        permits(topology, local, Passage(passed, ranges)) if local else {},
        {peer.member.address6: peer.member.name or str(peer.member.identity) for peer in peers},
        LinkPlan(network.mtu, (address, address6)),
        routes,
        _reserved(network.pool, topology, peers, routes, view, before),
        view.routing,
        own,
        known,
        view.identity in topology.relays,
        frozenset(clients),
        (*(local.announced if local else ()), *(prefix for site in own for prefix in site.real)),
        exit_of(view.exit, topology.sites, used, view.identity),
        client_exit(topology, own_clients, used, view.identity, passed),
        return_route(view.return_site, view.return_gateways, network, topology.sites, view.identity),
    )


def shared_routes(members: Sequence[Member]) -> tuple[Site, ...]:
    """Return the routes for which somebody stands by, each as a site without a name."""
    gateways: dict[Prefix, list[VerifyKey]] = {}
    for member in members:
        for route in member.standby:
            gateways.setdefault(route, []).append(member.identity)
    if not gateways:
        return ()
    holders = {route: member.identity for member in members for route in member.routes if route in gateways}
    return tuple(_shared(route, [holders[route], *others]) for route, others in gateways.items())


def _shared(route: Prefix, identities: Iterable[VerifyKey]) -> Site:
    gateways = (Gateway(identity, place, is_routed=True) for place, identity in enumerate(identities))
    return Site("", (route,), (route,), tuple(gateways))


def _of(site: Site) -> str:
    return f" of {site.name}" if site.name else ""


def used_sites(
    sites: Sequence[Site],
    peers: Iterable[Member],
    local: VerifyKey,
    choose: Chooser,
    exits: Collection[str] = (),
) -> Mapping[VerifyKey, tuple[Site, ...]]:
    """Return the sites that are reached by each peer; those of this node, it reaches itself.

    local: this node; exits: names of those that it uses, and no other. A gateway of an exit uses none: two
    that use each other would send everything round in circles.
    """
    identities = {peer.identity for peer in peers} if sites else set()
    found: dict[VerifyKey, tuple[Site, ...]] = {}
    exits = () if any(site.is_exit for site in own_sites(sites, local)) else exits
    for site in sites:
        if site.is_exit and site.name not in exits:
            continue
        gateways = tuple(gateway for gateway in site.gateways if gateway.identity in identities)
        if gateways and site.gateway(local) is None:
            used = choose(site, gateways).identity
            found[used] = (*found.get(used, ()), site)
    return found


def _tunnel(peer: Peer, entering: Mapping[VerifyKey, Iterable[EnteringClient]]) -> Tunnel:
    """Return the tunnel to a peer, by which the clients are reached that enter there."""
    behind = [one.allowed_ips for one in entering.get(peer.member.identity, ()) if peer.is_joined]
    tunnel = peer.tunnel
    return replace(tunnel, allowed_ips=tunnel.allowed_ips.union(*behind)) if behind else tunnel


def _reserved(
    pool: Prefix,
    topology: Topology,
    peers: Iterable[Peer],
    routes: tuple[Prefix, ...],
    view: LocalView,
    before: NodePlan,
) -> frozenset[Prefix]:
    """Return prefixes of the network without a way, save for those that overlap what the host has itself."""
    joined = {view.identity, *(peer.member.identity for peer in peers if peer.is_joined)}
    others = (member.routes for member in topology.members if member.identity not in joined)
    absent = (site for site in topology.sites if joined.isdisjoint(one.identity for one in site.gateways))
    announced = frozenset((pool, *topology.reserved, *chain.from_iterable(others), *prefixes_of(absent)))
    is_same = (before.view, before.routes) == (view, routes)
    used = before.reserved if is_same else before.reserved.union(before.routes).difference(routes)
    withdrawn = filter(topology.granted.cover, used - announced)
    found = announced.union(islice(withdrawn, MAX_WITHDRAWN))
    if is_same and found == before.reserved:
        return found
    ways = Prefixes(routes)
    return frozenset(prefix for prefix in found if not ways.cover(prefix) and not view.overlaps(prefix))


def reachable(
    members: Iterable[Member],
    view: LocalView,
    before: Iterable[Peer] = (),
    sites: Mapping[VerifyKey, tuple[Site, ...]] = _NO_SITES,
    known: KnownMembers = _NOTHING_KNOWN,
) -> tuple[Peer, ...]:
    """Return members as peers.

    before: what was returned last for the same view and what was known then; sites: those that are reached by
    each.
    """
    old = {id(peer.member): peer for peer in before}  # of members that live as long as their peers
    found = []
    for member in members:
        behind, peer = sites.get(member.identity, ()), old.get(id(member))
        is_same = peer and (peer.sites, peer.is_joined) == (behind, known.is_joined(member))
        found.append(peer if peer and is_same else view.peer(member, behind, known))
    return tuple(found)


def _identities(topology: Topology, joined: Sequence[Member]) -> frozenset[VerifyKey] | None:
    """Return those of the members that are joined with a node, None if these are all that it knows."""
    return frozenset(member.identity for member in joined) if topology.rules and topology.relays else None
